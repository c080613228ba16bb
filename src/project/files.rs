//! Reading a project's files: names as the user sees them, vault opened, mistakes collected.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::vault::{self, Vault};
use crate::program::{Layer, Span, Tree, Variable};
use crate::source::{Diagnostic, Diagnostics, NOWHERE, Node, Reading, Severity, Sources, yaml};

/// The project's folder, what was read of it, and what was wrong with it.
#[derive(Debug, Default)]
pub struct Files {
    /// Absolute.
    pub root: PathBuf,
    /// Where the bundled layout lies unpacked, if it may stand in for something.
    pub built_in: Option<PathBuf>,
    pub sources: Sources,
    pub diagnostics: Diagnostics,
    pub vault: Vault,
    /// Texts that could not be read as what they are: what they were to define is not known.
    pub unread: Vec<Arc<str>>,
    /// Something that may define variables could not be read at all: what it was to define is not known.
    pub unknown: bool,
    /// Where warnings stand that are mistakes on a host that reaches them.
    pub doubted: Vec<Span>,
}

/// What mistakes that were found already hide: a name that stands there may be defined there.
#[derive(Debug)]
pub struct Mistaken {
    texts: Vec<Arc<str>>,
    lines: Vec<String>,
}

impl Mistaken {
    /// Whether a word, or words in a row, stand in a text that could not be read or in the line of a mistake.
    pub fn names(&self, words: &str) -> bool {
        let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
        let stands_in = |text: &str| {
            text.match_indices(words).any(|(start, _)| {
                let alone_before = !text[..start].ends_with(is_word);
                alone_before && !text[start + words.len()..].starts_with(is_word)
            })
        };
        self.texts.iter().any(|text| stands_in(text)) || self.lines.iter().any(|line| stands_in(line))
    }
}

/// A YAML file that was read.
#[derive(Clone, Debug)]
pub struct Document {
    pub file: u32,
    pub node: Node,
    /// The file was encrypted as a whole: its values are secret.
    pub secret: bool,
}

impl Files {
    pub fn new(root: &Path) -> Self {
        Self { root: std::path::absolute(root).unwrap_or_else(|_| root.to_owned()), ..Self::default() }
    }

    /// The path as the user reads it: relative to the project's folder where it lies in it; `built-in playbooks/site.yaml`.
    pub fn name(&self, path: &Path) -> String {
        let below = |folder: &Path| path.strip_prefix(folder).ok().filter(|rest| !rest.as_os_str().is_empty());
        match self.built_in.as_deref().and_then(below) {
            Some(inside) => format!("built-in {}", inside.display()),
            None => below(&self.root).unwrap_or(path).display().to_string(),
        }
    }

    /// The absolute path of what a user wrote in a file of the folder `base`.
    pub fn resolve(&self, base: &Path, written: &str) -> PathBuf {
        normal(&base.join(vault::home(Path::new(written))))
    }

    /// Reads a text file, opened where it is encrypted. A file that cannot be read is a mistake, and gives `None`.
    pub fn read(&mut self, path: &Path) -> Option<u32> {
        if let Some(index) = self.sources.find(path) {
            return Some(index);
        }
        let name = self.name(path);
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.diagnostics.push(Diagnostic::nowhere(format!("read `{name}`: {}", vault::plain(&error))));
                self.unknown = true;
                return None;
            }
        };
        if vault::is_encrypted(&bytes) {
            return match self.vault.open_bytes(&bytes) {
                Ok(plain) => self.add(&name, path, plain, true),
                Err(refusal) => {
                    // Its first line says what it is encrypted with, and nothing else.
                    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
                    let header = String::from_utf8_lossy(header).trim().to_owned();
                    let width = header.chars().count() as u32;
                    self.unknown = true;
                    // Under another path: who reads the file again must not get this text.
                    let shown = path.with_file_name(format!("{name}, encrypted"));
                    let file = self.sources.add(name, &shown, header);
                    let span = Span { file, line: 1, column: 1 };
                    let mut diagnostic = Diagnostic::error(refusal.message.replace("value", "file"), span, width);
                    diagnostic.hint = refusal.hint;
                    self.diagnostics.push(diagnostic);
                    None
                }
            };
        }
        self.add(&name, path, bytes, false)
    }

    fn add(&mut self, name: &str, path: &Path, bytes: Vec<u8>, secret: bool) -> Option<u32> {
        match String::from_utf8(bytes) {
            Ok(text) if secret => Some(self.sources.add_secret(name, path, text)),
            Ok(text) => Some(self.sources.add(name, path, text)),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = valid.split(|byte| *byte == b'\n').count() as u32;
                let column =
                    String::from_utf8_lossy(valid.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()).chars().count() as u32 + 1;
                let text: Arc<str> = String::from_utf8_lossy(error.as_bytes()).into();
                self.unread.push(Arc::clone(&text));
                // Under another path: who reads the file again must not get this text.
                let shown = path.with_file_name(format!("{name}, not UTF-8"));
                let file = if secret { self.sources.add_secret(name, &shown, text) } else { self.sources.add(name, &shown, text) };
                let encoding = if error.as_bytes().starts_with(b"\xff\xfe") || error.as_bytes().starts_with(b"\xfe\xff") {
                    "utf-16"
                } else {
                    "latin1"
                };
                self.diagnostics.push(
                    Diagnostic::error(format!("read `{name}`: line {line} is not UTF-8"), Span { file, line, column }, 1)
                        .hint(format!("convert it: `iconv -f {encoding} -t utf-8 {name}`")),
                );
                None
            }
        }
    }

    /// Reads a file that holds one YAML (or JSON) document.
    pub fn yaml(&mut self, path: &Path) -> Option<Document> {
        let file = self.read(path)?;
        let Some(node) = yaml::document(&self.sources, file, &mut self.diagnostics) else {
            let text = self.sources.file(file).map(|file| Arc::clone(&file.text));
            self.unread.extend(text);
            return None;
        };
        let secret = self.sources.file(file).is_some_and(|file| file.secret);
        Some(Document { file, node, secret })
    }

    /// What the mistakes so far hide.
    pub fn mistaken(&self) -> Mistaken {
        let errors = self.diagnostics.iter().filter(|mistake| mistake.severity == Severity::Error).map(|mistake| mistake.span);
        let lines = errors.chain(self.doubted.iter().copied()).filter_map(|span| self.sources.line(span).map(str::to_owned)).collect();
        Mistaken { texts: self.unread.clone(), lines }
    }

    /// Reads a file of our own formats: there a key given twice is a mistake.
    pub fn own_yaml(&mut self, path: &Path) -> Option<Document> {
        let document = self.yaml(path)?;
        self.diagnostics.deny_warnings(document.file);
        Some(document)
    }

    /// The node as a program carries it; `!vault` texts are opened, and all texts of an encrypted file are secret.
    pub fn tree(&mut self, node: &Node, secret: bool) -> Tree {
        node.tree(Reading { opener: &self.vault, secret }, &mut self.diagnostics)
    }

    /// A mapping as variables; anything else but null is a mistake. Names that Ansible forbids are too (`vars:`).
    pub fn layer(&mut self, origin: &str, node: &Node, secret: bool) -> Layer {
        self.variables(origin, node, secret, true)
    }

    fn variables(&mut self, origin: &str, node: &Node, secret: bool, strict: bool) -> Layer {
        let mut layer = Layer { origin: origin.into(), variables: Vec::new() };
        if node.is_null() {
            return layer;
        }
        let Some(entries) = node.as_map() else {
            self.diagnostics.push(Diagnostic::at(node, format!("variables must be a mapping, this is {}", node.describe())));
            return layer;
        };
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            if let Some(diagnostic) = bad_name(key) {
                self.diagnostics.push(if strict { diagnostic } else { diagnostic.as_warning() });
                if strict {
                    continue;
                }
            }
            let value = Arc::new(self.tree(value, secret));
            layer.variables.push(Variable { name: name.into(), value, span: key.span });
        }
        layer
    }

    /// A file of variables as a layer named after it; `None` after a mistake. A name that no expression can write is a
    /// warning: Ansible takes it in silence.
    pub fn vars_file(&mut self, path: &Path) -> Option<Layer> {
        let document = self.yaml(path)?;
        let origin = self.name(path);
        Some(self.variables(&origin, &document.node, document.secret, false))
    }

    /// A warning where a path cannot be what the user means.
    pub fn warn(&mut self, message: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(message, NOWHERE, 0).hint(hint));
    }
}

/// Letters, digits and `_`, no digit first: what Python calls an identifier, in ASCII or not.
pub fn is_variable_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
}

/// The mistake in a variable's name, if there is one.
pub fn bad_name(key: &Node) -> Option<Diagnostic> {
    let name = key.text().unwrap_or_default();
    let text = matches!(key.value(), crate::program::Value::Text(_));
    if text && is_variable_name(name) {
        return None;
    }
    let mended: String = name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '_' }).collect();
    let mut diagnostic = Diagnostic::at(key, format!("`{name}` cannot be a variable's name"));
    diagnostic.label = Some(if text && is_variable_name(&mended) {
        format!("letters, digits and `_` only: `{mended}`")
    } else if text {
        "letters, digits and `_` only, and no digit first".to_owned()
    } else {
        "YAML reads this as another type, not as a text".to_owned()
    });
    Some(diagnostic)
}

/// `a/./b/../c` as `a/c`, without looking at the disk.
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

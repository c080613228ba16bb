//! What reading a run's playbooks needs and gathers: files, mistakes, layers, the places where names are looked for.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::absent::Absent;
use super::closure::Cache;
use super::doubt::Doubt;
use super::file::{Catalog, Syntax};
use super::include::Pending;
use super::role::LoadedRole;
use crate::program::{Fragments, Layer, LayerId, Span, Step, Template, Tree, Value, Variable};
use crate::project::files::{Document, Files, bad_name};
use crate::source::node::has_template;
use crate::source::{Diagnostic, Diagnostics, Node, NodeKind, Scalar};

/// Everything that is gathered while the playbooks are read.
pub struct Loader<'p> {
    pub files: &'p mut Files,
    pub roles_path: Vec<PathBuf>,
    pub collections_path: Vec<PathBuf>,
    /// `-e`.
    pub extra: Arc<Layer>,
    documents: HashMap<PathBuf, Option<Rc<Document>>>,
    /// What was wrong with files and roles that are read once: who reads one again is told again.
    told: HashMap<PathBuf, Diagnostics>,
    pub layers: Vec<Layer>,
    /// Layers of files, by path.
    pub layer_of: HashMap<PathBuf, LayerId>,
    pub roles: HashMap<PathBuf, Rc<LoadedRole>>,
    /// Of the play that is being read.
    pub play: PlayParts,
    /// Includes whose files are still to be read.
    pub pending: Vec<Pending>,
    pub fragments: Fragments,
    pub files_found: Catalog,
    /// Some `module_defaults` stand somewhere: arguments may come from there.
    pub has_module_defaults: bool,
    pub cache: Cache,
    /// Something that could define variables is missing: only what looks like a slip is called undefined.
    pub incomplete: bool,
    /// So it is with files of variables that the run names.
    pub vars_unknown: bool,
    /// Tasks whose arguments could not be read.
    pub broken: BTreeSet<Span>,
    /// Registered by tasks that could not be read.
    pub defined_anyway: BTreeSet<Arc<str>>,
    /// Templates whose lookups were followed, by owner, the folders that what they include is searched in, and whether it was a guess.
    pub followed: HashSet<(Arc<str>, PathBuf, Syntax, Vec<PathBuf>, bool)>,
    /// Plays read so far.
    pub plays: usize,
    /// By fragment, and by play (`play 1`).
    pub uses: HashMap<Arc<str>, Uses>,
    /// Tasks whose modules are not there.
    pub absent: Vec<Absent>,
    /// Mistakes that a host may meet.
    pub doubts: Vec<Doubt>,
    /// Files that `include_vars` may read, and where it surely does: by [`Context::place`].
    pub included_vars: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Specifications of arguments, by where they stand.
    pub declared: HashMap<Span, Rc<super::argument_specs::Declared>>,
    /// Calls of roles that have one.
    pub validated: Vec<super::argument_specs::Validated>,
    /// Places that are run wherever another one is: by [`Context::place`].
    pub certain: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    pub artifacts: Arc<super::artifact::Artifacts>,
    /// Those that tasks name.
    pub artifacts_used: BTreeSet<Arc<str>>,
    /// Where tasks write on the controller.
    pub destinations: Vec<super::fetch::Destination>,
    /// Where lookups keep passwords.
    pub passwords: Vec<super::fetch::Destination>,
    /// What tasks name, wherever they are done.
    pub namings: Vec<super::found::Naming>,
    /// The task whose files are looked for, and the names of files that tasks use.
    pub task_in_hand: Option<Span>,
    pub named: BTreeSet<(Span, Arc<str>)>,
}

/// What roles and imports bring to the play that is being read.
#[derive(Default)]
pub struct PlayParts {
    pub role_handlers: Vec<Step>,
    pub import_handlers: Vec<Step>,
    pub role_defaults: Vec<LayerId>,
    pub role_vars: Vec<LayerId>,
    pub role_names: Vec<String>,
    pub dependency_names: Vec<String>,
}

/// What a play or a fragment may bring in at run time.
#[derive(Debug, Default)]
pub struct Uses {
    /// Keys of other uses: fragments of tasks by path, roles as `role NAME`.
    pub fragments: BTreeSet<Arc<str>>,
    /// Keys of [`Fragments::vars`].
    pub vars: BTreeSet<Arc<str>>,
    /// Files and folders that tasks name.
    pub files: BTreeSet<PathBuf>,
    /// A file is named by what the run gives, from the beginning of the name.
    pub takes_found: bool,
}

impl<'p> Loader<'p> {
    pub fn new(files: &'p mut Files, roles_path: Vec<PathBuf>, extra: Layer) -> Self {
        Self {
            files,
            roles_path,
            collections_path: Vec::new(),
            extra: Arc::new(extra),
            documents: HashMap::new(),
            told: HashMap::new(),
            layers: Vec::new(),
            layer_of: HashMap::new(),
            roles: HashMap::new(),
            play: PlayParts::default(),
            pending: Vec::new(),
            fragments: Fragments::default(),
            files_found: Catalog::default(),
            has_module_defaults: false,
            cache: Cache::default(),
            incomplete: false,
            vars_unknown: false,
            broken: BTreeSet::new(),
            defined_anyway: BTreeSet::new(),
            followed: HashSet::new(),
            plays: 0,
            uses: HashMap::new(),
            absent: Vec::new(),
            doubts: Vec::new(),
            included_vars: HashMap::new(),
            declared: HashMap::new(),
            validated: Vec::new(),
            certain: HashMap::new(),
            artifacts: Arc::default(),
            artifacts_used: BTreeSet::new(),
            destinations: Vec::new(),
            passwords: Vec::new(),
            namings: Vec::new(),
            task_in_hand: None,
            named: BTreeSet::new(),
        }
    }

    /// The file's document, read once. `None`: it could not be read, and the mistake is recorded at `wanted`.
    pub fn document(&mut self, path: &Path, wanted: Option<&Node>) -> Option<Rc<Document>> {
        if let Some(known) = self.documents.get(path).cloned() {
            self.tell_again(path);
            return known;
        }
        self.once(path, |loader| loader.read_document(path, wanted))
    }

    /// Does what is done once for a file or role, and remembers its mistakes.
    pub fn once<T>(&mut self, path: &Path, read: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::take(&mut self.files.diagnostics);
        let done = read(self);
        let found = std::mem::replace(&mut self.files.diagnostics, before);
        if !found.is_empty() {
            self.files.diagnostics.extend(found.clone());
            self.told.entry(path.to_owned()).or_default().extend(found);
        }
        done
    }

    /// Tells the mistakes of what was read before.
    pub fn tell_again(&mut self, path: &Path) {
        if let Some(told) = self.told.get(path) {
            self.files.diagnostics.extend(told.clone());
        }
    }

    fn read_document(&mut self, path: &Path, wanted: Option<&Node>) -> Option<Rc<Document>> {
        let readable = match wanted {
            Some(node) => match std::fs::File::open(path) {
                Ok(_) => true,
                Err(error) => {
                    let message = format!("read {}: {}", self.shown(path), reason(&error));
                    self.mistake(Diagnostic::at(node, message));
                    false
                }
            },
            None => true,
        };
        self.incomplete |= !readable;
        let document = if readable { self.files.yaml(path).map(Rc::new) } else { None };
        self.documents.insert(path.to_owned(), document.clone());
        document
    }

    /// The document of a file that nothing but its place speaks for: it may be no YAML, and that is no mistake unless its name says so.
    pub fn document_of_guess(&mut self, path: &Path) -> Option<Rc<Document>> {
        let is_yaml = path.extension().and_then(|extension| extension.to_str()).is_some_and(|of| matches!(of, "yml" | "yaml" | "json"));
        if is_yaml || self.documents.contains_key(path) {
            return self.document(path, None);
        }
        let before = std::mem::take(&mut self.files.diagnostics);
        let unread = self.files.unread.len();
        let document = self.files.yaml(path).map(Rc::new);
        let found = std::mem::replace(&mut self.files.diagnostics, before);
        if document.is_some() {
            self.files.diagnostics.extend(found);
            self.documents.insert(path.to_owned(), document.clone());
        } else {
            self.files.unread.truncate(unread);
        }
        document
    }

    /// The path as the user sees it: relative to the project's folder where it lies in it.
    pub fn shown(&self, path: &Path) -> String {
        if path == self.files.root { String::new() } else { self.files.name(path) }
    }

    pub fn mistake(&mut self, diagnostic: Diagnostic) {
        self.files.diagnostics.push(diagnostic);
    }

    /// The node as a tree; texts of an encrypted file are secret.
    pub fn tree(&mut self, node: &Node, secret: bool) -> Tree {
        self.files.tree(node, secret)
    }

    /// A text as a tree, from somewhere inside a scalar.
    pub fn text_tree(text: &str, scalar: &Scalar, offset: usize, secret: bool) -> Tree {
        if has_template(text) {
            Tree::Template(Template { source: text.into(), span: span_in(scalar, offset) })
        } else if secret {
            Tree::Literal(Value::text(text).into_secret())
        } else {
            Tree::Literal(Value::text(text))
        }
    }

    /// A mapping of variables as a layer. Names that are none are mistakes.
    pub fn variables(&mut self, node: &Node, origin: impl Into<Arc<str>>, secret: bool, what: &str) -> Layer {
        let mut layer = Layer { origin: origin.into(), variables: Vec::new() };
        let NodeKind::Map(entries) = &node.kind else {
            if !node.is_null() {
                self.mistake(Diagnostic::at(node, format!("{what} must be a mapping of names to values, found {}", node.describe())));
            }
            return layer;
        };
        for (name, value) in entries {
            if let Some(mistake) = bad_name(name) {
                self.mistake(mistake);
                continue;
            }
            let text = name.text().unwrap_or_default();
            let value = self.tree(value, secret);
            layer.variables.push(Variable { name: text.into(), value: Arc::new(value), span: name.span });
        }
        layer
    }

    /// A vars file as a layer, read once. Empty files are empty layers.
    pub fn layer_of_file(&mut self, path: &Path, origin: &str, wanted: Option<&Node>) -> Option<LayerId> {
        if let Some(id) = self.layer_of.get(path).copied() {
            self.tell_again(path);
            return Some(id);
        }
        self.once(path, |loader| loader.read_layer(path, origin, wanted))
    }

    fn read_layer(&mut self, path: &Path, origin: &str, wanted: Option<&Node>) -> Option<LayerId> {
        let document = self.document(path, wanted)?;
        let mut layer = Layer { origin: origin.into(), variables: Vec::new() };
        let what = format!("the vars file {}", self.shown(path));
        // A list of mappings is read too (`vars_files`).
        let node = &document.node;
        for part in if matches!(node.kind, NodeKind::List(_)) { node.items() } else { std::slice::from_ref(node) } {
            let more = self.variables(part, origin, document.secret, &what);
            layer.variables.extend(more.variables);
        }
        let id = self.add_layer(layer);
        self.layer_of.insert(path.to_owned(), id);
        Some(id)
    }

    pub fn add_layer(&mut self, layer: Layer) -> LayerId {
        self.layers.push(layer);
        (self.layers.len() - 1) as LayerId
    }

    pub fn layer(&self, id: LayerId) -> &Layer {
        &self.layers[id as usize]
    }
}

/// A cause of failed reading as users know it.
pub fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// The place of a byte of a scalar's text: exact on one line and in literal block scalars, the nearest line else.
pub fn span_in(scalar: &Scalar, offset: usize) -> Span {
    let before = scalar.text.get(..offset).unwrap_or(&scalar.text);
    let lines = before.matches('\n').count() as u32;
    let mut span = scalar.content;
    if lines == 0 {
        span.column += before.chars().count() as u32;
    } else {
        let line = before.rsplit('\n').next().unwrap_or_default();
        span.line += lines;
        span.column = scalar.indent + 1 + line.chars().count() as u32;
    }
    span
}

/// Digest of what the user wrote: a task's identity for the journal.
pub fn digest(node: &Node) -> Arc<str> {
    fn feed(hash: &mut Sha256, node: &Node) {
        if let Some(tag) = &node.tag {
            hash.update(tag.as_bytes());
        }
        match &node.kind {
            NodeKind::Scalar(scalar) => {
                hash.update([0, u8::from(scalar.plain)]);
                hash.update((scalar.text.len() as u64).to_le_bytes());
                hash.update(scalar.text.as_bytes());
            }
            NodeKind::List(items) => {
                hash.update([1]);
                hash.update((items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| feed(hash, item));
            }
            NodeKind::Map(entries) => {
                hash.update([2]);
                hash.update((entries.len() as u64).to_le_bytes());
                for (key, value) in entries {
                    feed(hash, key);
                    feed(hash, value);
                }
            }
        }
    }
    let mut hash = Sha256::new();
    feed(&mut hash, node);
    hex::encode(&hash.finalize()[..16]).into()
}

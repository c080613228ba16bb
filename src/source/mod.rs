//! A user's text: files, spans, the YAML tree, diagnostics.

pub mod diagnostic;
#[cfg(feature = "controller")]
mod explain;
#[cfg(feature = "controller")]
mod keys;
#[cfg(feature = "controller")]
mod lenient;
#[cfg(feature = "controller")]
mod lines;
mod locate;
pub mod node;
pub mod resolve;
pub mod suggest;
#[cfg(feature = "controller")]
pub mod yaml;

#[cfg(feature = "controller")]
pub use crate::program::free_form;
pub use diagnostic::{Diagnostic, Diagnostics, NOWHERE, Place, Severity};
#[cfg(feature = "controller")]
pub use keys::Keys;
pub use node::{Node, NodeKind, Opener, Reading, Refusal, Scalar, Sealed, has_template};
pub use suggest::{did_you_mean, suggest};

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::program::Span;

/// The files that were read, by the index that [`Span::file`] holds.
#[derive(Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
    by_path: HashMap<PathBuf, u32>,
}

/// Whether the word stands in the text, by itself.
pub fn says(text: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric();
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

/// A file's text as it was when it was read.
#[derive(Debug)]
pub struct SourceFile {
    /// As shown to the user: relative to the project's folder where it lies in it.
    pub name: Arc<str>,
    pub path: PathBuf,
    pub text: Arc<str>,
    /// It was opened with a vault password: no line of it is ever shown.
    pub secret: bool,
}

impl Sources {
    /// Remembers a file; the same path again gives the same index.
    pub fn add(&mut self, name: impl Into<Arc<str>>, path: &Path, text: impl Into<Arc<str>>) -> u32 {
        self.push(SourceFile { name: name.into(), path: path.to_owned(), text: text.into(), secret: false })
    }

    /// Remembers the plain text of an encrypted file.
    pub fn add_secret(&mut self, name: impl Into<Arc<str>>, path: &Path, text: impl Into<Arc<str>>) -> u32 {
        self.push(SourceFile { name: name.into(), path: path.to_owned(), text: text.into(), secret: true })
    }

    fn push(&mut self, file: SourceFile) -> u32 {
        if let Some(index) = self.find(&file.path) {
            return index;
        }
        let index = self.files.len() as u32;
        self.by_path.insert(file.path.clone(), index);
        self.files.push(file);
        index
    }

    /// Whether the word stands in some file.
    pub fn say(&self, word: &str) -> bool {
        self.files.iter().any(|file| says(&file.text, word))
    }

    /// Files that are to be read again.
    pub fn forget(&mut self, is: impl Fn(&Path) -> bool) {
        self.by_path.retain(|path, _| !is(path));
    }

    /// The index of a file that was added.
    pub fn find(&self, path: &Path) -> Option<u32> {
        self.by_path.get(path).copied()
    }

    pub fn file(&self, index: u32) -> Option<&SourceFile> {
        self.files.get(index as usize)
    }

    /// File names by index, as a program carries them.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.files.iter().map(|file| Arc::clone(&file.name)).collect()
    }

    /// `vms/dev.yaml:5:46`; the name alone for a file as a whole.
    pub fn place(&self, span: Span) -> String {
        let name = self.file(span.file).map_or("?", |file| &file.name);
        match span.line {
            0 => name.to_owned(),
            line => format!("{name}:{line}:{}", span.column),
        }
    }

    /// The text of a span's line.
    pub fn line(&self, span: Span) -> Option<&str> {
        self.file(span.file)?.text.lines().nth(span.line.checked_sub(1)? as usize)
    }
}

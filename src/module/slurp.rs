//! `slurp`: a file's content into a variable.

use base64::Engine as _;

use super::file_arguments::{followed, text};
use super::stat::known;
use super::{Context, Entry, Module, Outcome, PathText, Plan};
use crate::program::Value;
use crate::system::{Error, ErrorKind, FileKind, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Slurp>(&["slurp", "ansible.builtin.slurp"]);

arguments! {
    /// Read a file of the node, as Base64. Arguments and results as in `ansible.builtin.slurp`.
    pub struct Slurp {
        /// The file.
        src: PathText [required, aliases(&["path"])],
    }
}

impl Module for Slurp {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let path = self.src.path();
        let shown = text(path);
        let content = match followed(path, context.system)? {
            None => return Err(Error::failed(format!("File not found: {shown}"))),
            Some(found) if found.kind == FileKind::Directory => {
                return Err(Error::failed(format!("Source is a directory and must be a file: {shown}")));
            }
            Some(_) => context.system.read(path).map(|bytes| bytes.map(|bytes| base64::engine::general_purpose::STANDARD.encode(bytes))),
        };
        let content = match content {
            Err(error) if error.kind == ErrorKind::Denied => Err(Error::failed(format!("File is not readable: {shown}"))),
            other => known(other),
        }?;
        let content = content.ok_or_else(|| Error::failed(format!("File not found: {shown}")))?;
        Ok(Plan::done(Outcome::ok().with("content", content).with("source", shown).with("encoding", Value::text("base64"))))
    }
}

//! `fetch`: a file of the node, kept on the controller.

use std::sync::Arc;

use super::engine::{Fetched, Parcel, Step};
use super::{Controlled, Engine, EngineModule, Entry, Mode, Outcome};
use crate::program::Value;
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Fetch>(&["fetch", "ansible.builtin.fetch"]);

arguments! {
    /// Bring a file of the node to the controller, where it is the user's. Arguments and results as in `ansible.builtin.fetch`. A node
    /// may name files only below the folder that the playbook says.
    pub struct Fetch {
        /// The file on the node; links are followed.
        src: String [required],
        /// Folder of the controller, relative to the playbook's: the file goes to `DEST/HOST/SRC`.
        dest: String [required],
        /// `dest` is the file itself; with a slash at its end, the folder that it goes to.
        flat: bool [default("no")],
        /// A file that is not there is a failure.
        fail_on_missing: bool [default("yes")],
        /// What came must be what was there.
        validate_checksum: bool [default("yes")],
    }
}

impl EngineModule for Fetch {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        if engine.mode() == Mode::Check {
            let outcome = Outcome { skipped: true, ..Outcome::ok() };
            return Ok(Controlled::Done(outcome.with("msg", "check mode not (yet) supported for this module")));
        }
        self.fetch(engine).map(Controlled::Done)
    }
}

impl Fetch {
    fn fetch(&self, engine: &mut dyn Engine) -> Result<Outcome> {
        let asked = crate::map! { "path" => self.src.as_str(), "follow" => true, "get_mime" => false, "get_attributes" => false };
        let found = engine.read("stat", asked)?;
        let found = found.result.get("stat").and_then(Value::as_map).cloned().unwrap_or_default();
        if let Some(cause) = found.get("checksum").and_then(Value::first_unknown) {
            return Err(Error::unknown(Arc::clone(cause)));
        }
        let text = |name: &str| found.get(name).and_then(Value::as_str);
        let is = |name: &str| found.get(name).is_some_and(Value::is_truthy);
        let source = text("path").unwrap_or(&self.src);
        let Some(there) = text("checksum") else {
            return Ok(if is("isdir") {
                self.is_directory()
            } else if is("exists") {
                self.missing(source, &format!("File is not readable: {source}"))
            } else {
                self.missing(source, "the remote file does not exist, not transferring, ignored")
            });
        };
        let mut parcel = Parcel { dest: self.dest.as_str().into(), flat: self.flat, source: source.into(), ..Parcel::default() };
        let known = engine.keep(parcel.clone())?;
        let dest = Value::text(Arc::clone(&known.path));
        if known.sha1.as_deref() == Some(there) {
            let outcome = Outcome::ok().with("md5sum", known.md5.map(Value::text)).with("file", source);
            return Ok(outcome.with("dest", dest).with("checksum", there));
        }
        let outcome = Outcome::changed().with("dest", dest).with("remote_checksum", there).with("remote_md5sum", Value::Null);
        if !engine.act(format!("fetch {source} to {}", known.path))? {
            let md5 = Value::unknown("the file, not here yet");
            return Ok(outcome.with("checksum", there).with("md5sum", md5));
        }
        let mut offset = 0;
        loop {
            let bytes = engine.part(source, offset)?;
            let count = bytes.0.len() as u64;
            parcel.step = Step::Part { offset, bytes };
            engine.keep(parcel.clone())?;
            offset += count;
            if count < super::engine::PART {
                break;
            }
        }
        parcel.step = Step::End;
        let Fetched { sha1, md5, .. } = engine.keep(parcel)?;
        let same = sha1.as_deref() == Some(there);
        let outcome = outcome.with("checksum", sha1.map(Value::text)).with("md5sum", md5.map(Value::text));
        if self.validate_checksum && !same {
            let outcome = Outcome { changed: false, failed: true, ..outcome };
            return Ok(outcome.with("msg", "checksum mismatch").with("file", source));
        }
        Ok(outcome)
    }

    fn missing(&self, source: &str, message: &str) -> Outcome {
        if self.fail_on_missing { Outcome::failed(message) } else { Outcome::ok().with("file", source).with("msg", message) }
    }

    fn is_directory(&self) -> Outcome {
        let message = "remote file is a directory, fetch cannot work on directories";
        if self.fail_on_missing { Outcome::failed(message) } else { Outcome::ok().with("msg", format!("{message}, not transferring, ignored")) }
    }
}

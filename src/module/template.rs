//! `template`: a file rendered on the way to the node.

use super::file_arguments::FileArguments;
use super::{Controlled, Engine, EngineModule, Entry, PathText};
use crate::map;
use crate::program::{Map, Value};
use crate::system::{Error, Result};
use crate::template::Options;

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Template>(&["template", "ansible.builtin.template"]);

arguments! {
    /// Render a file (Jinja2; Handlebars where its name ends in `.hbs`) and write it on the node. Arguments and results as in
    /// `ansible.builtin.template`.
    pub struct Template {
        /// The file, searched in `templates/` of the role, then of the playbook.
        src: String [required],
        /// Where to; in a folder with the name of `src` (without `.hbs`) if it ends with a slash or a folder is there.
        dest: PathText [required],
        /// Keep the former file beside the new one.
        backup: bool [default("no")],
        /// Replace a file that is there and differs.
        force: bool [default("yes")],
        /// Write through a link at `dest`, do not replace it.
        follow: bool [default("no")],
        /// A command that must accept the new file, `%s` is its path.
        validate: Option<String>,
        /// SHA-1 that the rendered text must have.
        checksum: Option<String>,
        /// What begins a block.
        block_start_string: String [default("{%")],
        /// What ends a block.
        block_end_string: String [default("%}")],
        /// What begins a value.
        variable_start_string: String [default("{{")],
        /// What ends a value.
        variable_end_string: String [default("}}")],
        /// What begins a comment.
        comment_start_string: String [default("{#")],
        /// What ends a comment.
        comment_end_string: String [default("#}")],
        /// Take the newline after a block.
        trim_blocks: bool [default("yes")],
        /// Take blanks before a block.
        lstrip_blocks: bool [default("no")],
        /// How lines end.
        newline_sequence: String [default("\n")],
        /// Encoding of the result.
        output_encoding: String [default("utf-8"), checked(check_encoding)],
        file: FileArguments,
    }
}

fn check_encoding(name: &str) -> std::result::Result<(), String> {
    match name.to_ascii_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "u8" | "ascii" | "us-ascii" => Ok(()),
        _ => Err(format!("the encoding {name} is not supported: utf-8 and ascii are")),
    }
}

impl EngineModule for Template {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let newline = match self.newline_sequence.as_str() {
            "\n" | "\\n" => "\n",
            "\r" | "\\r" => "\r",
            "\r\n" | "\\r\\n" => "\r\n",
            _ => return Err(Error::failed("newline_sequence needs to be one of: \n, \r or \r\n")),
        };
        check_encoding(&self.output_encoding).map_err(Error::failed)?;
        let path = engine.find_source("templates", &self.src)?;
        let name = path.rsplit('/').next().unwrap_or_default();
        let handlebars = name.strip_suffix(".hbs");
        let text = if handlebars.is_some() {
            engine.render_handlebars(&path, self.itself(&path))?
        } else {
            let options = Options {
                block_start_string: self.block_start_string.clone(),
                block_end_string: self.block_end_string.clone(),
                variable_start_string: self.variable_start_string.clone(),
                variable_end_string: self.variable_end_string.clone(),
                comment_start_string: self.comment_start_string.clone(),
                comment_end_string: self.comment_end_string.clone(),
                newline_sequence: newline.to_owned(),
                trim_blocks: self.trim_blocks,
                lstrip_blocks: self.lstrip_blocks,
                ..Options::file()
            };
            engine.render_file(&path, &options, self.itself(&path))?
        };
        if self.output_encoding.to_ascii_lowercase().contains("ascii") && !text.is_ascii() {
            return Err(Error::failed(format!("the rendered text of {} has letters that are not ASCII", self.src)));
        }
        let mode = match &self.file.mode {
            Some(mode) if mode.as_str() == Some("preserve") => Some(Value::text(format!("{:04o}", engine.source_mode(&path)?))),
            other => other.clone(),
        };
        Ok(Controlled::Onward { module: "copy", arguments: self.copy_arguments(text, handlebars.unwrap_or(name), mode) })
    }
}

impl Template {
    /// What the template may say of itself, as in Ansible; the engine knows more.
    fn itself(&self, path: &str) -> Map {
        map! { "template_path" => self.src.as_str(), "template_fullpath" => path, "template_destpath" => self.dest.0.as_str() }
    }

    fn copy_arguments(&self, text: String, name: &str, mode: Option<Value>) -> Map {
        let file = &self.file;
        let mut arguments = map! {
            "content" => text,
            "dest" => self.dest.0.as_str(),
            "_original_basename" => name,
            "backup" => self.backup,
            "force" => self.force,
            "follow" => self.follow,
            "unsafe_writes" => file.unsafe_writes,
        };
        let given = [
            ("validate", &self.validate),
            ("checksum", &self.checksum),
            ("owner", &file.owner),
            ("group", &file.group),
            ("seuser", &file.seuser),
            ("serole", &file.serole),
            ("setype", &file.setype),
            ("selevel", &file.selevel),
            ("attributes", &file.attributes),
        ];
        for (argument, value) in given {
            if let Some(value) = value {
                arguments.insert(argument.into(), value.as_str().into());
            }
        }
        if let Some(mode) = mode {
            arguments.insert("mode".into(), mode);
        }
        arguments
    }
}

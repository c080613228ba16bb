//! `stat`: what a path is.

use std::path::Path;

use super::{Context, Entry, Module, Outcome, PathText, Plan};
use crate::map;
use crate::program::{Map, Value};
use crate::system::overlay::{FIRST_UNKNOWN_ID, FIRST_UNKNOWN_INODE};
use crate::system::{Digest, Error, FileKind, Metadata, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Stat>(&["stat", "ansible.builtin.stat"]);

choices! {
    /// Digests of `stat`.
    pub enum Algorithm { Md5 = "md5", Sha1 = "sha1", Sha224 = "sha224", Sha256 = "sha256", Sha384 = "sha384", Sha512 = "sha512" }
}

arguments! {
    /// Look at a file, folder or link. Arguments and results as in `ansible.builtin.stat`.
    pub struct Stat {
        /// The path.
        path: PathText [required, aliases(&["dest", "name"])],
        /// Look at what a link points to.
        follow: bool [default("no")],
        /// Return a checksum of a regular file.
        get_checksum: bool [default("yes")],
        /// Return type and character set, where the program `file` is installed.
        get_mime: bool [default("yes"), aliases(&["mime", "mime_type", "mime-type"])],
        /// Return attributes as lsattr(1) shows them.
        get_attributes: bool [default("yes"), aliases(&["attr", "attributes"])],
        /// Digest of the checksum.
        checksum_algorithm: Algorithm [default("sha1"), aliases(&["checksum", "checksum_algo"])],
    }
}

/// lsattr(1)'s letters in words.
const ATTRIBUTES: [(char, &str); 20] = [
    ('A', "noatime"),
    ('a', "append"),
    ('c', "compressed"),
    ('C', "nocow"),
    ('d', "nodump"),
    ('D', "dirsync"),
    ('e', "extents"),
    ('E', "encrypted"),
    ('h', "blocksize"),
    ('i', "immutable"),
    ('I', "indexed"),
    ('j', "journalled"),
    ('N', "inline"),
    ('s', "zero"),
    ('S', "synchronous"),
    ('t', "notail"),
    ('T', "blockroot"),
    ('u', "undelete"),
    ('X', "compressedraw"),
    ('Z', "compresseddirty"),
];

impl Module for Stat {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let path = self.path.path();
        let object = if self.follow { system.canonical(path)? } else { path.to_owned() };
        let found = match system.metadata(&object)? {
            // `stat` of a file with a slash after it is none.
            Some(found) if self.path.0.ends_with('/') && found.kind == FileKind::Symlink => system.metadata(&system.canonical(path)?)?,
            found => found,
        };
        let Some(found) = found else {
            let above = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
            for above in above {
                match system.metadata(&system.canonical(above)?)? {
                    Some(found) if found.kind == FileKind::Directory => break,
                    Some(_) => return Err(Error::failed("Not a directory").hint(format!("{} is a file", above.display()))),
                    None => {}
                }
            }
            return Ok(Plan::done(Outcome::ok().with("stat", map! { "exists" => false })));
        };
        Ok(Plan::done(Outcome::ok().with("stat", self.describe(path, &object, &found, context)?)))
    }
}

impl Stat {
    fn describe(&self, path: &Path, object: &Path, found: &Metadata, context: &Context<'_>) -> Result<Map> {
        let system = context.system;
        let is = |kind| found.kind == kind;
        let number = |number: u64| Value::Int(number as i64);
        let new = |what: &str| Value::unknown(format!("the {what} of a new file"));
        let made = found.inode >= FIRST_UNKNOWN_INODE;
        let mut stat = map! { "exists" => true, "path" => self.path.0.as_str() };
        stat.extend(lstat(found));
        stat.insert("blocks".into(), if made { new("size on disk") } else { number(found.blocks) });
        stat.insert("block_size".into(), number(found.block_size));
        stat.insert("device_type".into(), number(found.rdev));
        let mut add = |name: &str, value: Value| drop(stat.insert(name.into(), value));
        let access = system.access(path)?;
        add("readable", access.read.into());
        add("writeable", access.write.into());
        add("executable", access.execute.into());
        if is(FileKind::Symlink) {
            add("lnk_source", super::file_arguments::text(&system.canonical(path)?).into());
            add("lnk_target", system.read_link(object)?.map(|target| super::file_arguments::text(&target)).into());
        }
        // An owner without a name has no such field.
        if let Some(user) = system.user(&found.uid.to_string())?.filter(|user| user.uid == found.uid) {
            add("pw_name", user.name.into());
        }
        if let Some(group) = system.group(&found.gid.to_string())?.filter(|group| group.gid == found.gid) {
            add("gr_name", group.name.into());
        }
        if self.get_checksum && is(FileKind::File) && access.read {
            add("checksum", known(system.digest(path, self.checksum_algorithm.digest()))?.unwrap_or(Value::Null));
        }
        if self.get_mime {
            let (kind, charset) = match system.mime(path) {
                Ok(answer) => {
                    let (kind, charset) = answer.unwrap_or_else(|| ("unknown".into(), "unknown".into()));
                    (kind.into(), charset.into())
                }
                Err(error) => {
                    let cause = known::<String>(Err(error))?.unwrap_or(Value::Null);
                    (cause.clone(), cause)
                }
            };
            add("mimetype", kind);
            add("charset", charset);
        }
        if self.get_attributes {
            // Of a link there are none, followed or not: lsattr(1) does not follow.
            let letters = system.attributes(path)?;
            let generation = system.generation(path)?.map(|version| version.to_string());
            let words: Vec<&str> =
                letters.chars().filter_map(|letter| ATTRIBUTES.iter().find(|(known, _)| *known == letter)).map(|(_, word)| *word).collect();
            add("version", if made { new("version") } else { generation.into() });
            add("attributes", if made { new("attributes") } else { words.into() });
            add("attr_flags", if made { new("attributes") } else { letters.into() });
        }
        Ok(stat)
    }
}

/// What lstat(2) says, as `stat` and `find` return it: kind, mode and its bits, ids, size, times.
pub fn lstat(found: &Metadata) -> Map {
    let is = |kind| found.kind == kind;
    let bit = |bits: u32| found.mode & bits != 0;
    let number = |number: u64| Value::Int(number as i64);
    let new = |what: &str| Value::unknown(format!("the {what} of a new file"));
    let time = |time: f64| if time.is_nan() { new("time") } else { Value::Float(time) };
    let id = |id: u32| if id >= FIRST_UNKNOWN_ID { new("owner") } else { i64::from(id).into() };
    let made = found.inode >= FIRST_UNKNOWN_INODE;
    map! {
        "mode" => format!("{:04o}", found.mode),
        "isdir" => is(FileKind::Directory),
        "ischr" => is(FileKind::Character),
        "isblk" => is(FileKind::Block),
        "isreg" => is(FileKind::File),
        "isfifo" => is(FileKind::Fifo),
        "islnk" => is(FileKind::Symlink),
        "issock" => is(FileKind::Socket),
        "uid" => id(found.uid),
        "gid" => id(found.gid),
        "size" => number(found.size),
        "inode" => if made { new("inode") } else { number(found.inode) },
        "dev" => if made { new("device") } else { number(found.device) },
        "nlink" => number(found.links),
        "atime" => time(found.accessed),
        "mtime" => time(found.modified),
        "ctime" => time(found.changed),
        "wusr" => bit(0o200),
        "rusr" => bit(0o400),
        "xusr" => bit(0o100),
        "wgrp" => bit(0o020),
        "rgrp" => bit(0o040),
        "xgrp" => bit(0o010),
        "woth" => bit(0o002),
        "roth" => bit(0o004),
        "xoth" => bit(0o001),
        "isuid" => bit(0o4000),
        "isgid" => bit(0o2000),
    }
}

impl Algorithm {
    pub fn digest(self) -> Digest {
        match self {
            Algorithm::Md5 => Digest::Md5,
            Algorithm::Sha1 => Digest::Sha1,
            Algorithm::Sha224 => Digest::Sha224,
            Algorithm::Sha256 => Digest::Sha256,
            Algorithm::Sha384 => Digest::Sha384,
            Algorithm::Sha512 => Digest::Sha512,
        }
    }
}

/// A read for one field: an unknown is that field's, not the whole result's.
pub fn known<T: Into<Value>>(answer: Result<Option<T>>) -> Result<Option<Value>> {
    match answer {
        Ok(value) => Ok(value.map(Into::into)),
        Err(error) => match error.unknown_cause() {
            Some(cause) => Ok(Some(Value::Unknown(std::sync::Arc::clone(cause)))),
            None => Err(error),
        },
    }
}

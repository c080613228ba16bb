//! What an archive holds, and what a folder has not of it: the question of `unarchive`, and the words for the tools that answer.

use std::path::PathBuf;

use crate::program::Bytes;

/// An archive and where it is to be unpacked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub source: Source,
    /// `None`: only what it holds is asked.
    pub folder: Option<PathBuf>,
    pub owner: Option<String>,
    pub group: Option<String>,
    pub keep_newer: bool,
    /// Shell patterns of names.
    pub exclude: Vec<String>,
    pub include: Vec<String>,
    /// More words for the tool.
    pub options: Vec<String>,
}

/// Where the archive is.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    Node(PathBuf),
    /// The controller's, not on the node.
    Bytes(Bytes),
}

/// How it is packed, as far as the tools ask: GNU tar finds out about bzip2, xz and zstd by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Zip,
    Gzip,
    Tar,
}

/// What it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Archive {
    pub format: Format,
    /// In its own order, without what is left out.
    pub members: Vec<Member>,
    /// What `tar --diff` says, line by line; a zip's members are compared by their fields.
    pub differences: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Relative; a folder's ends with a slash.
    pub name: String,
    /// Of a zip's member.
    pub details: Option<Details>,
}

/// What a zip's directory says of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    pub is_link: bool,
    /// Permission bits; `None` where it was not packed on Unix.
    pub mode: Option<u32>,
    /// Bytes, unpacked.
    pub size: u64,
    /// Seconds since the epoch.
    pub modified: i64,
    pub crc32: u32,
}

impl Format {
    /// By its first bytes, as file(1) does; what is nothing else is a tar.
    pub fn of(start: &[u8]) -> Self {
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Self::Zip
        } else if start.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else {
            Self::Tar
        }
    }

    /// Ansible's name for what handles it: the first of its classes whose tool can read the archive.
    pub fn handler(self) -> &'static str {
        match self {
            Self::Zip => "ZipArchive",
            Self::Gzip => "TgzArchive",
            Self::Tar => "TarArchive",
        }
    }
}

impl Question {
    /// Words of tar: `--list`, `--diff` or `--extract` of this file.
    pub fn tar(&self, program: &str, verb: &str, format: Format, file: &str) -> Vec<String> {
        let mut words = vec![program.to_owned(), verb.to_owned()];
        if let Some(folder) = &self.folder {
            words.extend(["-C".to_owned(), folder.to_string_lossy().into_owned()]);
        }
        words.extend((format == Format::Gzip).then(|| "-z".to_owned()));
        if !self.options.is_empty() {
            words.push("--show-transformed-names".to_owned());
            words.extend(self.options.iter().cloned());
        }
        if verb != "--list" {
            words.extend(self.owner.iter().map(|owner| format!("--owner={owner}")));
            words.extend(self.group.iter().map(|group| format!("--group={group}")));
            words.extend(self.keep_newer.then(|| "--keep-newer-files".to_owned()));
        }
        words.extend(self.exclude.iter().map(|pattern| format!("--exclude={pattern}")));
        words.extend(["-f".to_owned(), file.to_owned()]);
        words.extend(self.include.iter().cloned());
        words
    }

    /// Words of unzip.
    pub fn unzip(&self, program: &str, file: &str, leave_out: &[String]) -> Vec<String> {
        let mut words = vec![program.to_owned(), "-o".to_owned()];
        words.extend(self.options.iter().cloned());
        words.push(file.to_owned());
        if !leave_out.is_empty() {
            words.push("-x".to_owned());
            words.extend(leave_out.iter().cloned());
        }
        words.extend(self.include.iter().cloned());
        if let Some(folder) = &self.folder {
            words.extend(["-d".to_owned(), folder.to_string_lossy().into_owned()]);
        }
        words
    }
}

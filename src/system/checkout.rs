//! A checkout of git as it stands on the machine: what git says of it without the network.

use std::path::PathBuf;

/// Which checkout, and by which git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub program: String,
    pub folder: PathBuf,
    /// Name of the remote whose address is wanted.
    pub remote: String,
    /// It has no files of its own.
    pub bare: bool,
    pub environment: Vec<(String, String)>,
}

/// What git says.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checkout {
    /// The commit; `HEAD` where there is none yet.
    pub head: String,
    /// What is checked out is a branch, not a commit.
    pub on_branch: bool,
    /// Address of the remote; its name where there is no such remote.
    pub url: String,
    /// Lines of `git status --porcelain`, but those of files that are not the repository's.
    pub modified: Vec<String>,
    /// Lines of `git submodule status`.
    pub submodules: Vec<String>,
}

//! The models of a folder, newest first.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use tracing::warn;

use super::check;
use crate::model::{Model, Wanted};

/// Bytes of a model; ours have at most 400 kB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A file of the folder, and what tells whether it was written since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub path: PathBuf,
    modified: SystemTime,
    /// Device, inode, bytes, and the time of the last change, which no program can set.
    stamp: (u64, u64, u64, i64, i64),
}

impl Candidate {
    /// Its content; no more than a model may have, so that what is larger is refused for what it lacks.
    pub(super) fn read(&self) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        std::fs::File::open(&self.path).and_then(|file| file.take(LARGEST).read_to_end(&mut content)).context("read it")?;
        Ok(content)
    }
}

/// `*.onnx`, newest first; links are followed, as a mounted ConfigMap is made of them.
pub(super) fn candidates(folder: &Path) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))? {
        let path = entry.with_context(|| format!("list `{}`", folder.display()))?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "onnx") {
            continue;
        }
        // Gone since it was listed, or a link that leads nowhere: not a candidate now.
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.is_file() {
            let stamp = (metadata.dev(), metadata.ino(), metadata.len(), metadata.ctime(), metadata.ctime_nsec());
            found.push(Candidate { modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), path, stamp });
        }
    }
    found.sort_by(|a, b| (b.modified, &b.path).cmp(&(a.modified, &a.path)));
    Ok(found)
}

/// The newest model of the folder that can be served; those before it are told in the log.
pub fn first(folder: &Path, wanted: Wanted) -> Result<Model> {
    let candidates = candidates(folder)?;
    for candidate in &candidates {
        let opened = candidate.read().and_then(|file| {
            check::in_a_process(&file, wanted)??;
            Model::from_bytes_with(&file, wanted)
        });
        match opened {
            Ok(model) => return Ok(model),
            Err(reason) => warn!(file = %candidate.path.display(), reason = format!("{reason:#}"), "model refused"),
        }
    }
    bail!("none of the {} models in `{}` can be served; hint: run `model-service check FILE`", candidates.len(), folder.display())
}

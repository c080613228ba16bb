//! One artifact from one source: downloaded or unpacked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use super::{ONLY, Recipe, Shared};
use crate::artifact::cache::{Entry, Fresh};
use crate::artifact::debian;
use crate::artifact::download::{Wanted, extract};
use crate::artifact::error::{Error, Result};
use crate::artifact::manifest::{Definition, SourceKind};
use crate::artifact::progress::{Cancel, Progress, Teller};

impl Shared {
    pub(super) async fn download(
        &self,
        definition: &Definition,
        source: SourceKind,
        url: &str,
        teller: &Teller,
        cancel: &Cancel,
    ) -> Result<Result<Entry, String>> {
        let recipe = self.recipe(definition, source).await.expect("it has a place");
        let upstream = definition.upstream.as_ref().expect("it has a place");
        let begun = Instant::now();
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let lock = format!("{}-{}", definition.name, self.architecture);
        let _lock = self.cache.lock(&lock, &definition.name, teller, cancel).await?;
        if let Some(entry) = self.find(&recipe)? {
            return Ok(Ok(entry));
        }
        let _ = teller.send(started(definition, source, url));
        let work = self.cache.work()?;
        let file = work.0.join("download");
        let sha256 = &upstream.sha256[&self.architecture];
        let wanted = Wanted { url, sha256, to: &file, name: &definition.name };
        if let Err(cause) = self.downloads.fetch(&wanted, teller).await {
            return Ok(Err(cause));
        }
        let members: BTreeMap<String, PathBuf> = definition
            .files
            .iter()
            .filter_map(|file| Some((file.member(&definition.version, self.architecture)?, work.0.join(&file.name))))
            .collect();
        let whole = members.is_empty().then(|| sha256.clone());
        if !members.is_empty() {
            let archive = file.clone();
            let unpacked = tokio::task::spawn_blocking(move || extract(&archive, &members)).await;
            if let Err(cause) = unpacked.unwrap_or_else(|error| Err(error.to_string())) {
                return Ok(Err(cause));
            }
        }
        let files = definition.files.iter().map(|one| Fresh {
            name: one.name.clone(),
            mode: one.mode,
            path: if one.member.is_some() { work.0.join(&one.name) } else { file.clone() },
            sha256: whole.clone(),
        });
        let entry = self.put(&recipe, self.entry(definition, source), files.collect()).await?;
        let _ = teller.send(finished(&entry, begun));
        Ok(Ok(entry))
    }

    pub(super) async fn unpack(
        &self,
        definition: &Definition,
        packages: &str,
        teller: &Teller,
        cancel: &Cancel,
    ) -> Result<Result<Entry, String>> {
        let recipe = self.recipe(definition, SourceKind::Debian).await.expect("it has a place");
        let begun = Instant::now();
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let lock = format!("{}-{}", definition.name, self.architecture);
        let _lock = self.cache.lock(&lock, &definition.name, teller, cancel).await?;
        if let Some(entry) = self.find(&recipe)? {
            return Ok(Ok(entry));
        }
        let _ = teller.send(started(definition, SourceKind::Debian, packages));
        let work = self.cache.work()?;
        let file = definition.files.first().expect("an artifact has files");
        let out = work.0.join(&file.name);
        let wanted = definition.packages.as_ref().expect("it has a place");
        if let Err(cause) = debian::layer(wanted, self.architecture, &work.0, out.clone()).await {
            return Ok(Err(cause));
        }
        let fresh = vec![Fresh { name: file.name.clone(), mode: file.mode, path: out, sha256: None }];
        let entry = self.put(&recipe, self.entry(definition, SourceKind::Debian), fresh).await?;
        let _ = teller.send(finished(&entry, begun));
        Ok(Ok(entry))
    }

    pub(super) fn entry(&self, definition: &Definition, source: SourceKind) -> Entry {
        let source = match source {
            SourceKind::Cache => "the cache",
            SourceKind::Mirror => "the mirror",
            SourceKind::Upstream => "upstream",
            SourceKind::Go => "built from its Go module",
            SourceKind::Debian => "Debian's packages",
        };
        let version = match (source, &definition.module) {
            ("built from its Go module", Some(module)) => module.version.clone(),
            _ => definition.version.clone(),
        };
        Entry {
            name: definition.name.clone(),
            version,
            architecture: self.architecture.to_string(),
            source: source.to_owned(),
            files: Vec::new(),
            image: None,
        }
    }

    /// Hashing and syncing block.
    pub(super) async fn put(&self, recipe: &Recipe, entry: Entry, files: Vec<Fresh>) -> Result<Entry> {
        let (cache, hash) = (self.cache.clone(), recipe.hash.clone());
        let variant = recipe.variant.clone().unwrap_or_else(|| ONLY.to_owned());
        let name = entry.name.clone();
        let put = tokio::task::spawn_blocking(move || cache.put(&hash, &variant, entry, files)).await;
        put.unwrap_or_else(|error| Err(Error::other(format!("store `{name}`"), error)))
    }
}

pub(super) fn started(definition: &Definition, source: SourceKind, place: &str) -> Progress {
    Progress::Started { name: definition.name.clone(), version: definition.version.clone(), from: format!("{source} {place}") }
}

pub(super) fn finished(entry: &Entry, begun: Instant) -> Progress {
    Progress::Finished {
        name: entry.name.clone(),
        version: entry.version.clone(),
        source: entry.source.clone(),
        bytes: entry.files.iter().map(|file| file.seen.size).sum(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

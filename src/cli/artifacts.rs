//! Artifacts as a run needs them: what the cache holds, what is to be got first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::Exit;
use super::cache::Teller;
use crate::artifact::manifest::{FILE, Mistakes};
use crate::artifact::{self, Cancel, ErrorKind, Lack, Manifest, Settings, Store};
use crate::playbook::artifact::{Artifact, Artifacts, Held};
use crate::project::{Files, environment};
use crate::report::{self, Format};
use crate::run::session::interrupted;

/// Manifest and cache of a folder; the error was told.
pub fn store(folder: &Path, mirror: Option<String>) -> Result<Store, Exit> {
    let manifest = manifest(folder).map_err(|mistakes| {
        report::line(&mistakes.to_string());
        Exit::Mistakes
    })?;
    store_of(folder, manifest, mirror)
}

/// The built-in manifest with the folder's own laid over it.
pub fn manifest(folder: &Path) -> Result<Manifest, Box<Mistakes>> {
    let own = folder.join(FILE);
    Manifest::load(own.exists().then_some(&*own))
}

/// A manifest with the user's cache; the error was told.
pub fn store_of(folder: &Path, manifest: Manifest, mirror: Option<String>) -> Result<Store, Exit> {
    let cache = artifact::Cache::of_user().map_err(|error| told(&error))?;
    let built_in = Some(super::built_in::folder()?);
    let settings = Settings { folder: Some(folder.to_owned()), built_in, ..Settings::from_environment(mirror) };
    Store::new(manifest, cache, settings).map_err(|error| told(&error))
}

/// What provision.yaml says of a mirror, and only that: a mistake elsewhere in the folder is no reason not to fetch.
pub fn mirror(folder: &Path) -> Result<Option<String>, Exit> {
    let mut files = Files::new(folder);
    let environment = environment::read_alone(&mut files);
    let wrong = report::mistakes(&files);
    if wrong { Err(Exit::Mistakes) } else { Ok(environment.mirror) }
}

/// Tells an error of an artifact.
pub fn told(error: &artifact::Error) -> Exit {
    report::error(&error.to_string(), error.hint.as_deref());
    match error.kind {
        ErrorKind::Unknown => Exit::Usage,
        ErrorKind::Cancelled => Exit::Interrupted,
        _ => Exit::Error,
    }
}

/// Everything that playbooks may name, with the files that the cache holds.
pub async fn known(store: &Store) -> Result<Arc<Artifacts>, Exit> {
    let mut known = Artifacts::default();
    for name in store.manifest().names() {
        let present = store.present(&name).await.map_err(|error| told(&error))?;
        let (version, reference) = store.manifest().described(&name);
        let mut artifact = Artifact { version, reference, ..Artifact::default() };
        if let Some(present) = present {
            artifact.digest = present.image.map(|image| image.digest);
            let held = present.files.into_iter().map(|file| Held {
                name: file.name,
                path: file.path,
                sha256: file.sha256,
                size: file.size,
                mode: file.mode,
            });
            artifact.files = Some(held.collect());
        }
        known.insert(name.into(), artifact);
    }
    Ok(Arc::new(known))
}

/// What a run needs and the cache does not hold.
pub struct Lacking {
    names: Vec<String>,
    lacks: Vec<Lack>,
}

impl Lacking {
    /// Asks sources only where something is lacking.
    pub async fn of(store: &Store, needed: &BTreeSet<Arc<str>>) -> Result<Self, Exit> {
        let names: Vec<String> = needed.iter().map(ToString::to_string).collect();
        let lacks = store.lacking(&names).await.map_err(|error| told(&error))?;
        Ok(Self { names, lacks })
    }

    pub fn is_empty(&self) -> bool {
        self.lacks.is_empty()
    }

    /// The plan's lines.
    pub fn tell(&self, format: Format, as_data: bool) {
        for (index, lack) in self.lacks.iter().enumerate() {
            if format == Format::Json {
                report::data(&report::entry::artifact(lack).to_string());
                continue;
            }
            let size = lack.size.map(|bytes| format!(", {:.1} MB", bytes as f64 / 1e6)).unwrap_or_default();
            let note = lack.note.as_ref().map(|note| format!("  ({note})")).unwrap_or_default();
            let text = format!(
                "  {:<12} + {} {}  {}{size}{note}",
                if index == 0 { "artifacts" } else { "" },
                lack.name,
                lack.version,
                lack.source
            );
            report::planned(as_data, &text);
        }
    }

    /// Gets all of it.
    pub async fn fetch(&self, store: &Store, format: Format) -> Result<(), Exit> {
        let begun = std::time::Instant::now();
        ensure(store, &self.names, format == Format::Json).await?;
        if format == Format::Text && !self.is_empty() {
            report::line(&format!("  ✔ artifacts  {} in the cache{:>34.1} s", self.lacks.len(), begun.elapsed().as_secs_f64()));
        }
        Ok(())
    }
}

/// Gets artifacts, telling how far it is; Ctrl-C ends downloads and builds.
pub async fn ensure(store: &Store, names: &[String], json: bool) -> Result<BTreeMap<String, artifact::Artifact>, Exit> {
    let cancel = Cancel::default();
    let word = cancel.clone();
    let listener = tokio::spawn(async move {
        interrupted().await;
        word.cancel();
    });
    let mut teller = Teller::new(json);
    let result = store.ensure(names, &mut |step| teller.tell(step), &cancel).await;
    listener.abort();
    result.map_err(|error| told(&error))
}

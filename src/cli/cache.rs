//! `provision cache`: what was downloaded or built for nodes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;

use super::Exit;
use super::artifacts::{ensure, mirror, store, told};
use crate::artifact::{self, Manifest, Progress, Store};
use crate::report;

/// How often a long download or build says how far it is.
const INTERVAL: Duration = Duration::from_secs(5);

/// What was downloaded or built for nodes: list, fetch, clean
#[derive(Debug, Subcommand)]
pub enum Cache {
    List(List),
    Fetch(Fetch),
    Clean(Clean),
}

/// List artifacts: which are in the cache, and where the others would come from
#[derive(Debug, Args)]
pub struct List {
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// Get artifacts into the cache before they are needed
#[derive(Debug, Args)]
pub struct Fetch {
    /// Only these, and what they are made of; without any, what this folder's playbooks and releases need, or else all that can be had
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// JSON lines on stdout
    #[arg(long)]
    json: bool,
}

/// Remove artifacts from the cache, in all their versions; without names, all, and what other versions of this program unpacked there
#[derive(Debug, Args)]
pub struct Clean {
    /// Only these
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

impl Cache {
    pub async fn run(self) -> Exit {
        let result = match self {
            Self::List(command) => command.run().await,
            Self::Fetch(command) => command.run().await,
            Self::Clean(command) => command.run(),
        };
        result.unwrap_or_else(|exit| exit)
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

impl List {
    async fn run(self) -> Result<Exit, Exit> {
        let store = store(Path::new("."), mirror(Path::new("."))?)?;
        let names: Vec<String> = store.manifest().names().collect();
        let lacks: BTreeMap<String, artifact::Lack> =
            store.lacking(&names).await.map_err(|error| told(&error))?.into_iter().map(|lack| (lack.name.clone(), lack)).collect();
        let mut rows = Vec::new();
        for name in &names {
            if let Some(lack) = lacks.get(name) {
                rows.push(json!({"name": name, "version": lack.version, "cached": false, "source": lack.source, "bytes": lack.size, "note": lack.note}));
            } else if let Some(artifact) = store.present(name).await.map_err(|error| told(&error))? {
                let size: u64 = artifact.files.iter().map(|file| file.size).sum();
                rows.push(json!({
                    "name": name, "version": artifact.version, "cached": true, "source": artifact.source, "bytes": size,
                    "files": artifact.files.iter().map(|file| json!({"name": file.name, "path": file.path, "sha256": &*file.sha256})).collect::<Vec<_>>(),
                    "image": artifact.image.as_ref().map(|image| json!({"reference": image.reference, "digest": image.digest})),
                }));
            }
        }
        if self.json {
            report::data(&json!({"folder": store.cache().folder(), "artifacts": rows}).to_string());
            return Ok(Exit::Success);
        }
        for row in &rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default();
            let state = if row["cached"] == true { megabytes(row["bytes"].as_u64().unwrap_or_default()) } else { "not yet".to_owned() };
            let note = row["note"].as_str().map(|note| format!("  ({note})")).unwrap_or_default();
            report::data(&format!("{:<30} {:<10} {:>9}  {}{note}", text("name"), text("version"), state, text("source")));
        }
        report::line(&format!("The cache is {}.", store.cache().folder().display()));
        Ok(Exit::Success)
    }
}

impl Fetch {
    /// The names of the command line; without any, what this folder's playbooks and releases need, or else all that can be had.
    async fn wanted(&self) -> Result<(Store, Vec<String>), Exit> {
        let here = Path::new(".");
        if self.names.is_empty() && (here.join("playbooks").is_dir() || here.join("provision.yaml").is_file()) {
            let checked = super::begin::check(&super::shared::Selection::default(), &[]).await?;
            let needed: Vec<String> = checked.needed().iter().map(ToString::to_string).collect();
            if !needed.is_empty() {
                return Ok((checked.store, needed));
            }
        }
        let store = store(here, mirror(here)?)?;
        let names = if self.names.is_empty() { self.to_be_had(&store).await? } else { self.names.clone() };
        Ok((store, names))
    }

    /// All names but those that no source can give now, which are told: nobody here said that he needs them.
    async fn to_be_had(&self, store: &Store) -> Result<Vec<String>, Exit> {
        let mut names: Vec<String> = store.manifest().names().collect();
        for lack in store.lacking(&names).await.map_err(|error| told(&error))?.into_iter().filter(|lack| !lack.able) {
            if self.json {
                report::data(
                    &json!({"event": "skipped", "name": lack.name, "version": lack.version, "source": lack.source, "note": lack.note})
                        .to_string(),
                );
            } else {
                let note = lack.note.map(|note| format!(" ({note})")).unwrap_or_default();
                report::line(&format!("  {} {}: skipped, {}{note}", lack.name, lack.version, lack.source));
            }
            names.retain(|name| *name != lack.name);
        }
        Ok(names)
    }

    async fn run(self) -> Result<Exit, Exit> {
        let (store, names) = self.wanted().await?;
        let begun = Instant::now();
        let artifacts = ensure(&store, &names, self.json).await?;
        if self.json {
            report::data(&json!({"event": "done", "artifacts": artifacts.len(), "milliseconds": begun.elapsed().as_millis()}).to_string());
        } else {
            let (count, seconds) = (artifacts.len(), begun.elapsed().as_secs_f64());
            report::line(&format!("{count} {} in the cache ({seconds:.1} s).", report::plan::many(count, "artifact")));
        }
        Ok(Exit::Success)
    }
}

impl Clean {
    fn run(self) -> Result<Exit, Exit> {
        let cache = artifact::Cache::of_user().map_err(|error| told(&error))?;
        // Also what no manifest names any more can be cleaned: a name is one of the cache's or one of the manifest's.
        let there: Vec<String> = cache.list().into_iter().map(|entry| entry.name).collect();
        let known: Vec<String> = there.iter().cloned().chain(Manifest::builtin().names()).collect();
        if let Some(name) = self.names.iter().find(|name| !known.contains(name)) {
            let hint = crate::source::did_you_mean(name, known.iter().map(String::as_str))
                .unwrap_or_else(|| "`provision cache list` shows all names".to_owned());
            report::error(&format!("there is no artifact `{name}` in the cache"), Some(&hint));
            return Err(Exit::Usage);
        }
        let (removed, bytes) = cache.clean(&self.names).map_err(|error| told(&error))?;
        let layouts = if self.names.is_empty() { super::built_in::clean()? } else { 0 };
        if self.json {
            report::data(&json!({"removed": removed, "bytes": bytes, "layouts": layouts}).to_string());
            return Ok(Exit::Success);
        }
        if removed.is_empty() && layouts == 0 {
            report::line("Nothing of that was in the cache.");
        }
        if !removed.is_empty() {
            report::line(&format!("Removed {} ({}).", removed.into_iter().collect::<Vec<_>>().join(", "), megabytes(bytes)));
        }
        if layouts > 0 {
            report::line(&format!("Removed the built-in environment of {layouts} other {}.", report::plan::many(layouts, "version")));
        }
        Ok(Exit::Success)
    }
}

/// Progress as lines, each artifact's at most every few seconds.
pub struct Teller {
    json: bool,
    last: BTreeMap<String, Instant>,
}

impl Teller {
    pub fn new(json: bool) -> Self {
        Self { json, last: BTreeMap::new() }
    }

    pub fn tell(&mut self, step: Progress) {
        let name = match &step {
            Progress::Bytes { name, .. } | Progress::Modules { name, .. } | Progress::Packages { name, .. } => Some(name.clone()),
            _ => None,
        };
        if let Some(name) = name {
            let recent = self.last.get(&name).is_some_and(|last| last.elapsed() < INTERVAL);
            if recent {
                return;
            }
            self.last.insert(name, Instant::now());
        }
        let passing = matches!(
            step,
            Progress::Started { .. }
                | Progress::Bytes { .. }
                | Progress::Modules { .. }
                | Progress::Packages { .. }
                | Progress::Waiting { .. }
        );
        if self.json {
            report::data(&line(&step).to_string());
        } else if passing && report::live::is_shown() {
            report::live::show("artifacts", sentence(&step).trim());
        } else {
            report::line(&sentence(&step));
        }
    }
}

/// A step as a person reads it.
fn sentence(step: &Progress) -> String {
    match step {
        Progress::Started { name, version, from } => format!("  {name} {version}: {from}"),
        Progress::Bytes { name, done, total: Some(total) } => format!("  {name}: {} of {}", megabytes(*done), megabytes(*total)),
        Progress::Bytes { name, done, total: None } => format!("  {name}: {}", megabytes(*done)),
        Progress::Modules { name, done } => format!("  {name}: {done} modules fetched"),
        Progress::Packages { name, done, total } => format!("  {name}: {done} of at most {total} packages compiled"),
        Progress::Waiting { name, what } => format!("  {name}: waiting, {what}"),
        Progress::Failed(tried) => format!("  {}: not from {tried}", tried.artifact),
        Progress::Finished { name, version, source, bytes, milliseconds } => {
            format!("+ {name} {version}: {source}, {} in {:.1} s", megabytes(*bytes), *milliseconds as f64 / 1e3)
        }
    }
}

fn line(step: &Progress) -> serde_json::Value {
    match step {
        Progress::Started { name, version, from } => json!({"event": "started", "name": name, "version": version, "from": from}),
        Progress::Bytes { name, done, total } => json!({"event": "bytes", "name": name, "done": done, "total": total}),
        Progress::Modules { name, done } => json!({"event": "modules", "name": name, "done": done}),
        Progress::Packages { name, done, total } => json!({"event": "packages", "name": name, "done": done, "total": total}),
        Progress::Waiting { name, what } => json!({"event": "waiting", "name": name, "what": what}),
        Progress::Failed(tried) => {
            json!({"event": "source-failed", "name": tried.artifact, "source": tried.source.word(), "place": tried.place, "cause": tried.cause})
        }
        Progress::Finished { name, version, source, bytes, milliseconds } => {
            report::entry::artifact_fetched(name, version, source, *bytes, *milliseconds)
        }
    }
}

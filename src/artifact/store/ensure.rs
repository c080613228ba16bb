//! Getting what is wanted: each artifact from the first of its sources that gives it, many at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::Shared;
use crate::artifact::cache::Entry;
use crate::artifact::error::{Error, ErrorKind, Result, Tried};
use crate::artifact::manifest::{Architecture, Definition, SourceKind};
use crate::artifact::progress::{Cancel, Progress, Teller};

impl Shared {
    pub(super) async fn ensure(self: &Arc<Self>, wanted: Vec<String>, teller: Teller, cancel: &Cancel) -> Result<BTreeMap<String, Entry>> {
        let mut done = BTreeMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut images = Vec::new();
        for name in wanted {
            if let Some(image) = self.manifest.image(&name) {
                images.push((name, image));
            } else if let Some(entry) = self.present_file(self.definition(&name)).await? {
                done.insert(name, entry);
            } else {
                open.push(Open { definition: self.definition(&name).clone(), next: 0, tried: Vec::new() });
            }
        }
        // Each round asks, for every artifact, its sources up to the next that is a build; then those builds are done.
        while !open.is_empty() {
            let mut building = Vec::new();
            for outcome in self.ask_all(std::mem::take(&mut open), &teller, cancel).await? {
                match outcome {
                    Outcome::Given(entry) => _ = done.insert(entry.name.clone(), entry),
                    Outcome::Build(one) => building.push(one),
                }
            }
            let mut modules: BTreeMap<String, Vec<Open>> = BTreeMap::new();
            for one in building {
                let module = one.definition.module.as_ref().map(|module| module.name.clone()).unwrap_or_default();
                modules.entry(module).or_default().push(one);
            }
            for group in modules.into_values() {
                match self.build(&group, &teller, cancel).await {
                    Ok(entries) => done.extend(entries.into_iter().map(|entry| (entry.name.clone(), entry))),
                    Err(BuildError::Own(error)) => return Err(error),
                    Err(BuildError::Failed(cause)) => {
                        for one in group {
                            let place = self.place(&one.definition, SourceKind::Go);
                            open.push(one.failed(SourceKind::Go, &place, &cause, &teller));
                        }
                    }
                }
            }
        }
        // Compressing takes a core each.
        let cores = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)));
        let mut making = JoinSet::new();
        for (name, image) in images {
            let parts: BTreeMap<String, Entry> = image.parts().map(|part| (part.to_owned(), done[part].clone())).collect();
            let (shared, image, teller, cancel, cores) =
                (Arc::clone(self), image.clone(), teller.clone(), cancel.clone(), Arc::clone(&cores));
            making.spawn(async move {
                if let Some(cargo) = &image.cargo {
                    return Ok((name, shared.ensure_cargo(&image, cargo, &teller, &cancel).await?));
                }
                let _core = cores.acquire().await.expect("it is never closed");
                Ok((name, shared.ensure_image(&image, parts, &teller, &cancel).await?))
            });
        }
        while let Some(made) = making.join_next().await {
            let (name, entry) = made.unwrap_or_else(|error| Err(Error::other("make images", error)))?;
            done.insert(name, entry);
        }
        Ok(done)
    }

    pub(super) async fn ask_all(self: &Arc<Self>, open: Vec<Open>, teller: &Teller, cancel: &Cancel) -> Result<Vec<Outcome>> {
        let mut tasks = JoinSet::new();
        for one in open {
            let (shared, teller, cancel) = (Arc::clone(self), teller.clone(), cancel.clone());
            tasks.spawn(async move {
                let doing = format!("fetch `{}` {}", one.definition.name, one.definition.version);
                cancel.unless(&doing, shared.ask(one, &teller, &cancel)).await
            });
        }
        let mut outcomes = Vec::new();
        let mut failed: Vec<Error> = Vec::new();
        while let Some(result) = tasks.join_next().await {
            match result.unwrap_or_else(|error| Err(Error::other("fetch artifacts", error))) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => failed.push(error),
            }
        }
        match failed.len() {
            0 => Ok(outcomes),
            1 => Err(failed.remove(0)),
            _ => Err(joined(failed)),
        }
    }

    /// Asks an artifact's sources in order, up to one that gives it or that is a build.
    pub(super) async fn ask(&self, mut one: Open, teller: &Teller, cancel: &Cancel) -> Result<Outcome> {
        while let Some(source) = one.definition.sources.get(one.next).copied() {
            let place = self.place(&one.definition, source);
            let result = match (source, &place) {
                (SourceKind::Cache, _) => Err("it is not there".to_owned()),
                (_, Err(cause)) => Err(cause.clone()),
                (SourceKind::Go, Ok(_)) => match self.toolchain().await {
                    Ok(_) => return Ok(Outcome::Build(one)),
                    Err(cause) => Err(cause.clone()),
                },
                (SourceKind::Mirror | SourceKind::Upstream, Ok(url)) => self.download(&one.definition, source, url, teller, cancel).await?,
                (SourceKind::Debian, Ok(packages)) => self.unpack(&one.definition, packages, teller, cancel).await?,
            };
            match result {
                Ok(entry) => return Ok(Outcome::Given(entry)),
                Err(cause) => one = one.failed(source, &place, &cause, teller),
            }
        }
        Err(one.error(self.architecture))
    }
}

/// An artifact that no source has given yet.
pub(super) struct Open {
    pub(super) definition: Definition,
    /// Index of the source that is asked next.
    pub(super) next: usize,
    pub(super) tried: Vec<Tried>,
}

pub(super) enum Outcome {
    Given(Entry),
    Build(Open),
}

pub(super) enum BuildError {
    /// The source did not give it; the next one may.
    Failed(String),
    /// Our own trouble, or cancelled: no other source is asked.
    Own(Error),
}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Open {
    pub(super) fn failed(mut self, source: SourceKind, place: &Result<String, String>, cause: &str, teller: &Teller) -> Self {
        let tried =
            Tried { artifact: self.definition.name.clone(), source, place: place.clone().unwrap_or_default(), cause: cause.to_owned() };
        // What a source never could have is no news.
        if place.is_ok() && source != SourceKind::Cache {
            let _ = teller.send(Progress::Failed(tried.clone()));
        }
        self.tried.push(tried);
        self.next += 1;
        self
    }

    pub(super) fn error(self, architecture: Architecture) -> Error {
        let Definition { name, version, .. } = &self.definition;
        let refused = self.tried.iter().any(|tried| tried.cause.starts_with("refused"));
        let no_go = self.tried.iter().any(|tried| tried.source == SourceKind::Go && tried.cause.contains("no `go`"));
        let hint = if refused {
            format!("somebody changed the file, or `sha256` of `{name}` in artifacts.yaml is not that of {version}")
        } else if no_go {
            "install Go, or set PROVISION_MIRROR to a mirror that this machine reaches".to_owned()
        } else {
            format!("see whether this machine reaches one of them, then run `provision cache fetch {name}`")
        };
        Error {
            tried: self.tried,
            ..Error::new(ErrorKind::NoSource, format!("fetch `{name}` {version} for {architecture}: no source gave it")).hint(hint)
        }
    }
}

/// Several errors as one: all sources that were tried, the first one's hint.
pub(super) fn joined(mut errors: Vec<Error>) -> Error {
    // A cancelled run has one thing to say.
    if let Some(place) = errors.iter().position(|error| error.kind == ErrorKind::Cancelled || error.kind == ErrorKind::Damaged) {
        return errors.swap_remove(place);
    }
    errors.sort_by(|a, b| a.doing.cmp(&b.doing));
    let mut rest = errors.into_iter();
    let first = rest.next().expect("there are several");
    let mut joined = Error { doing: first.to_string(), causes: Vec::new(), tried: Vec::new(), ..first };
    for error in rest {
        joined.doing.push('\n');
        joined.doing.push_str(&error.to_string());
    }
    joined
}

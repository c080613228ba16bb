//! Which of the named packages have to be installed, upgraded or removed.

use std::cmp::Ordering;

use super::version;
use crate::program::glob::glob;
use crate::system::{Error, Package, Result, System};

/// A package as a playbook names it: `nginx`, `nginx=1.22*`, `nginx>=1.22`, `nginx/bookworm-backports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub name: String,
    pub wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Any,
    /// This version, or those a shell pattern matches.
    Exactly(String),
    AtLeast(String),
    Release(String),
}

impl Spec {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.matches('=').count() > 1 {
            return Err(Error::failed(format!("invalid package spec: {text}")));
        }
        let (name, wanted) = if let Some((name, version)) = text.split_once(">=") {
            (name, Wanted::AtLeast(version.to_owned()))
        } else if let Some((name, version)) = text.split_once('=') {
            (name, Wanted::Exactly(version.to_owned()))
        } else if let Some((name, release)) = text.split_once('/') {
            (name, Wanted::Release(release.to_owned()))
        } else {
            (text, Wanted::Any)
        };
        if name.is_empty() {
            return Err(Error::failed("a package name is empty").hint("an empty variable in `name`? leave it out with `default(omit)`"));
        }
        Ok(Self { name: name.to_owned(), wanted })
    }

    fn is_pattern(&self) -> bool {
        self.name.contains(['*', '?', '[', ']', '!'])
    }

    fn text(&self) -> String {
        match &self.wanted {
            Wanted::Any => self.name.clone(),
            Wanted::Exactly(version) => format!("{}={version}", self.name),
            Wanted::AtLeast(version) => format!("{}>={version}", self.name),
            Wanted::Release(release) => format!("{}/{release}", self.name),
        }
    }
}

/// Patterns become the names that they match.
pub(super) fn expanded(texts: &[String], system: &dyn System) -> Result<Vec<Spec>> {
    let mut specs = Vec::new();
    let mut names: Option<Vec<String>> = None;
    for text in texts {
        let spec = Spec::parse(text)?;
        if !spec.is_pattern() {
            specs.push(spec);
            continue;
        }
        let names = match &mut names {
            Some(names) => names,
            none => none.insert(system.package_names()?),
        };
        let before = specs.len();
        let native = !spec.name.contains(':');
        let matching = names.iter().filter(|name| !(native && name.contains(':')) && glob(&spec.name, name));
        specs.extend(matching.map(|name| Spec { name: name.clone(), wanted: Wanted::Any }));
        if specs.len() == before {
            return Err(Error::failed(format!("No package(s) matching '{}' available", spec.name)));
        }
    }
    Ok(specs)
}

/// One package that `apt-get install` has to be called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub name: String,
    /// As it is given to apt-get.
    pub argument: String,
    /// What is there now.
    pub before: Option<Package>,
    /// What will be there, if the package lists say.
    pub after: Option<String>,
}

/// How to choose.
#[derive(Clone, Copy, Debug)]
pub(super) struct How<'run> {
    pub latest: bool,
    pub only_upgrade: bool,
    pub release: Option<&'run str>,
    /// A plan: candidates may be unknown, which is no error.
    pub planning: bool,
}

/// Those that are not yet as wanted.
pub(super) fn chosen(specs: &[Spec], how: How<'_>, system: &dyn System) -> Result<Vec<Chosen>> {
    let mut installed = Vec::new();
    for spec in specs {
        installed.push(system.package(&spec.name)?);
    }
    let asked: Vec<&str> = specs.iter().zip(&installed).filter(|(_, package)| package.is_none() || how.latest).map(|(spec, _)| spec.name.as_str()).collect();
    if !asked.is_empty() {
        system.expect_candidates(&asked, how.release)?;
    }
    let mut chosen = Vec::new();
    for (spec, package) in specs.iter().zip(installed) {
        if let Some(one) = one(spec, package, how, system)? {
            chosen.push(one);
        }
    }
    Ok(chosen)
}

fn one(spec: &Spec, installed: Option<Package>, how: How<'_>, system: &dyn System) -> Result<Option<Chosen>> {
    if installed.is_none() && how.only_upgrade {
        return Ok(None);
    }
    let none = || Err(Error::failed(format!("no available installation candidate for {}", spec.text())));
    let choose = |argument: String, after: Option<String>| Ok(Some(Chosen { name: spec.name.clone(), argument, before: installed.clone(), after }));
    let now = installed.as_ref().map(|package| package.version.as_str());
    match &spec.wanted {
        Wanted::Exactly(pattern) => {
            let fits = now.is_some_and(|now| glob(pattern, now));
            let best = system.package_versions(&spec.name)?.into_iter().find(|version| glob(pattern, version));
            match best {
                None if fits => Ok(None),
                None => none(),
                Some(best) if now == Some(best.as_str()) => Ok(None),
                // An exact version is there already under a name the lists do not have any more.
                Some(_) if fits && !pattern.contains(['*', '?', '[']) => Ok(None),
                Some(best) => choose(format!("{}={best}", spec.name), Some(best)),
            }
        }
        Wanted::AtLeast(least) => {
            let enough = |version: &str| version::compare(version, least) != Ordering::Less;
            let candidate = candidate(spec, how, system)?;
            let newer = candidate.as_deref().is_some_and(|candidate| enough(candidate) && now != Some(candidate));
            match (now.is_some_and(enough), newer) {
                (true, false) => Ok(None),
                (true, true) if !how.latest => Ok(None),
                (_, true) => choose(format!("{}={}", spec.name, candidate.clone().unwrap_or_default()), candidate),
                (false, false) => none(),
            }
        }
        Wanted::Any | Wanted::Release(_) => {
            if now.is_some() && !how.latest {
                return Ok(None);
            }
            if now.is_none() && !system.package_providers(&spec.name).or_else(|error| unless_planning(error, how))?.is_empty() {
                return Ok(None);
            }
            match candidate(spec, how, system) {
                Ok(Some(candidate)) if now == Some(candidate.as_str()) => Ok(None),
                Ok(Some(candidate)) => choose(spec.text(), Some(candidate)),
                Ok(None) if now.is_some() => Ok(None),
                Ok(None) if system.package_is_virtual(&spec.name)? => choose(spec.text(), None),
                Ok(None) => Err(Error::failed(format!("No package matching '{}' is available", spec.name))
                    .hint("`update_cache: true` reads the package lists anew; is its repository there?")),
                // The lists are about to be read anew: what is missing is installed in any case.
                Err(error) if error.unknown_cause().is_some() && how.planning && now.is_none() => choose(spec.text(), None),
                Err(error) => Err(error),
            }
        }
    }
}

fn unless_planning(error: Error, how: How<'_>) -> Result<Vec<String>> {
    if error.unknown_cause().is_some() && how.planning { Ok(Vec::new()) } else { Err(error) }
}

fn candidate(spec: &Spec, how: How<'_>, system: &dyn System) -> Result<Option<String>> {
    let release = match &spec.wanted {
        Wanted::Release(release) => Some(release.as_str()),
        _ => how.release,
    };
    match release {
        Some(release) => system.package_candidate_of(&spec.name, release),
        None => system.package_candidate(&spec.name),
    }
}

/// Those that are there, or (for a purge) have left something.
pub(super) fn removed(specs: &[Spec], purge: bool, system: &dyn System) -> Result<Vec<Chosen>> {
    let mut removed = Vec::new();
    for spec in specs {
        let installed = system.package(&spec.name)?;
        let fits = installed.as_ref().is_some_and(|package| match &spec.wanted {
            Wanted::Any | Wanted::Release(_) => true,
            Wanted::Exactly(pattern) => glob(pattern, &package.version),
            Wanted::AtLeast(least) => version::compare(&package.version, least) != Ordering::Less,
        });
        if fits || (installed.is_none() && purge && system.package_residue(&spec.name)?) {
            removed.push(Chosen { name: spec.name.clone(), argument: spec.name.clone(), before: installed, after: None });
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_versions_and_releases() {
        let spec = |text: &str| Spec::parse(text).expect("well-formed");
        assert_eq!(spec("nginx").wanted, Wanted::Any);
        assert_eq!(spec("nginx=1.22*").wanted, Wanted::Exactly("1.22*".to_owned()));
        assert_eq!(spec("nginx>=1.22").wanted, Wanted::AtLeast("1.22".to_owned()));
        assert_eq!(spec("nginx/sid").wanted, Wanted::Release("sid".to_owned()));
        assert!(Spec::parse("a=b=c").is_err() && Spec::parse(" ").is_err());
    }
}

//! What is installed for a Python: the *.dist-info and *.egg-info of its folders, where pip looks too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::requirement::{Holds, Requirement, canonical};
use crate::system::{Result, System};

/// Where a package is developed; its version is told there.
const EGG_LINK: &str = ".egg-link";

/// The folders of one Python.
pub struct Site {
    folders: Vec<PathBuf>,
    /// `3.11`.
    version: Option<String>,
    /// By canonical name: where, and the version.
    known: BTreeMap<String, (PathBuf, String)>,
    /// Of a virtual environment that sees nothing else: what is not here is nowhere.
    pub is_closed: bool,
}

/// Whether what is asked for is there, with all that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum There {
    Yes,
    No,
    NotSure,
}

impl Site {
    /// `python` is a path in a `bin` folder.
    pub fn of(python: &Path, system: &dyn System) -> Result<Self> {
        let mut site = Self { folders: Vec::new(), version: None, known: BTreeMap::new(), is_closed: false };
        let Some(prefix) = python.parent().and_then(Path::parent) else { return Ok(site) };
        match system.read(&prefix.join("pyvenv.cfg"))? {
            Some(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let value = |name: &str| {
                    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
                    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
                };
                for name in system.list(&prefix.join("lib"))?.unwrap_or_default().iter().filter(|name| name.starts_with("python3.")) {
                    site.version = name.strip_prefix("python").map(str::to_owned);
                    site.folders.push(prefix.join("lib").join(name).join("site-packages"));
                }
                site.is_closed = !value("include-system-site-packages").is_some_and(|value| value.eq_ignore_ascii_case("true"));
                if let Some(home) = value("home").filter(|_| !site.is_closed) {
                    site.add_system(&Path::new(&home).join("python3"), system)?;
                }
            }
            None => site.add_system(python, system)?,
        }
        site.look(system)?;
        Ok(site)
    }

    /// The folders of a Python of its own: pip's, the user's, the distribution's.
    fn add_system(&mut self, python: &Path, system: &dyn System) -> Result<()> {
        let real = system.canonical(python)?;
        let name = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(version) = name.strip_prefix("python").filter(|version| version.contains('.')) else { return Ok(()) };
        let Some(prefix) = real.parent().and_then(Path::parent) else { return Ok(()) };
        let lib = format!("lib/python{version}");
        let home = system.whoami()?.home;
        self.folders.push(home.join(".local").join(&lib).join("site-packages"));
        // Debian's own keeps apart what pip installs and what apt does.
        self.folders.push(Path::new("/usr/local").join(&lib).join("dist-packages"));
        self.folders.push(prefix.join("lib/python3/dist-packages"));
        self.folders.extend(["lib", "lib64"].map(|lib| prefix.join(format!("{lib}/python{version}/site-packages"))));
        self.folders.extend(["lib", "lib64"].map(|lib| Path::new("/usr/local").join(format!("{lib}/python{version}/site-packages"))));
        self.version = Some(version.to_owned());
        Ok(())
    }

    fn look(&mut self, system: &dyn System) -> Result<()> {
        for folder in &self.folders {
            for name in system.list(folder)?.unwrap_or_default() {
                if let Some(dist) = name.strip_suffix(EGG_LINK) {
                    self.known.entry(canonical(dist)).or_insert_with(|| (folder.join(&name), String::new()));
                    continue;
                }
                let stem = name.strip_suffix(".dist-info").or_else(|| name.strip_suffix(".egg-info"));
                let Some((dist, version)) = stem.and_then(|stem| stem.split_once('-')) else { continue };
                // `six-1.16.0-py3.11.egg-info`
                let version = version.split("-py").next().unwrap_or(version).to_owned();
                self.known.entry(canonical(dist)).or_insert_with(|| (folder.join(&name), version));
            }
        }
        Ok(())
    }

    pub fn version(&self, name: &str) -> Option<&str> {
        self.known.get(&canonical(name)).map(|(_, version)| version.as_str())
    }

    /// Whether pip would find nothing to do for it.
    pub fn has(&self, wanted: &Requirement, system: &dyn System) -> Result<There> {
        match wanted.applies(&self.variables(), &[]) {
            Holds::No => Ok(There::Yes),
            Holds::Yes => self.has_all(wanted, &mut BTreeSet::new(), system),
            Holds::NotSure => Ok(self.has_all(wanted, &mut BTreeSet::new(), system)?.or_not_sure()),
        }
    }

    fn has_all(&self, wanted: &Requirement, seen: &mut BTreeSet<String>, system: &dyn System) -> Result<There> {
        let Some((folder, version)) = self.known.get(&canonical(&wanted.name)) else {
            return Ok(if self.is_closed { There::No } else { There::NotSure });
        };
        if folder.to_string_lossy().ends_with(EGG_LINK) {
            return Ok(There::NotSure);
        }
        if !wanted.is_met_by(version) {
            return Ok(There::No);
        }
        if !seen.insert(format!("{} {}", canonical(&wanted.name), wanted.extras.join(","))) {
            return Ok(There::Yes);
        }
        let needs = match system.read(&folder.join("METADATA")) {
            Ok(Some(bytes)) => bytes,
            // A distribution's package of before: what it needs is the distribution's to know.
            Ok(None) if folder.extension().is_some_and(|extension| extension == "egg-info") => return Ok(There::Yes),
            Ok(None) => return Ok(There::NotSure),
            Err(error) => return Err(error),
        };
        let needs = String::from_utf8_lossy(&needs).into_owned();
        let mut answer = There::Yes;
        for line in needs.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.strip_prefix("Requires-Dist:")) {
            let Some(need) = Requirement::parse(line) else { return Ok(There::NotSure) };
            let there = match need.applies(&self.variables(), &wanted.extras) {
                Holds::No => continue,
                Holds::Yes => self.has_all(&need, seen, system)?,
                Holds::NotSure => self.has_all(&need, seen, system)?.or_not_sure(),
            };
            match there {
                There::Yes => {}
                There::No => return Ok(There::No),
                There::NotSure => answer = There::NotSure,
            }
        }
        Ok(answer)
    }

    fn variables(&self) -> BTreeMap<&'static str, String> {
        let mut variables = BTreeMap::from([("sys_platform", "linux"), ("os_name", "posix"), ("platform_system", "Linux")].map(|(name, value)| (name, value.to_owned())));
        if let Some(version) = &self.version {
            variables.insert("python_version", version.clone());
        }
        variables
    }
}

impl There {
    /// What is there is there, whether it is wanted or not.
    fn or_not_sure(self) -> Self {
        if self == Self::No { Self::NotSure } else { self }
    }
}

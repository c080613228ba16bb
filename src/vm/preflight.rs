//! What a workstation needs installed for container nodes, and what of it we had installed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::process::{has_program, run};
use super::state::{self, Owner};

/// A Debian package that is missing, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    /// The program we looked for.
    pub program: String,
    pub purpose: String,
}

/// Package, a program of it, what we do with it.
const NEEDED: [(&str, &str, &str); 5] = [
    ("systemd-container", "systemd-nspawn", "runs the nodes"),
    ("mmdebstrap", "mmdebstrap", "builds the nodes' base root file system"),
    ("iproute2", "ip", "makes the nodes' network"),
    ("nftables", "nft", "lets nodes reach what the workstation reaches"),
    ("procps", "kill", "ends nodes in order"),
];

/// The packages that this machine lacks.
pub fn missing() -> Vec<Package> {
    NEEDED
        .iter()
        .filter(|(_, program, _)| !has_program(program))
        .map(|(name, program, purpose)| Package {
            name: (*name).to_owned(),
            program: (*program).to_owned(),
            purpose: (*purpose).to_owned(),
        })
        .collect()
}

/// Names of all packages that dpkg has installed; empty where there is no dpkg.
pub fn installed() -> BTreeSet<String> {
    let text = run("dpkg-query", &["--show", "--showformat=${db:Status-Status} ${binary:Package}\\n"]).unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect()
}

fn path(environment: &Environment) -> PathBuf {
    environment.state_folder().join("packages.json")
}

/// The packages that were installed for this environment; `destroy` leaves them and names them.
pub fn noted(environment: &Environment) -> BTreeSet<String> {
    state::read(&path(environment)).unwrap_or_default()
}

/// Adds to them.
pub fn note(environment: &Environment, packages: impl IntoIterator<Item = String>) -> Result<()> {
    let mut all = noted(environment);
    all.extend(packages);
    let owner = Owner::of(&environment.folder)?;
    owner.make_folder(&environment.state_folder())?;
    state::write(&path(environment), &all).context("note the packages of this workstation")?;
    owner.give(&path(environment))
}

/// Forgets them: they were named. Folders that held nothing else go too.
pub fn forget(environment: &Environment) {
    if std::fs::remove_file(path(environment)).is_ok() {
        environment.leave_folder();
    }
}

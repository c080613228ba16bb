//! What a workstation needs installed for container nodes.

use serde::{Deserialize, Serialize};

use super::error::{Error, Kind};
use super::process::{has_program, run};

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

/// Install packages with apt-get. Needs root; a minute at most.
pub fn install(packages: &[String]) -> Result<(), Error> {
    let failed = |error: anyhow::Error| {
        Error::new(Kind::Machine, format!("installing {}", packages.join(", ")))
            .because(error)
            .hint(format!("run `sudo apt-get install {}` and see what it says", packages.join(" ")))
    };
    let environment = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120"];
    let with = |rest: &[&str]| {
        let words: Vec<&str> = environment.iter().chain(rest).copied().collect();
        run("env", &words).map(drop)
    };
    with(&["update"]).map_err(failed)?;
    let mut words = vec!["install", "--no-install-recommends"];
    words.extend(packages.iter().map(String::as_str));
    with(&words).map_err(failed)
}

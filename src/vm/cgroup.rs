//! A node's own group in every cgroup hierarchy of this machine: version 1, version 2 and hybrid.
//!
//! In version 1 each node gets `provision-<environment>-<node>` in every hierarchy, and sees that group as the root of
//! its own tree (a cgroup namespace), so that nodes never meet in one tree. In version 2 systemd-nspawn does the same
//! below the group that it is started in.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::process::wait_until;

/// What of a machine's size this workstation enforces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    pub cpu: Limit,
    pub memory: Limit,
}

/// Whether a limit holds, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    Enforced,
    NotEnforced(String),
}

impl Limits {
    /// What is not enforced and why: `memory is not limited: …`.
    pub fn notes(&self) -> Vec<String> {
        let note = |what: &str, limit: &Limit| match limit {
            Limit::Enforced => None,
            Limit::NotEnforced(why) => Some(format!("{what} not limited: {why}")),
        };
        [note("cpus are", &self.cpu), note("memory is", &self.memory)].into_iter().flatten().collect()
    }

    /// Nothing is limited, for one reason.
    pub fn none(why: &str) -> Self {
        Self { cpu: Limit::NotEnforced(why.to_owned()), memory: Limit::NotEnforced(why.to_owned()) }
    }
}

/// What this machine will be able to enforce, as far as can be told before a node is made.
pub fn predicted() -> Limits {
    enforceable(&hierarchies().unwrap_or_default())
}

fn enforceable(hierarchies: &[Hierarchy]) -> Limits {
    let has = |controller: &str| {
        hierarchies.iter().any(|hierarchy| match &hierarchy.kind {
            HierarchyKind::One { options } => options.split(',').any(|option| option == controller),
            HierarchyKind::Two => fs::read_to_string(hierarchy.mounted_at.join("cgroup.controllers"))
                .is_ok_and(|text| text.split_whitespace().any(|word| word == controller)),
        })
    };
    let limit = |controller: &str| {
        if has(controller) { Limit::Enforced } else { Limit::NotEnforced(format!("this machine has no cgroup controller `{controller}`")) }
    };
    Limits { cpu: limit("cpu"), memory: limit("memory") }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    pub mounted_at: PathBuf,
    pub kind: HierarchyKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HierarchyKind {
    /// Version 1; the options that name it, as mount(8) wants them: `cpu,cpuacct`, `none,name=systemd`.
    One { options: String },
    /// Version 2, alone or beside version 1.
    Two,
}

/// Options of /proc/mounts that are not controllers.
const NOT_CONTROLLERS: [&str; 12] = [
    "rw",
    "ro",
    "relatime",
    "noatime",
    "nosuid",
    "nodev",
    "noexec",
    "xattr",
    "clone_children",
    "nsdelegate",
    "memory_recursiveprot",
    "cpuset_v2_mode",
];

/// The hierarchies mounted below /sys/fs/cgroup.
pub fn hierarchies() -> Result<Vec<Hierarchy>> {
    Ok(parse_mounts(&fs::read_to_string("/proc/self/mounts").context("reading /proc/self/mounts")?))
}

fn parse_mounts(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, at, kind, options, ..] = fields[..] else {
            continue;
        };
        if !at.starts_with("/sys/fs/cgroup") {
            continue;
        }
        let kind = match kind {
            "cgroup2" => HierarchyKind::Two,
            "cgroup" => {
                let mut named: Vec<String> = Vec::new();
                for option in options.split(',').filter(|o| !NOT_CONTROLLERS.contains(o) && !o.starts_with("release_agent=")) {
                    if option.starts_with("name=") {
                        named.push("none".to_owned());
                    }
                    named.push(option.to_owned());
                }
                HierarchyKind::One { options: named.join(",") }
            }
            _ => continue,
        };
        let hierarchy = Hierarchy { mounted_at: at.into(), kind };
        if !found.iter().any(|other| other.kind == hierarchy.kind) {
            found.push(hierarchy);
        }
    }
    found
}

/// Whether version 2 is all there is.
pub fn is_unified(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().all(|hierarchy| hierarchy.kind == HierarchyKind::Two)
}

/// A node's group in every hierarchy.
pub struct Group {
    folders: Vec<(Hierarchy, PathBuf)>,
}

impl Group {
    pub fn named(name: &str) -> Result<Self> {
        let folders = hierarchies()?
            .into_iter()
            .map(|h| {
                let at = h.mounted_at.join(name);
                (h, at)
            })
            .collect();
        Ok(Self { folders })
    }

    /// Make the group everywhere and limit it; tells what could be limited.
    pub fn create(&self, cpus: u32, memory: u64) -> Result<Limits> {
        let mut limits = Limits::none("this machine mounts no such cgroup controller");
        for (hierarchy, folder) in &self.folders {
            fs::create_dir_all(folder).with_context(|| format!("making cgroup {}", folder.display()))?;
            match &hierarchy.kind {
                HierarchyKind::One { options } => {
                    let has = |controller: &str| options.split(',').any(|option| option == controller);
                    if has("cpuset") {
                        inherit_cpuset(&hierarchy.mounted_at, folder)?;
                    }
                    if has("cpu") {
                        limits.cpu = write_all(
                            folder,
                            &[("cpu.cfs_period_us", PERIOD.to_string()), ("cpu.cfs_quota_us", (PERIOD * u64::from(cpus)).to_string())],
                        );
                    }
                    if has("memory") {
                        limits.memory = write_all(folder, &[("memory.limit_in_bytes", memory.to_string())]);
                    }
                }
                HierarchyKind::Two => {
                    // Absent controllers show in the writes below; a group that exists has what its parent gives.
                    for controller in ["cpu", "memory", "pids", "cpuset", "io"] {
                        _ = fs::write(hierarchy.mounted_at.join("cgroup.subtree_control"), format!("+{controller}"));
                    }
                    if folder.join("cpu.max").exists() {
                        limits.cpu = write_all(folder, &[("cpu.max", format!("{} {PERIOD}", PERIOD * u64::from(cpus)))]);
                    }
                    if folder.join("memory.max").exists() {
                        limits.memory = write_all(folder, &[("memory.max", memory.to_string())]);
                    }
                }
            }
        }
        Ok(limits)
    }

    /// Move the calling process into the group, everywhere.
    pub fn join(&self) -> Result<()> {
        for (_, folder) in &self.folders {
            let file = folder.join("cgroup.procs");
            fs::write(&file, "0").with_context(|| format!("joining cgroup {}", folder.display()))?;
        }
        Ok(())
    }

    /// Every process in the group or below it.
    pub fn processes(&self) -> Vec<i32> {
        let mut found: Vec<i32> = self
            .folders
            .iter()
            .flat_map(|(_, folder)| below(folder))
            .flat_map(|folder| {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>()
            })
            .filter(|pid| *pid > 0)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Let a frozen group go on: a frozen process in version 1 does not even die.
    pub fn thaw(&self) {
        for (_, folder) in &self.folders {
            for folder in below(folder) {
                if folder.join("freezer.state").exists() {
                    _ = fs::write(folder.join("freezer.state"), "THAWED");
                }
                if folder.join("cgroup.freeze").exists() {
                    _ = fs::write(folder.join("cgroup.freeze"), "0");
                }
            }
        }
    }

    /// Remove the group everywhere, deepest first; no process may be in it any more.
    pub fn remove(&self) -> Result<()> {
        for (_, folder) in &self.folders {
            // The kernel lets go of the last processes a moment after they are gone from sight.
            let gone = wait_until(Duration::from_secs(3), Duration::from_millis(10), || {
                for folder in below(folder) {
                    _ = fs::remove_dir(folder);
                }
                !folder.exists()
            });
            anyhow::ensure!(gone, "removing cgroup {}: still in use", folder.display());
        }
        Ok(())
    }

    pub fn exists(&self) -> bool {
        self.folders.iter().any(|(_, folder)| folder.exists())
    }

    pub fn hierarchies(&self) -> impl Iterator<Item = &Hierarchy> {
        self.folders.iter().map(|(hierarchy, _)| hierarchy)
    }
}

/// The usual period of the CPU controller, in microseconds (Documentation/scheduler/sched-bwc.rst).
const PERIOD: u64 = 100_000;

fn write_all(folder: &Path, values: &[(&str, String)]) -> Limit {
    for (file, value) in values {
        if let Err(error) = fs::write(folder.join(file), value) {
            return Limit::NotEnforced(format!("writing {value} to {}: {error}", folder.join(file).display()));
        }
    }
    Limit::Enforced
}

/// A new version 1 cpuset group is empty and takes no process; its children are to copy it.
fn inherit_cpuset(root: &Path, folder: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read_to_string(root.join(file)).with_context(|| format!("reading {}", root.join(file).display()))?;
        fs::write(folder.join(file), value.trim()).with_context(|| format!("writing {}", folder.join(file).display()))?;
    }
    fs::write(folder.join("cgroup.clone_children"), "1").with_context(|| format!("writing {}", folder.display()))
}

/// A folder and all below it, deepest first.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(below(&entry.path()));
        }
    }
    if folder.exists() {
        found.push(folder.to_owned());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_does_not_hold_is_told_with_its_reason() {
        let limits = Limits { cpu: Limit::Enforced, memory: Limit::NotEnforced("no controller".to_owned()) };
        assert_eq!(limits.notes(), ["memory is not limited: no controller"]);
        assert_eq!(Limits::none("so").notes().len(), 2);
    }

    #[test]
    fn hierarchies_are_read_from_mounts() {
        let hybrid = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,relatime,cpu,cpuacct 0 0\n\
                      cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nsdelegate 0 0\n\
                      tmpfs /sys/fs/cgroup tmpfs rw 0 0\n";
        let found = parse_mounts(hybrid);
        let options: Vec<String> = found
            .iter()
            .map(|h| match &h.kind {
                HierarchyKind::One { options } => options.clone(),
                HierarchyKind::Two => "2".into(),
            })
            .collect();
        assert_eq!(options, ["cpu,cpuacct", "none,name=systemd", "2"]);
        assert!(!is_unified(&found));
        assert!(is_unified(&parse_mounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")));
        // Of what hybrid machines have, version 1's alone is told by its mounts.
        let none = |controller: &str| format!("not limited: this machine has no cgroup controller `{controller}`");
        assert_eq!(enforceable(&found).notes(), [format!("memory is {}", none("memory"))]);
        assert_eq!(enforceable(&[]).notes(), [format!("cpus are {}", none("cpu")), format!("memory is {}", none("memory"))]);
        let both = parse_mounts("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n");
        assert!(enforceable(&both).notes().is_empty());
    }
}

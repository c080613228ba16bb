//! What this workstation has for nodes, and what of the machines file is more than that.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::environment::DATA_FOLDER;
use super::machines::{Machine, Memory};

/// Bytes that a node of the bundled environment writes to this machine's disk: 0.6 to 1.2 GiB were seen, most of it images.
const NODE: u64 = 1 << 30;
/// Below so many free bytes a node's kubelet evicts its pods: `evictionHard` of roles/kubernetes.
const KEPT: u64 = 1 << 30;

/// What nodes share. Each part is `None` where it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    pub cpus: Option<u32>,
    /// Bytes.
    pub memory: Option<u64>,
    /// Bytes free on the disk that nodes lie on.
    pub disk: Option<u64>,
}

impl Capacity {
    /// Of this machine, now.
    pub fn read() -> Self {
        let cpus = std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok());
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self { cpus, memory: total(&text), disk: free(Path::new(DATA_FOLDER)) }
    }

    /// What the file wants and this machine has not, in words; `made` machines are yet to get a disk.
    pub fn notes<'a>(&self, machines: impl Iterator<Item = &'a Machine> + Clone, made: u64) -> Vec<String> {
        let names = |more: &dyn Fn(&Machine) -> bool| {
            let names: Vec<&str> = machines.clone().filter(|machine| more(machine)).map(|machine| machine.name.as_str()).collect();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let mut notes = Vec::new();
        if let Some(has) = self.cpus
            && let Some(names) = names(&|machine| machine.cpus > has)
        {
            notes.push(format!("this workstation has {has} cpus: pods of {names} see no more than these"));
        }
        if let Some(has) = self.memory {
            let all: u64 = machines.clone().map(|machine| machine.memory.0).sum();
            if let Some(names) = names(&|machine| machine.memory.0 > has) {
                notes.push(format!("this workstation has {} of memory: pods of {names} see no more than that", Memory(has)));
            } else if all > has {
                let (all, has) = (Memory(all), Memory(has));
                notes.push(format!(
                    "the machines' memory is {all} together, this workstation's {has}: what they use beyond it gets processes killed"
                ));
            }
        }
        if let Some(free) = self.disk
            && made * NODE + KEPT > free
            && made > 0
        {
            let (free, wanted) = (Memory(free), Memory(made * NODE + KEPT));
            notes.push(format!(
                "{free} are free below {DATA_FOLDER}: nodes of a cluster want some {wanted}; `provision cache clean` frees some"
            ));
        }
        notes
    }
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What is free on the file system of a folder that may not be there yet.
fn free(folder: &Path) -> Option<u64> {
    let stat = folder.ancestors().find_map(|folder| statvfs(folder).ok())?;
    Some(stat.blocks_available() * stat.fragment_size())
}

#[cfg(test)]
mod tests {
    use super::super::machines::{Declared, DeclaredMachine, Defaults, Machines};
    use super::*;

    const GIB: u64 = 1 << 30;

    fn notes(cpus: u32, memory: u64, disk: u64, made: u64) -> Vec<String> {
        let machine = |name: &str, last: u8, gib: u64| DeclaredMachine {
            name: name.try_into().unwrap(),
            count: None,
            address: Some([10, 1, 1, last].into()),
            own: Defaults { cpus: Some(2), memory: Some(Memory(gib * GIB)), ..Defaults::default() },
        };
        let networks = vec!["10.1.1.0/24".parse().unwrap()];
        let declared = Declared { networks, defaults: Defaults::default(), machines: vec![machine("a", 2, 2), machine("b", 3, 4)] };
        let machines = Machines::check(&declared).unwrap();
        Capacity { cpus: Some(cpus), memory: Some(memory * GIB), disk: Some(disk * GIB) }.notes(machines.iter(), made)
    }

    #[test]
    fn what_is_there_is_not_talked_about() {
        assert_eq!(notes(2, 6, 3, 2), Vec::<String>::new());
        assert_eq!(notes(2, 6, 0, 0), Vec::<String>::new());
    }

    #[test]
    fn what_is_more_than_this_machine_has_is_said() {
        assert_eq!(notes(1, 6, 9, 2), ["this workstation has 1 cpus: pods of a, b see no more than these"]);
        assert_eq!(notes(2, 3, 9, 2), ["this workstation has 3 GiB of memory: pods of b see no more than that"]);
        assert_eq!(
            notes(2, 5, 9, 2),
            ["the machines' memory is 6 GiB together, this workstation's 5 GiB: what they use beyond it gets processes killed"]
        );
        assert_eq!(
            notes(2, 6, 2, 2),
            ["2 GiB are free below /var/lib/provision: nodes of a cluster want some 3 GiB; `provision cache clean` frees some"]
        );
    }

    #[test]
    fn this_machine_is_read() {
        assert_eq!(total("MemTotal:       24576000 kB\nMemFree: 1 kB\n"), Some(24_576_000 * 1024));
        let read = Capacity::read();
        assert!(read.cpus > Some(0) && read.memory > Some(GIB / 4) && read.disk.is_some(), "{read:?}");
    }
}

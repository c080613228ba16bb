//! Processors, memory, the board's names, uptime; devices, mounts and volumes from beside this file.

use super::{devices, exists, mounts, output, text};
use crate::map;
use crate::program::{Key, Map, Value};
use crate::system::FactRequest;

pub(super) fn hardware(request: &FactRequest) -> Map {
    let mut facts = Map::new();
    if let Some(content) = text("/proc/cpuinfo") {
        facts.extend(processors(&content, std::env::consts::ARCH, paravirtual_xen(&content)));
    }
    facts.extend(memory(&text("/proc/meminfo").unwrap_or_default()));
    facts.extend(board());
    facts.extend(devices::devices());
    if let Some(seconds) = text("/proc/uptime").and_then(|line| line.split(' ').next()?.parse::<f64>().ok()) {
        facts.insert("uptime_seconds".into(), (seconds as i64).into());
    }
    facts.extend(volumes());
    facts.extend(mounts::mounts(request.timeout));
    facts
}

/// Xen without hardware help shows each virtual processor as one core.
fn paravirtual_xen(content: &str) -> bool {
    let xen = exists("/proc/xen") || text("/sys/hypervisor/type").is_some_and(|kind| kind.lines().next() == Some("xen"));
    xen && content.lines().any(|line| line.starts_with("flags") && !line.contains("vme"))
}

/// Sockets, cores and threads as Ansible counts them.
fn processors(content: &str, architecture: &str, paravirtual: bool) -> Map {
    let (mut shown, mut flags) = (Vec::new(), None);
    let (mut vendors, mut models, mut numbered, mut active) = (0, 0, 0, None);
    let (mut socket, mut core) = (String::new(), String::new());
    let mut sockets: indexmap::IndexMap<String, i64> = indexmap::IndexMap::new();
    let mut cores: indexmap::IndexMap<String, i64> = indexmap::IndexMap::new();
    for line in content.lines() {
        let (key, value) = line.split_once(':').map_or((line.trim(), ""), |(key, value)| (key.trim(), value.trim()));
        match key {
            "flags" => flags = Some(value.split_whitespace().collect::<Vec<_>>()),
            "model name" | "Processor" | "vendor_id" | "cpu" | "Vendor" | "processor" => {
                shown.push(value);
                match key {
                    "vendor_id" => vendors += 1,
                    "model name" => models += 1,
                    "processor" => numbered += 1,
                    _ => {}
                }
            }
            "physical id" => {
                value.clone_into(&mut socket);
                sockets.entry(socket.clone()).or_insert(1);
            }
            "core id" => {
                value.clone_into(&mut core);
                if !sockets.contains_key(&core) {
                    cores.insert(core.clone(), 1);
                }
            }
            "cpu cores" => drop(sockets.insert(socket.clone(), value.parse().unwrap_or(1))),
            "siblings" => drop(cores.insert(core.clone(), value.parse().unwrap_or(1))),
            "ncpus active" => active = value.parse::<i64>().ok(),
            _ => {}
        }
    }
    let by_number = ["arm", "aarch", "powerpc"].iter().any(|prefix| architecture.starts_with(prefix));
    let count = if by_number {
        numbered
    } else if vendors > 0 && vendors == models {
        vendors
    } else {
        active.unwrap_or(shown.len() as i64)
    };
    let (packages, per_package, threads) = if paravirtual {
        (count, count, 1)
    } else {
        let packages = if sockets.is_empty() { count } else { sockets.len() as i64 };
        let per_package = sockets.values().next().copied().filter(|cores| *cores > 0).unwrap_or(1);
        let siblings = cores.values().next().copied().unwrap_or(1);
        (packages, per_package, rounded(siblings as f64 / per_package as f64))
    };
    let mut facts = map! {
        "processor" => shown,
        "processor_count" => packages,
        "processor_cores" => per_package,
        "processor_threads_per_core" => threads,
        "processor_vcpus" => if paravirtual { count } else { threads * packages * per_package },
        "processor_nproc" => usable().unwrap_or(numbered),
    };
    if let Some(flags) = flags {
        facts.insert("flags".into(), flags.into());
    }
    facts
}

/// Python's `round`: halves go to the even number.
fn rounded(number: f64) -> i64 {
    number.round_ties_even() as i64
}

/// Processors this process may run on.
fn usable() -> Option<i64> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok()?;
    Some((0..nix::sched::CpuSet::count()).filter(|number| set.is_set(*number).unwrap_or(false)).count() as i64)
}

fn memory(content: &str) -> Map {
    let amount = |name: &str| {
        let line = content.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim().split(' ').next()?.parse::<i64>().ok()? / 1024)
    };
    let mut facts = Map::new();
    for (name, field) in
        [("memtotal_mb", "MemTotal"), ("memfree_mb", "MemFree"), ("swaptotal_mb", "SwapTotal"), ("swapfree_mb", "SwapFree")]
    {
        if let Some(amount) = amount(field) {
            facts.insert(name.into(), amount.into());
        }
    }
    let both = |a: Option<i64>, b: Option<i64>, join: fn(i64, i64) -> i64| Some(join(a?, b?));
    let (total, free) = (amount("MemTotal"), amount("MemFree"));
    let (swap_total, swap_free) = (amount("SwapTotal"), amount("SwapFree"));
    let uncached = both(both(amount("Cached"), free, |a, b| a + b), amount("Buffers"), |a, b| a + b);
    facts.insert(
        "memory_mb".into(),
        map! {
            "real" => map! { "total" => total, "used" => both(total, free, |a, b| a - b), "free" => free },
            "nocache" => map! { "free" => uncached, "used" => both(total, uncached, |a, b| a - b) },
            "swap" => map! {
                "total" => swap_total,
                "free" => swap_free,
                "used" => both(swap_total, swap_free, |a, b| a - b),
                "cached" => amount("SwapCached"),
            },
        }
        .into(),
    );
    facts
}

/// What the firmware says of the board (DMI); `NA` where it says nothing or only root may read it.
fn board() -> Map {
    const FORM_FACTORS: &[&str] = &[
        "Unknown",
        "Other",
        "Unknown",
        "Desktop",
        "Low Profile Desktop",
        "Pizza Box",
        "Mini Tower",
        "Tower",
        "Portable",
        "Laptop",
        "Notebook",
        "Hand Held",
        "Docking Station",
        "All In One",
        "Sub Notebook",
        "Space-saving",
        "Lunch Box",
        "Main Server Chassis",
        "Expansion Chassis",
        "Sub Chassis",
        "Bus Expansion Chassis",
        "Peripheral Chassis",
        "RAID Chassis",
        "Rack Mount Chassis",
        "Sealed-case PC",
        "Multi-system",
        "CompactPCI",
        "AdvancedTCA",
        "Blade",
        "Blade Enclosure",
        "Tablet",
        "Convertible",
        "Detachable",
        "IoT Gateway",
        "Embedded PC",
        "Mini PC",
        "Stick PC",
    ];
    const FIELDS: &[(&str, &str)] = &[
        ("bios_date", "bios_date"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("board_asset_tag", "board_asset_tag"),
        ("board_name", "board_name"),
        ("board_serial", "board_serial"),
        ("board_vendor", "board_vendor"),
        ("board_version", "board_version"),
        ("chassis_asset_tag", "chassis_asset_tag"),
        ("chassis_serial", "chassis_serial"),
        ("chassis_vendor", "chassis_vendor"),
        ("chassis_version", "chassis_version"),
        ("form_factor", "chassis_type"),
        ("product_name", "product_name"),
        ("product_serial", "product_serial"),
        ("product_uuid", "product_uuid"),
        ("product_version", "product_version"),
        ("system_vendor", "sys_vendor"),
    ];
    let value = |(name, file): &(&str, &str)| {
        let said = text(format!("/sys/devices/virtual/dmi/id/{file}"));
        let said = match (said, *name) {
            (Some(number), "form_factor") => {
                let factor = number.parse::<usize>().ok().and_then(|number| FORM_FACTORS.get(number));
                factor.map_or(format!("unknown ({number})"), ToString::to_string)
            }
            (said, _) => said.unwrap_or_else(|| "NA".to_owned()),
        };
        (Key::from(*name), Value::text(said))
    };
    FIELDS.iter().map(value).collect()
}

/// Logical volumes, for root where the tools are; nothing is asked where no volume group was ever seen.
fn volumes() -> Map {
    if super::super::files::executable("vgs").is_none() {
        return map! { "lvm" => "N/A" };
    }
    if !nix::unistd::getuid().is_root() {
        return map! { "lvm" => "N/A" };
    }
    let seen = ["/run/lvm/pvs_online", "/etc/lvm/backup"].iter().any(|folder| !super::names(folder).is_empty());
    let lines = |program: &str| -> Vec<Vec<String>> {
        let said = if seen { output(program, &["--noheadings", "--nosuffix", "--units", "g", "--separator", ","]) } else { None };
        said.unwrap_or_default().lines().map(|line| line.trim().split(',').map(str::to_owned).collect()).collect()
    };
    let field = |line: &[String], index: usize| Value::from(line.get(index).cloned().unwrap_or_default());
    let groups: Map = lines("vgs")
        .iter()
        .filter(|line| line.len() >= 7)
        .map(|line| {
            let (size, free) = (field(line, line.len() - 2), field(line, line.len() - 1));
            (
                Key::from(line[0].as_str()),
                map! { "size_g" => size, "free_g" => free, "num_lvs" => field(line, 2), "num_pvs" => field(line, 1) }.into(),
            )
        })
        .collect();
    let logical: Map = lines("lvs")
        .iter()
        .map(|line| (Key::from(line[0].as_str()), map! { "size_g" => field(line, 3), "vg" => field(line, 1) }.into()))
        .collect();
    let physical: Map = lines("pvs")
        .iter()
        .map(|line| {
            (Key::from(line[0].as_str()), map! { "size_g" => field(line, 4), "free_g" => field(line, 5), "vg" => field(line, 1) }.into())
        })
        .collect();
    map! { "lvm" => map! { "lvs" => logical, "vgs" => groups, "pvs" => physical } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(facts: &Map) -> [Option<i64>; 4] {
        ["processor_count", "processor_cores", "processor_threads_per_core", "processor_vcpus"].map(|name| match facts.get(name) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        })
    }

    #[test]
    fn sockets_cores_and_threads_are_counted() {
        let one = |number: u32, socket: u32, core: u32| {
            format!(
                "processor\t: {number}\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon\nphysical id\t: {socket}\nsiblings\t: 4\ncore id\t: {core}\ncpu cores\t: 2\nflags\t: fpu vme\n\n"
            )
        };
        let content: String = (0..8).map(|number| one(number, number / 4, number % 2)).collect();
        assert_eq!(counts(&processors(&content, "x86_64", false)), [Some(2), Some(2), Some(2), Some(8)]);
    }

    #[test]
    fn an_arm_board_counts_its_processor_lines() {
        let content = "processor\t: 0\nBogoMIPS\t: 108.00\n\nprocessor\t: 1\nBogoMIPS\t: 108.00\n";
        assert_eq!(counts(&processors(content, "aarch64", false)), [Some(2), Some(1), Some(1), Some(2)]);
    }

    #[test]
    fn memory_is_in_mebibytes() {
        let facts = memory(
            "MemTotal: 2048 kB\nMemFree: 1024 kB\nBuffers: 0 kB\nCached: 1024 kB\nSwapCached: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
        );
        assert_eq!(facts.get("memtotal_mb"), Some(&Value::Int(2)));
        let used = facts.get("memory_mb").and_then(|memory| memory.get("nocache")).and_then(|real| real.get("used"));
        assert_eq!(used, Some(&Value::Int(0)));
    }
}

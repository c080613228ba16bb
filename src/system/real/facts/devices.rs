//! Block devices, their partitions and the links udev made to them.

use std::collections::BTreeMap;
use std::path::Path;

use super::{exists, link_name, names, optional, text};
use crate::map;
use crate::program::{Map, Value};

/// Names of links by the device they point to.
type Links = BTreeMap<String, Vec<String>>;

pub(super) fn devices() -> Map {
    let kinds: [(&str, Links); 4] = [
        ("ids", links("/dev/disk/by-id")),
        ("uuids", links("/dev/disk/by-uuid")),
        ("labels", links("/dev/disk/by-label")),
        ("masters", masters()),
    ];
    let mut devices = Map::new();
    for name in names("/sys/block") {
        devices.insert(name.as_str().into(), device(&name, &kinds).into());
    }
    let all: Map = kinds
        .iter()
        .map(|(kind, links)| {
            ((*kind).into(), links.iter().map(|(device, names)| (device.as_str().into(), names.clone().into())).collect::<Map>().into())
        })
        .collect();
    map! { "devices" => devices, "device_links" => all }
}

fn device(name: &str, kinds: &[(&str, Links)]) -> Map {
    let folder = format!("/sys/block/{name}");
    let read = |path: &str| text(format!("{folder}/{path}"));
    let mut facts = map! { "virtual" => 1, "links" => links_of(name, kinds) };
    for key in ["vendor", "model", "sas_address", "sas_device_handle"] {
        facts.insert(key.into(), optional(read(&format!("device/{key}"))));
    }
    if let Some(serial) = read("device/serial") {
        facts.insert("serial".into(), serial.into());
    }
    facts.insert("removable".into(), optional(read("removable")));
    // A granularity says nothing where the device takes no discards at all.
    let discards =
        if read("queue/discard_max_hw_bytes").as_deref() == Some("0") { Some("0".to_owned()) } else { read("queue/discard_granularity") };
    facts.insert("support_discard".into(), optional(discards));
    let world_wide = kinds[0].1.get(name).and_then(|names| names.iter().find_map(|name| name.strip_prefix("wwn-")));
    if let Some(world_wide) = world_wide {
        facts.insert("wwn".into(), world_wide.into());
    }
    let mut partitions = Map::new();
    for partition in names(&folder).iter().filter(|entry| is_partition(entry, name)) {
        partitions.insert(partition.as_str().into(), self::partition(&format!("{folder}/{partition}"), partition, kinds).into());
    }
    let size = size(&folder);
    facts.extend(map! {
        "partitions" => partitions,
        "rotational" => optional(read("queue/rotational")),
        "scheduler_mode" => read("queue/scheduler").and_then(|line| Some(line.split_once('[')?.1.split_once(']')?.0.to_owned())).unwrap_or_default(),
        "sectorsize" => size.sector,
        "sectors" => size.count,
        "size" => size.words,
        // `lspci`'s words for the controller are not asked for.
        "host" => "",
        "holders" => holders(&folder),
    });
    facts
}

fn partition(folder: &str, name: &str, kinds: &[(&str, Links)]) -> Map {
    let size = size(folder);
    map! {
        "links" => links_of(name, kinds),
        "start" => text(format!("{folder}/start")).map_or(Value::Int(0), Value::text),
        "sectorsize" => size.sector,
        "sectors" => size.count,
        "size" => size.words,
        "uuid" => optional(kinds[1].1.get(name).and_then(|names| names.first().cloned())),
        "holders" => holders(folder),
    }
}

/// `sda1`, `nvme0n1p1`.
fn is_partition(entry: &str, device: &str) -> bool {
    let rest = entry.strip_prefix(device).map(|rest| rest.strip_prefix('p').unwrap_or(rest));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

struct Size {
    sector: Value,
    count: i64,
    words: String,
}

/// Sysfs counts in 512 bytes; the count here is in the device's own sectors.
fn size(folder: &str) -> Size {
    let sector = text(format!("{folder}/queue/logical_block_size")).or_else(|| text(format!("{folder}/queue/hw_sector_size")));
    let bytes = sector.as_deref().and_then(|text| text.parse().ok()).filter(|bytes| *bytes > 0).unwrap_or(512);
    let count = text(format!("{folder}/size")).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0) * 512 / bytes;
    Size { sector: sector.map_or(Value::Int(512), Value::text), count, words: words((count * bytes) as f64) }
}

/// `256.00 GB`, each step 1024.
fn words(bytes: f64) -> String {
    let units = ["Bytes", "KB", "MB", "GB", "TB", "PB", "EB"];
    let step = (0..units.len()).rev().find(|step| bytes >= 1024f64.powi(*step as i32)).unwrap_or(0);
    format!("{:.2} {}", bytes / 1024f64.powi(step as i32), units[step])
}

fn holders(folder: &str) -> Vec<String> {
    let folder = format!("{folder}/holders");
    let mapped = names(&folder).into_iter().filter(|name| name.starts_with("dm-"));
    mapped.map(|name| text(format!("{folder}/{name}/dm/name")).unwrap_or(name)).collect()
}

fn links(folder: &str) -> Links {
    let mut links = Links::new();
    for name in names(folder) {
        if let Some(device) = link_name(Path::new(folder).join(&name)) {
            links.entry(device).or_default().push(name);
        }
    }
    links
}

/// Which devices are made of this one.
fn masters() -> Links {
    let mut masters = Links::new();
    for master in names("/sys/block") {
        let folder = format!("/sys/block/{master}/slaves");
        if exists(&folder) {
            for slave in names(folder) {
                masters.entry(slave).or_default().push(master.clone());
            }
        }
    }
    masters
}

fn links_of(device: &str, kinds: &[(&str, Links)]) -> Map {
    kinds.iter().map(|(kind, links)| ((*kind).into(), links.get(device).cloned().unwrap_or_default().into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_in_the_largest_unit_that_fits() {
        assert_eq!(words(0.0), "0.00 Bytes");
        assert_eq!(words(1023.0), "1023.00 Bytes");
        assert_eq!(words(274_877_906_944.0), "256.00 GB");
    }

    #[test]
    fn partitions_are_the_devices_name_and_a_number() {
        assert!(is_partition("sda1", "sda") && is_partition("nvme0n1p2", "nvme0n1"));
        assert!(!is_partition("queue", "sda") && !is_partition("sda", "sda") && !is_partition("sdap", "sda"));
    }
}

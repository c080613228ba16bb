//! Interfaces, addresses, the default route, name servers and storage initiators.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::netlink::{self, Address};
use super::{exists, link_name, names, text};
use crate::map;
use crate::program::{Map, Value};

pub(super) fn network() -> Map {
    let addresses = netlink::addresses();
    let mut interfaces: indexmap::IndexMap<String, Map> = indexmap::IndexMap::new();
    let mut numbers = Vec::new();
    for device in names("/sys/class/net") {
        // `bonding_masters` is a file.
        if std::path::Path::new("/sys/class/net").join(&device).is_dir() {
            numbers
                .push((text(format!("/sys/class/net/{device}/ifindex")).and_then(|text| text.parse().ok()).unwrap_or(0), device.clone()));
            interfaces.insert(device.clone(), interface(&device));
        }
    }
    let name = |index: u32| numbers.iter().find(|(number, _)| *number == index).map(|(_, name)| name.clone());
    let mut defaults = [
        Default::of(IpAddr::V4(Ipv4Addr::new(8, 8, 8, 8)), &name),
        Default::of(IpAddr::V6(Ipv6Addr::new(0x2404, 0x6800, 0x400a, 0x800, 0, 0, 0, 0x1012)), &name),
    ];
    let (mut all_4, mut all_6) = (Vec::new(), Vec::new());
    for address in &addresses {
        let Some(device) = name(address.index) else { continue };
        let shown = address.own.to_string();
        match address.own {
            IpAddr::V4(_) => {
                if !shown.starts_with("127.") {
                    all_4.push(shown);
                }
                add_version_4(&mut interfaces, &device, address);
            }
            IpAddr::V6(_) => {
                if shown != "::1" {
                    all_6.push(shown);
                }
                add_version_6(&mut interfaces, &device, address);
            }
        }
        let hardware = interfaces.get(&device).cloned().unwrap_or_default();
        for default in &mut defaults {
            default.complete(address, &device, &hardware);
        }
    }
    let local = |version_6: bool| -> Vec<String> {
        let mut shown: Vec<String> = Vec::new();
        for (address, prefix) in netlink::local_destinations(version_6) {
            let whole = prefix == if version_6 { 128 } else { 32 };
            let text = if whole { address.to_string() } else { format!("{address}/{prefix}") };
            if !shown.contains(&text) {
                shown.push(text);
            }
        }
        shown
    };
    // A colon, as aliases have, is hard to use in a template.
    let interfaces: indexmap::IndexMap<String, Map> = interfaces.into_iter().map(|(name, facts)| (name.replace(':', "_"), facts)).collect();
    let [default_4, default_6] = defaults;
    let mut facts = map! { "interfaces" => interfaces.keys().cloned().collect::<Vec<_>>() };
    facts.extend(interfaces.into_iter().map(|(name, facts)| (name.into(), facts.into())));
    facts.extend(map! {
        "default_ipv4" => default_4.facts,
        "default_ipv6" => default_6.facts,
        "all_ipv4_addresses" => all_4,
        "all_ipv6_addresses" => all_6,
        "locally_reachable_ips" => map! { "ipv4" => local(false), "ipv6" => local(true) },
    });
    facts
}

/// What /sys says of an interface.
fn interface(device: &str) -> Map {
    let folder = format!("/sys/class/net/{device}");
    let read = |path: &str| text(format!("{folder}/{path}"));
    let has = |path: &str| exists(&format!("{folder}/{path}"));
    let mut facts = map! { "device" => device };
    if let Some(address) = read("address").filter(|address| address != "00:00:00:00:00:00") {
        facts.insert("macaddress".into(), address.into());
    }
    if let Some(mtu) = read("mtu").and_then(|mtu| mtu.parse::<i64>().ok()) {
        facts.insert("mtu".into(), mtu.into());
    }
    if has("operstate") {
        facts.insert("active".into(), (read("operstate").as_deref() != Some("down")).into());
    }
    if let Some(module) = link_name(format!("{folder}/device/driver/module")) {
        facts.insert("module".into(), module.into());
    }
    if let Some(kind) = read("type") {
        let kind = match kind.as_str() {
            "1" => "ether",
            "32" => "infiniband",
            "512" => "ppp",
            "772" => "loopback",
            "65534" => "tunnel",
            _ => "unknown",
        };
        facts.insert("type".into(), kind.into());
    }
    if has("bridge") {
        facts.insert("type".into(), "bridge".into());
        facts.insert("interfaces".into(), names(format!("{folder}/brif")).into());
        facts.insert("id".into(), read("bridge/bridge_id").unwrap_or_default().into());
        facts.insert("stp".into(), (read("bridge/stp_state").as_deref() == Some("1")).into());
    }
    if has("bonding") {
        let first = |path: &str| read(path).unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned();
        facts.insert("type".into(), "bonding".into());
        facts.insert("slaves".into(), read("bonding/slaves").unwrap_or_default().split_whitespace().collect::<Vec<_>>().into());
        for name in ["mode", "miimon", "lacp_rate"] {
            facts.insert(name.into(), first(&format!("bonding/{name}")).into());
        }
        if let Some(primary) = read("bonding/primary") {
            facts.insert("primary".into(), primary.into());
            if let Some(active) = read("bonding/all_slaves_active") {
                facts.insert("all_slaves_active".into(), (active == "1").into());
            }
        }
    }
    if has("bonding_slave") {
        facts.insert("perm_macaddress".into(), read("bonding_slave/perm_hwaddr").unwrap_or_default().into());
    }
    if let Some(device) = link_name(format!("{folder}/device")) {
        facts.insert("pciid".into(), device.into());
    }
    if let Some(speed) = read("speed").and_then(|speed| speed.parse::<i64>().ok()) {
        facts.insert("speed".into(), speed.into());
    }
    if let Some(flags) = read("flags").and_then(|flags| u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()) {
        facts.insert("promisc".into(), (flags & 0x100 != 0).into());
    }
    facts
}

/// Address, broadcast, mask, network and prefix length; point-to-point links have no network of their own.
fn version_4(address: &Address) -> Option<Map> {
    let IpAddr::V4(own) = address.own else { return None };
    let prefix = if address.peer.is_some() { 32 } else { address.prefix };
    let mask = Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
    Some(map! {
        "address" => own.to_string(),
        "broadcast" => address.broadcast.map(|broadcast| broadcast.to_string()).unwrap_or_default(),
        "netmask" => mask.to_string(),
        "network" => (own & mask).to_string(),
        "prefix" => prefix.to_string(),
    })
}

/// The first address of a label is its own, the others are secondaries; those of an alias are also the device's.
fn add_version_4(interfaces: &mut indexmap::IndexMap<String, Map>, device: &str, address: &Address) {
    let Some(facts) = version_4(address) else { return };
    let label = address.label.clone().unwrap_or_else(|| device.to_owned());
    let append = |interfaces: &mut indexmap::IndexMap<String, Map>, interface: &str| {
        let entry = interfaces.entry(interface.to_owned()).or_default();
        let mut list = entry.get("ipv4_secondaries").and_then(Value::as_list).unwrap_or_default().to_vec();
        list.push(facts.clone().into());
        entry.insert("ipv4_secondaries".into(), list.into());
    };
    if address.secondary {
        append(interfaces, &label);
        if label != device {
            append(interfaces, device);
        }
    } else if interfaces.get(&label).is_some_and(|known| known.contains_key("ipv4")) {
        append(interfaces, &label);
    } else {
        interfaces.entry(label).or_default().insert("ipv4".into(), facts.into());
    }
}

fn add_version_6(interfaces: &mut indexmap::IndexMap<String, Map>, device: &str, address: &Address) {
    let entry = interfaces.entry(device.to_owned()).or_default();
    let mut list = entry.get("ipv6").and_then(Value::as_list).unwrap_or_default().to_vec();
    list.push(
        map! { "address" => address.own.to_string(), "prefix" => address.prefix.to_string(), "scope" => scope(address.scope) }.into(),
    );
    entry.insert("ipv6".into(), list.into());
}

fn scope(number: u8) -> String {
    match number {
        0 => "global".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "nowhere".to_owned(),
        other => other.to_string(),
    }
}

/// `ansible_default_ipv4`, `ansible_default_ipv6`.
struct Default {
    source: Option<IpAddr>,
    facts: Map,
}

impl Default {
    fn of(destination: IpAddr, name: &dyn Fn(u32) -> Option<String>) -> Self {
        let Some(route) = netlink::route_to(destination) else { return Self { source: None, facts: Map::new() } };
        let mut facts = Map::new();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                facts.insert(name.into(), value.into());
            }
        };
        add("gateway", route.gateway.map(|gateway| gateway.to_string()));
        add("interface", route.index.and_then(name));
        add("address", route.source.map(|source| source.to_string()));
        Self { source: route.source, facts }
    }

    /// What the interface with the route's own address adds.
    fn complete(&mut self, address: &Address, device: &str, interface: &Map) {
        if self.source != Some(address.own) {
            return;
        }
        if let Some(facts) = version_4(address) {
            self.facts.extend(facts);
            self.facts.insert("alias".into(), address.label.clone().unwrap_or_else(|| device.to_owned()).into());
        } else {
            self.facts.insert("prefix".into(), address.prefix.to_string().into());
            self.facts.insert("scope".into(), scope(address.scope).into());
        }
        let hardware = text(format!("/sys/class/net/{device}/address")).unwrap_or_default();
        self.facts.insert("macaddress".into(), hardware.into());
        self.facts.insert("mtu".into(), interface.get("mtu").cloned().unwrap_or_default());
        self.facts.insert("type".into(), interface.get("type").cloned().unwrap_or_else(|| "unknown".into()));
    }
}

/// resolv.conf(5).
pub(super) fn name_service() -> Map {
    let mut facts = Map::new();
    for line in text("/etc/resolv.conf").unwrap_or_default().lines().filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace();
        let Some(keyword) = words.next() else { continue };
        let rest: Vec<&str> = words.collect();
        match keyword {
            "nameserver" => {
                let known = facts.get("nameservers").and_then(Value::as_list).unwrap_or_default().to_vec();
                let all: Vec<Value> = known.into_iter().chain(rest.into_iter().map(Value::text)).collect();
                facts.insert("nameservers".into(), all.into());
            }
            "domain" => {
                if let Some(domain) = rest.first() {
                    facts.insert("domain".into(), (*domain).into());
                }
            }
            "search" | "sortlist" => drop(facts.insert(keyword.into(), rest.into())),
            "options" => {
                let option = |word: &&str| match word.split_once(':') {
                    Some((name, value)) if !value.is_empty() => (name.into(), value.into()),
                    Some((name, _)) => (name.into(), true.into()),
                    None => ((*word).into(), true.into()),
                };
                facts.insert("options".into(), rest.iter().map(option).collect::<Map>().into());
            }
            _ => {}
        }
    }
    map! { "dns" => facts }
}

pub(super) fn fibre_channel() -> Map {
    let ports = names("/sys/class/fc_host").into_iter().filter_map(|host| text(format!("/sys/class/fc_host/{host}/port_name")));
    let ports: Vec<String> = ports
        .flat_map(|name| name.lines().map(|line| line.trim_end().get(2..).unwrap_or_default().to_owned()).collect::<Vec<_>>())
        .collect();
    map! { "fibre_channel_wwn" => ports }
}

pub(super) fn iscsi() -> Map {
    let file = text("/etc/iscsi/initiatorname.iscsi").unwrap_or_default();
    map! { "iscsi_iqn" => file.lines().find_map(|line| line.strip_prefix("InitiatorName=")).unwrap_or_default() }
}

pub(super) fn nvme() -> Map {
    let file = text("/etc/nvme/hostnqn").unwrap_or_default();
    map! { "hostnqn" => file.lines().find(|line| line.starts_with("nqn.")).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, prefix: u8, label: &str, secondary: bool) -> Address {
        let own = text.parse().expect("an address");
        Address { index: 1, own, peer: None, broadcast: None, prefix, scope: 0, label: Some(label.to_owned()), secondary }
    }

    #[test]
    fn aliases_have_their_own_facts_and_secondaries_are_the_devices_too() {
        let mut interfaces = indexmap::IndexMap::new();
        add_version_4(&mut interfaces, "eth0", &address("10.0.0.1", 24, "eth0", false));
        add_version_4(&mut interfaces, "eth0", &address("10.0.0.2", 24, "eth0:1", true));
        let text = |interface: &str, field: &str| interfaces[interface][field].to_json(true);
        assert_eq!(text("eth0", "ipv4")["network"], "10.0.0.0");
        assert_eq!(text("eth0", "ipv4_secondaries")[0]["address"], "10.0.0.2");
        assert_eq!(text("eth0:1", "ipv4_secondaries")[0]["netmask"], "255.255.255.0");
    }

    #[test]
    fn the_whole_network_has_an_empty_mask() {
        let facts = version_4(&address("10.0.0.1", 0, "eth0", false)).expect("IPv4");
        assert_eq!(facts["netmask"].as_str(), Some("0.0.0.0"));
    }
}

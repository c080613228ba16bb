//! The machines of a `vms/*.yaml` file: what was declared, every mistake in it, and the checked result.
//!
//! The reader parses each scalar with its own type (`NodeName`, `Network`, `Memory`, …) and hands over
//! [`Declared`]; [`Machines::check`] gives the machines or all mistakes, each with the [`Place`] the reader
//! has a span for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::address::Network;
use super::image::Image;

/// The name of a machine: an RFC 1123 label of at most 63 characters, for it becomes a host name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

impl NodeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for NodeName {
    type Error = String;

    fn try_from(name: &str) -> Result<Self, String> {
        check_label(name).map(|()| Self(name.to_owned()))
    }
}

impl TryFrom<String> for NodeName {
    type Error = String;
    fn try_from(name: String) -> Result<Self, String> {
        Self::try_from(name.as_str())
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// RFC 1123 section 2.1: letters, digits and hyphens, none at either end; lowercase, since host names are compared so.
pub fn check_label(name: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{name}` is no host name: {why}"));
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.len() > 63 {
        return wrong("it is longer than 63 characters");
    }
    if let Some(bad) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return wrong(&format!("`{bad}` is not one of a–z, 0–9 and `-`"));
    }
    if name.starts_with('-') || name.ends_with('-') {
        return wrong("it begins or ends with `-`");
    }
    Ok(())
}

/// An amount of memory in bytes; written `2GiB`, `512MiB`, `2G` (as Kubernetes: `G` is 10⁹, `Gi` is 2³⁰).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Memory(pub u64);

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no amount of memory, as in `2GiB` or `512MiB`");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor: u64 = match unit.trim().trim_end_matches(['B', 'b']) {
            "" if unit.is_empty() => {
                return Err(format!("`{text}` has no unit, as in `2GiB` or `512MiB`"));
            }
            "k" | "K" => 1000,
            "M" => 1_000_000,
            "G" => 1_000_000_000,
            "T" => 1_000_000_000_000,
            "Ki" => 1 << 10,
            "Mi" => 1 << 20,
            "Gi" => 1 << 30,
            "Ti" => 1 << 40,
            _ => return Err(wrong()),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        if part.len() > 9 || (number.contains('.') && part.is_empty()) {
            return Err(wrong());
        }
        let part = if part.is_empty() {
            0
        } else {
            let digits: u64 = part.parse().map_err(|_| wrong())?;
            u64::try_from(u128::from(digits) * u128::from(factor) / 10u128.pow(part.len() as u32)).map_err(|_| wrong())?
        };
        whole.checked_mul(factor).and_then(|bytes| bytes.checked_add(part)).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes) = *self;
        match [(1u64 << 30, "GiB"), (1 << 20, "MiB")].into_iter().find(|(unit, _)| bytes >= *unit) {
            Some((unit, name)) if bytes % unit == 0 => write!(f, "{} {name}", bytes / unit),
            Some((unit, name)) => write!(f, "{:.1} {name}", bytes as f64 / unit as f64),
            None => write!(f, "{bytes} bytes"),
        }
    }
}

/// Who makes a machine: `provider:` of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// A system container on this workstation.
    #[default]
    Container,
    /// A host that is there already; we only connect to it.
    Existing,
}

impl FromStr for ProviderKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "container" => Ok(Self::Container),
            "existing" => Ok(Self::Existing),
            _ => Err(format!("`{text}` is no provider: `container` or `existing`")),
        }
    }
}

/// The file as the user wrote it, each value of its own type; `None` is "not written".
#[derive(Debug, Clone, Default)]
pub struct Declared {
    pub networks: Vec<Network>,
    pub defaults: Defaults,
    /// In the file's order.
    pub machines: Vec<DeclaredMachine>,
}

/// `defaults:`, and the same keys of a machine.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    pub image: Option<String>,
    pub cpus: Option<u32>,
    pub memory: Option<Memory>,
    pub groups: Option<Vec<String>>,
    pub provider: Option<ProviderKind>,
}

/// One entry of `machines:`.
#[derive(Debug, Clone)]
pub struct DeclaredMachine {
    pub name: NodeName,
    /// `count: 2` makes name-1 and name-2 with consecutive addresses; none makes one machine of that very name.
    pub count: Option<u32>,
    /// Of the first of them. None is a mistake, reported by `check`.
    pub address: Option<Ipv4Addr>,
    pub own: Defaults,
}

/// A checked machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    pub name: NodeName,
    pub address: Ipv4Addr,
    /// The network of `networks:` it stands in; none for an existing host elsewhere.
    pub network: Option<Network>,
    pub cpus: u32,
    pub memory: Memory,
    /// The name of an image, `debian-12`: [`Image::named`] knows it.
    pub image: String,
    pub groups: Vec<String>,
    pub provider: ProviderKind,
    /// Index of its entry in the file.
    pub entry: usize,
}

/// The checked file. Made by [`Machines::check`] alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machines {
    networks: Vec<Network>,
    machines: Vec<Machine>,
}

/// Where in the file a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `networks[i]`.
    Network(usize),
    /// The key `machines:` as a whole.
    Machines,
    /// `machines[i]`, its name or the key within it.
    Machine(usize, Field),
    /// A key within `defaults`.
    Defaults(Field),
}

/// A key of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    Name,
    Address,
    Count,
    Cpus,
    Memory,
    Image,
}

/// One mistake: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    /// `two machines have the address 192.168.60.2`.
    pub message: String,
    /// What to do, or the other place in words.
    pub help: Option<String>,
}

/// As large as kubeadm asks for a control plane (2 CPUs, 1700 MB), rounded up.
const CPUS: u32 = 2;
const MEMORY: Memory = Memory(2 << 30);
/// More machines than any workstation holds: a typing error.
const MOST_MACHINES: u32 = 250;

impl Machines {
    /// Expand counts, fill in defaults and check everything; all mistakes at once.
    pub fn check(declared: &Declared) -> Result<Self, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        check_networks(&declared.networks, &mut mistakes);
        let mut machines = Vec::new();
        for (entry, machine) in declared.machines.iter().enumerate() {
            expand(declared, entry, machine, &mut machines, &mut mistakes);
        }
        if declared.machines.is_empty() {
            mistakes.push(mistake(Place::Machines, "no machine is named", "write at least one, as in `control: {address: 192.168.60.2}`"));
        }
        check_names(&machines, &mut mistakes);
        check_addresses(&declared.networks, &mut machines, &mut mistakes);
        if mistakes.is_empty() { Ok(Self { networks: declared.networks.clone(), machines }) } else { Err(mistakes) }
    }

    /// In the file's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Machine> {
        self.machines.iter()
    }

    pub fn get(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.name.as_str() == name)
    }

    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Group names with their machines, in the file's order.
    pub fn groups(&self) -> Vec<(&str, Vec<&NodeName>)> {
        let mut groups: Vec<(&str, Vec<&NodeName>)> = Vec::new();
        for machine in &self.machines {
            for group in &machine.groups {
                match groups.iter_mut().find(|(name, _)| name == group) {
                    Some((_, members)) => members.push(&machine.name),
                    None => groups.push((group, vec![&machine.name])),
                }
            }
        }
        groups
    }

    /// Only the machines of one provider, with the networks that they use.
    #[must_use]
    pub fn of(&self, provider: ProviderKind) -> Self {
        let machines: Vec<_> = self.machines.iter().filter(|machine| machine.provider == provider).cloned().collect();
        let networks = self.networks.iter().filter(|network| machines.iter().any(|m| m.network == Some(**network))).copied().collect();
        Self { networks, machines }
    }
}

impl<'a> IntoIterator for &'a Machines {
    type Item = &'a Machine;
    type IntoIter = std::slice::Iter<'a, Machine>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn mistake(place: Place, message: impl Into<String>, help: impl Into<String>) -> Mistake {
    let help = help.into();
    Mistake { place, message: message.into(), help: (!help.is_empty()).then_some(help) }
}

fn check_networks(networks: &[Network], mistakes: &mut Vec<Mistake>) {
    for (i, network) in networks.iter().enumerate() {
        if let Some(other) = networks[..i].iter().find(|other| other.overlaps(network)) {
            mistakes.push(mistake(Place::Network(i), format!("the network {network} overlaps {other}"), ""));
        }
        if !(8..=29).contains(&network.prefix()) {
            mistakes.push(mistake(
                Place::Network(i),
                format!("the network {network} has an unusable size"),
                "use a prefix length from 8 to 29, as in `/24`",
            ));
        }
    }
}

fn expand(declared: &Declared, entry: usize, machine: &DeclaredMachine, into: &mut Vec<Machine>, mistakes: &mut Vec<Mistake>) {
    let (own, defaults) = (&machine.own, &declared.defaults);
    let place = |field, written: bool| {
        if written { Place::Machine(entry, field) } else { Place::Defaults(field) }
    };
    let image = own.image.clone().or_else(|| defaults.image.clone()).unwrap_or_else(|| Image::DEFAULT.to_owned());
    let provider = own.provider.or(defaults.provider).unwrap_or_default();
    if provider == ProviderKind::Container && Image::named(&image).is_none() {
        let at = place(Field::Image, own.image.is_some());
        if !mistakes.iter().any(|other| other.place == at) {
            mistakes.push(mistake(at, format!("unknown image `{image}`"), format!("known: {}", Image::NAMES.join(", "))));
        }
    }
    let cpus = own.cpus.or(defaults.cpus).unwrap_or(CPUS);
    if cpus == 0 {
        mistakes.push(mistake(place(Field::Cpus, own.cpus.is_some()), "a machine needs at least one cpu", ""));
    }
    let memory = own.memory.or(defaults.memory).unwrap_or(MEMORY);
    if memory < Memory(128 << 20) {
        mistakes.push(mistake(
            place(Field::Memory, own.memory.is_some()),
            format!("{memory} is too little memory to boot"),
            "write at least 128MiB",
        ));
    }
    let Some(first) = machine.address else {
        mistakes.push(mistake(
            Place::Machine(entry, Field::Name),
            format!("machine `{}` has no address", machine.name),
            missing_address(&declared.networks),
        ));
        return;
    };
    let count = machine.count.unwrap_or(1);
    if count == 0 || count > MOST_MACHINES {
        mistakes.push(mistake(Place::Machine(entry, Field::Count), format!("`count: {count}` is not between 1 and {MOST_MACHINES}"), ""));
        return;
    }
    for i in 0..count {
        let name = match machine.count {
            None => machine.name.clone(),
            Some(_) => match NodeName::try_from(format!("{}-{}", machine.name, i + 1)) {
                Ok(name) => name,
                Err(why) => {
                    return mistakes.push(mistake(Place::Machine(entry, Field::Name), why, ""));
                }
            },
        };
        into.push(Machine {
            name,
            address: Ipv4Addr::from_bits(first.to_bits().wrapping_add(i)),
            network: None,
            cpus,
            memory,
            image: image.clone(),
            groups: own.groups.clone().or_else(|| defaults.groups.clone()).unwrap_or_default(),
            provider,
            entry,
        });
    }
}

fn missing_address(networks: &[Network]) -> String {
    networks.first().map_or_else(String::new, |network| {
        format!("write one of {network}, as in `address: {}`", Ipv4Addr::from_bits(network.gateway().to_bits() + 1))
    })
}

fn check_names(machines: &[Machine], mistakes: &mut Vec<Mistake>) {
    let mut seen: BTreeMap<&NodeName, usize> = BTreeMap::new();
    for machine in machines {
        match seen.get(&machine.name) {
            Some(entry) if *entry != machine.entry => mistakes.push(mistake(
                Place::Machine(machine.entry, Field::Name),
                format!("two machines are named `{}`", machine.name),
                "one of them comes from `count`",
            )),
            _ => _ = seen.insert(&machine.name, machine.entry),
        }
    }
}

fn check_addresses(networks: &[Network], machines: &mut [Machine], mistakes: &mut Vec<Mistake>) {
    let mut seen: BTreeMap<Ipv4Addr, NodeName> = BTreeMap::new();
    for machine in machines {
        let (name, address) = (&machine.name, machine.address);
        let at = Place::Machine(machine.entry, Field::Address);
        machine.network = networks.iter().find(|network| network.contains(address)).copied();
        match machine.network {
            _ if seen.contains_key(&address) => {
                mistakes.push(mistake(at, format!("machines `{}` and `{name}` have the same address {address}", seen[&address]), ""));
            }
            None if machine.provider == ProviderKind::Container => {
                let known: Vec<String> = networks.iter().map(ToString::to_string).collect();
                let help =
                    if known.is_empty() { "name its network in `networks:`".to_owned() } else { format!("networks: {}", known.join(", ")) };
                mistakes.push(mistake(at, format!("address {address} of `{name}` is in no network of this file"), help));
            }
            Some(network) if address == network.gateway() && machine.provider == ProviderKind::Container => mistakes.push(mistake(
                at,
                format!("address {address} of `{name}` is the gateway of {network}, which is this workstation"),
                "begin with the next one",
            )),
            Some(network) if address == network.address() || address == network.broadcast() => mistakes.push(mistake(
                at,
                format!("address {address} of `{name}` is the network's or the broadcast address of {network}"),
                "",
            )),
            _ => {}
        }
        seen.entry(address).or_insert_with(|| name.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str, count: Option<u32>, address: &str) -> DeclaredMachine {
        DeclaredMachine { name: name.try_into().unwrap(), count, address: Some(address.parse().unwrap()), own: Defaults::default() }
    }

    fn file(networks: &[&str], machines: Vec<DeclaredMachine>) -> Declared {
        Declared { networks: networks.iter().map(|n| n.parse().unwrap()).collect(), defaults: Defaults::default(), machines }
    }

    fn messages(declared: &Declared) -> Vec<String> {
        Machines::check(declared).unwrap_err().into_iter().map(|mistake| mistake.message).collect()
    }

    #[test]
    fn count_makes_numbered_machines_with_consecutive_addresses() {
        let mut worker = machine("worker", Some(2), "192.168.60.3");
        worker.own.groups = Some(vec!["workers".into()]);
        let machines = Machines::check(&file(&["192.168.60.0/24"], vec![machine("control", None, "192.168.60.2"), worker])).unwrap();
        let seen: Vec<String> = machines.iter().map(|m| format!("{} {}", m.name, m.address)).collect();
        assert_eq!(seen, ["control 192.168.60.2", "worker-1 192.168.60.3", "worker-2 192.168.60.4"]);
        assert_eq!(machines.groups().len(), 1);
        assert_eq!(machines.get("worker-2").unwrap().network, Some("192.168.60.0/24".parse().unwrap()));
    }

    #[test]
    fn every_mistake_of_a_file_is_reported_at_once() {
        let declared = file(
            &["192.168.60.0/24", "192.168.0.0/16"],
            vec![
                machine("control", None, "192.168.60.1"),
                machine("a", None, "192.168.60.5"),
                machine("b", Some(2), "192.168.60.4"),
                machine("b-1", None, "10.0.0.9"),
            ],
        );
        insta::assert_snapshot!(messages(&declared).join("\n"), @r"
        the network 192.168.0.0/16 overlaps 192.168.60.0/24
        two machines are named `b-1`
        address 192.168.60.1 of `control` is the gateway of 192.168.60.0/24, which is this workstation
        machines `a` and `b-2` have the same address 192.168.60.5
        address 10.0.0.9 of `b-1` is in no network of this file
        ");
    }

    #[test]
    fn a_count_that_leaves_the_network_is_a_mistake() {
        assert_eq!(
            messages(&file(&["10.9.9.0/29"], vec![machine("w", Some(4), "10.9.9.5")])),
            [
                "address 10.9.9.7 of `w-3` is the network's or the broadcast address of 10.9.9.0/29",
                "address 10.9.9.8 of `w-4` is in no network of this file"
            ]
        );
    }

    #[test]
    fn memory_is_read_as_written() {
        for (text, bytes) in [("2GiB", 2 << 30), ("512MiB", 512 << 20), ("1.5Gi", 3 << 29), ("2G", 2_000_000_000), ("100 MB", 100_000_000)]
        {
            assert_eq!(text.parse(), Ok(Memory(bytes)), "{text}");
        }
        for text in ["2", "GiB", "-1GiB", "2 gigs", "2.GiB", "", "99999999999TiB"] {
            assert!(text.parse::<Memory>().is_err(), "{text}");
        }
        assert_eq!([Memory(3 << 30), Memory(3 << 29), Memory(512 << 20)].map(|m| m.to_string()), ["3 GiB", "1.5 GiB", "512 MiB"]);
    }

    #[test]
    fn a_node_name_is_a_host_name() {
        for bad in ["", "Web", "web_1", "-a", "a-", "a.b", &"a".repeat(64)] {
            assert!(NodeName::try_from(bad).is_err(), "{bad}");
        }
        assert!(NodeName::try_from("web-1").is_ok());
    }
}

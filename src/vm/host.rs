//! What an environment sets on this workstation: a bridge with the gateways' addresses, masquerade for what leaves the
//! networks, IP forwarding; and how all of it is put back. Needs root.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::address::Network;
use super::environment::{DATA_FOLDER, Environment, Names, short_hash};
use super::machines::NodeName;
use super::process::{boot_id, has_program, run, run_with};
use super::state;

/// What is known on this machine of an environment: `/var/lib/provision/<id>/environment.json`, readable by all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub environment: Environment,
    pub networks: Vec<Network>,
    /// The block of /etc/hosts that every node has.
    pub hosts: String,
    /// The public key that logs in.
    pub authorized_key: String,
}

impl Record {
    pub fn path(names: &Names) -> PathBuf {
        names.data_folder().join("environment.json")
    }

    pub fn read(names: &Names) -> Option<Self> {
        state::read(&Self::path(names))
    }

    /// The records of all environments of this machine.
    pub fn all() -> Vec<Self> {
        fs::read_dir(DATA_FOLDER)
            .into_iter()
            .flatten()
            .filter_map(|entry| state::read(&entry.ok()?.path().join("environment.json")))
            .collect()
    }
}

/// The names of the nodes that an environment has on this machine, in the file or not, in order.
pub fn nodes(names: &Names) -> Vec<NodeName> {
    let mut found: Vec<NodeName> = fs::read_dir(names.data_folder().join("nodes"))
        .into_iter()
        .flatten()
        .filter_map(|entry| NodeName::try_from(entry.ok()?.file_name().to_str()?).ok())
        .collect();
    found.sort();
    found
}

/// The lock under which environments come and go.
pub fn lock() -> Result<state::Lock> {
    state::Lock::take(&Path::new(DATA_FOLDER).join("lock"))
}

/// Make bridge, addresses and masquerade as `networks` say; nothing is touched that is right already.
pub fn ensure(names: &Names, networks: &[Network]) -> Result<()> {
    set_sysctls()?;
    let bridge = names.bridge();
    let mut batch: Vec<String> = Vec::new();
    if !link_exists(&bridge) {
        let hardware = hardware_address(&names.id).map(|byte| format!("{byte:02x}")).join(":");
        // A fixed hardware address: a bridge's own follows its ports, and nodes would lose the gateway for a while.
        batch.push(format!("link add name {bridge} address {hardware} type bridge stp_state 0 forward_delay 0\n"));
    }
    let wanted: Vec<(Ipv4Addr, u8)> = networks.iter().map(|network| (network.gateway(), network.prefix())).collect();
    let present = addresses(&bridge);
    for (address, prefix) in present.iter().filter(|has| !wanted.contains(has)) {
        batch.push(format!("address del {address}/{prefix} dev {bridge}\n"));
    }
    for (address, prefix) in wanted.iter().filter(|wants| !present.contains(wants)) {
        batch.push(format!("address add {address}/{prefix} dev {bridge}\n"));
    }
    if !batch.is_empty() {
        batch.push(format!("link set {bridge} up\n"));
        run_with("ip", &["-batch", "-"], Some(&batch.concat())).with_context(|| format!("making bridge {bridge}"))?;
        // Nodes of two networks on one bridge are to keep using the gateway.
        _ = fs::write(format!("/proc/sys/net/ipv4/conf/{bridge}/send_redirects"), "0");
        // A node that boots is asked for its hardware address again after 50 ms, not after a second.
        _ = fs::write(format!("/proc/sys/net/ipv4/neigh/{bridge}/retrans_time_ms"), "50");
    }
    open_forwarding(&bridge)?;
    let rules = rules(&names.table(), networks);
    run_with("nft", &["-f", "-"], Some(&rules)).with_context(|| format!("making nftables table {}", names.table())).map(drop)
}

/// Whether bridge and addresses are there; an ordinary user may ask.
pub fn is_up(names: &Names, networks: &[Network]) -> bool {
    let present = addresses(&names.bridge());
    networks.iter().all(|network| present.contains(&(network.gateway(), network.prefix())))
}

/// Remove bridge and masquerade.
pub fn remove(names: &Names) -> Result<()> {
    let bridge = names.bridge();
    close_forwarding(&bridge);
    if link_exists(&bridge) {
        run("ip", &["link", "del", &bridge]).with_context(|| format!("removing bridge {bridge}"))?;
    }
    let table = names.table();
    // Declared first, so that deleting it cannot fail for want of it.
    run_with("nft", &["-f", "-"], Some(&format!("table ip {table}\ndelete table ip {table}\n")))
        .with_context(|| format!("removing nftables table {table}"))
        .map(drop)
}

/// Docker and some firewalls drop all that is forwarded: then ours is let through, and nothing else.
fn open_forwarding(bridge: &str) -> Result<()> {
    if !has_iptables_filter() || !iptables(&["-S", "FORWARD"]).is_ok_and(|text| text.starts_with("-P FORWARD DROP")) {
        return Ok(());
    }
    for rule in forward_rules(bridge) {
        if iptables(&[&["-C", "FORWARD"][..], &rule].concat()).is_err() {
            iptables(&[&["-I", "FORWARD"][..], &rule].concat())
                .with_context(|| format!("letting bridge {bridge} through the firewall of this machine"))?;
        }
    }
    Ok(())
}

fn close_forwarding(bridge: &str) {
    if has_iptables_filter() {
        for rule in forward_rules(bridge) {
            // Mostly it is not there.
            _ = iptables(&[&["-D", "FORWARD"][..], &rule].concat());
        }
    }
}

fn forward_rules(bridge: &str) -> [[&str; 8]; 2] {
    ["-i", "-o"].map(|side| [side, bridge, "-m", "comment", "--comment", "provision", "-j", "ACCEPT"])
}

fn iptables(words: &[&str]) -> Result<String> {
    run("iptables", &[&["-w", "5"][..], words].concat())
}

/// Whether there is a filter table to look into: iptables makes an empty one when asked, which would stay.
fn has_iptables_filter() -> bool {
    let legacy = || fs::read_to_string("/proc/net/ip_tables_names").is_ok_and(|text| text.contains("filter"));
    let new = || run("nft", &["list", "tables", "ip"]).is_ok_and(|text| text.lines().any(|line| line == "table ip filter"));
    has_program("iptables") && (legacy() || new())
}

/// After the last environment: sysctls as they were, and our folder gone.
pub fn forget(lock: state::Lock) -> Result<()> {
    let folder = Path::new(DATA_FOLDER);
    let others = fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| entry.path().is_dir());
    if others {
        return Ok(());
    }
    restore_sysctls()?;
    lock.remove();
    _ = fs::remove_dir(folder);
    Ok(())
}

fn rules(table: &str, networks: &[Network]) -> String {
    let set = networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!(
        "table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n chain postrouting {{\n  type nat hook postrouting priority 100; policy accept;\n  ip saddr {{ {set} }} ip daddr != {{ {set} }} masquerade\n }}\n}}\n"
    )
}

/// A hardware address of its own for a name, always the same: neighbours keep it over a reboot. Locally administered.
pub fn hardware_address(name: &str) -> [u8; 6] {
    let mut address = [2; 6];
    hex::decode_to_slice(short_hash(name, 10), &mut address[1..]).expect("ten digits");
    address
}

pub fn link_exists(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// The IPv4 addresses of an interface with their prefix lengths; empty without the interface.
fn addresses(link: &str) -> Vec<(Ipv4Addr, u8)> {
    if !link_exists(link) {
        return Vec::new();
    }
    all_addresses().into_iter().filter(|(name, ..)| name == link).map(|(_, address, prefix)| (address, prefix)).collect()
}

/// Every IPv4 address of this machine: interface, address, prefix length.
pub fn all_addresses() -> Vec<(String, Ipv4Addr, u8)> {
    #[derive(Deserialize)]
    struct Link {
        ifname: String,
        #[serde(default)]
        addr_info: Vec<Info>,
    }
    #[derive(Deserialize)]
    struct Info {
        local: Option<Ipv4Addr>,
        prefixlen: u8,
    }
    let text = run("ip", &["-j", "-4", "address", "show"]).unwrap_or_default();
    let links: Vec<Link> = serde_json::from_str(&text).unwrap_or_default();
    links
        .into_iter()
        .flat_map(|link| {
            let name = link.ifname;
            link.addr_info.into_iter().filter_map(move |info| Some((name.clone(), info.local?, info.prefixlen)))
        })
        .collect()
}

/// Kernel settings that belong to the whole machine and that we or a kubelet in a node set (kubelet: `protectKernelDefaults`,
/// k8s.io/kubernetes pkg/kubelet/cm `setupKernelTunables`); they are put back with the last environment.
const SYSCTLS: [&str; 14] = [
    "net/ipv4/ip_forward",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "vm/max_map_count",
    "vm/swappiness",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "kernel/pid_max",
    "fs/inotify/max_user_watches",
    "fs/inotify/max_user_instances",
    "fs/file-max",
    "fs/nr_open",
];

/// How they were before our first environment of this boot.
#[derive(Serialize, Deserialize)]
struct Former {
    boot_id: String,
    values: BTreeMap<String, String>,
}

fn former_path() -> PathBuf {
    Path::new(DATA_FOLDER).join("sysctls.json")
}

fn set_sysctls() -> Result<()> {
    let former: Option<Former> = state::read(&former_path());
    if former.is_none_or(|former| former.boot_id != boot_id()) {
        let values = SYSCTLS.iter().filter_map(|name| Some(((*name).to_owned(), sysctl(name)?))).collect();
        state::write(&former_path(), &Former { boot_id: boot_id(), values })?;
    }
    if sysctl(SYSCTLS[0]).as_deref() != Some("1") {
        fs::write(Path::new("/proc/sys").join(SYSCTLS[0]), "1").context("setting net.ipv4.ip_forward")?;
    }
    Ok(())
}

fn restore_sysctls() -> Result<()> {
    if let Some(former) = state::read::<Former>(&former_path())
        && former.boot_id == boot_id()
    {
        for (name, value) in &former.values {
            if sysctl(name).as_ref() != Some(value) {
                fs::write(Path::new("/proc/sys").join(name), value).with_context(|| format!("putting sysctl {name} back"))?;
            }
        }
    }
    _ = fs::remove_file(former_path());
    Ok(())
}

fn sysctl(name: &str) -> Option<String> {
    Some(fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_leaves_all_networks_is_masqueraded() {
        let networks = ["192.168.60.0/24".parse().unwrap(), "192.168.61.0/24".parse().unwrap()];
        assert!(
            rules("t", &networks)
                .contains("ip saddr { 192.168.60.0/24, 192.168.61.0/24 } ip daddr != { 192.168.60.0/24, 192.168.61.0/24 } masquerade")
        );
    }
}

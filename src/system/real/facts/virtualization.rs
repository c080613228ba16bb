//! What this machine runs inside of, and what may run inside of it: the signs Ansible goes by, in its order.

use super::{exists, text};
use crate::map;
use crate::program::Map;

/// The first sign decides type and role; every sign adds to the sets.
#[derive(Default)]
struct Signs {
    first: Option<(String, &'static str)>,
    guest: Vec<String>,
    host: Vec<String>,
}

impl Signs {
    fn guest(&mut self, technology: &str) {
        add(&mut self.guest, technology);
        self.first.get_or_insert((technology.to_owned(), "guest"));
    }

    fn host(&mut self, technology: &str) {
        add(&mut self.host, technology);
        self.first.get_or_insert((technology.to_owned(), "host"));
    }
}

fn add(set: &mut Vec<String>, technology: &str) {
    if !set.iter().any(|known| known == technology) {
        set.push(technology.to_owned());
    }
}

pub(super) fn virtualization() -> Map {
    let mut signs = Signs::default();
    containers(&mut signs);
    xen(&mut signs);
    firmware(&mut signs);
    processor(&mut signs);
    modules(&mut signs);
    let (kind, role) = signs.first.unwrap_or(("NA".to_owned(), "NA"));
    map! {
        "virtualization_type" => kind,
        "virtualization_role" => role,
        "virtualization_tech_guest" => signs.guest,
        "virtualization_tech_host" => signs.host,
    }
}

fn containers(signs: &mut Signs) {
    for line in text("/proc/1/cgroup").unwrap_or_default().lines() {
        if in_docker(line) {
            signs.guest("docker");
        }
        if line.contains("/lxc/") || line.contains("/machine.slice/machine-lxc") {
            signs.guest("lxc");
        }
        if line.contains("/system.slice/containerd.service") {
            signs.guest("containerd");
        }
    }
    for variable in text("/proc/1/environ").unwrap_or_default().split('\0') {
        if variable.contains("container=lxc") {
            signs.guest("lxc");
        }
        if variable.contains("container=podman") {
            signs.guest("podman");
        }
        if variable.strip_prefix("container=").is_some_and(|name| !name.is_empty()) {
            signs.guest("container");
        }
    }
    if exists("/proc/vz") && !exists("/proc/lve") {
        if exists("/proc/bc") {
            signs.host("openvz");
        } else {
            signs.guest("openvz");
        }
    }
    let by_systemd = text("/run/systemd/container");
    if let Some(name) = &by_systemd {
        signs.guest(name);
    }
    if exists("/.dockerenv") || exists("/.dockerinit") {
        signs.guest("docker");
    }
    let is_container = signs.guest.iter().any(|name| ["docker", "lxc", "podman", "openvz", "containerd"].contains(&name.as_str()));
    if is_container || by_systemd.is_some() {
        add(&mut signs.guest, "container");
    }
}

/// `/docker/…` or `/docker-0123abc.scope`.
fn in_docker(line: &str) -> bool {
    line.split("/docker").skip(1).any(|rest| {
        let hex = rest.strip_prefix('-').and_then(|rest| rest.split_once(".scope")).map(|(id, _)| id);
        rest.starts_with('/') || hex.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

fn xen(signs: &mut Signs) {
    if !exists("/proc/xen") {
        return;
    }
    if text("/proc/xen/capabilities").is_some_and(|capabilities| capabilities.contains("control_d")) {
        signs.host("xen");
    } else {
        // Ansible names the type here, and not the technology.
        signs.first.get_or_insert(("xen".to_owned(), "guest"));
    }
}

/// What hypervisors write into the firmware's tables.
fn firmware(signs: &mut Signs) {
    let said = |file: &str| text(format!("/sys/devices/virtual/dmi/id/{file}")).unwrap_or_default();
    let (product, vendor, family, bios) = (said("product_name"), said("sys_vendor"), said("product_family"), said("bios_vendor"));
    if ["KVM", "KVM Server", "Bochs", "AHV", "CloudStack KVM Hypervisor"].contains(&product.as_str()) {
        signs.guest("kvm");
    }
    if vendor == "oVirt" {
        signs.guest("oVirt");
    }
    if vendor == "Red Hat" && family == "RHV" {
        signs.guest("RHV");
    } else if vendor == "Red Hat" && product == "RHEV Hypervisor" {
        signs.guest("RHEV");
    }
    if product.starts_with("VMware") {
        signs.guest("VMware");
    }
    if ["OpenStack Compute", "OpenStack Nova"].contains(&product.as_str()) {
        signs.guest("openstack");
    }
    match bios.as_str() {
        "Xen" => signs.guest("xen"),
        "innotek GmbH" => signs.guest("virtualbox"),
        "Amazon EC2" | "DigitalOcean" | "Hetzner" | "Linode" => signs.guest("kvm"),
        _ => {}
    }
    match vendor.as_str() {
        "QEMU" | "Amazon EC2" | "DigitalOcean" | "Google" | "Scaleway" | "Nutanix" => signs.guest("kvm"),
        "KubeVirt" => signs.guest("KubeVirt"),
        "Microsoft Corporation" => signs.guest("VirtualPC"),
        "Parallels Software International Inc." => signs.guest("parallels"),
        "OpenStack Foundation" => signs.guest("openstack"),
        _ => {}
    }
}

fn processor(signs: &mut Signs) {
    let content = text("/proc/cpuinfo").unwrap_or_default();
    let says = |key: &str, word: &str| content.lines().any(|line| line.starts_with(key) && line.contains(word));
    if says("model name", "QEMU Virtual CPU") || says("machine", "CHRP IBM pSeries (emulated by qemu)") {
        signs.guest("kvm");
    }
    if says("vendor_id", "User Mode Linux") || says("model name", "UML") {
        signs.guest("uml");
    }
    if says("vendor_id", "PowerVM Lx86") {
        signs.guest("powervm_lx86");
    }
}

fn modules(signs: &mut Signs) {
    let loaded = text("/proc/modules").unwrap_or_default();
    let has = |name: &str| loaded.lines().any(|line| line.split(' ').next() == Some(name));
    if has("kvm") {
        signs.host("kvm");
    }
    if has("vboxdrv") {
        signs.host("virtualbox");
    }
    if has("virtio") {
        // Ansible counts it among the hosts' technologies, and as a guest's type.
        add(&mut signs.host, "kvm");
        signs.first.get_or_insert(("kvm".to_owned(), "guest"));
    }
    if exists("/dev/kvm") {
        signs.host("kvm");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_is_seen_in_cgroup_paths() {
        assert!(in_docker("1:name=systemd:/docker/0123abcd"));
        assert!(in_docker("0::/system.slice/docker-0123abcd.scope"));
        assert!(!in_docker("0::/system.slice/docker.service"));
    }

    #[test]
    fn the_first_sign_decides_and_all_are_listed() {
        let mut signs = Signs::default();
        signs.guest("docker");
        signs.host("kvm");
        assert_eq!(signs.first, Some(("docker".to_owned(), "guest")));
        assert_eq!((signs.guest, signs.host), (vec!["docker".to_owned()], vec!["kvm".to_owned()]));
    }
}

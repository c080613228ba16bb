//! `ansible_system_capabilities`: this process's capabilities in the words of `capsh --print`.

use super::text;
use crate::map;
use crate::program::{Map, Value};

/// linux/capability.h, by number.
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

const EFFECTIVE: usize = 1;
const PERMITTED: usize = 2;
const INHERITABLE: usize = 4;

pub(super) fn capabilities() -> Map {
    let Some(status) = text("/proc/self/status") else {
        return map! { "system_capabilities_enforced" => "N/A", "system_capabilities" => "N/A" };
    };
    let mask = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
    };
    let last = text("/proc/sys/kernel/cap_last_cap").and_then(|number| number.parse().ok()).unwrap_or(NAMES.len() - 1);
    let current = words(mask("CapEff:"), mask("CapPrm:"), mask("CapInh:"), last);
    if current == "=ep" {
        return map! { "system_capabilities_enforced" => "False", "system_capabilities" => Value::list(Vec::new()) };
    }
    // Ansible takes what stands between the first two equal signs.
    let between = current.split('=').nth(1).unwrap_or_default();
    let list: Vec<&str> = between.split(',').map(str::trim).collect();
    map! { "system_capabilities_enforced" => "True", "system_capabilities" => list }
}

/// libcap's cap_to_text(3), since 2.44: the state that most have, then who differs from it.
fn words(effective: u64, permitted: u64, inheritable: u64, last: usize) -> String {
    let state = |number: usize| {
        let bit = |mask: u64, flag: usize| if mask >> number & 1 == 1 { flag } else { 0 };
        bit(effective, EFFECTIVE) | bit(permitted, PERMITTED) | bit(inheritable, INHERITABLE)
    };
    let mut count = [0usize; 8];
    (0..=last).for_each(|number| count[state(number)] += 1);
    let most = (0..7).rev().fold(7, |most, flags| if count[flags] >= count[most] { flags } else { most });
    let letters = |flags: usize| {
        [(EFFECTIVE, 'e'), (INHERITABLE, 'i'), (PERMITTED, 'p')]
            .iter()
            .filter(|(flag, _)| flags & flag != 0)
            .map(|(_, letter)| *letter)
            .collect::<String>()
    };
    let mut text = format!("={}", letters(most));
    for flags in (0..8).rev().filter(|flags| *flags != most && count[*flags] > 0) {
        let names: Vec<String> = (0..=last)
            .filter(|number| state(*number) == flags)
            .map(|number| NAMES.get(number).map_or(number.to_string(), ToString::to_string))
            .collect();
        let (raised, lowered) = (letters(flags & !most), letters(most & !flags));
        if text == "=" {
            // All lowered but these: said without the empty base.
            text = format!("{}={raised}", names.join(","));
            continue;
        }
        text = format!("{text} {}", names.join(","));
        if !raised.is_empty() {
            text = format!("{text}+{raised}");
        }
        if !lowered.is_empty() {
            text = format!("{text}-{lowered}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_capsh() {
        let all = (1u64 << 41) - 1;
        assert_eq!(words(all, all, 0, 40), "=ep");
        assert_eq!(words(all & !(1 << 24), all & !(1 << 24), 0, 40), "=ep cap_sys_resource-ep");
        assert_eq!(words(0b11, 0b11, 0, 40), "cap_chown,cap_dac_override=ep");
        assert_eq!(words(0, 0, 0, 40), "=");
    }
}

//! Facts of the kernel, the user, the environment and small files.

use std::os::unix::fs::MetadataExt;

use super::{exists, text};
use crate::map;
use crate::program::{Key, Map, Value};

pub(super) fn platform() -> Map {
    let uname = nix::sys::utsname::uname().ok();
    let part = |pick: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map(|uname| pick(uname).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let nodename = part(nix::sys::utsname::UtsName::nodename);
    let machine = part(nix::sys::utsname::UtsName::machine);
    let fqdn = crate::system::names::full_name(&nodename, &text("/etc/hosts").unwrap_or_default());
    let bits = usize::BITS.to_string();
    let mut facts = map! {
        "system" => part(nix::sys::utsname::UtsName::sysname),
        "kernel" => part(nix::sys::utsname::UtsName::release),
        "kernel_version" => part(nix::sys::utsname::UtsName::version),
        "machine" => machine.as_str(),
        "fqdn" => fqdn.as_str(),
        "hostname" => nodename.split('.').next().unwrap_or_default(),
        "nodename" => nodename.as_str(),
        "domain" => fqdn.split_once('.').map_or("", |(_, domain)| domain),
        "userspace_bits" => bits.as_str(),
    };
    let intel = matches!(machine.as_bytes(), [b'i', b'3'..=b'6', b'8', b'6']);
    if machine == "x86_64" || intel {
        facts.insert("architecture".into(), if intel { "i386" } else { "x86_64" }.into());
        facts.insert("userspace_architecture".into(), if bits == "64" { "x86_64" } else { "i386" }.into());
    } else {
        facts.insert("architecture".into(), machine.into());
    }
    if let Some(id) = text("/var/lib/dbus/machine-id").or_else(|| text("/etc/machine-id")) {
        facts.insert("machine_id".into(), id.lines().next().unwrap_or_default().into());
    }
    facts
}

pub(super) fn user() -> Map {
    let named = ["LOGNAME", "USER", "LNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    let account = named
        .as_deref()
        .and_then(|name| super::super::accounts::user(name).ok().flatten())
        .or_else(|| super::super::accounts::user(&uid.to_string()).ok().flatten());
    let mut facts = Map::new();
    if let Some(account) = account {
        facts.extend(map! {
            "user_id" => named.unwrap_or_else(|| account.name.clone()),
            "user_uid" => i64::from(account.uid),
            "user_gid" => i64::from(account.gid),
            "user_gecos" => account.gecos,
            "user_dir" => account.home.to_string_lossy().into_owned(),
            "user_shell" => account.shell.to_string_lossy().into_owned(),
        });
    }
    facts.extend(map! {
        "real_user_id" => i64::from(uid.as_raw()),
        "effective_user_id" => i64::from(nix::unistd::geteuid().as_raw()),
        "real_group_id" => i64::from(gid.as_raw()),
        // Ansible gives the real one here too.
        "effective_group_id" => i64::from(gid.as_raw()),
    });
    facts
}

pub(super) fn environment() -> Map {
    let variables: Map = std::env::vars_os()
        .map(|(name, value)| (Key::from(name.to_string_lossy().into_owned()), value.to_string_lossy().into_owned().into()))
        .collect();
    map! { "env" => variables }
}

/// SELinux by its own file system. No Python binding is needed here, so none is missing.
pub(super) fn selinux() -> Map {
    let state = |mode: &str| match mode {
        "1" | "enforcing" => "enforcing",
        "0" | "permissive" => "permissive",
        "-1" | "disabled" => "disabled",
        _ => "unknown",
    };
    let Some(enforce) = text("/sys/fs/selinux/enforce") else {
        return map! { "selinux_python_present" => true, "selinux" => map! { "status" => "disabled" } };
    };
    let config = text("/etc/selinux/config").unwrap_or_default();
    let setting =
        |name: &str| config.lines().find_map(|line| line.trim().strip_prefix(name)?.trim_start().strip_prefix('=')).map(str::trim);
    let version = text("/sys/fs/selinux/policyvers").and_then(|version| version.parse::<i64>().ok());
    map! {
        "selinux_python_present" => true,
        "selinux" => map! {
            "status" => "enabled",
            "policyvers" => version.map_or(Value::text("unknown"), Value::Int),
            "config_mode" => setting("SELINUX").map_or("unknown", state),
            "mode" => state(&enforce),
            "type" => setting("SELINUXTYPE").unwrap_or("unknown"),
        },
    }
}

pub(super) fn apparmor() -> Map {
    map! { "apparmor" => map! { "status" => if exists("/sys/kernel/security/apparmor") { "enabled" } else { "disabled" } } }
}

pub(super) fn fips() -> Map {
    map! { "fips" => text("/proc/sys/crypto/fips_enabled").as_deref() == Some("1") }
}

/// Whether `/` is the root of process 1.
pub(super) fn chroot() -> Map {
    let identity = |path: &str| std::fs::metadata(path).map(|metadata| (metadata.ino(), metadata.dev()));
    let named = std::env::var("debian_chroot").is_ok_and(|name| !name.is_empty());
    let is_chroot = named
        || match (identity("/"), identity("/proc/1/root/.")) {
            (Ok(mine), Ok(first)) => mine != first,
            // Not root: the root of a file system has a number of its own.
            (Ok((inode, _)), Err(_)) => {
                // statfs(2); nix has no name for XFS with musl, which the agent is built with.
                const XFS: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x5846_5342);
                let root_inode = match nix::sys::statfs::statfs("/").map(|stat| stat.filesystem_type()) {
                    Ok(nix::sys::statfs::BTRFS_SUPER_MAGIC) => 256,
                    Ok(XFS) => 128,
                    _ => 2,
                };
                inode != root_inode
            }
            _ => false,
        };
    map! { "is_chroot" => is_chroot }
}

pub(super) fn load_average() -> Map {
    let Some(line) = text("/proc/loadavg") else { return Map::new() };
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    let mut next = || numbers.next().unwrap_or(0.0);
    let (one, five, fifteen) = (next(), next(), next());
    map! { "loadavg" => map! { "1m" => one, "5m" => five, "15m" => fifteen } }
}

/// The kernel's command line: the last of a name, and all of a name.
pub(super) fn command_line() -> Map {
    let Some(line) = text("/proc/cmdline") else { return Map::new() };
    let (mut last, mut all) = (Map::new(), Map::new());
    let Some(words) = words(&line) else {
        return map! { "cmdline" => last, "proc_cmdline" => all };
    };
    for word in words {
        let Some((name, value)) = word.split_once('=') else {
            last.insert(word.as_str().into(), true.into());
            all.insert(word.as_str().into(), true.into());
            continue;
        };
        last.insert(name.into(), value.into());
        let value = match all.get(name) {
            Some(Value::List(values)) => values.iter().cloned().chain([Value::text(value)]).collect::<Vec<_>>().into(),
            Some(first) => vec![first.clone(), Value::text(value)].into(),
            None => Value::text(value),
        };
        all.insert(name.into(), value);
    }
    map! { "cmdline" => last, "proc_cmdline" => all }
}

/// Python's `shlex.split(posix=False)`: a quote that begins a word ends with its partner and both stay.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let end =
            if matches!(first, '"' | '\'') { rest[1..].find(first)? + 2 } else { rest.find(char::is_whitespace).unwrap_or(rest.len()) };
        words.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    Some(words)
}

/// The host keys' public halves, from the first folder that has any.
pub(super) fn ssh_host_keys() -> Map {
    for folder in ["/etc/ssh", "/etc/openssh", "/etc"] {
        let mut facts = Map::new();
        for algorithm in ["dsa", "rsa", "ecdsa", "ed25519"] {
            let Some(line) = text(format!("{folder}/ssh_host_{algorithm}_key.pub")) else { continue };
            let mut parts = line.split_whitespace();
            if let (Some(kind), Some(key)) = (parts.next(), parts.next()) {
                facts.insert(format!("ssh_host_key_{algorithm}_public").into(), key.into());
                facts.insert(format!("ssh_host_key_{algorithm}_public_keytype").into(), kind.into());
            }
        }
        if !facts.is_empty() {
            return facts;
        }
    }
    Map::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_only_words_that_begin_with_them() {
        assert_eq!(words("a=1 \"b c\" d=\"e f\"").expect("closed"), ["a=1", "\"b c\"", "d=\"e", "f\""]);
        assert_eq!(words("'never closed"), None);
    }
}

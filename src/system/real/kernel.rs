//! The running kernel: host name, parameters, modules, boot.

use std::path::{Path, PathBuf};

use crate::system::{Error, KernelModule, Result};

/// The nodename that uname(2) gives.
pub(super) fn hostname() -> Result<String> {
    let name = nix::unistd::gethostname().map_err(|errno| Error::failed(format!("read the host name: {errno}")))?;
    Ok(name.to_string_lossy().into_owned())
}

/// As /proc/sys shows it, trimmed; `None` where the kernel has no such parameter.
pub(super) fn sysctl(name: &str) -> Result<Option<String>> {
    text(&sysctl_path(name))
}

/// sysctl(8): whichever of `.` and `/` comes first separates, the other stands for a dot inside a name.
pub(in crate::system) fn sysctl_path(name: &str) -> PathBuf {
    let dotted = name.find(['.', '/']).is_some_and(|index| name.as_bytes()[index] == b'.');
    let relative: String = if dotted {
        name.chars()
            .map(|letter| match letter {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    } else {
        name.to_owned()
    };
    Path::new("/proc/sys").join(relative.trim_start_matches('/'))
}

pub(super) fn module(name: &str) -> Result<KernelModule> {
    let wanted = name.replace('-', "_");
    let loaded = text(Path::new("/proc/modules"))?.unwrap_or_default();
    if loaded.lines().any(|line| line.split(' ').next().is_some_and(|first| first == wanted)) {
        return Ok(KernelModule::Loaded);
    }
    let release = text(Path::new("/proc/sys/kernel/osrelease"))?.unwrap_or_default();
    let built_in = text(&Path::new("/lib/modules").join(release).join("modules.builtin"))?.unwrap_or_default();
    let named = |line: &str| {
        Path::new(line)
            .file_name()
            .and_then(|file| file.to_str())
            .and_then(|file| file.split(".ko").next())
            .is_some_and(|stem| stem.replace('-', "_") == wanted)
    };
    if built_in.lines().any(named) {
        return Ok(KernelModule::BuiltIn);
    }
    // A module built in without modules.builtin still has parameters here; a loaded one was found above.
    Ok(if Path::new("/sys/module").join(&wanted).join("parameters").exists() { KernelModule::BuiltIn } else { KernelModule::Absent })
}

pub(in crate::system) fn boot_id() -> Result<String> {
    text(Path::new("/proc/sys/kernel/random/boot_id"))?.ok_or_else(|| Error::failed("this kernel has no boot id"))
}

fn text(path: &Path) -> Result<Option<String>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(Error::io(format_args!("read {}", path.display()), &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes_name_the_same_parameter() {
        assert_eq!(sysctl_path("net.ipv4.ip_forward"), Path::new("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(sysctl_path("net/ipv4/ip_forward"), Path::new("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(sysctl_path("net.ipv4.conf.eth0/100.forwarding"), Path::new("/proc/sys/net/ipv4/conf/eth0.100/forwarding"));
        assert_eq!(sysctl_path("net/ipv4/conf/eth0.100/forwarding"), Path::new("/proc/sys/net/ipv4/conf/eth0.100/forwarding"));
    }

    #[test]
    fn this_kernel_is_read() {
        assert_eq!(sysctl("kernel.no_such_parameter").expect("reads"), None);
        assert_eq!(sysctl("kernel.ostype").expect("reads").as_deref(), Some("Linux"));
        assert!(!hostname().expect("reads").is_empty());
        assert_eq!(boot_id().expect("reads").len(), 36);
        assert_eq!(module("no-such-module").expect("reads"), KernelModule::Absent);
    }
}

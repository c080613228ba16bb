//! Base root file systems: what makes one, its identity, and building it once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::environment::{IMAGE_FOLDER, short_hash};
use super::error::{Error, Kind};
use super::host::{self, Record};
use super::node::Config;
use super::process::{last_lines, run};
use super::state::remove_tree;

/// What makes a base root file system. Two equal definitions share one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub name: String,
    /// Debian's code name.
    pub suite: String,
    /// Beyond what Debian marks essential, and apt.
    pub packages: Vec<String>,
    /// A Debian mirror; none is mmdebstrap's own choice, with updates and security.
    pub mirror: Option<String>,
}

impl Image {
    pub const NAMES: [&str; 1] = ["debian-12"];
    pub const DEFAULT: &str = "debian-12";

    /// The image of that name in a machines file.
    pub fn named(name: &str) -> Option<Self> {
        (name == "debian-12").then(|| Self {
            name: name.to_owned(),
            suite: "bookworm".to_owned(),
            packages: DEBIAN_12.iter().map(ToString::to_string).collect(),
            mirror: None,
        })
    }

    /// The same image with more packages in it: an image of its own.
    #[must_use]
    pub fn with_packages(mut self, packages: &[&str]) -> Self {
        self.packages.extend(packages.iter().map(ToString::to_string));
        self
    }

    /// `debian-12-0123456789ab`: the name and a hash of all that makes it.
    pub fn id(&self) -> String {
        let mut packages = self.packages.clone();
        packages.sort();
        packages.dedup();
        let made_of =
            [&self.suite, self.mirror.as_deref().unwrap_or_default(), &packages.join(","), CUSTOMIZE, std::env::consts::ARCH].join("\n");
        format!("{}-{}", self.name, short_hash(&made_of, 12))
    }

    /// Where it lies once built; root's, read-only by agreement.
    pub fn folder(&self) -> PathBuf {
        Path::new(IMAGE_FOLDER).join(self.id())
    }

    pub fn is_built(&self) -> bool {
        self.folder().is_dir()
    }

    /// Build it unless it is there. Needs root; 20–100 s. A second builder waits for the first.
    pub fn build(&self) -> Result<(), Error> {
        if self.is_built() {
            return Ok(());
        }
        self.build_new().map_err(|error| {
            let wrapped = Error::new(Kind::Image, format!("building the base image {}", self.name));
            Error { causes: error.chain().map(ToString::to_string).collect(), ..wrapped }
                .hint("see whether `apt-get update` works on this machine, then run `provision up` again")
        })
    }

    fn build_new(&self) -> Result<()> {
        let folder = Path::new(IMAGE_FOLDER);
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let lock = folder.join(".lock").to_string_lossy().into_owned();
        let unfinished = folder.join(format!(".building-{}", self.id())).to_string_lossy().into_owned();
        let finished = self.folder().to_string_lossy().into_owned();
        let include = format!("--include={}", self.packages.join(","));
        let customize = format!("--customize-hook={CUSTOMIZE}");
        let mut words: Vec<&str> = vec!["--mount", "flock", &lock, "sh", "-c", BUILD, "sh", &unfinished, &finished];
        words.extend(["--mode=root", "--variant=minbase", "--quiet", &include, &customize, &self.suite, &unfinished]);
        words.extend(self.mirror.as_deref());
        run("unshare", &words).map(drop).map_err(|error| {
            // The command line holds the whole script: what it said is enough.
            let text = error.to_string();
            let said = text.rsplit_once(BUILD_ENDED).map_or(text.as_str(), |(_, said)| said);
            anyhow::anyhow!("mmdebstrap: {}", last_lines(said, 6))
        })
    }
}

/// Build beside, then name. The lock is the commands' own, and nothing of them ends with whoever asked: when that one is
/// killed, the next one waits for them and finds their work done. What mmdebstrap mounts is seen by nobody else.
const BUILD: &str = r#"set -eu
unfinished=$1 finished=$2
shift 2
if [ -d "$finished" ]; then exit 0; fi
rm -rf --one-file-system "$unfinished"
if mmdebstrap "$@" > "$unfinished.log" 2>&1; then
  mv "$unfinished" "$finished"
  rm "$unfinished.log"
else
  code=$?
  tail -n 8 "$unfinished.log" >&2
  rm -rf --one-file-system "$unfinished" "$unfinished.log"
  exit $code
fi
"#;

/// How [`run`] goes on after the command line of a failed command.
const BUILD_ENDED: &str = "ended with";

/// Remove the base root file systems that no node lies on, of any environment; their ids. Needs root.
pub fn clean() -> Result<Vec<String>> {
    let used: Vec<String> = Record::all()
        .iter()
        .map(|record| record.environment.names())
        .flat_map(|names| host::nodes(&names).into_iter().map(move |node| Config::read(&names, &node)))
        .filter_map(|config| Some(config?.image))
        .collect();
    let folder = Path::new(IMAGE_FOLDER);
    let mut removed = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        if !id.starts_with('.') && !used.contains(&id) {
            remove_tree(&entry.path())?;
            removed.push(id);
        }
    }
    if used.is_empty() {
        _ = fs::remove_file(folder.join(".lock"));
    }
    // Each only when it is empty.
    _ = fs::remove_dir(folder);
    _ = folder.parent().map(fs::remove_dir);
    Ok(removed)
}

/// A node that can be a Kubernetes node: `reference/nodes-and-sources.md` section 1. No Python.
const DEBIAN_12: [&str; 16] = [
    "systemd-sysv",
    "dbus",
    "openssh-server",
    "iproute2",
    "iptables",
    "nftables",
    "conntrack",
    "ethtool",
    "socat",
    "kmod",
    "procps",
    "ca-certificates",
    "curl",
    "sudo",
    "ebtables",
    "runc",
];

/// What the base gets after its packages; `$1` is its root. Everything here is so that a node boots in well under a
/// second, ends as fast, and neither logs errors nor changes the workstation's kernel:
/// - units for hardware and consoles that a container has not, and apt's and the disk's timers, are masked, and no target asks for them:
///   systemd loads also what is masked;
/// - the target is a server's, and none waits for encrypted or verified disks;
/// - generators for disks and consoles too; and nothing is brought up to date that was just built (`.updated`);
/// - logind and the message bus start when asked for (`shutdown -r +0` asks), not at boot;
/// - devices are nspawn's, modules the workstation's and the journal is in memory: what would bring them is masked;
/// - users may log in as soon as sshd is there: no `/run/nologin` is made that a later unit takes away;
/// - nobody hands credentials to a node's first services: making the empty folders for them is a tenth of the boot's work;
/// - fstab and the scripts of /etc/init.d are looked at before systemd's generators are, which cost a program's start and more;
/// - kernel settings are applied where there are any: `/etc/sysctl.conf` is empty, and counts as soon as it is not;
/// - the journal's filters of system calls are not made: whoever takes it over has a node's root either way;
/// - sshd reads its configuration once, not twice: with a mistake in it it does not start either way;
/// - Debian's own sysctl files would set the workstation's kernel.* and fs.*; a node's own files in /etc still count;
/// - the journal leaves the workstation's kernel log alone, and begins with a file of 4 MiB, not of 8: it is memory that is zeroed;
/// - a stop waits 5 s, not 90, for what ignores SIGTERM (containers that outlive containerd).
const CUSTOMIZE: &str = r#"set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root"/usr/lib/sysctl.d/*.conf "$root"/var/lib/dbus/machine-id "$root"/etc/hostname "$root"/etc/resolv.conf
rm -f "$root"/usr/lib/systemd/system/multi-user.target.wants/systemd-logind.service "$root"/usr/lib/systemd/system/multi-user.target.wants/dbus.service
for unit in \
  systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
  dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
  sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount systemd-binfmt.service \
  systemd-firstboot.service systemd-machine-id-commit.service systemd-pstore.service systemd-repart.service \
  systemd-random-seed.service systemd-remount-fs.service kmod-static-nodes.service systemd-modules-load.service \
  systemd-journal-flush.service systemd-tmpfiles-setup-dev.service systemd-user-sessions.service \
  systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-journald-audit.socket \
  systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-network-generator.service \
  systemd-ask-password-console.path systemd-ask-password-wall.path systemd-initctl.socket \
  getty.target getty@.service getty-static.service console-getty.service container-getty@.service \
  apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer
do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
    rm -f "$root"/usr/lib/systemd/system/*.wants/"$unit" "$root"/etc/systemd/system/*.wants/"$unit"
done
rm -f "$root"/usr/lib/systemd/system/sysinit.target.wants/cryptsetup.target \
  "$root"/usr/lib/systemd/system/sysinit.target.wants/integritysetup.target "$root"/usr/lib/systemd/system/sysinit.target.wants/veritysetup.target
ln -sf /lib/systemd/system/multi-user.target "$root"/etc/systemd/system/default.target
mkdir -p "$root"/etc/systemd/system-generators
for generator in cryptsetup debug fstab getty gpt-auto hibernate-resume integritysetup rc-local run system-update veritysetup
do ln -sf /dev/null "$root/etc/systemd/system-generators/systemd-$generator-generator"; done
cat > "$root"/etc/systemd/system-generators/systemd-sysv-generator <<'END'
#!/bin/sh
# Only a line of fstab and a script without a unit are work for systemd's generators.
if [ -s /etc/fstab ]; then
    /lib/systemd/system-generators/systemd-fstab-generator "$@"
fi
for script in /etc/init.d/*; do
    name=${script##*/}
    unit=${name%.sh}.service
    if [ -x "$script" ] && ! [ -e /lib/systemd/system/"$unit" ] && ! [ -e /etc/systemd/system/"$unit" ]; then
        exec /lib/systemd/system-generators/systemd-sysv-generator "$@"
    fi
done
END
chmod 755 "$root"/etc/systemd/system-generators/systemd-sysv-generator
for unit in sysctl tmpfiles-setup; do
    mkdir -p "$root/etc/systemd/system/systemd-$unit.service.d"
    printf '[Service]\nLoadCredential=\n' > "$root/etc/systemd/system/systemd-$unit.service.d/10-provision.conf"
done
cat >> "$root"/etc/systemd/system/systemd-sysctl.service.d/10-provision.conf <<'END'
[Unit]
ConditionFileNotEmpty=|/etc/sysctl.conf
ConditionPathExistsGlob=|/etc/sysctl.d/*.conf
ConditionPathExistsGlob=|/run/sysctl.d/*.conf
ConditionPathExistsGlob=|/usr/lib/sysctl.d/*.conf
END
: > "$root"/etc/sysctl.conf
mkdir -p "$root"/usr/local/lib/sysctl.d "$root"/etc/systemd/system/systemd-journald.service.d
rm -f "$root"/etc/sysctl.d/99-sysctl.conf
ln -s /etc/sysctl.conf "$root"/usr/local/lib/sysctl.d/99-sysctl.conf
cat > "$root"/etc/systemd/system/systemd-journald.service.d/10-provision.conf <<'END'
[Service]
SystemCallFilter=
SystemCallArchitectures=
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
RestrictSUIDSGID=no
MemoryDenyWriteExecute=no
LockPersonality=no
END
mkdir -p "$root"/etc/systemd/journald.conf.d "$root"/etc/systemd/system.conf.d "$root"/etc/ssh/sshd_config.d "$root"/etc/systemd/system/ssh.service.d "$root"/etc/tmpfiles.d
ln -sf /dev/null "$root"/etc/tmpfiles.d/systemd-nologin.conf
printf '[Service]\nExecStartPre=\n' > "$root"/etc/systemd/system/ssh.service.d/10-provision.conf
printf '[Journal]\nReadKMsg=no\nStorage=volatile\nRuntimeMaxFileSize=4M\n' > "$root"/etc/systemd/journald.conf.d/10-provision.conf
printf '[Manager]\nDefaultTimeoutStopSec=5s\n' > "$root"/etc/systemd/system.conf.d/10-provision.conf
printf 'HostKey /etc/ssh/ssh_host_ed25519_key\nPermitRootLogin prohibit-password\n' > "$root"/etc/ssh/sshd_config.d/10-provision.conf
: > "$root"/etc/machine-id
: > "$root"/etc/fstab
: > "$root"/etc/default/locale
chroot "$root" systemctl enable --quiet ssh.service
touch "$root"/etc/.updated "$root"/var/.updated
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_all_that_makes_it() {
        let plain = Image::named("debian-12").unwrap();
        let python = plain.clone().with_packages(&["python3"]);
        assert_ne!(plain.id(), python.id());
        let mut turned = python.clone();
        turned.packages.reverse();
        assert_eq!(turned.id(), python.id());
        assert!(plain.id().starts_with("debian-12-"));
    }
}

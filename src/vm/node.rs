//! One container node on this machine: its disk, its record, how it starts and how nothing of it stays. Needs root.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::OFlag;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;
use serde::{Deserialize, Serialize};

use super::address::Network;
use super::cgroup::{Group, HierarchyKind, Limits, is_unified};
use super::environment::Names;
use super::host::{hardware_address, link_exists};
use super::keys;
use super::machines::NodeName;
use super::process::{Fork, Process, boot_id, run, wait_until};
use super::state::{self, Owner, remove_tree};

/// What a node is made with: `node.json` in its folder, written when the disk is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    pub names: Names,
    pub name: NodeName,
    pub address: Ipv4Addr,
    pub network: Network,
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// [`super::Image::id`].
    pub image: String,
    /// The base root file system.
    pub image_folder: PathBuf,
    /// The host's public key, one OpenSSH line; empty until the disk is made.
    pub host_key: String,
    /// In the user's folder.
    pub log: PathBuf,
    pub owner: Owner,
}

/// What runs: `running.json`, written by the node's supervisor. Check every part of it before believing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub boot_id: String,
    pub supervisor: Process,
    /// systemd of the node.
    pub init: Option<Process>,
    /// systemd-nspawn; the node outlives it if it is killed.
    pub nspawn: Option<Process>,
    /// Starts by this supervisor, the first included.
    pub starts: u32,
    /// Seconds since 1970 of the last start.
    pub started: u64,
    pub limits: Limits,
    /// Why the supervisor gave up.
    pub failure: Option<String>,
}

impl Config {
    pub fn read(names: &Names, node: &NodeName) -> Option<Self> {
        state::read(&names.node_folder(node).join("node.json"))
    }

    pub fn folder(&self) -> PathBuf {
        self.names.node_folder(&self.name)
    }

    pub fn path(&self) -> PathBuf {
        self.folder().join("node.json")
    }

    pub fn write(&self) -> Result<()> {
        state::write(&self.path(), self)
    }

    /// Held by the node's supervisor as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.folder().join("lock")
    }

    pub fn group(&self) -> Result<Group> {
        Group::named(&self.names.cgroup(&self.name))
    }

    fn disk(&self) -> PathBuf {
        self.folder().join("disk")
    }

    /// The record of the supervisor, if it is of this boot of the machine.
    pub fn running(&self) -> Option<Running> {
        let running: Running = state::read(&self.folder().join("running.json"))?;
        (running.boot_id == boot_id()).then_some(running)
    }

    pub fn write_running(&self, running: &Running) -> Result<()> {
        state::write(&self.folder().join("running.json"), running)
    }

    /// The node's systemd, if it lives.
    pub fn init(&self) -> Option<Process> {
        self.running()?.init.filter(Process::alive)
    }

    /// The node's supervisor, if it lives.
    pub fn supervisor(&self) -> Option<Process> {
        self.supervised().then(|| state::Lock::holder(&self.lock()))?
    }

    pub fn supervised(&self) -> bool {
        state::Lock::is_held(&self.lock())
    }
}

/// Folders of a node that lie beside its overlay, on the workstation's file system: containerd's own overlays and
/// etcd's syncs want a real one below them.
const DATA: [&str; 3] = ["containerd", "kubelet", "etcd"];

/// Make a node's disk: what differs from the base root file system. Returns the config with the host key filled in.
pub fn make(mut config: Config, hosts: &str, authorized_key: &str) -> Result<Config> {
    let folder = config.folder();
    remove_tree(&folder)?;
    let disk = config.disk();
    for part in ["upper/etc/ssh", "upper/root/.ssh", "work", "root", "cgroup"] {
        fs::create_dir_all(disk.join(part)).with_context(|| format!("making the disk of {}", config.name))?;
    }
    for part in DATA {
        fs::create_dir_all(disk.join("data").join(part)).with_context(|| format!("making the disk of {}", config.name))?;
    }
    let upper = disk.join("upper");
    // What lies in a disk is for root alone; its own root is as any root.
    for (path, mode) in [(disk.as_path(), 0o700), (&upper, 0o755), (&upper.join("root"), 0o700), (&upper.join("root/.ssh"), 0o700)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let host_key = keys::generate(&format!("root@{}", config.name))?;
    let random = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    let etc = upper.join("etc");
    keys::write(&etc.join("ssh/ssh_host_ed25519_key"), 0o600, &host_key.private)?;
    keys::write(&etc.join("ssh/ssh_host_ed25519_key.pub"), 0o644, &format!("{}\n", host_key.public))?;
    keys::write(&etc.join("machine-id"), 0o444, &format!("{}\n", random.trim().replace('-', "")))?;
    keys::write(&etc.join("hostname"), 0o644, &format!("{}\n", config.name))?;
    keys::write(&etc.join("hosts"), 0o644, &with_block("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n", hosts))?;
    keys::write(&etc.join("resolv.conf"), 0o644, &resolv_conf())?;
    keys::write(&upper.join("root/.ssh/authorized_keys"), 0o600, &format!("{authorized_key}\n"))?;
    config.host_key = host_key.public;
    config.write()?;
    Ok(config)
}

/// Bring what all nodes know of each other up to date on a node that exists; other lines of these files stay.
pub fn refresh(config: &Config, hosts: &str, authorized_key: &str) -> Result<()> {
    let root = match config.init() {
        Some(init) => PathBuf::from(format!("/proc/{}/root", init.pid)),
        None => config.disk().join("upper"),
    };
    let path = root.join("etc/hosts");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let after = with_block(&before, hosts);
    if before != after {
        keys::write(&path, 0o644, &after)?;
    }
    let path = root.join("root/.ssh/authorized_keys");
    let before = fs::read_to_string(&path).unwrap_or_default();
    if !before.lines().any(|line| line == authorized_key) {
        keys::write(&path, 0o600, &format!("{before}{authorized_key}\n"))?;
    }
    Ok(())
}

const BLOCK_BEGIN: &str = "# machines of this environment, kept by provision";
const BLOCK_END: &str = "# end of machines";

/// A hosts file with our block in it, once.
fn with_block(text: &str, hosts: &str) -> String {
    let block = format!("{BLOCK_BEGIN}\n{hosts}{BLOCK_END}\n");
    match (text.find(BLOCK_BEGIN), text.find(BLOCK_END)) {
        (Some(begin), Some(end)) if begin < end => {
            let rest = text[end + BLOCK_END.len()..].strip_prefix('\n').unwrap_or_default();
            format!("{}{block}{rest}", &text[..begin])
        }
        _ => format!("{text}{block}"),
    }
}

/// The workstation's name servers; a resolver that listens on the loopback is of no use in a node.
fn resolv_conf() -> String {
    let servers = |path: &str| -> Vec<String> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .filter(|line| !line.contains(" 127.") && !line.contains(" ::1") && !line.starts_with(['#', ';']))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let lines = servers("/etc/resolv.conf");
    let has_server = lines.iter().any(|line| line.starts_with("nameserver"));
    if has_server { lines.concat() } else { servers("/run/systemd/resolve/resolv.conf").concat() }
}

/// Start a node: its group, a fresh network namespace with its link, its mounts, its systemd.
/// Returns the running systemd-nspawn and the node's init. Only for a process of one thread.
pub fn start(config: &Config) -> Result<(Fork, Process, Limits)> {
    clear(config)?;
    let limits = config.group()?.create(config.cpus, config.memory)?;
    let pipe = || pipe2(OFlag::O_CLOEXEC).context("making a pipe").map(|(read, write)| (File::from(read), File::from(write)));
    let (hear, mut tell_back) = pipe()?;
    let (mut wait_for, tell) = pipe()?;
    let Some(mut child) = Fork::new()? else {
        // The supervisor's ends are to be its own: with it they close.
        drop((hear, tell));
        Fork::become_child(|| launch(config, &mut tell_back, &mut wait_for).map(drop))
    };
    drop((tell_back, wait_for));
    match hand_over(config, &mut child, hear, tell) {
        Ok(init) => Ok((child, init, limits)),
        Err(error) => {
            child.kill();
            _ = child.wait();
            Err(error)
        }
    }
}

fn hand_over(config: &Config, child: &mut Fork, hear: File, mut tell: File) -> Result<Process> {
    let pid = child.id();
    let mut said = String::new();
    BufReader::new(hear).read_line(&mut said)?;
    if said != "ready\n" {
        bail!("the launcher ended before its network namespace was there");
    }
    let (link, bridge) = (config.names.link(&config.name), config.names.bridge());
    let hardware = hardware_address(&config.names.machine(&config.name));
    super::link::connect(&link, &bridge, hardware, pid.cast_unsigned()).with_context(|| format!("linking {link} to bridge {bridge}"))?;
    tell.write_all(b"go\n").context("telling the launcher to go on")?;
    let mut init = None;
    let mut ended = None;
    let seen = wait_until(Duration::from_secs(20), Duration::from_millis(4), || {
        init = init_below(pid);
        ended = child.try_wait().ok().flatten();
        init.is_some() || ended.is_some()
    });
    match (init, ended) {
        (Some(init), _) => Ok(init),
        (None, Some(status)) => {
            bail!("systemd-nspawn ended with {status} before the node's systemd ran")
        }
        (None, None) => bail!("the node's systemd did not start{}", if seen { "" } else { " within 20 s" }),
    }
}

/// The child of systemd-nspawn that is process 1 of a namespace of its own.
fn init_below(nspawn: i32) -> Option<Process> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok();
    let candidates: Vec<i32> = match children {
        Some(text) => text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        None => super::process::all()
            .into_iter()
            .filter(|pid| super::process::Stat::of(*pid).is_some_and(|stat| stat.parent == nspawn))
            .collect(),
    };
    candidates.into_iter().find(|pid| is_init(*pid)).and_then(Process::of)
}

fn is_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers: Vec<&str> = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default().split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}

/// The launcher: become the node's systemd-nspawn, in namespaces of its own. Returns only to tell why it could not.
fn launch(config: &Config, tell: &mut File, wait_for: &mut File) -> Result<std::convert::Infallible> {
    let group = config.group()?;
    let unified = is_unified(&group.hierarchies().cloned().collect::<Vec<_>>());
    group.join()?;
    let mut flags = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET;
    flags.set(CloneFlags::CLONE_NEWCGROUP, !unified);
    unshare(flags).context("making the node's namespaces")?;
    // What the workstation unmounts goes here too; what we mount stays here.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>).context("separating the node's mounts")?;
    tell.write_all(b"ready\n")?;
    let mut said = String::new();
    BufReader::new(wait_for).read_line(&mut said)?;
    if said != "go\n" {
        bail!("the supervisor of {} is gone", config.name);
    }
    super::link::configure(config.address, config.network).context("setting the node's address")?;
    let disk = config.disk();
    let root = disk.join("root");
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        config.image_folder.display(),
        disk.join("upper").display(),
        disk.join("work").display()
    );
    mount(Some("provision"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str())).context("mounting the node's disk")?;
    let mut words = nspawn_words(config, &root, &disk);
    if !unified {
        mount_cgroups(&group, &disk.join("cgroup"))?;
        words.push(format!("--bind={}:/sys/fs/cgroup", disk.join("cgroup").display()));
    }
    let error = Command::new("systemd-nspawn")
        .args(&words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        // /proc/sys and /sys of the node are writable, as on a machine: kubelet and CNI set their sysctls.
        .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "1")
        // A filter that lets every known call pass protects nothing, and making it is a third of the boot's work.
        .env("SYSTEMD_SECCOMP", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::io::stderr()))
        .exec();
    Err(error).context("starting systemd-nspawn")
}

fn nspawn_words(config: &Config, root: &Path, disk: &Path) -> Vec<String> {
    let mut words: Vec<String> = ["--quiet", "--register=no", "--keep-unit", "--boot"].map(str::to_owned).into();
    words.push(format!("--directory={}", root.display()));
    words.push(format!("--machine={}", config.names.machine(&config.name)));
    words.push(format!("--hostname={}", config.name));
    // All that a machine of its own could do but set the clock, which is this machine's.
    words.push("--drop-capability=CAP_SYS_TIME".to_owned());
    // The one we are in already; named so that nspawn knows the network is the node's own.
    words.push("--network-namespace-path=/proc/self/ns/net".to_owned());
    words.extend(
        ["--capability=all", "--system-call-filter=@known", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"]
            .map(str::to_owned),
    );
    // What SIGTERM to nspawn sends to systemd: power off in order.
    words.push("--kill-signal=SIGRTMIN+4".to_owned());
    for device in ["/dev/kmsg", "/dev/fuse", "/dev/net/tun"] {
        if Path::new(device).exists() {
            words.push(format!("--bind={device}"));
        }
    }
    if Path::new("/lib/modules").is_dir() {
        words.push("--bind-ro=/lib/modules".to_owned());
    }
    words.extend(DATA.map(|part| format!("--bind={}:/var/lib/{part}", disk.join("data").join(part).display())));
    words
}

/// Version 1: mount each hierarchy anew, so that its root is the node's own group: once over the workstation's own for
/// systemd-nspawn to work with, once for the node (but systemd's own hierarchy, which nspawn mounts there itself).
fn mount_cgroups(group: &Group, for_node: &Path) -> Result<()> {
    let base = Path::new("/sys/fs/cgroup");
    let one: Vec<(String, String)> = group
        .hierarchies()
        .filter_map(|hierarchy| match &hierarchy.kind {
            HierarchyKind::One { options } => Some((hierarchy.mounted_at.file_name()?.to_string_lossy().into_owned(), options.clone())),
            HierarchyKind::Two => None,
        })
        .collect();
    for tree in [base, for_node] {
        mount(Some("cgroup"), tree, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, Some("mode=755"))
            .with_context(|| format!("mounting {}", tree.display()))?;
        for (name, options) in &one {
            if tree == for_node && options.contains("name=systemd") {
                continue;
            }
            let at = tree.join(name);
            fs::create_dir(&at).with_context(|| format!("making {}", at.display()))?;
            mount(Some("cgroup"), &at, Some("cgroup"), MsFlags::empty(), Some(options.as_str()))
                .with_context(|| format!("mounting {} ({options})", at.display()))?;
            for controller in name.split(',').filter(|controller| controller != name) {
                symlink(name, tree.join(controller))?;
            }
        }
    }
    Ok(())
}

/// Shut a node down in order; killed when it is not down within `limit`.
pub fn shut_down(config: &Config, limit: Duration) -> Result<()> {
    if let Some(init) = config.init() {
        // SIGRTMIN+4, systemd(1): power off. `kill` takes real-time signals by number alone everywhere.
        _ = run("kill", &["-38", &init.pid.to_string()]);
        init.wait_gone(limit);
    }
    kill(config)
}

/// End every process of a node at once. Its init takes all others of its namespace with it.
pub fn kill(config: &Config) -> Result<()> {
    let group = config.group()?;
    group.thaw();
    if let Some(init) = config.init() {
        init.signal(Signal::SIGKILL);
    }
    let gone = wait_until(Duration::from_secs(10), Duration::from_millis(10), || {
        let left = group.processes();
        left.iter().filter_map(|pid| Process::of(*pid)).for_each(|process| process.signal(Signal::SIGKILL));
        left.is_empty()
    });
    anyhow::ensure!(gone, "ending node {}: processes {:?} do not die", config.name, group.processes());
    Ok(())
}

/// Remove what a start made and an end may leave: link, group, nspawn's folders. Kills what still runs; the disk stays.
pub fn clear(config: &Config) -> Result<()> {
    kill(config)?;
    let link = config.names.link(&config.name);
    if link_exists(&link) {
        // The kernel may be about to do the same.
        let removed = run("ip", &["link", "del", &link]);
        if link_exists(&link) {
            removed.with_context(|| format!("removing link {link}"))?;
        }
    }
    config.group()?.remove()?;
    let machine = config.names.machine(&config.name);
    for folder in ["propagate", "unix-export"] {
        let folder = Path::new("/run/systemd/nspawn").join(folder);
        // nspawn leaves it where /run is no tmpfs.
        remove_tree(&folder.join(&machine))?;
    }
    Ok(())
}

/// Remove a node with its disk.
pub fn destroy(config: &Config) -> Result<()> {
    if let Some(supervisor) = config.supervisor() {
        supervisor.signal(Signal::SIGINT);
        if !supervisor.wait_gone(Duration::from_secs(3)) {
            supervisor.signal(Signal::SIGKILL);
            supervisor.wait_gone(Duration::from_secs(5));
        }
    }
    clear(config)?;
    remove_tree(&config.folder())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_of_machines_is_replaced_and_other_lines_stay() {
        let first = with_block("127.0.0.1 localhost\n", "10.0.0.2 a\n");
        let edited = format!("{first}10.9.9.9 mine\n");
        let second = with_block(&edited, "10.0.0.2 a\n10.0.0.3 b\n");
        assert_eq!(second, format!("127.0.0.1 localhost\n{BLOCK_BEGIN}\n10.0.0.2 a\n10.0.0.3 b\n{BLOCK_END}\n10.9.9.9 mine\n"));
        assert_eq!(with_block(&second, "10.0.0.2 a\n10.0.0.3 b\n"), second);
    }
}

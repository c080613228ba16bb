//! Real systemd nodes for a test: booted in a second, gone when dropped.
//!
//! ```ignore
//! let Some(nodes) = TestNodes::boot(&["a", "b"]) else { return };   // needs root, says so
//! nodes.addresses["a"]; nodes.key; nodes.host_keys["a"];            // user root, port 22
//! nodes.ssh("a", "systemctl is-system-running");                    // stdout, or a panic with stderr
//! ```

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use provision::vm::host::Record;
use provision::vm::machines::{Declared, DeclaredMachine, Defaults, Memory};
use provision::vm::{Container, Environment, Kind, Machines, Node, NodeName, Nodes, Options, Provider};

/// Nodes of one test, on a network of their own within 10.213.0.0/16.
pub struct TestNodes {
    pub nodes: Vec<Node>,
    /// By name.
    pub addresses: BTreeMap<String, Ipv4Addr>,
    /// The private key of user `root`, OpenSSH format.
    pub key: PathBuf,
    /// By name: `ssh-ed25519 AAAA…`.
    pub host_keys: BTreeMap<String, String>,
    /// The folder of the environment; its name is `environment.name`.
    pub folder: PathBuf,
    pub environment: Environment,
    pub machines: Machines,
    pub provider: Container,
    packages: Vec<String>,
    _temporary: tempfile::TempDir,
    // Dropped last: the machine is as before by then.
    _turn: Turn,
}

impl TestNodes {
    /// Boot nodes of these names; none, with a word on stderr, where we are not root (in CI: a failure).
    pub fn boot(names: &[&str]) -> Option<Self> {
        Self::boot_with(names, &[])
    }

    /// The same with Python 3 in the base, for what is compared with Ansible.
    pub fn boot_with_python(names: &[&str]) -> Option<Self> {
        Self::boot_with(names, &["python3", "python3-apt"])
    }

    /// The same with any packages in the base; each set is built once, in about 20 s, and cached.
    pub fn boot_with(names: &[&str], packages: &[&str]) -> Option<Self> {
        if root_or_skip() { Some(Self::boot_in(Turn::shared(), names, packages)) } else { None }
    }

    /// Boot while no other test of this process has nodes.
    pub fn boot_alone(names: &[&str]) -> Option<Self> {
        if root_or_skip() { Some(Self::boot_in(Turn::alone(), names, &[])) } else { None }
    }

    fn boot_in(turn: Turn, names: &[&str], packages: &[&str]) -> Self {
        clear_dead_runs();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = tempfile::Builder::new().prefix("provision-test-").tempdir().expect("a temporary folder");
        let name = format!("t-{}-{count}", std::process::id());
        let environment = Environment::new(&name, temporary.path()).expect("the name of a test environment");
        // Another test process may take the same network: then the next one.
        let first = std::process::id().wrapping_mul(7).wrapping_add(count);
        for attempt in 0..200 {
            let third = u8::try_from((first + attempt) % 250 + 1).expect("it is below 251");
            let machines = machines(&[&format!("10.213.{third}.0/24")], &numbered(names, third));
            let provider = container(&environment, &machines, packages);
            match provider.ensure(&|_| {}) {
                Ok(nodes) => {
                    return Self {
                        addresses: nodes.iter().map(|node| (node.name.to_string(), node.address)).collect(),
                        host_keys: nodes.iter().map(|node| (node.name.to_string(), node.host_key.clone().unwrap_or_default())).collect(),
                        key: environment.key(),
                        folder: environment.folder.clone(),
                        packages: packages.iter().map(ToString::to_string).collect(),
                        nodes,
                        environment,
                        machines,
                        provider,
                        _temporary: temporary,
                        _turn: turn,
                    };
                }
                Err(error) if error.kind == Kind::Overlap => {}
                Err(error) => {
                    _ = provider.destroy(&Nodes::All);
                    panic!("booting test nodes: {error}");
                }
            }
        }
        panic!("no free network in 10.213.0.0/16")
    }

    /// A provider for the same environment with other machines, as after an edit of the file.
    pub fn provider_for(&self, machines: &Machines) -> Container {
        container(&self.environment, machines, &self.packages.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Run a command on a node by the `ssh` program, host key pinned.
    pub fn ssh_output(&self, node: &str, command: &str) -> Output {
        self.ssh_command(node, command).output().expect("running ssh")
    }

    /// The same, not yet run.
    pub fn ssh_command(&self, node: &str, command: &str) -> Command {
        let known = self.folder.join(format!("known-{node}"));
        std::fs::write(&known, format!("{} {}\n", self.addresses[node], self.host_keys[node])).expect("writing known hosts");
        let mut ssh = Command::new("ssh");
        ssh.args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known.display()))
            .arg("-i")
            .arg(&self.key)
            .arg(format!("root@{}", self.addresses[node]))
            .arg(command);
        ssh
    }

    /// Standard output of a command on a node; a panic with everything when it fails.
    pub fn ssh(&self, node: &str, command: &str) -> String {
        let output = self.ssh_output(node, command);
        assert!(
            output.status.success(),
            "`{command}` on {node}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for TestNodes {
    fn drop(&mut self) {
        if let Err(error) = self.provider.destroy(&Nodes::All) {
            say(&format!("test nodes of {} stay: {error}", self.environment.id()));
        }
    }
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// How many have the machine to share; -1 is one who has it alone.
static TURNS: Mutex<i32> = Mutex::new(0);
static TURN_OVER: Condvar = Condvar::new();

/// The right to have nodes on this machine, among the tests of this process.
pub struct Turn {
    alone: bool,
}

impl Turn {
    /// Beside others.
    pub fn shared() -> Self {
        let turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        *TURN_OVER.wait_while(turns, |turns| *turns < 0).unwrap_or_else(PoisonError::into_inner) += 1;
        Self { alone: false }
    }

    /// With no other test's nodes: for a test that compares the whole machine.
    pub fn alone() -> Self {
        let turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        *TURN_OVER.wait_while(turns, |turns| *turns != 0).unwrap_or_else(PoisonError::into_inner) = -1;
        Self { alone: true }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        *turns = if self.alone { 0 } else { *turns - 1 };
        TURN_OVER.notify_all();
    }
}

/// A container provider whose supervisor is the `provision` of this build.
pub fn container(environment: &Environment, machines: &Machines, packages: &[&str]) -> Container {
    let options = Options {
        program: Path::new(env!("CARGO_BIN_EXE_provision")).to_owned(),
        packages: packages.iter().map(ToString::to_string).collect(),
        ..Options::new().expect("the path of this program")
    };
    Container::new(environment.clone(), machines, options)
}

/// Machines by name and address, small ones.
pub fn machines(networks: &[&str], nodes: &[(String, Ipv4Addr)]) -> Machines {
    Machines::check(&declared(networks, nodes)).expect("test machines without mistakes")
}

/// The same as a file would declare them.
pub fn declared(networks: &[&str], nodes: &[(String, Ipv4Addr)]) -> Declared {
    let machine = |(name, address): &(String, Ipv4Addr)| DeclaredMachine {
        name: NodeName::try_from(name.as_str()).expect("the name of a test node"),
        count: None,
        address: Some(*address),
        own: Defaults { memory: Some(Memory(1 << 30)), ..Defaults::default() },
    };
    Declared {
        networks: networks.iter().map(|network| network.parse().expect("a test network")).collect(),
        defaults: Defaults::default(),
        machines: nodes.iter().map(machine).collect(),
    }
}

fn numbered(names: &[&str], third: u8) -> Vec<(String, Ipv4Addr)> {
    names.iter().zip(2..).map(|(name, last)| ((*name).to_owned(), Ipv4Addr::new(10, 213, third, last))).collect()
}

/// Whether we are root. Where not, says so; in CI that is a failure.
pub fn root_or_skip() -> bool {
    let root = nix::unistd::geteuid().is_root();
    assert!(root || std::env::var_os("CI").is_none(), "this test needs root, and CI promises it");
    if !root {
        say("skipped: this test needs root");
    }
    root
}

/// Destroy environments of test processes that are no more.
fn clear_dead_runs() {
    for record in Record::all() {
        let pid = record.environment.name.strip_prefix("t-").and_then(|rest| rest.split('-').find_map(|part| part.parse::<u32>().ok()));
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let machines = machines(&["10.213.0.0/24"], &[("x".to_owned(), Ipv4Addr::new(10, 213, 0, 2))]);
            _ = container(&record.environment, &machines, &[]).destroy(&Nodes::All);
            // Ours alone, by the name that `boot_in` gives it.
            let folder = &record.environment.folder;
            if folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("provision-test-")) {
                _ = std::fs::remove_dir_all(folder);
            }
        }
    }
}

fn say(line: &str) {
    _ = writeln!(std::io::stderr(), "{line}");
}

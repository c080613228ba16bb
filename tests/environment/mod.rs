//! A user's folder from nothing to nodes and back, by the program that the user types.

mod artifacts;
mod browser;
mod bundled;
mod changes;
mod cluster;
mod declared;
mod disturbances;
mod entries;
mod existing;
mod facts;
mod kills;
mod machines;
mod networks;
mod release;
mod signals;
mod state;
mod survival;
mod terminal;
mod user;
mod volumes;
mod workstation;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use provision::vm::Environment;
use provision::vm::node::{Config, Running};
use provision::vm::process::wait_until;

use crate::support;
use crate::support::nodes::{Turn, root_or_skip};

/// Folders of this process: each has a network of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A folder with two machines on a network of its own; destroyed when dropped.
struct Folder {
    folder: tempfile::TempDir,
    name: String,
    network: String,
    _turn: Turn,
}

impl Folder {
    fn new() -> Option<Self> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("env-{number}"), &format!("10.214.{}", (std::process::id() + number) % 120))
    }

    fn named(name: &str, network: &str) -> Option<Self> {
        if !root_or_skip() {
            return None;
        }
        let turn = Turn::shared();
        let folder = tempfile::Builder::new().prefix("provision-test-").tempdir().expect("a folder");
        // `t-PID` is how the leavings of a dead test process are known.
        let name = format!("t-{}-{name}", std::process::id());
        let folder = Self { folder, name, network: network.to_owned(), _turn: turn };
        folder.write("provision.yaml", &format!("name: {}\n", folder.name));
        folder.write(
            "vms/dev.yaml",
            &format!(
                "networks: [{network}.0/24]\ndefaults: {{image: debian-12, cpus: 1, memory: 512MiB}}\nmachines:\n  \
                 control: {{address: {network}.2, groups: [control_plane]}}\n  worker: {{count: 1, address: {network}.3, groups: [workers]}}\n"
            ),
        );
        folder.write(
            "playbooks/site.yaml",
            "- hosts: control_plane:workers\n  tasks:\n    - name: note\n      copy: {dest: /etc/note, content: \"{{ groups['workers'] | join(',') }} seen by {{ inventory_hostname }}\\n\"}\n",
        );
        folder.write("inventory/hosts.yaml", "all: {children: {control_plane: {}, workers: {}}}\n");
        Some(folder)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        support::expect(code, &mut self.command(arguments))
    }

    fn states(&self) -> Vec<String> {
        let (stdout, _) = self.expect(0, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        let nodes = status["nodes"].as_array().expect("nodes").iter();
        nodes.map(|node| format!("{} {} {}", node["name"], node["address"], node["state"]).replace('"', "")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = self.command(&["destroy", "--yes"]).output();
    }
}

#[test]
fn a_folder_comes_up_stays_as_it_is_and_goes_without_a_trace() {
    let Some(folder) = Folder::new() else { return };
    let network = folder.network.clone();
    assert_eq!(folder.states(), [format!("control {network}.2 absent"), format!("worker-1 {network}.3 absent")]);

    let (plan, _) = folder.expect(2, &["plan", "--detailed-exitcode"]);
    assert!(plan.contains("+ control") && plan.contains("+ worker-1"), "{plan}");
    let (_, refused) = folder.expect(6, &["up"]);
    assert!(refused.contains("hint: give --yes"), "{refused}");
    assert_eq!(folder.states().len(), 2);

    let (_, story) = folder.expect(0, &["up", "--yes"]);
    assert!(story.contains("    control, worker-1                  note"), "{story}");
    assert_eq!(folder.states(), [format!("control {network}.2 ready"), format!("worker-1 {network}.3 ready")]);

    let (_, again) = folder.expect(0, &["up", "--yes"]);
    assert!(again.starts_with("No changes: "), "{again}");
    folder.expect(0, &["plan", "--detailed-exitcode"]);

    let (note, _) = folder.expect(0, &["ssh", "worker-1", "--", "cat", "/etc/note"]);
    assert_eq!(note, "worker-1 seen by worker-1\n");
    folder.expect(7, &["ssh", "control", "--", "exit 7"]);
    let (_, unknown) = folder.expect(255, &["ssh", "contrl"]);
    assert!(unknown.contains("did you mean `control`?"), "{unknown}");
    let (config, _) = folder.expect(0, &["ssh-config"]);
    assert!(config.contains("Host worker-1"), "{config}");
    signals::reach_the_remote_command(&folder);
    a_node_that_hangs_keeps_nobody_waiting(&folder);

    // One node alone goes and comes back; the other is not touched.
    folder.expect(0, &["destroy", "--yes", "worker-1"]);
    assert_eq!(folder.states(), [format!("control {network}.2 ready"), format!("worker-1 {network}.3 absent")]);
    let (_, back) = folder.expect(0, &["up", "--yes"]);
    assert!(back.contains("    worker-1                           note"), "{back}");

    folder.expect(0, &["destroy", "--yes"]);
    assert_eq!(folder.states(), [format!("control {network}.2 absent"), format!("worker-1 {network}.3 absent")]);
    let links = Command::new("ip").args(["-brief", "address"]).output().expect("ip runs");
    assert!(!String::from_utf8_lossy(&links.stdout).contains(&format!("{network}.")), "no address of the network is left");
    assert!(!folder.path().join(".provision").exists(), "nothing is kept of machines that are gone");
}

/// Nor does one that is out of reach: `status` says it within three seconds, and of the other one what holds.
fn a_node_that_hangs_keeps_nobody_waiting(folder: &Folder) {
    let environment = Environment::new(&folder.name, folder.path()).expect("its name");
    let node = "worker-1".try_into().expect("a name");
    let made = Config::read(&environment.names(), &node).expect("it was made");
    let processes = made.group().expect("its cgroup").processes();
    let signal = |signal| {
        for pid in &processes {
            _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal);
        }
    };
    let link = environment.names().link(&node);
    let set_link = |state| provision::vm::process::run("ip", &["link", "set", &link, state]).expect("its link");
    // It counts as booting for a while after its start, which is over.
    let running = made.running().expect("it runs");
    made.write_running(&Running { started: running.started - 60, ..running }).expect("writing");
    let is_told = |state: &str| {
        let begun = Instant::now();
        let told = folder.states();
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(told, [format!("control {}.2 ready", folder.network), format!("worker-1 {}.3 {state}", folder.network)]);
    };
    signal(Signal::SIGSTOP);
    is_told("not-ready");
    set_link("down");
    is_told("unreachable");
    set_link("up");
    signal(Signal::SIGCONT);
    let is_back = || folder.states()[1].ends_with(" ready");
    assert!(wait_until(Duration::from_secs(30), Duration::from_millis(100), is_back), "{:?}", folder.states());
}

#[test]
fn two_folders_run_side_by_side_and_a_third_on_one_of_their_networks_is_refused_by_name() {
    let number = std::process::id() % 120 + 120;
    let Some(one) = Folder::named("one", &format!("10.214.{number}")) else { return };
    let Some(two) = Folder::named("two", &format!("10.212.{number}")) else { return };
    one.expect(0, &["up", "--yes"]);
    two.expect(0, &["up", "--yes"]);
    for folder in [&one, &two] {
        let network = &folder.network;
        assert_eq!(folder.states(), [format!("control {network}.2 ready"), format!("worker-1 {network}.3 ready")]);
        // Nodes of one folder see each other, and nothing of the other's names.
        assert!(folder.expect(0, &["ssh", "control", "--", "getent", "hosts", "worker-1"]).0.starts_with(&format!("{network}.3")));
        folder.expect(0, &["ssh", "control", "--", "exec 3<>/dev/tcp/worker-1/22"]);
        folder.expect(0, &["plan", "--detailed-exitcode"]);
    }

    let third = Folder::named("three", &one.network).expect("a folder");
    let (_, refused) = third.expect(1, &["up", "--yes"]);
    let (process, network, taken) = (std::process::id(), &one.network, one.path().display());
    let expected = format!(
        "error: checking the network {network}.0/24: it overlaps {network}.0/24 of the environment `t-{process}-one` in {taken}, \
         which is up\nhint: take another network in the machines file, or run `provision destroy` in {taken}\n"
    );
    assert!(refused.contains(&expected), "{refused}");
    assert!(!third.path().join(".provision").exists(), "nothing was made");

    // One goes; the other stays as it is.
    one.expect(0, &["destroy", "--yes"]);
    assert_eq!(two.states()[0], format!("control {}.2 ready", two.network));
    two.expect(0, &["plan", "--detailed-exitcode"]);
    third.expect(0, &["up", "--yes"]);
}

#[test]
fn up_has_no_check_mode_and_says_what_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_provision")).args(["up", "--check"]).current_dir(folder.path()).output();
    let output = output.expect("provision runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert_eq!(
        said,
        "error: `up` has no check mode: machines and releases could not take part in it\n\
         hint: run `provision plan`, or `provision playbook --check FILE…`\n"
    );
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

//! Ratios beside Ansible on one host: `cargo bench --bench engine` (as root; see README.md here).
//!
//! The same playbook of converged tasks, the same node, through the same counting proxy, in turn: ours, theirs, ours …
//! A run that does not end with exactly the expected counts ends the benchmark: a failure is never a fast run.

#[path = "../tests/support/nodes.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod nodes;
#[path = "../tests/oracle/mod.rs"]
mod oracle;
#[path = "../tests/support/proxy.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod proxy;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nodes::TestNodes;
use proxy::{Proxy, Traffic};

const PAIRS: usize = 5;

fn main() {
    let Some(nodes) = TestNodes::boot_with_python(&["a"]) else { return };
    let Some(ansible) = oracle::ansible("ansible-playbook") else { return };
    let venv = ansible.ancestors().nth(2).expect("bin/ansible-playbook").to_owned();
    let proxy = Proxy::before(SocketAddr::from((nodes.addresses["a"], 22)));
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place { folder: folder.path(), nodes: &nodes, proxy: &proxy, venv: &venv };
    place.write();
    say("tasks  tool      wall s   cpu s   turns    sent B  received B");
    let sizes = std::env::var("TASKS").unwrap_or_else(|_| "20 200".to_owned());
    for tasks in sizes.split_whitespace().map(|size| size.parse().expect("a number of tasks")) {
        place.compare(tasks);
    }
}

/// Where both run.
struct Place<'a> {
    folder: &'a Path,
    nodes: &'a TestNodes,
    proxy: &'a Proxy,
    venv: &'a Path,
}

/// One run that did what it should.
#[derive(Clone, Copy)]
struct Sample {
    wall: f64,
    cpu: f64,
    traffic: Traffic,
}

impl Place<'_> {
    fn write(&self) {
        let port = self.proxy.port();
        let put = |name: &str, text: &str| std::fs::write(self.folder.join(name), text).expect("written");
        put("known_hosts", &format!("[127.0.0.1]:{port} {}\n", self.nodes.host_keys["a"]));
        put(
            "inventory.ini",
            &format!(
                "[nodes]\na ansible_host=127.0.0.1 ansible_port={port} ansible_user=root ansible_ssh_private_key_file={} ansible_python_interpreter=/usr/bin/python3\n\n[nodes:vars]\nansible_ssh_common_args=-o UserKnownHostsFile={}\n",
                self.nodes.key.display(),
                self.folder.join("known_hosts").display(),
            ),
        );
        put("ansible.cfg", "[defaults]\nhost_key_checking = true\n[ssh_connection]\npipelining = true\n");
        self.nodes.ssh("a", "mkdir -p /srv/wire");
    }

    fn compare(&self, tasks: usize) {
        let playbook = format!("{tasks}.yaml");
        std::fs::write(self.folder.join(&playbook), text(tasks)).expect("written");
        // The first of each changes, and brings what stays (our agent, their ControlMaster).
        self.run(&mut Self::ours(&playbook), tasks, false);
        self.run(&mut self.theirs(&playbook), tasks, false);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            ours.push(self.run(&mut Self::ours(&playbook), tasks, true));
            theirs.push(self.run(&mut self.theirs(&playbook), tasks, true));
        }
        row(tasks, "provision", &ours);
        row(tasks, "ansible", &theirs);
        let ratio = |of: fn(&Sample) -> f64| median(ours.iter().zip(&theirs).map(|(ours, theirs)| of(theirs) / of(ours)).collect());
        say(&format!(
            "{tasks:>5}  ratio   {:>8.1} {:>7.1} {:>7.1} {:>9.1} {:>11.1}\n",
            ratio(|sample| sample.wall),
            ratio(|sample| sample.cpu),
            ratio(|sample| sample.traffic.turns as f64),
            ratio(|sample| sample.traffic.sent as f64),
            ratio(|sample| sample.traffic.received as f64),
        ));
    }

    fn ours(playbook: &str) -> Command {
        // What is measured is the program, not this harness: a release build of it may be named.
        let program = std::env::var_os("PROVISION").unwrap_or_else(|| env!("CARGO_BIN_EXE_provision").into());
        let mut command = Command::new(program);
        command.args(["playbook", "-i", "inventory.ini", playbook]);
        command
    }

    /// A master of its own for each run: what one login costs is a part of both.
    fn theirs(&self, playbook: &str) -> Command {
        let mut command = Command::new(self.venv.join("bin/ansible-playbook"));
        command.args(["-i", "inventory.ini", playbook]);
        command
    }

    /// Runs to the end and reads the recap; `settled`: nothing may change any more.
    fn run(&self, command: &mut Command, tasks: usize, settled: bool) -> Sample {
        self.end_masters();
        self.proxy.reset();
        let path = std::env::var("PATH").unwrap_or_default();
        let command = command
            .current_dir(self.folder)
            .env_clear()
            .env("PATH", format!("{}:{path}", self.venv.join("bin").display()))
            .env("HOME", self.folder)
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_NOCOLOR", "1")
            .stdin(Stdio::null());
        let before = children_cpu();
        let start = Instant::now();
        let output = command.output().expect("it starts");
        let wall = start.elapsed().as_secs_f64();
        let cpu = children_cpu() - before;
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let recap = said.lines().rev().find(|line| line.contains("ok=") && line.contains("unreachable=")).unwrap_or_default();
        let count =
            |name: &str| recap.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse::<usize>().ok());
        let good = output.status.success() && count("ok") == Some(tasks) && count("failed") == Some(0) && count("unreachable") == Some(0);
        assert!(
            good && (!settled || count("changed") == Some(0)),
            "{command:?} failed ({:?}, signal {:?}):\n{said}",
            output.status.code(),
            output.status.signal()
        );
        // What the closing side still has to say.
        std::thread::sleep(Duration::from_millis(100));
        Sample { wall, cpu, traffic: self.proxy.traffic() }
    }

    /// Ends ControlMasters of former runs, by their sockets in this folder.
    fn end_masters(&self) {
        for entry in std::fs::read_dir(self.folder.join(".ansible/cp")).into_iter().flatten().flatten() {
            let socket = format!("ControlPath={}", entry.path().display());
            let _ = Command::new("ssh").args(["-F", "none", "-o", &socket, "-O", "exit", "a"]).output();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.end_masters();
    }
}

/// Half files, a quarter copies, a quarter commands, as in `tests/engine/wire.rs`.
fn text(tasks: usize) -> String {
    let mut text = String::from("- hosts: nodes\n  gather_facts: false\n  tasks:\n");
    for number in 0..tasks {
        let _ = match number % 4 {
            0 | 1 => writeln!(text, "    - name: file {number}\n      file: {{path: /srv/wire/{number}, state: directory, mode: '0755'}}"),
            2 => writeln!(
                text,
                "    - name: copy {number}\n      copy: {{content: \"line {number}\\n\", dest: /srv/wire-{number}, mode: '0644'}}"
            ),
            _ => writeln!(text, "    - name: command {number}\n      command: /bin/true {number}\n      changed_when: false"),
        };
    }
    text
}

/// Processor seconds of children that have ended: fields 16 and 17 of proc_pid_stat(5), in ticks of 10 ms.
fn children_cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").expect("proc");
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).expect("a number");
    (ticks(13) + ticks(14)) / 100.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn row(tasks: usize, tool: &str, samples: &[Sample]) {
    let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value).collect());
    say(&format!(
        "{tasks:>5}  {tool:<9} {:>6.2} {:>7.2} {:>7.0} {:>9.0} {:>11.0}",
        of(|sample| sample.wall),
        of(|sample| sample.cpu),
        of(|sample| sample.traffic.turns as f64),
        of(|sample| sample.traffic.sent as f64),
        of(|sample| sample.traffic.received as f64),
    ));
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

//! Real nodes, a folder with playbooks, and our program run on them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::nodes::TestNodes;

/// A folder with an inventory of real nodes.
pub struct Lab {
    pub nodes: TestNodes,
    pub folder: tempfile::TempDir,
    /// Ports of proxies in front of nodes, by name.
    ports: BTreeMap<String, u16>,
}

/// What a run said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The JSON lines of an event kind.
    pub fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let lines = self.stdout.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|value| value["event"] == kind).collect()
    }

    /// `status` of each result of a task on a host, in order.
    pub fn statuses(&self, host: &str, task: &str) -> Vec<String> {
        let results = self.events("result").into_iter().filter(|value| value["host"] == host && value["task"] == task);
        results.map(|value| value["status"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// A count of the recap.
    pub fn count(&self, host: &str, name: &str) -> i64 {
        self.events("recap").first().and_then(|recap| recap["hosts"][host][name].as_i64()).unwrap_or(-1)
    }

    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Lab {
    /// Boots nodes; `None` where we are not root.
    pub fn new(names: &[&str]) -> Option<Self> {
        Some(Self::on(TestNodes::boot(names)?))
    }

    pub fn on(nodes: TestNodes) -> Self {
        let lab = Self { nodes, folder: tempfile::tempdir().expect("a folder"), ports: BTreeMap::new() };
        let known: String = lab.nodes.host_keys.iter().map(|(name, key)| format!("{} {key}\n", lab.nodes.addresses[name])).collect();
        lab.write("known_hosts", &known);
        lab.write_inventory("");
        lab
    }

    /// Reaches a node through a proxy on this port of 127.0.0.1.
    pub fn through(&mut self, name: &str, port: u16) {
        self.ports.insert(name.to_owned(), port);
        let known: String = self
            .nodes
            .host_keys
            .iter()
            .map(|(name, key)| {
                let address = match self.ports.get(name) {
                    Some(port) => format!("[127.0.0.1]:{port}"),
                    None => self.nodes.addresses[name].to_string(),
                };
                format!("{address} {key}\n")
            })
            .collect();
        self.write("known_hosts", &known);
        self.write_inventory("");
    }

    /// The inventory, with more lines at its end.
    pub fn write_inventory(&self, more: &str) {
        let mut text = String::from("[nodes]\n");
        for (name, address) in &self.nodes.addresses {
            let place = match self.ports.get(name) {
                Some(port) => format!("ansible_host=127.0.0.1 ansible_port={port}"),
                None => format!("ansible_host={address}"),
            };
            text.push_str(&format!("{name} {place}\n"));
        }
        text.push_str(&format!(
            "\n[nodes:vars]\nansible_user=root\nansible_ssh_private_key_file={}\nansible_ssh_common_args=-o UserKnownHostsFile={}\n{more}",
            self.nodes.key.display(),
            self.path("known_hosts").display(),
        ));
        self.write("inventory.ini", &text);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    /// The folder of an environment of hosts alone: `provision.yaml`, and `playbooks/site.yaml` with this text.
    pub fn write_project(&self, playbook: &str) {
        self.write("provision.yaml", "name: lab\nmachines: null\ninventory: inventory.ini\nplaybooks: [playbooks/site.yaml]\n");
        self.write("playbooks/site.yaml", playbook);
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare_command();
        command.args(["playbook", "--json", "-i", "inventory.ini"]).args(arguments);
        command
    }

    /// Our program in the folder, without arguments yet.
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("PROVISION_AGENT", agent())
            .stdin(Stdio::null());
        command
    }

    /// Runs playbooks to the end.
    #[track_caller]
    pub fn play(&self, arguments: &[&str]) -> Said {
        finish(self.start(arguments))
    }

    /// Runs another command of ours to the end, in the folder.
    #[track_caller]
    pub fn provision(&self, arguments: &[&str]) -> Said {
        finish(self.bare_command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("provision starts"))
    }

    /// Begins to run playbooks.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("provision starts")
    }
}

#[track_caller]
fn finish(mut child: Child) -> Said {
    // A run that hangs fails its test instead of the whole suite.
    let (mut stdout, mut stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let out = std::thread::spawn(move || read(&mut stdout));
    let err = std::thread::spawn(move || read(&mut stderr));
    let until = std::time::Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("waited for") {
            break status;
        }
        if std::time::Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            panic!("provision did not end within {LIMIT:?}: {}\n{}", out.join().expect("read"), err.join().expect("read"));
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    Said { code: status.code().unwrap_or(-1), stdout: out.join().expect("read"), stderr: err.join().expect("read") }
}

const LIMIT: std::time::Duration = std::time::Duration::from_mins(2);

fn read(stream: &mut dyn std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The agent that this build made.
pub fn agent() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_provision-agent"))
}

//! A project that Ansible and we run on the same nodes: what each told, and what is there afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::support::nodes::TestNodes;

/// Nodes, a fixture's project, an inventory.
pub struct Place {
    nodes: TestNodes,
    folder: tempfile::TempDir,
    ansible: PathBuf,
}

/// What a run told: (task, status) of each host in order, and PLAY RECAP.
pub type Told = BTreeMap<String, (Vec<(String, String)>, String)>;

impl Place {
    /// `hosts`: names of the inventory, each with its node.
    pub fn new(nodes: TestNodes, ansible: PathBuf, fixture: &str, hosts: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture).join(".");
        assert!(Command::new("cp").arg("-r").arg(fixture).arg(folder.path()).status().expect("cp runs").success());
        let known: String = nodes.host_keys.iter().map(|(name, key)| format!("{} {key}\n", nodes.addresses[name])).collect();
        let callbacks = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/roles/callback_plugins");
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        put("known_hosts", &known);
        let mut inventory = String::from("[web]\n");
        for (name, node) in hosts {
            inventory += &format!("{name} ansible_host={}\n", nodes.addresses[*node]);
        }
        inventory += &format!(
            "[web:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\nansible_ssh_private_key_file={}\n\
             ansible_ssh_common_args=-o UserKnownHostsFile={}\n",
            nodes.key.display(),
            folder.path().join("known_hosts").display()
        );
        put("inventory.ini", &inventory);
        put(
            "ansible.cfg",
            &format!("[defaults]\ncallbacks_enabled = lines\ncallback_plugins = {callbacks}\n[ssh_connection]\npipelining = true\n"),
        );
        Self { nodes, folder, ansible }
    }

    pub fn ansible(&self) -> &Path {
        &self.ansible
    }

    pub fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .args(["-i", "inventory.ini"])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("LINES", self.folder.path().join("lines"))
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"));
        command
    }

    pub fn theirs(&self, words: &[&str]) -> (i32, Told, String) {
        let lines = self.folder.path().join("lines");
        let _ = std::fs::remove_file(&lines);
        let output = self.command(&self.ansible, words).output().expect("ansible runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let mut told = told(&std::fs::read_to_string(&lines).unwrap_or_default());
        for (host, (_, recap)) in &mut told {
            let line = said.lines().rev().find(|line| line.starts_with(host.as_str()) && line.contains("ok="));
            let line = line.unwrap_or_else(|| panic!("no recap of {host}:\n{said}"));
            *recap = line.split_once(": ").expect("a recap").1.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        (output.status.code().unwrap_or(-1), told, said)
    }

    pub fn ours(&self, words: &[&str]) -> (i32, Told, String) {
        let words: Vec<&str> = ["playbook", "--json"].iter().chain(words).copied().collect();
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_provision")), &words).output().expect("provision runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let results: Vec<Json> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let of = |kind: &str| results.iter().filter(|line| line["event"] == kind).map(|line| format!("{line}\n")).collect::<String>();
        let mut told = told(&of("result"));
        if let Some(recap) = results.iter().find(|line| line["event"] == "recap") {
            // A host may have been out of reach for all of its tasks; one that did nothing has no line in Ansible's recap.
            let counted = |counts: &Json| counts.as_object().is_some_and(|counts| counts.values().any(|count| *count != 0));
            for (host, _) in recap["hosts"].as_object().into_iter().flatten().filter(|(_, counts)| counted(counts)) {
                told.entry(host.clone()).or_default();
            }
            for (host, (_, text)) in &mut told {
                let counts = ["ok", "changed", "unreachable", "failed", "skipped", "rescued", "ignored"];
                *text = counts.map(|name| format!("{name}={}", recap["hosts"][host][name])).join(" ");
            }
        }
        (output.status.code().unwrap_or(-1), told, said + &String::from_utf8_lossy(&output.stderr))
    }

    /// The last lines of our text for a person: hosts and counts, without the columns' blanks.
    pub fn our_recap(&self, words: &[&str]) -> Vec<String> {
        let words: Vec<&str> = ["playbook"].iter().chain(words).copied().collect();
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_provision")), &words).output().expect("provision runs");
        recap(&(String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr)))
    }

    pub fn node_file(&self, node: &str, path: &str) -> String {
        self.nodes.ssh(node, &format!("cat {path}"))
    }

    /// Everything below `/srv` of a tool on all nodes, without its name.
    pub fn files(&self, tool: &str) -> String {
        let list = format!(
            "cd /srv/{tool} && {{ find . -printf '%p %y %m %u %l\\n' | sort; find . -type f | sort | xargs tail -n +1; }} | sed 's,/srv/{tool},/srv/X,g'"
        );
        self.nodes.addresses.keys().map(|node| format!("== {node}\n{}", self.nodes.ssh(node, &list))).collect()
    }
}

/// Lines of a text from PLAY RECAP on.
pub fn recap(said: &str) -> Vec<String> {
    let lines = said.lines().skip_while(|line| !line.starts_with("PLAY RECAP")).skip(1);
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|line| line.contains(" ok=")).collect()
}

/// Of lines of JSON. What only one of them tells is left out: includes (we name them in events of their own), loops over
/// nothing (Ansible's callback gives them no item) and `meta` (Ansible tells it with `-vv`).
fn told(lines: &str) -> Told {
    let mut told = Told::new();
    for line in lines.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok()) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let task = text("task");
        let is_include = task.starts_with("include") || task.starts_with("inc:") || ["Preflight", "common_bits"].contains(&task.as_str());
        let entry = told.entry(text("host")).or_default();
        let is_meta = task.starts_with("Ensure handlers are notified now") || task.starts_with("meta: ");
        if !is_include && !is_meta && task != "Gathering Facts" && task != "nothing to loop over" {
            entry.0.push((task, text("status")));
        }
    }
    told
}

pub fn shown(told: &Told) -> String {
    let host = |(host, (results, recap)): (&String, &(Vec<(String, String)>, String))| {
        let results: String = results.iter().map(|(task, status)| format!("{status} {task}\n")).collect();
        format!("== {host}: {recap}\n{results}")
    };
    told.iter().map(host).collect()
}

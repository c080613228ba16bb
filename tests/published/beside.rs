//! A published project on two equal sets of nodes: by ansible-core on one, by us on the other.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::told::{Told, recaps_of_ours, recaps_of_theirs};
use crate::support::nodes::TestNodes;

/// Where playbooks write. Our agent, Ansible's own and what is a machine's own are no part of it.
const WRITTEN: &str = "cd / && find etc opt srv usr/local home root var/www var/lib var/log/app -cnewer /run/marker \
    ! -path 'root/.ansible*' ! -path 'root/.local/state/provision*' ! -path 'var/lib/provision*' ! -path 'var/lib/systemd/*' ! -path 'var/lib/apt/*' ! -path 'var/lib/dpkg*' \
    ! -name '*.pyc' ! -name __pycache__ ! -path 'root/.cache*' 2>/dev/null | sort > /run/written; true";
const SHOWN: &str = "while read -r path; do stat -c '%N %F %a %U %G' \"/$path\"; \
    if [ -f \"/$path\" ] && [ ! -L \"/$path\" ]; then sed 's/^/  | /' \"/$path\"; echo; fi; done < /run/written; \
    systemctl list-units --all --plain --no-legend --type=service,timer,socket 'app*' '*exporter*' 'containerd*' 'runner*' 'proxy*' | awk '{print $1, $3, $4}'; \
    systemctl list-unit-files --plain --no-legend 'app*' '*exporter*' 'containerd*' 'runner*' 'proxy*' | awk '{print $1, $2}'; hostname";

pub struct Beside {
    nodes: TestNodes,
    hosts: Vec<String>,
    folder: tempfile::TempDir,
    ansible: PathBuf,
}

/// What a tool's run gave.
pub struct Ran {
    pub code: i32,
    pub told: Told,
    pub recaps: Vec<String>,
    pub said: String,
}

impl Beside {
    /// The project `tests/fixtures/published/NAME` with these hosts of its inventory, a node each for either tool.
    /// `None` where there is no Ansible or no root.
    pub fn new(name: &str, hosts: &[&str]) -> Option<Self> {
        let ansible = crate::oracle::ansible("ansible-playbook")?;
        let names: Vec<String> = ["t", "o"].iter().flat_map(|tool| (1..=hosts.len()).map(move |index| node(tool, index))).collect();
        let nodes = TestNodes::boot_with_python(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/published").join(name).join(".");
        assert!(Command::new("cp").arg("-r").arg(fixture).arg(folder.path()).status().expect("cp runs").success());
        let known: String = nodes.host_keys.iter().map(|(name, key)| format!("{} {key}\n", nodes.addresses[name])).collect();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
        put("known_hosts", &known);
        put("password", "correct horse\n");
        let secrets = folder.path().join("vars/secrets.yml");
        if secrets.exists() {
            let vault = ansible.with_file_name("ansible-vault");
            let password = folder.path().join("password");
            let sealed = Command::new(vault).args(["encrypt", "--vault-password-file"]).args([&password, &secrets]).output();
            assert!(sealed.expect("ansible-vault runs").status.success());
        }
        for tool in ["t", "o"] {
            let mut inventory = String::new();
            for (host, index) in hosts.iter().zip(1..) {
                inventory += &format!("{host} ansible_host={}\n", nodes.addresses[&node(tool, index)]);
            }
            inventory += &format!(
                "[all:vars]\nansible_user=root\nansible_python_interpreter=/usr/bin/python3\nansible_ssh_private_key_file={}\n\
                 ansible_ssh_common_args=-o UserKnownHostsFile={}\n",
                nodes.key.display(),
                folder.path().join("known_hosts").display()
            );
            put(&format!("nodes-{tool}.ini"), &inventory);
        }
        for name in &names {
            // Where either tool keeps what is its own; that it comes is no difference.
            nodes.ssh(name, "mkdir -p -m 700 /root/.ansible/tmp /root/.local/state/provision && sleep 0.1 && touch /run/marker");
        }
        Some(Self { nodes, hosts: hosts.iter().map(ToString::to_string).collect(), folder, ansible })
    }

    /// Both tools' runs, at the same time, each on its own nodes.
    pub fn both(&self, words: &[&str]) -> (Ran, Ran) {
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| self.theirs(words));
            let ours = self.ours(words);
            (theirs.join().expect("Ansible's run"), ours)
        })
    }

    /// What a run wrote since the nodes booted and the units that it made, node by node; names and addresses as of no tool.
    pub fn state(&self, tool: &str) -> String {
        (1..=self.hosts.len())
            .map(|index| {
                let name = node(tool, index);
                self.nodes.ssh(&name, WRITTEN);
                format!("== {}\n{}", self.hosts[index - 1], self.neutral(&self.nodes.ssh(&name, SHOWN)))
            })
            .collect()
    }

    /// What a tool's list says (`--list-tasks` and others).
    pub fn listed(&self, words: &[&str]) -> (String, String) {
        let text = |command: &mut Command| String::from_utf8_lossy(&command.output().expect("it runs").stdout).into_owned();
        let theirs = text(&mut self.command(&self.ansible, "t", words));
        let ours: Vec<&str> = ["playbook"].iter().chain(words).copied().collect();
        (theirs, text(&mut self.command(Path::new(env!("CARGO_BIN_EXE_provision")), "o", &ours)))
    }

    fn theirs(&self, words: &[&str]) -> Ran {
        let told = self.folder.path().join("told");
        let _ = std::fs::remove_file(&told);
        let output = self.command(&self.ansible, "t", &[words, &["-v"]].concat()).output().expect("ansible runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let lines = std::fs::read_to_string(&told).unwrap_or_default();
        let told = Told::read(&self.neutral(&lines));
        Ran { code: output.status.code().unwrap_or(-1), told, recaps: recaps_of_theirs(&said), said }
    }

    fn ours(&self, words: &[&str]) -> Ran {
        let words: Vec<&str> = ["playbook", "--json", "-v"].iter().chain(words).copied().collect();
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_provision")), "o", &words).output().expect("provision runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let told = Told::read(&self.neutral(&stdout));
        let said = stdout.clone() + &String::from_utf8_lossy(&output.stderr);
        Ran { code: output.status.code().unwrap_or(-1), told, recaps: recaps_of_ours(&stdout), said }
    }

    fn command(&self, program: &Path, tool: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        let inventory = if self.folder.path().join("inventory").is_dir() { "inventory" } else { "hosts" };
        command
            .args(words)
            .args(["-i", inventory, "-i", &format!("nodes-{tool}.ini")])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_PIPELINING", "true")
            .env("ANSIBLE_CALLBACKS_ENABLED", "told")
            .env("ANSIBLE_CALLBACK_PLUGINS", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/published/callback_plugins"))
            .env("TOLD", self.folder.path().join("told"))
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .stdin(std::process::Stdio::null());
        command
    }

    /// Names and addresses of nodes are a tool's own.
    fn neutral(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, address) in &self.nodes.addresses {
            let of_none = format!("node-x-{}", name.rsplit('-').next().unwrap_or_default());
            text = text.replace(&address.to_string(), &format!("<{of_none}>")).replace(name.as_str(), &of_none);
        }
        text.replace(&self.folder.path().display().to_string(), "<folder>")
            .replace("nodes-t.ini", "nodes-x.ini")
            .replace("nodes-o.ini", "nodes-x.ini")
    }
}

fn node(tool: &str, index: usize) -> String {
    format!("node-{tool}-{index}")
}

//! Modules of the system on real nodes: the same playbook by Ansible on one node, by us on another, twice each.

mod flow;
mod place;
mod roles;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::support::nodes::TestNodes;

/// Fields that differ between two nodes, two moments or two programs' sentences.
const LEFT_OUT: &[&str] = &[
    "status",
    "stdout",
    "stdout_lines",
    "stderr",
    "stderr_lines",
    "start",
    "end",
    "delta",
    "elapsed",
    "cache_update_time",
    "diff",
    "invocation",
    "exception",
    "msg",
    "cmd",
    "warnings",
    "ansible_facts",
    "deprecations",
    "name",
    "rc",
    "src",
    "checksum",
    "md5sum",
];

/// What each task registered on a node, in the playbook's order.
fn results(nodes: &TestNodes, node: &str) -> BTreeMap<String, Json> {
    serde_json::from_str(&nodes.ssh(node, "cat /root/results.json")).expect("JSON")
}

/// Two nodes for the same playbooks, and a folder to run them in.
struct Both {
    nodes: TestNodes,
    folder: tempfile::TempDir,
    ansible: PathBuf,
}

impl Both {
    fn new() -> Option<Self> {
        let ansible = crate::oracle::ansible("ansible-playbook")?;
        let nodes = TestNodes::boot_with_python(&["theirs", "ours"])?;
        let folder = tempfile::tempdir().expect("a folder");
        let known: String = nodes.host_keys.iter().map(|(name, key)| format!("{} {key}\n", nodes.addresses[name])).collect();
        std::fs::write(folder.path().join("known_hosts"), known).expect("writes");
        let mut inventory = String::new();
        for (name, address) in &nodes.addresses {
            inventory += &format!(
                "{name} ansible_host={address} ansible_user=root ansible_python_interpreter=/usr/bin/python3 ansible_ssh_private_key_file={} ansible_ssh_common_args='-o UserKnownHostsFile={}'\n",
                nodes.key.display(),
                folder.path().join("known_hosts").display()
            );
        }
        std::fs::write(folder.path().join("inventory.ini"), inventory).expect("writes");
        Some(Self { nodes, folder, ansible })
    }

    fn run(&self, program: &Path, words: &[&str], host: &str) -> String {
        let output = Command::new(program)
            .args(words)
            .args(["-i", "inventory.ini", "--limit", host, "play.yaml"])
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} on {host}:\n{said}", program.display());
        said
    }

    /// Runs a playbook on both, once for each round; what its tasks register is equal, but for what cannot be.
    #[track_caller]
    fn compare(&self, text: &str, rounds: &[&str]) {
        // What was registered goes to a file at the end.
        let names: Vec<&str> =
            text.split("register: ").skip(1).map(|rest| rest.split([',', '}', '\n']).next().unwrap_or_default().trim()).collect();
        let pairs: Vec<String> = names.iter().map(|name| format!("'{name}': {name}")).collect();
        let last = format!(
            "    - {{name: Results, copy: {{content: \"{{{{ {{{}}} | to_json }}}}\", dest: /root/results.json}}}}\n",
            pairs.join(", ")
        );
        std::fs::write(self.folder.path().join("play.yaml"), format!("{text}{last}")).expect("writes");
        let (mut different, mut compared) = (Vec::new(), 0);
        for round in rounds {
            self.run(&self.ansible, &[], "theirs");
            let said = self.run(Path::new(env!("CARGO_BIN_EXE_provision")), &["playbook"], "ours");
            let (theirs, ours) = (results(&self.nodes, "theirs"), results(&self.nodes, "ours"));
            for name in &names {
                let (theirs, ours) = (&theirs[*name], &ours[*name]);
                if *name == "services" {
                    different.extend(other_services(theirs, ours));
                }
                let fields = theirs.as_object().into_iter().flatten().filter(|(field, _)| !LEFT_OUT.contains(&field.as_str()));
                for (field, theirs) in fields {
                    compared += 1;
                    if ours.get(field) != Some(theirs) {
                        different
                            .push(format!("{round} run, {name}: {field}: {theirs} is Ansible's, {:?} ours\n    {ours}", ours.get(field)));
                    }
                }
            }
            if let Ok(path) = std::env::var("PROVISION_KEEP_RESULTS") {
                std::fs::write(
                    format!("{path}/{round}.json"),
                    serde_json::json!({"theirs": theirs, "ours": ours, "said": said}).to_string(),
                )
                .expect("writes");
            }
            if !different.is_empty() {
                different.push(said);
                break;
            }
        }
        assert!(different.is_empty(), "{}", different.join("\n"));
        // `changed` and `failed` of each task of each round, at the least.
        assert!(compared >= names.len() * rounds.len() * 2, "only {compared} fields of {} tasks were compared", names.len());
    }
}

/// Services that `service_facts` tells in another way.
fn other_services(theirs: &Json, ours: &Json) -> Vec<String> {
    let services = |result: &Json| result["ansible_facts"]["services"].as_object().cloned().unwrap_or_default();
    let (theirs, ours) = (services(theirs), services(ours));
    assert!(theirs.len() > 50, "{theirs:?}");
    // Ansible's `hostname` asks hostnamed, which then runs for half a minute.
    let lasting = theirs.keys().chain(ours.keys()).filter(|service| !service.contains("hostname"));
    let differing = lasting.filter(|service| theirs.get(*service) != ours.get(*service));
    differing.map(|service| format!("{service}: {:?} is Ansible's, {:?} ours", theirs.get(service), ours.get(service))).collect()
}

#[test]
fn the_systems_modules_do_what_ansibles_do() {
    let Some(both) = Both::new() else { return };
    both.compare(include_str!("../fixtures/nodes/system.yaml"), &["first", "second"]);
    for node in ["theirs", "ours"] {
        let said = |command: &str| both.nodes.ssh(node, command).trim().to_owned();
        assert_eq!(said("systemctl is-active provision-test.service"), "active", "{node}");
        assert_eq!(said("dpkg-query -W -f '${Status}' provision-check 2>/dev/null || true"), "", "{node}");
    }
    both.compare(include_str!("../fixtures/nodes/reboot.yaml"), &["restart"]);
}

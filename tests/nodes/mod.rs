//! Modules of the system on real nodes: the same playbook by Ansible on one node, by us on another, twice each.

mod flow;
mod place;
mod roles;

use std::collections::BTreeMap;
use std::path::Path;
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

#[test]
fn the_systems_modules_do_what_ansibles_do() {
    let Some(ansible) = crate::oracle::ansible("ansible-playbook") else { return };
    let Some(nodes) = TestNodes::boot_with_python(&["theirs", "ours"]) else { return };
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
    let text = include_str!("../fixtures/nodes/system.yaml");
    // What was registered goes to a file at the end.
    let names: Vec<&str> =
        text.split("register: ").skip(1).map(|rest| rest.split([',', '}', '\n']).next().unwrap_or_default().trim()).collect();
    let pairs: Vec<String> = names.iter().map(|name| format!("'{name}': {name}")).collect();
    let last =
        format!("    - {{name: Results, copy: {{content: \"{{{{ {{{}}} | to_json }}}}\", dest: /root/results.json}}}}\n", pairs.join(", "));
    std::fs::write(folder.path().join("system.yaml"), format!("{text}{last}")).expect("writes");
    let run = |program: &Path, words: &[&str], host: &str| {
        let output = Command::new(program)
            .args(words)
            .args(["-i", "inventory.ini", "--limit", host, "system.yaml"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} on {host}:\n{said}", program.display());
        said
    };
    let (mut different, mut compared) = (Vec::new(), 0);
    for round in ["first", "second"] {
        run(&ansible, &[], "theirs");
        let said = run(Path::new(env!("CARGO_BIN_EXE_provision")), &["playbook"], "ours");
        let (theirs, ours) = (results(&nodes, "theirs"), results(&nodes, "ours"));
        for name in &names {
            let (theirs, ours) = (&theirs[*name], &ours[*name]);
            if *name == "services" {
                let services = |result: &Json| result["ansible_facts"]["services"].as_object().cloned().unwrap_or_default();
                let (theirs, ours) = (services(theirs), services(ours));
                assert!(theirs.len() > 50, "{theirs:?}");
                // Ansible's `hostname` asks hostnamed, which then runs for half a minute.
                let lasting = theirs.keys().chain(ours.keys()).filter(|service| !service.contains("hostname"));
                for service in lasting.filter(|service| theirs.get(*service) != ours.get(*service)) {
                    different.push(format!("{service}: {:?} is Ansible's, {:?} ours", theirs.get(service), ours.get(service)));
                }
            }
            let fields = theirs.as_object().into_iter().flatten().filter(|(field, _)| !LEFT_OUT.contains(&field.as_str()));
            for (field, theirs) in fields {
                compared += 1;
                if ours.get(field) != Some(theirs) {
                    different.push(format!("{round} run, {name}: {field}: {theirs} is Ansible's, {:?} ours\n    {ours}", ours.get(field)));
                }
            }
        }
        if let Ok(path) = std::env::var("PROVISION_KEEP_RESULTS") {
            std::fs::write(format!("{path}/{round}.json"), serde_json::json!({"theirs": theirs, "ours": ours, "said": said}).to_string())
                .expect("writes");
        }
        if !different.is_empty() {
            different.push(said);
            break;
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    // `changed` and `failed` of each task of both rounds, at the least.
    assert!(compared >= names.len() * 4, "only {compared} fields of {} tasks were compared", names.len());
    for node in ["theirs", "ours"] {
        assert_eq!(nodes.ssh(node, "systemctl is-active provision-test.service").trim(), "active", "{node}");
        assert_eq!(nodes.ssh(node, "dpkg-query -W -f '${Status}' provision-check 2>/dev/null || true").trim(), "", "{node}");
    }
}

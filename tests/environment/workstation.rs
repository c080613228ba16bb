//! Packages of the workstation: a node stands for a fresh one; a repository of its own has packages that are empty but for a program.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::nodes::TestNodes;

const BASE: &str = "cd /root/env && HOME=/root /root/provision";

/// Copies a file into a node.
fn put(nodes: &TestNodes, content: &[u8], to: &str) {
    let known = nodes.folder.join("known-put");
    fs::write(&known, format!("{} {}\n", nodes.addresses["a"], nodes.host_keys["a"])).expect("written");
    let mut child = Command::new("ssh")
        .args(["-q", "-F", "none", "-o", "BatchMode=yes", "-o"])
        .arg(format!("UserKnownHostsFile={}", known.display()))
        .arg("-i")
        .arg(&nodes.key)
        .arg(format!("root@{}", nodes.addresses["a"]))
        .arg(format!("mkdir -p $(dirname {to}) && cat > {to} && chmod 755 {to}"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("ssh runs");
    child.stdin.take().expect("a pipe").write_all(content).expect("sent");
    assert!(child.wait().expect("it ends").success());
}

/// A package with one program, which fails.
fn package(folder: &std::path::Path, name: &str, program: &str, depends: &str) -> Vec<u8> {
    let root = folder.join(name);
    fs::create_dir_all(root.join("DEBIAN")).expect("made");
    fs::create_dir_all(root.join("usr/bin")).expect("made");
    let about = format!(
        "Package: {name}\nVersion: 9999\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: stands in\n{depends}"
    );
    fs::write(root.join("DEBIAN/control"), about).expect("written");
    let path = root.join("usr/bin").join(program);
    fs::write(&path, "#!/bin/sh\necho stand-in >&2\nexit 1\n").expect("written");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let file = folder.join(format!("{name}.deb"));
    let built = Command::new("dpkg-deb").args(["--build", "--root-owner-group"]).args([&root, &file]).output().expect("dpkg-deb runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    fs::read(file).expect("built")
}

#[test]
fn packages_of_the_workstation_are_the_engines_to_install_and_destroy_names_them() {
    let Some(nodes) = TestNodes::boot(&["a"]) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // What the base image of nodes lacks.
    for (name, program, depends) in [
        ("mmdebstrap", "mmdebstrap", "Depends: pv-dependency\n"),
        ("systemd-container", "systemd-nspawn", ""),
        ("nftables", "nft", ""),
        ("pv-dependency", "pv-dependency", ""),
    ] {
        put(&nodes, &package(folder.path(), name, program, depends), &format!("/srv/repository/{name}.deb"));
    }
    let listed = Command::new("dpkg-scanpackages").args(["--multiversion", "."]).current_dir(folder.path()).output().expect("dpkg-dev");
    put(&nodes, &listed.stdout, "/srv/repository/Packages");
    nodes.ssh(
        "a",
        "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d; echo 'deb [trusted=yes] file:/srv/repository ./' > /etc/apt/sources.list",
    );
    let stripped = folder.path().join("provision");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(env!("CARGO_BIN_EXE_provision")).status().expect("binutils");
    assert!(strip.success());
    put(&nodes, &fs::read(stripped).expect("there"), "/root/provision");
    put(&nodes, b"name: inner\n", "/root/env/provision.yaml");
    put(&nodes, b"networks: [10.99.7.0/24]\nmachines: {only: {address: 10.99.7.2}}\n", "/root/env/vms/dev.yaml");
    put(&nodes, b"all: {}\n", "/root/env/inventory/hosts.yaml");
    put(&nodes, b"- hosts: only\n  tasks: [{ping: }]\n", "/root/env/playbooks/site.yaml");
    let missing: Vec<String> = nodes
        .ssh("a", "for pair in systemd-container:systemd-nspawn mmdebstrap:mmdebstrap iproute2:ip nftables:nft procps:kill; do command -v ${pair#*:} >/dev/null || echo ${pair%:*}; done")
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(missing.contains(&"mmdebstrap".to_owned()) && missing.contains(&"systemd-container".to_owned()), "{missing:?}");
    let packages = || nodes.ssh("a", "dpkg-query --show --showformat='${db:Status-Status} ${Package}\\n' | sed -n 's/^installed //p'");
    let before = packages();

    // The plan's first section, and nothing is done.
    let plan = nodes.ssh("a", &format!("{BASE} plan"));
    let section: Vec<&str> = plan.lines().take(missing.len() + 1).collect();
    assert!(section[0].starts_with(&format!("  workstation  + {}", missing[0])), "{plan}");
    assert!(missing.iter().zip(&section).all(|(name, line)| line.contains(&format!("+ {name} "))), "{plan}");
    assert!(section[missing.len()].trim_start().starts_with("~ Install what machines need: "), "{plan}");
    let json = nodes.ssh("a", &format!("{BASE} plan --json"));
    let first = |json: &str| json.lines().take(missing.len() + 1).map(str::to_owned).collect::<Vec<_>>();
    assert!(first(&json)[missing.len()].contains(r#""host":"localhost""#), "{json}");
    assert_eq!(packages(), before);

    // The same lines, then the engine's own result; what follows ends at a stand-in.
    let output = nodes.ssh_output("a", &format!("{BASE} up --yes --json"));
    let (said, told) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(first(&said), first(&json), "{said}\n{told}");
    let results: Vec<serde_json::Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let result = results.iter().find(|line| line["event"] == "result").unwrap_or_else(|| panic!("{said}\n{told}"));
    assert_eq!((&result["host"], &result["status"]), (&"localhost".into(), &"changed".into()), "{said}\n{told}");
    assert!(told.contains("building the base image"), "{told}");
    let after = packages();
    assert!(missing.iter().all(|name| after.lines().any(|line| line == name)), "{after}");
    let plan = nodes.ssh("a", &format!("{BASE} plan"));
    assert!(!plan.contains("workstation") && plan.contains("+ only"), "{plan}");

    // They stay, and so does what came with them: named once.
    let gone = nodes.ssh_output("a", &format!("{BASE} destroy --yes"));
    let gone = String::from_utf8_lossy(&gone.stderr).into_owned();
    let left = gone.lines().find(|line| line.starts_with("Left on this workstation")).unwrap_or_else(|| panic!("{gone}"));
    assert!(missing.iter().all(|name| left.contains(name.as_str())) && left.contains("pv-dependency"), "{gone}");
    assert_eq!(packages(), after);
    let again = nodes.ssh_output("a", &format!("{BASE} destroy --yes"));
    assert!(!String::from_utf8_lossy(&again.stderr).contains("Left on"), "named once");
}

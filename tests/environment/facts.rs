//! What the bundled roles make of a node's facts, for nodes that this machine is not.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// Roles' variables and templates with facts that `-e` gives.
const SITE: &str = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {artifacts: {image/pause: {reference: pause}}}
  vars_files: [ROLES/cluster/defaults/main.yaml, ROLES/containerd/defaults/main.yaml, ROLES/kubernetes/defaults/main.yaml]
  tasks:
    - {copy: {content: "{{ {'ignored': kubeadm_ignored_checks, 'one': cgroup_1} | to_json }}", dest: facts.json}}
    - {template: {src: ROLES/containerd/templates/config.toml.hbs, dest: config.toml}}
    - {template: {src: ROLES/containerd/templates/containerd.service.hbs, dest: containerd.service}}
"#;

/// kubeadm's ignored checks, whether kubelet is to bear cgroups of version 1, containerd's settings and its unit.
fn made_of(facts: &Value) -> (Value, Value, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks/roles").display().to_string();
    let site = SITE.replace("ROLES", &roles).replace("dest: ", &format!("dest: {}/", folder.path().display()));
    std::fs::write(folder.path().join("site.yaml"), site).expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_provision"))
        .args(["playbook", "site.yaml", "-e", &facts.to_string()])
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("was made");
    let facts: Value = serde_json::from_str(&text("facts.json")).expect("JSON");
    (facts["ignored"].clone(), facts["one"].clone(), text("config.toml"), text("containerd.service"))
}

#[test]
fn a_node_gets_what_its_facts_ask_for() {
    let of = |version: u32, own_kernel: bool, may_lower: bool| {
        made_of(&json!({"node_cgroup_version": version, "node_own_kernel": own_kernel, "node_may_lower_oom_scores": may_lower}))
    };
    // A machine of its own: nothing is looked past.
    let (ignored, is_one, settings, unit) = of(2, true, true);
    assert_eq!((ignored, is_one), (json!([]), json!(false)));
    assert!(settings.contains("SystemdCgroup = true") && !settings.contains("restrict_oom_score_adj"), "{settings}");
    assert!(unit.contains("modprobe overlay") && unit.contains("OOMScoreAdjust=-999"), "{unit}");
    // The same with cgroups of version 1.
    let (ignored, is_one, settings, _) = of(1, true, true);
    assert_eq!((ignored, is_one), (json!(["SystemVerification"]), json!(true)));
    assert!(settings.contains("SystemdCgroup = false"), "{settings}");
    // A container that may not lower an oom score, on a kernel of others.
    let (ignored, is_one, settings, unit) = of(2, false, false);
    assert_eq!(ignored, json!(["SystemVerification", "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables"]));
    assert_eq!(is_one, json!(false));
    assert!(settings.contains("restrict_oom_score_adj = true"), "{settings}");
    assert!(!unit.contains("modprobe") && !unit.contains("OOMScoreAdjust"), "{unit}");
}

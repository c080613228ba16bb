//! Where a variable's value comes from, told with `-vv` by `playbook` and `plan`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

const SITE: &str = r#"
- hosts: web
  gather_facts: false
  vars: {greeting: "hello on {{ port }}"}
  roles: [site]
  tasks:
    - {set_fact: {made: 1}}
    - {name: told, debug: {msg: "{{ greeting }} {{ name_of_all }} {{ extra }} {{ made }} {{ of_role }} {{ token }}"}}
    - {name: perhaps, copy: {content: x, dest: "{{ folder }}/x"}, when: port > 1}
    - {name: nothing, debug: {msg: nothing}}
"#;

const FILES: [(&str, &str); 7] = [
    ("site.yml", SITE),
    ("hosts.ini", "[web]\none ansible_connection=local\n"),
    ("group_vars/all.yml", "name_of_all: a\nport: 1\nfolder: /nowhere\ntoken: swordfish\n"),
    ("group_vars/web.yml", "port: 2\n"),
    ("roles/site/defaults/main.yml", "of_role: d\n"),
    ("roles/site/tasks/main.yml", "- {name: in role, debug: {msg: \"{{ of_role }}\"}}\n"),
    ("provision.yaml", "name: origins\ninventory: hosts.ini\nplaybooks: [site.yml]\nreleases: []\n"),
];

fn run(folder: &std::path::Path, words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_provision"))
        .args(words)
        .args(["-e", "extra=e", "-e"])
        .arg(format!("folder={}", folder.display()))
        .current_dir(folder)
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

fn variables(said: &str, task: &str) -> Value {
    let mut lines = said.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let found = lines.find(|line| line["task"] == task && line["event"] != "started");
    found.unwrap_or_else(|| panic!("{task}: {said}"))["variables"].clone()
}

#[test]
fn what_gave_a_variable_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in FILES {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let wanted = json!({
        "greeting": "play vars", "port": "group_vars/web.yml", "name_of_all": "group_vars/all.yml", "extra": "extra vars",
        "made": "set_fact or register", "of_role": "role defaults of site", "token": "group_vars/all.yml"
    });
    let plan = run(folder.path(), &["plan", "--json", "-vv"]);
    let perhaps = json!({"folder": "extra vars", "port": "group_vars/web.yml"});
    assert_eq!(variables(&plan, "perhaps"), perhaps, "{plan}");
    let shown = run(folder.path(), &["plan", "-vv"]);
    assert!(shown.contains("      port: from group_vars/web.yml\n"), "{shown}");
    let said = run(folder.path(), &["playbook", "-i", "hosts.ini", "site.yml", "--json", "-vv"]);
    assert_eq!(variables(&said, "told"), wanted, "{said}");
    assert_eq!(variables(&said, "perhaps"), perhaps, "{said}");
    assert_eq!(variables(&said, "in role"), json!({"of_role": "role defaults of site"}), "{said}");
    assert_eq!(variables(&said, "nothing"), Value::Null, "{said}");
    let shown = run(folder.path(), &["playbook", "-i", "hosts.ini", "site.yml", "-vv"]);
    assert!(shown.contains("\n  greeting: from ") && shown.contains("\n  port: from group_vars/web.yml\n"), "{shown}");
    // Once less: as before.
    let said = run(folder.path(), &["playbook", "-i", "hosts.ini", "site.yml", "--json", "-v"]);
    assert_eq!(variables(&said, "told"), Value::Null, "{said}");
}

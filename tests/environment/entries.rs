//! What `plan --json` says and what `up --json` does, entry by entry.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Folder;

/// JSON lines of one event.
fn events<'text>(stdout: &'text str, event: &'text str) -> impl Iterator<Item = Value> + use<'text> {
    let lines = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    lines.filter(move |line| line["event"] == event)
}

/// What names an entry in both.
fn name(entry: &Value) -> String {
    let keys =
        ["layer", "package", "artifact", "machine", "volume", "host", "position", "item", "handler", "condition", "release", "object"];
    keys.iter().filter(|key| !entry[**key].is_null()).map(|key| format!("{key}={} ", entry[*key])).collect()
}

/// `up` says first what `plan` said, in its order; it does all that was certain, and nothing that was not said.
#[track_caller]
pub fn agree(plan: &str, up: &str) {
    let said: Vec<Value> = events(plan, "planned").collect();
    let again: Vec<Value> = events(up, "planned").collect();
    assert_eq!(said, again.iter().take(said.len()).cloned().collect::<Vec<_>>(), "\n{plan}\n---\n{up}");
    let certain =
        ["install", "fetch", "make", "start", "resize", "replace", "remove", "change", "create", "update", "delete", "prove", "wait"];
    let of = |word: &dyn Fn(&str) -> bool| -> BTreeSet<String> {
        again.iter().filter(|entry| word(entry["plan"].as_str().expect("a word"))).map(name).collect()
    };
    let (certain, unknown) = (of(&|word| certain.contains(&word)), of(&|word| word == "unknown"));
    let done: BTreeSet<String> = events(up, "result")
        .filter(|entry| entry["status"] == "changed" || entry["layer"] == "cluster")
        .map(|entry| name(&entry))
        .collect();
    // The same actions, too: what a host said it would do is what it did.
    let actions = |event: &str, text: &str, wanted: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
        events(text, event)
            .filter(|entry| entry["layer"] == "hosts" && wanted(entry))
            .map(|entry| format!("{}{}", name(&entry), entry["actions"]))
            .collect()
    };
    let promised = actions("planned", up, &|entry| entry["plan"] == "change");
    let kept = actions("result", up, &|entry| entry["status"] == "changed");
    let broken: Vec<_> = promised.difference(&kept).collect();
    assert!(broken.is_empty(), "done otherwise than planned: {broken:#?}\n{up}");
    let missing: Vec<_> = certain.difference(&done).collect();
    assert!(missing.is_empty(), "planned and not done: {missing:#?}\n{up}");
    let beyond: Vec<_> = events(up, "result")
        .filter(|entry| entry["status"] == "changed")
        .map(|entry| name(&entry))
        .filter(|name| !certain.contains(name) && !unknown.contains(name))
        .collect();
    assert!(beyond.is_empty(), "done and not planned: {beyond:#?}\n{up}");
}

#[test]
fn up_does_what_plan_said_entry_by_entry() {
    let Some(folder) = Folder::new() else { return };
    folder.write(
        "playbooks/site.yaml",
        "- hosts: control_plane:workers\n  tasks:\n    - name: note\n      copy: {dest: /etc/note, content: a}\n      notify: noted\n    \
         - name: names\n      copy: {dest: '/etc/{{ item }}', content: b}\n      loop: [one, two]\n    \
         - name: opaque\n      command: {cmd: touch /etc/opaque, creates: /etc/opaque}\n      register: opaque\n    \
         - name: after\n      copy: {dest: /etc/after, content: '{{ opaque.rc }}c'}\n  \
         handlers:\n    - name: noted\n      command: touch /etc/noted\n",
    );
    // From nothing: machines are certain, their hosts are not known yet.
    let (plan, _) = folder.expect(0, &["plan", "--json"]);
    let (up, _) = folder.expect(0, &["up", "--yes", "--json"]);
    agree(&plan, &up);
    assert_eq!(events(&plan, "planned").filter(|entry| entry["layer"] == "machines" && entry["plan"] == "make").count(), 2, "{plan}");
    let unknown: Vec<String> = events(&plan, "planned")
        .filter(|entry| entry["plan"] == "unknown")
        .map(|entry| entry["host"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(unknown, ["control", "worker-1"], "{plan}");

    // Nothing to do: only the facts were asked for.
    let (plan, _) = folder.expect(0, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = folder.expect(0, &["up", "--json"]);
    agree(&plan, &up);
    assert!(events(&plan, "planned").all(|entry| entry["plan"] == "ran" && entry["task"] == "Gathering Facts"), "{plan}");
    assert_eq!(events(&up, "result").count(), 0, "{up}");

    // One host drifts: an item of a loop, a task with a handler, a command and what depends on it.
    folder.expect(0, &["ssh", "worker-1", "--", "rm /etc/two /etc/opaque; echo drift > /etc/note; echo drift > /etc/after"]);
    let (plan, _) = folder.expect(2, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = folder.expect(0, &["up", "--yes", "--json"]);
    agree(&plan, &up);
    let names: BTreeSet<String> = events(&plan, "planned")
        .filter(|entry| entry["plan"] != "ran")
        .map(|entry| format!("{} {}", entry["host"], entry["task"]).replace('"', ""))
        .collect();
    for task in ["note", "names", "opaque", "after", "noted"] {
        assert!(names.contains(&format!("worker-1 {task}")), "{task} of {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("control")), "{names:?}");

    // A machine more is made for one; what the others have stays.
    let machines = std::fs::read_to_string(folder.path().join("vms/dev.yaml")).expect("readable");
    folder.write("vms/dev.yaml", &machines.replace("count: 1", "count: 2"));
    let (plan, _) = folder.expect(2, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = folder.expect(0, &["up", "--yes", "--json"]);
    agree(&plan, &up);
    let made: Vec<Value> = events(&plan, "planned").filter(|entry| entry["layer"] == "machines").collect();
    assert_eq!(made.iter().map(|entry| format!("{} {}", entry["machine"], entry["plan"])).collect::<Vec<_>>(), ["\"worker-2\" \"make\""]);
    // One less: it goes, and nothing else.
    folder.write("vms/dev.yaml", &machines);
    let (plan, _) = folder.expect(2, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = folder.expect(0, &["up", "--yes", "--json"]);
    agree(&plan, &up);
    let gone: Vec<Value> = events(&up, "result").filter(|entry| entry["layer"] == "machines").collect();
    assert_eq!(
        gone.iter().map(|entry| format!("{} {}", entry["machine"], entry["outcome"])).collect::<Vec<_>>(),
        ["\"worker-2\" \"removed\""]
    );
}

/// A run that grows compiles anew: how machines are reached is in no inventory.
#[test]
fn a_machine_is_reached_again_in_a_run_that_grows() {
    let Some(folder) = Folder::new() else { return };
    folder.write(
        "playbooks/site.yaml",
        "- hosts: control_plane:workers\n  gather_facts: false\n  tasks:\n    - {name: group, group_by: {key: grown}}\n\
         - hosts: grown\n  gather_facts: false\n  tasks:\n    \
         - {name: restart, reboot: {reboot_timeout: 60}, when: inventory_hostname == 'worker-1'}\n    \
         - {name: after, copy: {content: x, dest: /etc/after-restart}}\n",
    );
    folder.expect(0, &["up", "--yes"]);
    for node in ["control", "worker-1"] {
        assert_eq!(folder.expect(0, &["ssh", node, "--", "cat /etc/after-restart"]).0, "x");
    }
}

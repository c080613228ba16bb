//! `provision plan` and `provision up` on a real node: the prediction, the question, the apply, the second time.

use serde_json::Value;

use super::lab::{Lab, Said};

const SITE: &str = r#"
- hosts: nodes
  gather_facts: false
  vars: {words: [one, two]}
  tasks:
    - {name: folder, file: {path: /srv/app, state: directory, mode: '0750'}}
    - name: words
      copy: {content: "{{ item }}\n", dest: "/srv/app/{{ item }}"}
      loop: "{{ words }}"
      notify: told
    - {name: by its name, template: {src: name.j2, dest: /srv/app/name}}
    - {name: read, command: cat /etc/hostname, changed_when: false, register: host}
    - meta: flush_handlers
    - {name: once, command: touch /srv/app/made, args: {creates: /srv/app/made}}
  handlers:
    - {name: told, copy: {content: "told\n", dest: /srv/app/told}}
"#;

/// What identifies an entry, and what it does.
fn entry(value: &Value) -> (String, String, String, String) {
    let text = |name: &str| value[name].to_string();
    (text("host"), text("position"), text("item"), text("actions"))
}

fn changes(said: &Said) -> Vec<(String, String, String, String)> {
    said.events("planned").iter().filter(|value| value["plan"] == "change").map(entry).collect()
}

#[test]
fn up_does_what_plan_said_and_a_second_time_nothing() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write_project(SITE);
    lab.write("playbooks/templates/name.j2", "I am {{ words | join('+') }}\n");
    // The agent's own file comes with the first run.
    lab.provision(&["plan"]).expect(0);
    let state = || lab.nodes.ssh("a", "find /srv /etc /opt /root /home -xdev -printf '%p %m %s %T@ %C@\\n' | sort | sha256sum");
    let before = state();

    let said = lab.provision(&["plan"]).expect(0);
    for line in [
        "~ folder: ",
        "~ words (item=one): ",
        "~ words (item=two): ",
        "~ once: run touch /srv/app/made",
        "~ handler told: write /srv/app/told",
        "to change",
    ] {
        assert!(said.stdout.contains(line), "no {line:?} in:\n{}", said.stdout);
    }
    let planned = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    assert_eq!(planned.events("plan")[0]["proves_no_change"], false);
    let refused = lab.provision(&["up"]).expect(6);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    assert_eq!(state(), before, "neither a plan nor a question changes anything");

    let done = lab.provision(&["up", "--yes", "--json"]).expect(0);
    assert_eq!(changes(&done), changes(&planned), "up applies what plan shows");
    let mut applied: Vec<_> = done.events("result").iter().filter(|value| value["status"] == "changed").map(entry).collect();
    let mut expected = changes(&planned);
    applied.sort();
    expected.sort();
    assert_eq!(applied, expected, "what was done is what was planned");
    assert_eq!(lab.nodes.ssh("a", "cat /srv/app/one /srv/app/two /srv/app/told /srv/app/name"), "one\ntwo\ntold\nI am one+two\n");

    let before = state();
    let again = lab.provision(&["up"]).expect(0);
    assert!(again.stderr.contains("No changes: 6 tasks on 1 host checked in "), "{}", again.stderr);
    lab.provision(&["plan", "--detailed-exitcode"]).expect(0);
    assert_eq!(state(), before, "the second time changes nothing");

    unknowns_are_told_with_their_cause(&lab);
    what_does_not_end_well_is_not_begun(&lab);
}

fn unknowns_are_told_with_their_cause(lab: &Lab) {
    lab.write(
        "playbooks/site.yaml",
        r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: build, shell: "echo 7 > /srv/app/number; cat /srv/app/number", register: built}
    - {name: uses it, copy: {content: "{{ built.stdout }}", dest: /srv/app/copy}}
    - {name: if it is seven, copy: {content: "seven", dest: /srv/app/seven}, when: built.stdout == '7'}
    - {name: written by no change, copy: {content: "x", dest: /srv/app/quiet}, changed_when: false}
"#,
    );
    let said = lab.provision(&["plan", "--detailed-exitcode"]).expect(2);
    for line in ["~ build: run echo 7", "? uses it (because of run echo 7", "? if it is seven (because of run echo 7"] {
        assert!(said.stdout.contains(line), "no {line:?} in:\n{}", said.stdout);
    }
    assert!(
        !lab.nodes.ssh_output("a", "test -e /srv/app/quiet").status.success(),
        "a file is not written by a plan, whatever changed_when says"
    );
    lab.provision(&["up", "-y"]).expect(0);
    assert_eq!(lab.nodes.ssh("a", "cat /srv/app/copy /srv/app/seven /srv/app/quiet"), "7sevenx");
}

fn what_does_not_end_well_is_not_begun(lab: &Lab) {
    lab.write(
        "playbooks/site.yaml",
        r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: first, copy: {content: "x", dest: /srv/app/never}}
    - {name: stop, fail: {msg: "not today"}}
"#,
    );
    let said = lab.provision(&["plan", "--detailed-exitcode"]).expect(1);
    assert!(said.stdout.contains("! stop: not today"), "{}", said.stdout);
    let said = lab.provision(&["up", "--yes"]).expect(2);
    assert!(said.stderr.contains("nothing was changed"), "{}", said.stderr);
    assert!(!lab.nodes.ssh_output("a", "test -e /srv/app/never").status.success());
    // Whoever asks for three answers gets 1 for every error.
    for (code, arguments) in [(4, &["plan", "-e", "ansible_port=9"][..]), (1, &["plan", "-e", "ansible_port=9", "--detailed-exitcode"])] {
        lab.provision(arguments).expect(code);
    }
    lab.write("playbooks/site.yaml", "- hosts: nodes\n  taskss: []\n");
    lab.provision(&["plan"]).expect(3);
    lab.provision(&["plan", "--detailed-exitcode"]).expect(1);
}

const CLOCK: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: run date, template: {src: date.j2, dest: /srv/date}}
    - {name: folder, file: {path: "/srv/{{ now(fmt='%H%M%S.%f') }}", state: directory}}
    - {name: equal, copy: {content: "{{ (now() - now()).total_seconds() }}", dest: /srv/equal}}
"#;

/// What `up` asks for is what it does, although the clock goes on between its plan and its apply.
#[test]
fn what_reads_the_clock_is_done_as_of_the_plan_and_changes_in_every_run() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write_project(CLOCK);
    lab.write("playbooks/templates/date.j2", "{{ template_run_date }}\n");
    lab.provision(&["up", "--yes"]).expect(0);
    assert_eq!(lab.nodes.ssh("a", "cat /srv/equal"), "0.0");
    let folder = lab.nodes.ssh("a", "basename /srv/*.*");
    let date = lab.nodes.ssh("a", "tr -d : < /srv/date");
    assert!(date.trim_end().ends_with(folder.trim()), "one moment: {date} {folder}");
    let again = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    let changes: Vec<String> = changes(&again).into_iter().map(|(_, position, ..)| position).collect();
    assert_eq!(changes.len(), 2, "certain, not unknown: {}", again.stdout);
    lab.provision(&["up", "--yes"]).expect(0);
    assert_ne!(lab.nodes.ssh("a", "tr -d : < /srv/date"), date);
}

/// Tasks that change the run, and one that changes a machine.
const GROWING: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: group, group_by: {key: "of_{{ inventory_hostname }}"}}
    - {name: add, add_host: {name: more, groups: [added], ansible_connection: local}}
    - {name: said, debug: {msg: x}, changed_when: true}
- hosts: of_a
  gather_facts: false
  tasks:
    - {name: file, copy: {content: "x\n", dest: /srv/growing}}
"#;

#[test]
fn what_changes_no_machine_is_no_change_to_a_plan() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write_project(GROWING);
    let words = |said: &Said| -> Vec<String> {
        said.events("planned").iter().map(|value| format!("{} {}", value["task"], value["plan"])).collect()
    };
    let planned = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    assert_eq!(words(&planned), ["\"group\" \"of the run\"", "\"add\" \"of the run\"", "\"said\" \"of the run\"", "\"file\" \"change\""]);
    let done = lab.provision(&["up", "--yes", "--json"]).expect(0);
    assert_eq!(words(&done), words(&planned));
    assert_eq!(done.count("a", "changed"), 4, "PLAY RECAP counts as Ansible's: {}", done.stdout);
    let said = lab.provision(&["plan", "--detailed-exitcode"]).expect(0);
    assert!(said.stdout.contains("No changes: "), "{}", said.stdout);
    let (planned, done) = (lab.provision(&["plan", "--json"]).expect(0), lab.provision(&["up", "--json"]).expect(0));
    assert_eq!((words(&planned), planned.events("planned")), (words(&done), done.events("planned")));
    assert_eq!(planned.events("plan")[0]["proves_no_change"], true);
}

/// `a` fails, as the plan sees or does not see, and comes back; what it does then is planned.
const BACK: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - include_tasks: fails.yaml
    - {name: behind, copy: {content: "x\n", dest: /srv/behind}}
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: next, copy: {content: "x\n", dest: /srv/next}}
"#;

#[test]
fn who_is_brought_back_does_what_was_planned() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write_project(BACK);
    let there = |host: &str| lab.nodes.ssh(host, "cd /srv; ls; rm -rf behind next never").split_whitespace().collect::<Vec<_>>().join(" ");
    let says = "- {name: says, shell: 'echo 1', register: made}\n";
    for (before, failure, word, shown) in [
        // Seen beforehand.
        ("", "fail: {msg: x}", "when: true", "! fails: x"),
        // Known only when it fails.
        ("", "command: 'false'", "when: true", "~ fails: run false"),
        // Whether it comes back is known only on the way.
        (says, "fail: {msg: x}", "when: made.stdout == '1'", "? back"),
    ] {
        let fails = format!("- {{name: fails, {failure}, when: inventory_hostname == 'a'}}\n");
        let never = "- {name: never, copy: {content: x, dest: /srv/never}, when: inventory_hostname == 'a'}\n";
        lab.write("playbooks/fails.yaml", &format!("{before}{fails}{never}- {{name: back, meta: clear_host_errors, {word}}}\n"));
        let planned = lab.provision(&["plan"]);
        let lines = |task: &str| planned.stdout.lines().filter(|line| line.contains(task)).count();
        assert_eq!((lines(" behind"), lines(" next"), lines(shown) > 0), (2, 2, true), "{shown}:\n{}", planned.stdout);
        lab.provision(&["up", "--yes"]).expect(0);
        assert_eq!([there("a"), there("b")], ["behind next", "behind next"], "{failure}, {word}");
    }
}

/// Who takes the word from another host that this one ends the play for all learns nothing of the machine by it.
const ENDED: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: made, shell: echo 1, register: made, run_once: true}
    - {name: end, meta: end_play, when: made.stdout == '2'}
    - {name: asked, stat: {path: /srv/none}, register: asked}
    - {name: file, copy: {content: "x\n", dest: /srv/ended}, when: not asked.stat.exists}
"#;

#[test]
fn a_play_that_another_host_may_end_is_planned_as_far_as_can_be() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write_project(ENDED);
    let planned = lab.provision(&["plan", "--json"]).expect(0).events("planned");
    let word =
        |host: &str| planned.iter().find(|value| value["host"] == host && value["task"] == "file").map(|value| value["plan"].clone());
    assert_eq!([word("a"), word("b")], [Some("unknown".into()), Some("change".into())], "{planned:?}");
    lab.provision(&["up", "--yes"]).expect(0);
    assert_eq!(lab.nodes.ssh("b", "cat /srv/ended"), "x\n");
}

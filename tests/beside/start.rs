//! `--start-at-task` beside ansible-core: where a run begins, and what it leaves out.

use super::local::Project;

const SITE: &str = r#"
- hosts: all
  tags: early
  tasks:
    - {name: before all, command: 'true'}
- hosts: one
  gather_facts: false
  tags: one
  tasks:
    - {name: still before, command: 'true', notify: told}
    - {name: include nothing, include_tasks: more.yml}
    - block:
        - {name: fails, command: 'false'}
      rescue:
        - {name: in a rescue, debug: {msg: x}}
    - {name: "here {{ inventory_hostname }}", tags: [never, rare], command: 'true'}
    - {name: include more, include_tasks: more.yml}
    - {debug: {msg: nameless}}
  handlers:
    - {name: told, command: 'true'}
- hosts: all
  gather_facts: false
  roles: [last]
"#;

#[test]
fn a_run_begins_where_ansible_begins_it() {
    let Some(project) = Project::new(&[
        ("site.yml", SITE),
        ("more.yml", "- {name: of more, command: 'true'}\n"),
        ("roles/last/tasks/main.yml", "- {name: first, command: 'true'}\n- {name: second, command: 'true'}\n- debug: {msg: third}\n"),
    ]) else {
        return;
    };
    for (start, more) in [
        ("include more", [].as_slice()),
        ("here *", &["--tags", "rare,one"]),
        ("second", &[]),
        ("last : second", &[]),
        ("last : debug", &[]),
        ("debug", &[]),
        ("sec*", &["--skip-tags", "one"]),
    ] {
        let words = [&["site.yml", "--start-at-task", start], more].concat();
        let (theirs, ours, said) = project.both(&words, &[]);
        assert!(!theirs.told.is_empty(), "{start}: {said}");
        assert_eq!((theirs.told, theirs.recaps, theirs.code), (ours.told, ours.recaps, ours.code), "{start}: {said}");
    }
    // Ansible ends well there, having done nothing; a slip is a mistake here.
    for start in ["here one", "in a rescue", "of more", "here *"] {
        let (theirs, ours, said) = project.both(&["site.yml", "--start-at-task", start], &[]);
        assert!(theirs.told.is_empty() && ours.told.is_empty() && ours.code == 3, "{start}: {said}");
        assert!(said.contains(&format!("--start-at-task {start}: no task is named")), "{said}");
    }
}

/// What people look at before they press enter.
#[test]
fn a_listing_of_hosts_heeds_the_limit() {
    let site = "- hosts: all\n  tasks: [{debug: {msg: a}}]\n- hosts: lb\n  tasks: [{debug: {msg: b}}]\n- hosts: localhost\n  tasks: [{debug: {msg: c}}]\n";
    let Some(project) = Project::new(&[("site.yml", site), ("hosts.ini", "[web]\nweb1\nweb2\nweb3\n[lb]\nlb1\n")]) else { return };
    for limit in ["web:!web2", "lb", "all"] {
        let arguments = ["site.yml", "--list-hosts", "--limit", limit];
        // Ansible lists a set, in no order.
        let sorted = |(_, said): (_, String)| {
            said.lines().map(str::to_owned).filter(|line| !line.starts_with("[WARNING]")).collect::<std::collections::BTreeSet<_>>()
        };
        let (theirs, ours) = (sorted(project.theirs(&arguments)), sorted(project.ours(&arguments)));
        assert_eq!(theirs, ours, "{limit}");
        assert_eq!(ours.contains("      web2"), limit == "all", "{ours:?}");
    }
}

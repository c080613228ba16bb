//! Hosts that work on one machine at the same time, and files that a project has in a role's place, beside ansible-core.

use super::local::Project;
use crate::support::sshd::Sshd;

/// Six names of this machine.
const HOSTS: &str = "[all:vars]\nansible_connection=local\n[all]\nh[1:6]\n";

/// Everybody adds a line on one host, which adds its own; all write one file.
const SITE: &str = r##"
- hosts: all
  gather_facts: false
  tasks:
    - name: elsewhere
      lineinfile: {path: "{{ root }}/elsewhere", line: "{{ inventory_hostname }}", create: true}
      delegate_to: localhost
    - name: on the first
      blockinfile: {path: "{{ root }}/first", block: "of {{ inventory_hostname }}", marker: "# {mark} {{ inventory_hostname }}", create: true}
      delegate_to: "{{ groups.all[0] }}"
    - {name: all of one, copy: {content: "a\n", dest: "{{ root }}/one/same"}}
    - {name: all of one again, copy: {content: "b\n", dest: "{{ root }}/one/same"}}
"##;

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn hosts_on_one_machine_lose_nothing_of_each_other() {
    let Some(project) = Project::new(&[("site.yml", SITE), ("hosts.ini", HOSTS)]) else { return };
    let (theirs, _) = project.theirs(&["site.yml"]);
    let mut lost = 0;
    for round in 0..3 {
        if round > 0 {
            std::fs::remove_dir_all(project.path("ours")).expect("of the round before");
        }
        let (ours, said) = project.ours(&["site.yml"]);
        assert_eq!((theirs.code, ours.code), (0, 0), "{said}");
        for path in ["first", "one/same", "elsewhere"] {
            let text = |files: &std::collections::BTreeMap<String, String>| sorted(files.get(path).map_or("", String::as_str)).join("\n");
            lost += usize::from(text(&ours.files).len() < text(&theirs.files).len());
            assert_eq!(
                text(&ours.files).lines().count(),
                if path == "first" {
                    18
                } else if path == "elsewhere" {
                    6
                } else {
                    1
                },
                "{path}: {said}"
            );
        }
        let left: Vec<&String> = ours.files.keys().filter(|path| path.contains("provision-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(lost, 0);
}

/// A role's templates and files are named by variables, which the project sets to its own.
const REPLACED: &str = r#"
- hosts: one
  gather_facts: false
  vars: {by_play: own.j2, whole_path: "{{ playbook_dir }}/templates/deep/own.j2"}
  vars_files: [vars.yml]
  pre_tasks:
    - set_fact: {by_fact: own.j2, file_by_fact: own.txt}
  roles: [r]
"#;

const TASKS: &str = r#"
- {name: usual, template: {src: "{{ usual }}", dest: "{{ root }}/usual"}}
- {name: by the play, template: {src: "{{ by_play }}", dest: "{{ root }}/by_play"}}
- {name: by a file, template: {src: "{{ by_file }}", dest: "{{ root }}/by_file"}}
- {name: by the inventory, template: {src: "{{ by_group }}", dest: "{{ root }}/by_group"}}
- {name: by a fact, template: {src: "{{ by_fact }}", dest: "{{ root }}/by_fact"}}
- {name: by its path, template: {src: "{{ whole_path }}", dest: "{{ root }}/whole_path"}}
- {name: a file, copy: {src: "{{ file_by_fact }}", dest: "{{ root }}/file_by_fact"}}
- {name: read, copy: {content: "{{ lookup('file', file_by_fact) }}\n", dest: "{{ root }}/read"}}
"#;

#[test]
fn a_project_replaces_a_roles_files_as_in_ansible() {
    let defaults =
        "usual: def.j2\nby_play: def.j2\nby_file: def.j2\nby_group: def.j2\nby_fact: def.j2\nwhole_path: def.j2\nfile_by_fact: def.txt\n";
    let files = [
        ("site.yml", REPLACED),
        ("vars.yml", "by_file: own.j2\n"),
        ("group_vars/all.yml", "by_group: own.j2\n"),
        ("templates/own.j2", "own {{ inventory_hostname }}\n"),
        ("templates/deep/own.j2", "deep {{ inventory_hostname }}\n"),
        ("files/own.txt", "own\n"),
        ("roles/r/defaults/main.yml", defaults),
        ("roles/r/templates/def.j2", "def {{ inventory_hostname }}\n"),
        ("roles/r/files/def.txt", "def\n"),
        ("roles/r/tasks/main.yml", TASKS),
    ];
    let Some(project) = Project::new(&files) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs, ours, "{said}");
    assert_eq!(ours.files.values().filter(|text| text.starts_with("own") || text.starts_with("deep")).count(), 7, "{said}");
}

/// A fresh machine, where nothing is made yet.
const CHECKED: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: its group, group: {name: absent_group_of_tests, system: true}}
    - {name: its user, user: {name: absent_user_of_tests, group: absent_group_of_tests, create_home: false}}
    - {name: another, user: {name: absent_other_of_tests, groups: [absent_group_of_tests], append: true}}
    - {name: its folder, file: {path: "{{ root }}/folder", state: directory, owner: absent_user_of_tests, group: absent_group_of_tests}}
    - {name: its file, file: {path: "{{ root }}/file", state: touch, owner: absent_user_of_tests}}
    - {name: a copy, copy: {content: x, dest: "{{ root }}/copy", owner: absent_user_of_tests}}
    - {name: found, debug: {msg: "{{ query('fileglob', '*.txt') | map('basename') | join }}"}, failed_when: "query('fileglob', '*.txt') | map('basename') | join != 'beside.txt'"}
    - {name: there, file: {path: "{{ root }}/one", state: directory, owner: absent_user_of_tests}, ignore_errors: true}
"#;

#[test]
fn a_check_of_a_fresh_machine_tells_what_ansibles_does() {
    let Some(project) = Project::new(&[("site.yml", CHECKED), ("beside.txt", ""), ("beside.cfg", "")]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml", "--check"], &[]);
    assert_eq!(theirs, ours, "{said}");
    assert!(ours.code == 0 && ours.told["one"].contains(&"changed its user".to_owned()), "{said}");
}

/// What a host's task sees of another one's: in plays that follow each other, and within one.
const SEEN: &str = r#"
- hosts: db
  gather_facts: false
  tasks:
    - {name: make, shell: "sleep 2; echo token > {{ root }}/token"}
- hosts: app
  gather_facts: false
  tasks:
    - {name: look there, stat: {path: "{{ root }}/token"}, delegate_to: db, register: seen}
    - {name: read there, slurp: {src: "{{ root }}/token"}, delegate_to: db, register: token}
    - {name: there already, lineinfile: {path: "{{ root }}/token", line: token}, delegate_to: db}
    - {name: tell, copy: {content: "{{ seen.stat.exists }} {{ token.content }}\n", dest: "{{ root }}/app"}}
    - {name: make for db, shell: "sleep 2; echo its > {{ root }}/its", delegate_to: "{{ groups.all[0] }}"}
- hosts: db
  gather_facts: false
  tasks:
    - {name: look, stat: {path: "{{ root }}/its"}, register: seen}
    - {name: tell, copy: {content: "{{ seen.stat.exists }}\n", dest: "{{ root }}/db"}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: one makes, shell: "sleep 2; echo v > {{ root }}/v", delegate_to: "{{ groups.all[0] }}", when: inventory_hostname == 'app'}
    - {name: each looks, stat: {path: "{{ root }}/v"}, register: seen}
    - {name: each tells, copy: {content: "{{ seen.stat.exists }}\n", dest: "{{ root }}/{{ inventory_hostname }}.seen"}}
"#;

fn sees_the_same(hosts: &str) {
    let Some(project) = Project::new(&[("site.yml", SEEN), ("hosts.ini", hosts)]) else { return };
    let (theirs, they_said) = project.theirs(&["site.yml"]);
    let (ours, we_said) = project.ours(&["site.yml"]);
    assert_eq!(theirs.code, 0, "{they_said}");
    assert_eq!(theirs, ours, "{they_said}\n{we_said}");
    assert_eq!(["app", "db", "db.seen"].map(|name| ours.files[name].trim()), ["True dG9rZW4K", "True", "True"]);
}

#[test]
fn a_task_sees_what_was_done_before_on_a_host_that_it_is_delegated_to() {
    let sshd = Sshd::start();
    let login = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let of_all = format!(
        "ansible_port={} ansible_ssh_private_key_file={} ansible_ssh_common_args='{login}'",
        sshd.port(),
        sshd.user_key().display()
    );
    sees_the_same(&format!("db ansible_host=127.0.0.1 {of_all}\napp ansible_host=localhost {of_all}\n"));
}

#[test]
fn names_of_one_machine_see_what_each_other_did() {
    sees_the_same("db ansible_connection=local\napp ansible_connection=local\n");
}

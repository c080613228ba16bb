//! Hosts that a run adds, beside ansible-core: what others read of them, and which of them are reached.

use super::local::Project;

/// `KEEPER` is a name to keep variables in, as playbooks for clusters make one for the join command: it has no machine.
const SITE: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: slowly, command: sleep 1}
    - {name: keep, add_host: {name: KEEPER, ansible_connection: ssh, groups: [kept], word: "of {{ inventory_hostname }}", from: "{{ inventory_hostname }}"}}
- hosts: two
  gather_facts: false
  vars: {holder: KEEPER}
  tasks:
    - name: what it keeps
      copy:
        content: "{{ hostvars['KEEPER']['word'] }} {{ hostvars[holder].from }} {{ groups.kept | join }}\n"
        dest: "{{ root }}/kept"
- hosts: all
  gather_facts: false
  tasks:
    - {name: of all, set_fact: {own: "{{ inventory_hostname }}"}}
    - name: order
      copy: {content: "{{ groups.all | join(' ') }} {{ ansible_play_hosts | join(' ') }}\n", dest: "{{ root }}/order"}
      delegate_to: one
      run_once: true
    - name: table
      copy: {content: "{{ groups.all | map('extract', hostvars, 'own') | sort | join(' ') }}\n", dest: "{{ root }}/table"}
      delegate_to: one
      run_once: true
"#;

#[test]
fn an_added_host_keeps_variables_without_a_machine() {
    let Some(project) = Project::new(&[("site.yml", SITE)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((&theirs.code, &theirs.recaps, &theirs.told, &theirs.files), (&ours.code, &ours.recaps, &ours.told, &ours.files), "{said}");
    assert_eq!(ours.files.get("kept").map(String::as_str), Some("of one one KEEPER\n"), "{said}");
    assert_eq!(ours.files.get("table").map(String::as_str), Some("KEEPER one two\n"), "{said}");
}

/// The last play is nobody's: all hosts of a batch failed before it.
const BROKEN: &str = r"
- hosts: all
  gather_facts: false
  serial: 1
  tasks:
    - {name: slowly, command: sleep 1}
    - {name: broken, command: 'false', when: inventory_hostname == 'two'}
- hosts: one
  gather_facts: false
  tasks:
    - {name: too late, debug: {msg: x}}
    - {name: not taken, command: 'true', when: inventory_hostname == 'none'}
";

#[test]
fn no_host_begins_a_play_behind_one_that_may_end_the_run() {
    let fatal = BROKEN.replace("- hosts: all\n", "- hosts: two\n").replace("serial: 1", "any_errors_fatal: true");
    let Some(project) = Project::new(&[("serial.yml", BROKEN), ("fatal.yml", &fatal)]) else { return };
    for file in ["serial.yml", "fatal.yml"] {
        let (theirs, ours, said) = project.both(&[file], &[]);
        assert_eq!((theirs.code, theirs.recaps, theirs.told), (ours.code, ours.recaps, ours.told), "{file}: {said}");
    }
}

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

/// As playbooks for clouds do: what a task adds is used by the play's next one.
const AT_ONCE: &str = r#"
- hosts: all
  gather_facts: false
  handlers:
    # In which order Ansible has them is chance: who was grouped first.
    - {name: told, copy: {content: "{{ groups.late | sort | join }}\n", dest: "{{ root }}/{{ inventory_hostname }}/told"}}
  tasks:
    - {name: not yet, copy: {content: "{{ groups | sort | join(' ') }}\n", dest: "{{ root }}/{{ inventory_hostname }}/before"}}
    - {name: slowly, command: sleep 1, when: inventory_hostname == 'two'}
    - name: add
      add_host: {name: "{{ item }}", groups: [fresh, more], colour: "{{ item }} red", ansible_connection: local}
      loop: [three, four]
    - name: added
      copy:
        content: |
          {{ groups.fresh }} {{ groups | sort }} {{ 'three' in hostvars }} {{ hostvars.three.colour }} {{ hostvars | length }}
          {{ groups.all }} {{ query('inventory_hostnames', 'more') }} {{ hostvars.four.group_names }}
        dest: "{{ root }}/{{ inventory_hostname }}/added"
    - {name: slowly again, command: sleep 1, when: inventory_hostname == 'one'}
    - {name: by name, group_by: {key: "is_{{ inventory_hostname }}", parents: kin}}
    - name: by one's own
      group_by: {key: odd}
      when: inventory_hostname == 'two'
    - name: grouped
      copy:
        content: "{{ groups.is_one }} {{ groups.kin }} {{ groups.odd }} {{ group_names }} {{ hostvars.two.group_names }} {{ of_kin }} {{ of_two | default('') }}\n"
        dest: "{{ root }}/{{ inventory_hostname }}/grouped"
    - name: for each
      copy: {content: "{{ hostvars[item].colour }}\n", dest: "{{ root }}/{{ inventory_hostname }}/{{ item }}"}
      delegate_to: "{{ item }}"
      loop: "{{ groups['fresh'] }}"
    - {name: of another, set_fact: {spot: here}, delegate_to: three, delegate_facts: true}
    - {name: late, group_by: {key: late}, changed_when: true, notify: told}
- hosts: late:fresh
  gather_facts: false
  tasks:
    - name: later
      copy: {content: "{{ of_kin }} {{ spot | default('nowhere') }}\n", dest: "{{ root }}/one/later.{{ inventory_hostname }}"}
"#;

#[test]
fn what_a_task_adds_counts_in_its_own_play() {
    let of = |name: &str, text: &str| (format!("group_vars/{name}.yml"), text.to_owned());
    let variables = [of("kin", "of_kin: kin\n"), of("is_two", "of_two: two\nof_kin: second\n"), of("fresh", "of_kin: fresh\n")];
    let files: Vec<(&str, &str)> =
        variables.iter().map(|(name, text)| (name.as_str(), text.as_str())).chain([("site.yml", AT_ONCE)]).collect();
    let Some(project) = Project::new(&files) else { return };
    let (theirs, mut ours, said) = project.both(&["site.yml"], &[]);
    for (host, told) in &mut ours.told {
        let told_here = theirs.told.get(host).cloned().unwrap_or_default();
        told.sort_by_key(|line| told_here.iter().position(|theirs| theirs == line));
    }
    assert_eq!((theirs.code, theirs.recaps, theirs.told, theirs.files), (ours.code, ours.recaps, ours.told, ours.files.clone()), "{said}");
    assert_eq!(ours.files.get("one/before").map(String::as_str), Some("all ungrouped\n"), "{said}");
    assert!(ours.files.get("two/grouped").is_some_and(|text| text.contains("second two")), "{said}");
}

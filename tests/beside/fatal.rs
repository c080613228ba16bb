//! Failures that are those of all hosts (`any_errors_fatal`), beside ansible-core: blocks around them have a `rescue`, or have none.

use super::local::Project;

/// One fails in an inner block, the other at an outer one's end.
const RESCUED: &str = r#"
- hosts: one:two
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: outer
      block:
        - name: inner
          block:
            - {name: slow, command: sleep 1, when: inventory_hostname == 'two', changed_when: false}
            - {name: breaks, command: 'false', when: inventory_hostname == 'one'}
            - {name: not, debug: {msg: x}}
          always:
            - {name: inner always, debug: {msg: x}}
        - {name: not either, debug: {msg: x}}
      rescue:
        - {name: rescued, copy: {content: "{{ ansible_failed_task.name | default('nothing') }}\n", dest: "{{ root }}/{{ inventory_hostname }}/failed"}}
      always:
        - {name: at last, debug: {msg: x}}
    - {name: after, copy: {content: "{{ ansible_play_hosts_all }}\n", dest: "{{ root }}/{{ inventory_hostname }}/hosts"}}
    - name: last of a block
      block:
        - {name: breaks two, command: 'false', when: inventory_hostname == 'two'}
      rescue:
        - {name: rescued two, debug: {msg: x}}
    - {name: after two, debug: {msg: x}}
"#;

/// The rescue fails.
const IN_VAIN: &str = r"
- hosts: one:two
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: outer
      block:
        - {name: breaks, command: 'false'}
      rescue:
        - {name: fails too, command: 'false', when: inventory_hostname == 'one'}
        - {name: more, debug: {msg: x}}
      always:
        - {name: at last, debug: {msg: x}}
    - {name: after, debug: {msg: x}}
";

/// A host out of reach is a failure of all, too.
const AWAY: &str = r"
- hosts: away:two
  gather_subset: '!all'
  any_errors_fatal: true
  tasks:
    - {name: after, debug: {msg: x}}
";

const AWAY_RESCUED: &str = r"
- hosts: away:two
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: outer
      block:
        - {name: breaks, ping: }
        - {name: more, debug: {msg: x}}
      rescue:
        - {name: rescued, debug: {msg: x}}
    - {name: after, debug: {msg: x}}
";

#[test]
fn a_failure_of_all_is_rescued_by_all() {
    let Some(project) =
        Project::new(&[("rescued.yml", RESCUED), ("in_vain.yml", IN_VAIN), ("away.yml", AWAY), ("away_rescued.yml", AWAY_RESCUED)])
    else {
        return;
    };
    let away = "away ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o StrictHostKeyChecking=no'\n";
    project.write("hosts.ini", &format!("[here]\none\ntwo\n[here:vars]\nansible_connection=local\n[other]\n{away}"));
    for (file, code) in [("rescued.yml", 0), ("in_vain.yml", 2), ("away.yml", 4), ("away_rescued.yml", 4)] {
        let (theirs, ours, said) = project.both(&[file], &[]);
        assert_eq!(theirs, ours, "{file}: {said}");
        assert_eq!(ours.code, code, "{file}: {said}");
    }
}

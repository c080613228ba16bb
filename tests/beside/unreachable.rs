//! A task that is delegated to a host that cannot be reached, beside ansible-core: the host that it is for counts as unreachable, nothing
//! rescues it, and the run's exit code says so.

use super::local::Project;

const SITE: &str = r"
- hosts: one:two:three
  gather_facts: false
  tasks:
    - name: around
      block:
        - name: delegated
          command: 'true'
          delegate_to: away
          when: inventory_hostname == 'one'
        - {name: after, command: 'true'}
      rescue:
        - {name: rescued, command: 'true'}
      always:
        - {name: always, command: 'true'}
    - name: let it be
      command: 'true'
      delegate_to: away
      ignore_unreachable: true
      register: tried
      when: inventory_hostname == 'two'
    - name: what it gave
      copy:
        content: '{{ tried is unreachable }} {{ tried is failed }} {{ tried is changed }}'
        dest: '{{ root }}/two/tried'
      when: inventory_hostname == 'two'
    - name: facts of it
      setup: {gather_subset: '!all'}
      delegate_to: away
      when: inventory_hostname == 'three'
- hosts: one:two:three
  gather_facts: false
  tasks:
    - {name: in the next play, command: 'true'}
";

#[test]
fn a_delegated_host_out_of_reach_makes_the_host_unreachable() {
    let Some(project) = Project::new(&[("site.yml", SITE)]) else { return };
    let away = "away ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_common_args='-o StrictHostKeyChecking=no'\n";
    project.write("hosts.ini", &format!("[here]\none\ntwo\nthree\n[here:vars]\nansible_connection=local\n[other]\n{away}"));
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs.told, ours.told, "{said}");
    assert_eq!((theirs.code, &theirs.files), (ours.code, &ours.files), "{said}");
    assert_eq!(ours.code, 4, "{said}");
    assert_eq!(ours.told["one"], ["unreachable delegated"], "{said}");
    assert_eq!(ours.files.get("two/tried").map(String::as_str), Some("True False False"), "{said}");
    for (host, counts) in [("one", [0, 1]), ("two", [5, 0]), ("three", [2, 1])] {
        let of_theirs = format!("{host:<26} : ok={:<4} changed=", counts[0]);
        assert!(said.contains(&of_theirs), "{of_theirs}\n{said}");
        let of_ours = format!("\"ok\":{},", counts[0]);
        let recap = said.lines().find(|line| line.contains("\"event\":\"recap\"")).unwrap_or_default();
        let of_host = recap.split(&format!("\"{host}\":")).nth(1).unwrap_or_default().split('}').next().unwrap_or_default();
        assert!(of_host.contains(&of_ours) && of_host.contains(&format!("\"unreachable\":{}", counts[1])), "{host}: {of_host}\n{said}");
    }
}

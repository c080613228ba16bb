//! Ansible's implicit `localhost`, which is in no inventory, beside ansible-core.

use super::local::Project;

const SITE: &str = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {name: set, set_fact: {wanted: {release: 3, notes: [a, b]}}}
- hosts: one:two
  gather_facts: false
  vars: {wanted: "{{ hostvars['localhost'].wanted }}"}
  tasks:
    - name: read
      copy:
        content: "{{ wanted.release }} {{ hostvars.localhost.wanted.notes | first }} {{ hostvars['localhost']['inventory_hostname'] }} {{ groups.all | length }}"
        dest: "{{ root }}/{{ inventory_hostname }}/read"
"#;

#[test]
fn what_localhost_found_out_is_read_through_hostvars() {
    let Some(project) = Project::new(&[("site.yml", SITE)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, ours.code), (0, 0), "{said}");
    assert_eq!((theirs.told, &theirs.files), (ours.told, &ours.files), "{said}");
    assert_eq!(ours.files.get("two/read").map(String::as_str), Some("3 a localhost 2"), "{said}");
}

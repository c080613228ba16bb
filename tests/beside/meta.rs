//! Actions of `meta` that are done to all hosts at once, beside ansible-core.

use super::local::Project;

const FACTS: &str = r"
- hosts: all
  gather_facts: false
  tasks:
    - {name: gather, setup: {gather_subset: [min]}}
    - {name: kept, set_fact: {kept: a}}
    - {name: meta, meta: clear_facts, when: inventory_hostname == 'two'}
    - {name: all there, debug: {msg: x}, changed_when: ansible_distribution is defined}
    - {name: meta, meta: clear_facts, when: inventory_hostname == 'one'}
    - {name: none there, debug: {msg: x}, changed_when: ansible_distribution is not defined and ansible_facts.distribution is not defined}
    - {name: what was set, debug: {msg: x}, changed_when: kept == 'a'}
";

#[test]
fn facts_are_forgotten_by_all_where_the_first_host_says_so() {
    let Some(project) = Project::new(&[("site.yml", FACTS)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, &theirs.told, &theirs.recaps), (ours.code, &ours.told, &ours.recaps), "{said}");
    for host in ["one", "two"] {
        assert_eq!(ours.told[host][2..], ["changed all there", "changed none there", "changed what was set"], "{said}");
    }
}

/// A host and a group that are added, an inventory that another task writes, and files of variables beside it.
const REFRESH: &str = r#"
- hosts: all
  gather_facts: false
  tasks:
    - name: before
      copy: {content: "{{ v | default('-') }} {{ g }} {{ groups | dictsort }}\n", dest: "{{ root }}/{{ inventory_hostname }}/before"}
    - {name: add, add_host: {name: added, groups: [more], ansible_connection: local}}
    - {name: group, group_by: {key: "of_{{ inventory_hostname }}"}}
    - name: write
      shell: |
        printf '[all:vars]\nansible_connection=local\n[all]\none v=new\ntwo\nthree v=third\n[late]\none\n' > {{ playbook_dir }}/hosts.ini
        echo 'g: new' > {{ playbook_dir }}/group_vars/all.yml
        echo 'late: new' > {{ playbook_dir }}/group_vars/late.yml
        echo 'hv: new' > {{ playbook_dir }}/host_vars/one.yml
        echo 'hv: new' > {{ playbook_dir }}/host_vars/three.yml
      when: inventory_hostname == 'one'
    - {name: meta, meta: refresh_inventory, when: false}
    - name: after
      copy:
        content: "{{ v | default('-') }} {{ g }} {{ hv | default('-') }} {{ late | default('-') }} {{ groups | dictsort }} {{ hostvars.three.v }}\n"
        dest: "{{ root }}/{{ inventory_hostname }}/after"
- hosts: all:!added
  gather_facts: false
  tasks:
    - name: next
      copy:
        content: "{{ v | default('-') }} {{ g }} {{ hv | default('-') }} {{ late | default('-') }} {{ group_names }} {{ ansible_play_hosts }}\n"
        dest: "{{ root }}/next-{{ inventory_hostname }}"
- hosts: one
  gather_facts: false
  tasks:
    - name: without the second
      shell: |
        printf '[all:vars]\nansible_connection=local\n[all]\none\n' > {{ playbook_dir }}/hosts.ini
    - {name: meta, meta: refresh_inventory}
- hosts: all
  gather_facts: false
  tasks:
    - {name: the rest, copy: {content: "{{ groups | dictsort }}\n", dest: "{{ root }}/rest-{{ inventory_hostname }}"}}
"#;

#[test]
fn an_inventory_is_read_again_as_ansible_reads_it() {
    let Some(project) = Project::new(&[("site.yml", REFRESH)]) else { return };
    let begin = || {
        project.write("hosts.ini", "[all:vars]\nansible_connection=local\n[all]\none v=old\ntwo\n");
        project.write("group_vars/all.yml", "g: old\n");
        for name in ["group_vars/late.yml", "host_vars/one.yml", "host_vars/three.yml"] {
            let _ = std::fs::remove_file(project.path(name));
        }
        std::fs::create_dir_all(project.path("host_vars")).expect("a folder");
    };
    begin();
    let (theirs, they_said) = project.theirs(&["site.yml"]);
    begin();
    let (ours, we_said) = project.ours(&["site.yml"]);
    assert_eq!((theirs.code, &theirs.files), (ours.code, &ours.files), "{they_said}\n{we_said}");
    assert_eq!((&theirs.told, &theirs.recaps), (&ours.told, &ours.recaps), "{they_said}\n{we_said}");
    assert!(ours.files.contains_key("next-three") && !ours.files.contains_key("rest-two"), "{we_said}");
    assert!(we_said.contains("refresh_inventory task does not support when conditional"), "{we_said}");
}

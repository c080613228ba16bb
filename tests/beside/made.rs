//! Files that the run itself makes on the controller and reads again, beside ansible-core.

use super::local::Project;

const HOSTS: &str = "one ansible_connection=local\ntwo ansible_connection=local\n";

/// One host's files go to the other one, as playbooks for clusters do with keys, certificates and tokens.
const PASSED_ON: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: make, shell: "sleep 1; mkdir -p {{ root }}/one/tree/inner; echo token-{{ count | default(1) }} > {{ root }}/one/token; echo a > {{ root }}/one/tree/a; echo b > {{ root }}/one/tree/inner/b; echo 'answer: 42' > {{ root }}/one/vars.yml"}
    - {name: bring, fetch: {src: "{{ root }}/one/{{ item }}", dest: "{{ root }}/kept/", flat: true}, loop: [token, tree/a, vars.yml]}
    - {name: for the host, fetch: {src: "{{ root }}/one/token", dest: "{{ root }}/kept"}}
    - {name: said here, local_action: "shell echo join-{{ count | default(1) }} > {{ root }}/join-command"}
- hosts: two
  gather_facts: false
  tasks:
    - {name: token, copy: {src: "{{ root }}/kept/token", dest: "{{ root }}/two/token"}}
    - {name: command, copy: {src: "{{ root }}/join-command", dest: "{{ root }}/two/join", mode: "0700"}}
    - {name: whole, copy: {src: "{{ root }}/kept", dest: "{{ root }}/two/"}}
    - {name: said, copy: {content: "{{ lookup('file', root ~ '/kept/token') }} {{ kept }}\n", dest: "{{ root }}/two/said"}}
    - {name: variables, include_vars: "{{ root }}/kept/vars.yml"}
    - {name: answer, copy: {content: "{{ answer }}\n", dest: "{{ root }}/two/answer"}}
    - {name: each, copy: {src: "{{ item }}", dest: "{{ root }}/two/each/"}, with_fileglob: ["{{ root }}/kept/*"]}
    - {name: rendered, template: {src: "{{ root }}/kept/token", dest: "{{ root }}/two/rendered"}}
  vars:
    kept: "{{ lookup('file', root ~ '/kept/one' ~ root ~ '/one/token') }}"
"#;

/// Names that are written out, beside the playbook.
const BESIDE: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: rendered here, template: {src: conf.j2, dest: "{{ playbook_dir }}/made.conf"}, delegate_to: localhost, run_once: true}
    - {name: also, shell: "echo x > {{ playbook_dir }}/also.txt", delegate_to: localhost}
- hosts: two
  gather_facts: false
  tasks:
    - {name: sent, copy: {src: made.conf, dest: "{{ root }}/made.conf"}}
    - {name: read, copy: {content: "{{ lookup('file', 'also.txt') }}\n", dest: "{{ root }}/also"}}
    - {name: not there, copy: {src: /nowhere/never.txt, dest: "{{ root }}/never"}, ignore_errors: true}
    - {name: last, copy: {content: "x\n", dest: "{{ root }}/last"}}
"#;

#[test]
fn files_go_from_host_to_host_over_the_controller() {
    let Some(project) = Project::new(&[("site.yml", PASSED_ON), ("hosts.ini", HOSTS)]) else { return };
    for count in 1..3 {
        let count = format!("count={count}");
        let (mut theirs, they_said) = project.theirs(&["site.yml", "-e", &count]);
        let (mut ours, we_said) = project.ours(&["site.yml", "-e", &count]);
        assert_eq!(theirs.code, 0, "{they_said}");
        // A folder of a host has the whole path of what it had there.
        ours.files = ours.files.into_iter().map(|(path, text)| (path.replace("/ours/", "/theirs/"), text)).collect();
        // `fileglob` gives names as they come.
        theirs.told.values_mut().chain(ours.told.values_mut()).for_each(|told| told.sort());
        assert_eq!(theirs, ours, "{count}: {they_said}\n{we_said}");
    }
}

#[test]
fn what_is_made_beside_the_playbook_is_found_and_what_is_not_fails_there() {
    let Some(project) = Project::new(&[("site.yml", BESIDE), ("conf.j2", "of {{ inventory_hostname }}\n"), ("hosts.ini", HOSTS)]) else {
        return;
    };
    let away = || ["made.conf", "also.txt"].map(|name| std::fs::remove_file(project.path(name)).ok());
    let (theirs, they_said) = project.theirs(&["site.yml"]);
    away();
    let (ours, we_said) = project.ours(&["site.yml"]);
    assert_eq!(theirs.code, 0, "{they_said}");
    assert_eq!(theirs, ours, "{they_said}\n{we_said}");
    assert_eq!(ours.files["made.conf"], "of one\n");
    assert!(we_said.contains("never.txt"), "{we_said}");
}

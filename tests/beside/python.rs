//! What playbooks read of Python and of the inventory's sources, beside ansible-core.

use super::local::Project;

const SITE: &str = r#"
- hosts: one
  tasks:
    - name: what is read
      copy:
        dest: "{{ root }}/read"
        content: |
          {{ ansible_python_version }} {{ ansible_python.version.major }} {{ ansible_python['executable'] }} {{ ansible_python | to_json }}
          {{ ansible_facts.python_version }} {{ ansible_facts['python'].version_info[:2] }} {{ hostvars.one.ansible_facts is defined }}
          {{ ansible_inventory_sources }}
- hosts: two
  gather_facts: false
  tasks:
    - copy: {dest: "{{ root }}/none", content: "{{ ansible_python_version is defined }} {{ ansible_python | default('none') }}"}
"#;

#[test]
fn facts_of_python_are_those_of_ansible() {
    let Some(project) = Project::new(&[("site.yml", SITE)]) else { return };
    let python = crate::oracle::ansible("python").expect("it was found");
    project.write(
        "hosts.ini",
        &format!("[all]\none\ntwo\n[all:vars]\nansible_connection=local\nansible_python_interpreter={}\n", python.display()),
    );
    let (theirs, ours, said) = project.both(&["site.yml", "-i", "two,"], &[]);
    assert_eq!((theirs.code, theirs.files.len()), (0, 2), "{said}");
    assert_eq!(theirs.files, ours.files, "{said}");
}

#[test]
fn where_no_python_is_its_facts_are_undefined() {
    let site = "- hosts: one\n  tasks:\n    - {name: guarded, debug: {msg: \"{{ ansible_python_version | default('none') }}\"}}\n    \
                - {name: read, debug: {msg: \"{{ ansible_python.version.major }}\"}}\n";
    let Some(project) = Project::new(&[("site.yml", site)]) else { return };
    project.write("hosts.ini", "one ansible_connection=local ansible_python_interpreter=/nowhere/python3\n");
    let (ours, said) = project.ours(&["site.yml"]);
    assert_eq!((ours.code, ours.told["one"].len()), (2, 3), "{said}");
    assert!(said.contains("'ansible_python' is undefined: there is no Python 3 at /nowhere/python3"), "{said}");
}

#[test]
fn the_controllers_python_is_the_search_paths() {
    let site = "- hosts: one\n  gather_facts: false\n  tasks: [{copy: {dest: \"{{ root }}/path\", content: \"{{ ansible_playbook_python | default('none') }}\"}}]\n";
    let Some(project) = Project::new(&[("site.yml", site)]) else { return };
    project.write("bin/python3", "");
    for (folder, expected) in [("bin", project.path("bin/python3").display().to_string()), ("nowhere", "none".to_owned())] {
        let path = format!("{}:/usr/sbin", project.path(folder).display());
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_provision"))
            .args(["playbook", "-i", "hosts.ini", "-e", &format!("root={}", project.path("").display()), "site.yml"])
            .current_dir(project.path(""))
            .env("HOME", project.path(""))
            .env("PATH", path)
            .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(std::fs::read_to_string(project.path("path")).expect("a text"), expected);
    }
}

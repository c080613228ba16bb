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

/// Held to a plan; names are written out.
const PLANNED: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: make, shell: "echo token > {{ root }}/one/token; echo 'answer: 42' > {{ root }}/one/vars.yml", args: {creates: "{{ root }}/one/vars.yml"}}
    - {name: bring, fetch: {src: "{{ root }}/one/{{ item }}", dest: "{{ playbook_dir }}/kept/", flat: true}, loop: [token, vars.yml]}
- hosts: two:three
  gather_facts: false
  tasks:
    - {name: token, copy: {src: kept/token, dest: "{{ root }}/{{ inventory_hostname }}/token"}}
    - {name: said, set_fact: {said: "{{ lookup('file', 'kept/token') }}"}}
    - {name: variables, include_vars: kept/vars.yml}
    - {name: both, copy: {content: "{{ said }} {{ answer }}\n", dest: "{{ root }}/{{ inventory_hostname }}/both"}}
- hosts: all
  gather_facts: false
  tasks:
    - {name: once, shell: "echo pem > {{ playbook_dir }}/kept/pem", args: {creates: "{{ playbook_dir }}/kept/pem"}, delegate_to: localhost, run_once: true}
    - {name: each, copy: {src: kept/pem, dest: "{{ root }}/{{ inventory_hostname }}/pem"}}
"#;

#[test]
fn a_plan_holds_where_the_run_makes_what_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("makes folders");
        std::fs::write(path, text).expect("writes");
    };
    let root = folder.path().join("root");
    let hosts = format!("all: {{vars: {{ansible_connection: local, root: {}}}, hosts: {{one: , two: , three: }}}}\n", root.display());
    write("inventory/hosts.yaml", &hosts);
    write("provision.yaml", "name: made\nreleases: []\ninventory: inventory/hosts.yaml\nplaybooks: [playbooks/site.yaml]\n");
    write("playbooks/site.yaml", PLANNED);
    ["one", "two", "three"].iter().for_each(|host| std::fs::create_dir_all(root.join(host)).expect("makes folders"));
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_provision"));
        command.args(words).current_dir(folder.path()).env("HOME", folder.path());
        command.env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"));
        let output = command.output().expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    for token in ["token", "another"] {
        if token == "another" {
            write("root/one/token", "another\n");
        }
        let (code, said) = run(&["plan", "--detailed-exitcode"]);
        assert!(code == Some(2) && said.contains("? token (because of a file of the controller"), "{said}");
        let (code, said) = run(&["up", "--yes"]);
        assert_eq!(code, Some(0), "{said}");
        for host in ["two", "three"] {
            let text = |name: &str| std::fs::read_to_string(root.join(host).join(name)).unwrap_or_default();
            let expected = (format!("{token}\n"), format!("{token} 42"), "pem\n".to_owned());
            assert_eq!((text("token"), text("both").trim().to_owned(), text("pem")), expected, "{said}");
        }
        let (code, said) = run(&["plan", "--detailed-exitcode"]);
        assert_eq!(code, Some(0), "{said}");
    }
}

/// What is built here before it is sent: files that are there from an earlier run, which no task names.
const BUILT: &str = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {name: build, command: "./build.sh {{ count }}", args: {chdir: "{{ playbook_dir }}"}, changed_when: false}
- hosts: one:two
  gather_facts: false
  roles: [app]
  tasks:
    - {name: jar, copy: {src: app.jar, dest: "{{ root }}/{{ inventory_hostname }}.jar"}}
    - {name: folder, copy: {src: site/, dest: "{{ root }}/{{ inventory_hostname }}.site/"}}
    - {name: page, template: {src: page.j2, dest: "{{ root }}/{{ inventory_hostname }}.page"}}
    - {name: said, copy: {content: "{{ lookup('file', 'app.jar') }}", dest: "{{ root }}/{{ inventory_hostname }}.said"}}
    - {name: variables, include_vars: vars/build.yml}
    - {name: number, copy: {content: "{{ number }}", dest: "{{ root }}/{{ inventory_hostname }}.number"}}
    - {name: again, command: "./build.sh {{ count }}0", args: {chdir: "{{ playbook_dir }}"}, delegate_to: localhost, run_once: true}
    - {name: jar again, copy: {src: app.jar, dest: "{{ root }}/{{ inventory_hostname }}.second"}}
    - {name: one of them, include_vars: "{{ item }}", with_first_found: ["vars/{{ inventory_hostname }}.yml", vars/build.yml]}
    - {name: number again, copy: {content: "{{ number }}", dest: "{{ root }}/{{ inventory_hostname }}.numbers"}}
"#;

const BUILD: &str = "#!/bin/sh\nset -e\nmkdir -p files/site templates vars\necho jar $1 > files/app.jar\necho index $1 > files/site/index\n\
                     echo new > files/site/of-$1\necho page $1 > templates/page.j2\necho number: $1 > vars/build.yml\n";

#[test]
fn what_was_there_and_is_built_anew_is_sent_as_it_then_is() {
    let role = "- {name: of role, copy: {src: app.jar, dest: \"{{ root }}/{{ inventory_hostname }}.role\"}}\n";
    let files = [("site.yml", BUILT), ("build.sh", BUILD), ("roles/app/tasks/main.yml", role), ("hosts.ini", HOSTS)];
    let Some(project) = Project::new(&files) else { return };
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path("build.sh"), mode).expect("sets the mode");
    // What an earlier run has left.
    let leave = || {
        let _ = std::fs::remove_dir_all(project.path("files"));
        let built = std::process::Command::new(project.path("build.sh")).arg("0").current_dir(project.path(".")).status();
        assert!(built.is_ok_and(|status| status.success()));
    };
    for count in [4, 5, 5] {
        let arguments = ["site.yml", "-e", &format!("count={count}")];
        leave();
        let (theirs, they_said) = project.theirs(&arguments);
        leave();
        let (ours, we_said) = project.ours(&arguments);
        assert_eq!(theirs.code, 0, "{they_said}");
        assert_eq!(theirs, ours, "{count}: {they_said}\n{we_said}");
        assert_eq!(ours.files["two.jar"], format!("jar {count}\n"));
        assert_eq!(ours.files["one.numbers"], format!("{count}0"));
    }
}

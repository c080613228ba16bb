//! Files of the controller that tasks name by what other tasks have found or made there, beside ansible-core.

use super::local::Project;

const HOSTS: &str = "one ansible_connection=local\ntwo ansible_connection=local\n";

/// Certificates go from one host to the others by what `fetch` and tasks on this machine have registered.
const FOUND: &str = r##"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {name: folder, tempfile: {state: directory, suffix: found}, register: tmp}
    - {name: inside, copy: {content: "inside {{ count }}\n", dest: "{{ tmp.path }}/inside"}}
- hosts: one
  gather_facts: false
  tasks:
    - {name: make, copy: {content: "{{ item }} {{ count }}\n", dest: "{{ root }}/one/{{ item }}"}, loop: [key, crt]}
    - {name: bring, fetch: {src: "{{ root }}/one/{{ item }}", dest: "{{ playbook_dir }}/{{ kept }}"}, loop: [key, crt], register: got}
    - {name: single, fetch: {src: "{{ root }}/one/key", dest: kept}, register: single}
    - {name: back, copy: {src: "{{ single.dest }}", dest: "{{ root }}/one/back"}}
    - {name: each, copy: {src: "{{ item.dest }}", dest: "{{ root }}/one/each-{{ item.item }}"}, loop: "{{ got.results }}"}
    - {name: make again, copy: {content: "again {{ count }}\n", dest: "{{ root }}/one/key"}}
    - {name: single again, fetch: {src: "{{ root }}/one/key", dest: kept}, register: single}
    - {name: back again, copy: {src: "{{ single.dest }}", dest: "{{ root }}/one/again"}}
  vars: {kept: kept}
- hosts: two
  gather_facts: false
  tasks:
    - {name: other's, copy: {src: "{{ item.dest }}", dest: "{{ root }}/two/{{ item.item }}"}, loop: "{{ hostvars.one.got.results }}"}
    - {name: temporary, copy: {src: "{{ hostvars.localhost.tmp.path }}/inside", dest: "{{ root }}/two/inside"}}
    - {name: look, stat: {path: "{{ playbook_dir }}/there/plain"}, delegate_to: localhost, register: plain}
    - {name: looked at, copy: {src: "{{ plain.stat.path }}", dest: "{{ root }}/two/plain"}}
    - {name: find, find: {paths: "{{ playbook_dir }}/there", patterns: "*.crt"}, delegate_to: localhost, register: all}
    - {name: found, copy: {src: "{{ item.path }}", dest: "{{ root }}/two/"}, loop: "{{ all.files | sort(attribute='path') }}"}
    - {name: write, copy: {content: "{{ '{{' }} count {{ '}}' }}\n", dest: "{{ playbook_dir }}/made/of.j2"}, delegate_to: localhost, register: made}
    - {name: render, template: {src: "{{ made.dest }}", dest: "{{ root }}/two/rendered"}}
    - {name: read, copy: {content: "{{ lookup('file', plain.stat.path) }}{{ lookup('template', made.dest) }}", dest: "{{ root }}/two/read"}}
    - {name: lines, copy: {content: "{{ item }}\n", dest: "{{ root }}/two/of-{{ item }}"}, loop: "{{ lookup('file', plain.stat.path).splitlines() }}"}
    - {name: name, command: mktemp -d, delegate_to: localhost, register: named, changed_when: false}
    - {name: fill, copy: {content: "made {{ count }}\n", dest: "{{ named.stdout }}/a"}, delegate_to: localhost}
    - {name: fill more, copy: {content: "more\n", dest: "{{ named.stdout }}/b"}, delegate_to: localhost}
    - {name: whole, copy: {src: "{{ named.stdout }}/", dest: "{{ root }}/two/whole/"}}
    - {name: joined, assemble: {src: "{{ named.stdout }}", remote_src: false, dest: "{{ root }}/two/joined"}}
    - {name: pack, command: "tar -C {{ named.stdout }} -cf {{ named.stdout }}.tar a b", delegate_to: localhost}
    - {name: unpack to, file: {path: "{{ root }}/two/unpacked", state: directory}}
    - {name: unpack, unarchive: {src: "{{ named.stdout }}.tar", dest: "{{ root }}/two/unpacked"}}
    - {name: program, copy: {content: "#!/bin/sh\necho ran > $1\n", dest: "{{ named.stdout }}/run me", mode: "0755"}, delegate_to: localhost, register: program}
    - {name: run, script: "'{{ program.dest }}' {{ root }}/two/ran"}
    - {name: variables, copy: {content: "answer: {{ count }}\n", dest: "{{ named.stdout }}/vars.yml"}, delegate_to: localhost, register: variables}
    - {name: include, include_vars: "{{ variables.dest }}"}
    - {name: answer, copy: {content: "{{ answer }}\n", dest: "{{ root }}/two/answer"}}
    - {name: away, file: {path: "{{ item }}", state: absent}, loop: ["{{ named.stdout }}", "{{ named.stdout }}.tar"], delegate_to: localhost}
    - {name: gone, copy: {src: "{{ named.stdout }}/a", dest: "{{ root }}/two/gone"}, ignore_errors: true}
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {name: clean up, file: {path: "{{ tmp.path }}", state: absent}}
"##;

#[test]
fn what_a_task_has_found_or_made_here_is_sent_by_the_name_that_it_registered() {
    let files = [("site.yml", FOUND), ("there/plain", "plain\n"), ("there/a.crt", "a\n"), ("there/b.crt", "b\n"), ("hosts.ini", HOSTS)];
    let Some(project) = Project::new(&files) else { return };
    std::fs::create_dir_all(project.path("made")).expect("makes folders");
    for count in 1..3 {
        let count = format!("count={count}");
        let (mut theirs, they_said) = project.theirs(&["site.yml", "-e", &count]);
        let (mut ours, we_said) = project.ours(&["site.yml", "-e", &count]);
        assert_eq!(theirs.code, 0, "{they_said}");
        for told in theirs.told.values_mut().chain(ours.told.values_mut()) {
            // What they kept is there when we begin.
            told.retain(|line| !["bring", "single", "single again", "write"].iter().any(|name| line.ends_with(&format!(" {name}"))));
        }
        for ran in [&mut theirs, &mut ours] {
            ran.recaps.clear();
        }
        assert_eq!(theirs, ours, "{count}: {they_said}\n{we_said}");
    }
}

/// Another playbook's templates, which nothing here means.
#[test]
fn a_template_of_a_registered_name_leaves_other_templates_alone() {
    let playbook = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: write, copy: {content: "of {{ '{{' }} inventory_hostname {{ '}}' }}\n", dest: "{{ playbook_dir }}/made.j2"}, delegate_to: localhost, register: made}
    - {name: render, template: {src: "{{ made.dest }}", dest: "{{ root }}/one/rendered"}}
"#;
    let other = "- {hosts: one, tasks: [{copy: {src: \"{{ got.dest }}\", dest: /tmp/f}}]}\n";
    let files = [
        ("site.yml", playbook),
        ("other.yml", other),
        ("other.conf", "{{ nosuch1 | nosuchfilter }}\n"),
        ("templates/other.j2", "{{ nosuch2 }}{{ nosuch3 | nosuchfilter }}{% if %}\n"),
        ("hosts.ini", HOSTS),
    ];
    let Some(project) = Project::new(&files) else { return };
    let (theirs, they_said) = project.theirs(&["site.yml"]);
    let _ = std::fs::remove_file(project.path("made.j2"));
    let (ours, we_said) = project.ours(&["site.yml"]);
    assert_eq!(theirs.code, 0, "{they_said}");
    assert_eq!(theirs, ours, "{they_said}\n{we_said}");
    assert_eq!(ours.files["one/rendered"], "of one\n");
    assert!(!we_said.lines().any(|line| line.starts_with("error")), "{we_said}");
}

/// Variables and tasks that an earlier play writes.
const WRITTEN: &str = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {name: folder, file: {path: "{{ playbook_dir }}/gen", state: directory}}
    - {name: variables, copy: {content: "token: t{{ count }}\n", dest: "{{ playbook_dir }}/gen/v.yml"}}
    - {name: more, copy: {content: "more: m{{ count }}\n", dest: "{{ playbook_dir }}/gen/w.yml"}}
    - {name: bring, fetch: {src: "{{ playbook_dir }}/gen/v.yml", dest: brought}}
- hosts: two
  gather_facts: false
  vars_files: [gen/v.yml, "{{ playbook_dir }}/gen/w.yml"]
  tasks:
    - {name: said, copy: {content: "{{ token }} {{ more }}", dest: "{{ root }}/two/said"}}
    - {name: whole, include_vars: {dir: gen, name: whole}}
    - {name: of the folder, copy: {content: "{{ whole | to_json }}", dest: "{{ root }}/two/whole"}}
    - {name: brought, copy: {src: "brought/localhost{{ playbook_dir }}/gen/v.yml", dest: "{{ root }}/two/brought"}}
    - {name: another, copy: {content: "last: {{ count }}\n", dest: "{{ playbook_dir }}/gen/x.yml"}, delegate_to: localhost}
    - {name: whole again, include_vars: {dir: gen, name: whole}}
    - {name: of it again, copy: {content: "{{ whole | to_json }}", dest: "{{ root }}/two/again"}}
    - {name: each, copy: {content: "{{ item }}", dest: "{{ root }}/two/{{ item }}"}, loop: "{{ lookup('file', 'gen/v.yml').splitlines() | map('regex_replace', '.* ') | list }}"}
    - {name: list, copy: {content: "i{{ count }}\n", dest: "{{ playbook_dir }}/made.list"}, delegate_to: localhost}
    - {name: included, include_tasks: one.yml, loop: "{{ lookup('file', 'made.list').splitlines() }}"}
"#;

const INCLUDED: &str = "- {name: for one, copy: {content: \"{{ item }}\", dest: \"{{ root }}/two/included\"}}\n";

#[test]
fn variables_that_an_earlier_play_writes_are_read_when_they_are_there() {
    let Some(project) = Project::new(&[("site.yml", WRITTEN), ("one.yml", INCLUDED), ("hosts.ini", HOSTS)]) else { return };
    let away = || ["gen", "brought"].map(|name| std::fs::remove_dir_all(project.path(name)).ok());
    for count in 1..3 {
        let count = format!("count={count}");
        let (theirs, they_said) = project.theirs(&["site.yml", "-e", &count]);
        if count == "count=1" {
            away();
            std::fs::remove_file(project.path("made.list")).expect("it was made");
        } else {
            // As the run before has left them.
            let brought = format!("brought/localhost{}", project.path("gen/v.yml").display());
            let left = [
                ("gen/v.yml", "token: t1\n"),
                ("gen/w.yml", "more: m1\n"),
                ("gen/x.yml", "last: 1\n"),
                ("made.list", "i1\n"),
                (&brought, "token: t1\n"),
            ];
            left.iter().for_each(|(name, text)| project.write(name, text));
        }
        let (ours, we_said) = project.ours(&["site.yml", "-e", &count]);
        assert_eq!(theirs.code, 0, "{they_said}");
        assert_eq!((&theirs.code, &theirs.files), (&ours.code, &ours.files), "{count}: {they_said}\n{we_said}");
    }
}

/// Held to a plan.
const PLANNED: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: make, copy: {content: "key {{ count }}\n", dest: "{{ root }}/one/key"}}
    - {name: bring, fetch: {src: "{{ root }}/one/key", dest: "{{ playbook_dir }}/kept"}, register: got}
- hosts: two
  gather_facts: false
  tasks:
    - {name: passed on, copy: {src: "{{ hostvars.one.got.dest }}", dest: "{{ root }}/two/key"}}
    - {name: look, stat: {path: "{{ playbook_dir }}/plain"}, delegate_to: localhost, register: plain}
    - {name: looked at, copy: {src: "{{ plain.stat.path }}", dest: "{{ root }}/two/plain"}}
"#;

#[test]
fn a_plan_knows_of_registered_names_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("makes folders");
        std::fs::write(path, text).expect("writes");
    };
    let root = folder.path().join("root");
    write("provision.yaml", "name: found\nreleases: []\ninventory: inventory/hosts.yaml\nplaybooks: [playbooks/site.yaml]\n");
    write("playbooks/site.yaml", PLANNED);
    write("playbooks/plain", "plain\n");
    ["one", "two"].iter().for_each(|host| std::fs::create_dir_all(root.join(host)).expect("makes folders"));
    let run = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_provision"));
        command.args(words).current_dir(folder.path()).env("HOME", folder.path());
        command.env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"));
        let output = command.output().expect("it runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    };
    for count in [1, 2] {
        let hosts =
            format!("all: {{vars: {{ansible_connection: local, root: {}, count: {count}}}, hosts: {{one: , two: }}}}\n", root.display());
        write("inventory/hosts.yaml", &hosts);
        let (code, said) = run(&["plan", "--detailed-exitcode"]);
        assert!(code == Some(2) && said.contains("? passed on (because of"), "{said}");
        let (code, said) = run(&["up", "--yes"]);
        assert_eq!(code, Some(0), "{said}");
        let text = |name: &str| std::fs::read_to_string(root.join("two").join(name)).unwrap_or_default();
        assert_eq!((text("key"), text("plain")), (format!("key {count}\n"), "plain\n".to_owned()), "{said}");
        let (code, said) = run(&["plan", "--detailed-exitcode"]);
        assert_eq!(code, Some(0), "{said}");
    }
}

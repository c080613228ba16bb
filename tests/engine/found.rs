//! Files of the workstation that real nodes ask for by names which the run has found there.

use super::lab::Lab;

const PASSED_ON: &str = r#"
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - {name: folder, tempfile: {state: directory}, register: tmp}
    - {name: inside, copy: {content: "inside\n", dest: "{{ tmp.path }}/inside"}}
- hosts: a
  gather_facts: false
  tasks:
    - {name: made, copy: {dest: "/root/{{ item }}", content: "{{ item }} of a\n"}, loop: [key, crt]}
    - {name: kept, fetch: {src: "/root/{{ item }}", dest: ../kept}, loop: [key, crt], register: got}
    - {name: set, set_fact: {names: "{{ got.results | map(attribute='dest') | list }}"}}
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: passed on, copy: {src: "{{ item.dest }}", dest: "/root/{{ item.item }}-of-a"}, loop: "{{ hostvars.a.got.results }}"}
    - {name: by name, copy: {src: "{{ hostvars['a'].names[0] }}", dest: /root/first}}
    - {name: temporary, copy: {src: "{{ hostvars.localhost.tmp.path }}/inside", dest: /root/inside}}
    - {name: whole, copy: {src: "{{ hostvars.localhost.tmp.path }}/", dest: /root/whole/}}
    - {name: named, command: mktemp, delegate_to: localhost, run_once: true, register: named}
    - {name: filled, copy: {content: "filled\n", dest: "{{ named.stdout }}"}, delegate_to: localhost, run_once: true}
    - {name: of all, copy: {src: "{{ named.stdout }}", dest: /root/named}}
    - {name: look, stat: {path: "{{ folder }}/plain"}, delegate_to: localhost, register: plain}
    - {name: looked at, copy: {src: "{{ plain.stat.path }}", dest: /root/plain}}
    - {name: find, find: {paths: "{{ folder }}", patterns: "*.crt"}, connection: local, register: all}
    - {name: found, copy: {content: "{{ lookup('file', item.path) }}", dest: "/root/{{ item.path | basename }}"}, loop: "{{ all.files }}"}
"#;

#[test]
fn nodes_have_what_the_run_has_found_for_them() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write_inventory(&format!("folder={}\n", lab.path("there").display()));
    ["plain", "one.crt", "two.crt"].iter().for_each(|name| lab.write(&format!("there/{name}"), &format!("{name}\n")));
    lab.write("playbooks/site.yaml", PASSED_ON);
    let said = lab.play(&["playbooks/site.yaml"]).expect(0);
    let shown = "cd /root; for file in key-of-a crt-of-a first inside whole/inside named plain one.crt two.crt; do cat $file; echo; done";
    let expected = "key of a\ncrt of a\nkey of a\ninside\ninside\nfilled\nplain\none.crt\ntwo.crt";
    for node in ["a", "b"] {
        let lines = lab.nodes.ssh(node, shown);
        let lines: Vec<&str> = lines.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(lines.join("\n"), expected, "{node}: {}", said.stdout);
    }
}

/// What a node says is looked at here, and what comes of it is asked for.
const SAYS: &str = r#"
- hosts: a
  gather_facts: false
  tasks:
    - {name: where, command: cat /root/where, register: where, changed_when: false}
    - {name: look, stat: {path: "{{ where.stdout }}"}, delegate_to: localhost, register: looked}
    - {name: find, find: {paths: "{{ where.stdout | dirname }}"}, delegate_to: localhost, register: found}
    - {name: list, command: "ls {{ where.stdout }}", delegate_to: localhost, register: listed, changed_when: false}
    - {name: by look, copy: {src: "{{ looked.stat.path }}", dest: /root/taken}, ignore_errors: true}
    - {name: by find, copy: {src: "{{ found.files[0].path }}", dest: /root/taken}, ignore_errors: true}
    - {name: by list, copy: {src: "{{ listed.stdout }}", dest: /root/taken}, ignore_errors: true}
    - {name: by word, copy: {src: "{{ where.stdout }}", dest: /root/taken}, ignore_errors: true}
- hosts: b
  gather_facts: false
  tasks:
    - {name: by other, copy: {src: "{{ hostvars.a.where.stdout }}", dest: /root/taken}, ignore_errors: true}
"#;

#[test]
fn a_node_does_not_say_what_is_sent_to_it() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    let elsewhere = tempfile::tempdir().expect("a folder");
    let target = elsewhere.path().join("secret");
    std::fs::write(&target, "secret\n").expect("writes");
    lab.nodes.ssh("a", &format!("echo {} > /root/where", target.display()));
    lab.write("site.yml", SAYS);
    let said = lab.play(&["site.yml"]).expect(0);
    for (host, task) in [("a", "by look"), ("a", "by find"), ("a", "by list"), ("a", "by word"), ("b", "by other")] {
        assert_eq!(said.statuses(host, task), ["failed"], "{task}: {}", said.stdout);
        assert_eq!(lab.nodes.ssh(host, "test ! -e /root/taken && echo no").trim(), "no", "{task}");
    }
    assert!(said.stdout.contains("a task on the controller has found or made"), "{}", said.stdout);
}

/// What `fetch` brings, by a path that is written out.
const BY_PATH: &str = r#"
- hosts: a
  gather_facts: false
  tasks:
    - {name: made, copy: {dest: /root/key, content: "key {{ count }}\n"}}
    - {name: kept, fetch: {src: /root/key, dest: kept}}
- hosts: b
  gather_facts: false
  tasks:
    - {name: passed on, copy: {src: kept/a/root/key, dest: /root/passed}}
"#;

#[test]
fn what_fetch_brings_anew_is_sent_as_it_then_is() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write("site.yml", BY_PATH);
    for count in ["1", "2"] {
        let said = lab.play(&["site.yml", "-e", &format!("count={count}")]).expect(0);
        assert_eq!(lab.nodes.ssh("b", "cat /root/passed").trim(), format!("key {count}"), "{}", said.stdout);
    }
}

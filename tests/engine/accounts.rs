//! Accounts that a plan makes, and what comes after them in the same plan, on a real node.

use serde_json::Value;

use super::lab::Lab;

const SITE: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: root, getent: {database: passwd, key: root}}
    - {name: group, group: {name: devs}}
    - name: user
      user: {name: bob, group: devs, comment: Bob, shell: /bin/bash, password: "{{ hash }}", password_expire_max: 90}
    - {name: folder, file: {path: /home/bob/.config, state: directory, owner: bob, group: devs, mode: '0700'}}
    - {name: note, copy: {content: "for {{ getent_passwd.root[4] }}\n", dest: /home/bob/.config/note, owner: bob, mode: '0600'}}
    - {name: profile, file: {path: /home/bob/.profile, mode: '0600'}}
    - {name: more, user: {name: bob, groups: [games], append: true}}
    - {name: key, user: {name: bob, generate_ssh_key: true, ssh_key_type: ed25519}}
    - {name: pushed, script: it.sh two words, args: {creates: /home/bob/said}}
"#;

/// Position and actions of what changes.
fn entries(values: &[Value], change: impl Fn(&Value) -> bool) -> Vec<String> {
    let mut found: Vec<String> =
        values.iter().filter(|value| change(value)).map(|value| format!("{} {}", value["position"], value["actions"])).collect();
    found.sort();
    found
}

#[test]
fn what_comes_after_a_user_of_the_same_plan_is_certain() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    let hash = format!("$6$salt${}", "b".repeat(86));
    lab.write_project(SITE);
    lab.write("playbooks/group_vars/all.yaml", &format!("hash: {hash}\n"));
    lab.write("playbooks/files/it.sh", "#!/bin/sh\necho \"$1+$2\" > /home/bob/said\n");

    let planned = lab.provision(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    let unknown: Vec<Value> = planned.events("planned").into_iter().filter(|value| value["plan"] == "unknown").collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert_eq!(lab.nodes.ssh("a", "getent passwd bob || echo none"), "none\n", "a plan makes no user");
    let expected = entries(&planned.events("planned"), |value| value["plan"] == "change");
    assert_eq!(expected.len(), 8, "{expected:?}");

    let done = lab.provision(&["up", "--yes", "--json"]).expect(0);
    assert_eq!(entries(&done.events("result"), |value| value["status"] == "changed"), expected);
    let told = lab.nodes.ssh(
        "a",
        "id -nG bob; stat -c '%U %G %a' /home/bob/.config /home/bob/.config/note /home/bob/.profile /home/bob/.ssh/id_ed25519; \
         cat /home/bob/said /home/bob/.config/note; grep ^bob: /etc/shadow | cut -d: -f2,5; ls -a /root | grep it.sh || true",
    );
    let wanted = format!("devs games\nbob devs 700\nbob root 600\nbob devs 600\nbob devs 600\ntwo+words\nfor /root\n{hash}:90\n");
    assert_eq!(told, wanted);

    let again = lab.provision(&["up"]).expect(0);
    assert!(again.stderr.contains("No changes"), "{}\n{}", again.stdout, again.stderr);
}

/// An added host in the group of the others, but for a user that has to say who it is before it becomes root.
const LATER: &str = r#"
- hosts: a
  gather_facts: false
  tasks:
    - add_host:
        name: later
        groups: nodes
        ansible_host: "{{ hostvars.b.ansible_host }}"
        ansible_user: admin
        ansible_become_password: "secret words"
- hosts: later
  gather_facts: false
  become: true
  tasks:
    - {name: who, command: whoami, register: who}
    - {name: told, copy: {content: "{{ who.stdout }}", dest: /root/who}}
"#;

#[test]
fn an_added_host_has_its_own_password_of_become() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.nodes.ssh(
        "b",
        "useradd -m admin && mkdir -p /home/admin/.ssh && cp /root/.ssh/authorized_keys /home/admin/.ssh/ && chown -R admin /home/admin/.ssh \
         && echo 'admin:secret words' | chpasswd && echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin",
    );
    lab.write("later.yaml", LATER);
    let said = lab.play(&["later.yaml"]).expect(0);
    assert_eq!(lab.nodes.ssh("b", "cat /root/who"), "root");
    assert!(!said.stdout.contains("secret words") && !said.stderr.contains("secret words"), "{}{}", said.stdout, said.stderr);
}

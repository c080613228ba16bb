//! The language over hosts: data of others, includes, delegation, other users, batches.

use super::lab::Lab;

const HOSTVARS: &str = r#"
- hosts: nodes
  gather_facts: true
  tasks:
    - name: choose
      set_fact:
        token: "token of {{ inventory_hostname }}"
    - name: read the other
      set_fact:
        seen: "{{ hostvars[groups['nodes'] | difference([inventory_hostname]) | first].token }}"
    - name: compare
      assert:
        that:
          - seen == 'token of ' ~ (groups['nodes'] | difference([inventory_hostname]) | first)
          - hostvars['a'].ansible_hostname == 'a'
          - hostvars['b']['ansible_facts']['hostname'] == 'b'
"#;

fn an_encrypted_file_is_opened_unless_asked_not_to(lab: &Lab) {
    let sealed = super::survival::vaulted("opened\n", 0);
    for name in ["opened", "sealed", "both", "folder/both"] {
        lab.write(&format!("files/{name}"), &sealed);
    }
    lab.write("secret/vault", "vault password\n");
    let copy = |name: &str, more: &str| format!("    - copy: {{src: {name}, dest: /root/{name}{more}}}\n");
    let twice = |name: &str, forms: [&str; 3]| -> String {
        let place = |form: &str| if form.contains('{') { "unsure" } else { form }.to_owned();
        let copy = |form: &&str| format!("    - copy: {{src: {name}, dest: /root/of-{}/, decrypt: {form}}}\n", place(form));
        forms.iter().map(copy).collect()
    };
    // One file in both forms, whichever comes first, and where only the run knows which.
    let tasks = copy("opened", "") + &copy("sealed", ", decrypt: false");
    let tasks = tasks + &twice("both", ["false", "true", "'{{ 1 == 2 }}'"]) + &twice("folder", ["true", "false", "'{{ 1 == 2 }}'"]);
    lab.write("sealed.yaml", &format!("- hosts: a\n  gather_facts: false\n  tasks:\n{tasks}"));
    lab.play(&["sealed.yaml", "--vault-password-file", "secret/vault"]).expect(0);
    let read = |name: &str| lab.nodes.ssh("a", &format!("cat /root/{name}"));
    assert_eq!([read("opened"), read("sealed")], ["opened\n", &sealed]);
    for name in ["both", "folder/both"] {
        let forms = ["true", "false", "unsure"].map(|form| read(&format!("of-{form}/{name}")));
        assert_eq!(forms, ["opened\n", &*sealed, &*sealed], "{name}");
    }
}

#[test]
fn data_of_one_host_is_used_by_another() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write("hostvars.yaml", HOSTVARS);
    let said = lab.play(&["hostvars.yaml"]).expect(0);
    for host in ["a", "b"] {
        assert_eq!(said.statuses(host, "compare"), ["ok"]);
    }
    // The controller need not be in the play: variables of the inventory do.
    lab.write_inventory("kind=of all\n");
    lab.write(
        "one.yaml",
        "- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: read, assert: {that: \"hostvars['b'].kind == 'of all'\"}}\n",
    );
    lab.play(&["one.yaml"]).expect(0);

    includes_are_decided_at_run_time(&lab);
    an_encrypted_file_is_opened_unless_asked_not_to(&lab);
    tasks_are_delegated_to_localhost_and_to_other_hosts(&lab);
    others_users_act_in_their_own_name(&lab);
    batches_follow_each_other(&lab);
    hosts_and_groups_are_added_in_mid_run(&lab);
    run_once_serves_all(&lab);
    modules_that_are_not_there_fail_where_they_are_reached(&lab);
    what_a_result_warns_of_is_told_once(&lab);
}

fn what_a_result_warns_of_is_told_once(lab: &Lab) {
    lab.write(
        "warned.yaml",
        r#"
- hosts: a
  gather_facts: false
  tasks:
    - cron: {name: one, job: "true", user: root, cron_file: /root/jobs.sh}
    - cron: {name: two, job: "true", user: root, cron_file: /root/jobs.sh}
      loop: [1, 2]
    - cron: {name: three, job: "true", user: root, cron_file: /root/of.secret}
      no_log: true
"#,
    );
    let said = lab.play(&["warned.yaml"]).expect(0);
    let warnings = said.events("warning");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let message = warnings[0]["message"].as_str().expect("a text");
    assert!(message.starts_with("Filename portion of cron_file (\"jobs.sh\") should consist solely"), "{message}");
}

/// Roles for many systems have them behind conditions.
fn modules_that_are_not_there_fail_where_they_are_reached(lab: &Lab) {
    lab.write(
        "absent.yaml",
        r#"
- hosts: a
  gather_facts: true
  tasks:
    - name: of another system
      yum: {name: "{{ nobody_defines_this }}"}
      when: ansible_os_family == 'RedHat'
      register: installed
    - name: of a collection
      community.general.ufw: {rule: allow, port: "{{ item }}"}
      loop: [1, 2]
      when: ansible_os_family == 'RedHat'
    - name: compare
      assert: {that: [installed is skipped, installed is not failed]}
    - block:
        - name: reached
          community.general.ufw: {state: enabled}
          when: ansible_os_family == 'Debian'
      rescue:
        - name: why
          assert: {that: "'module `community.general.ufw` is not supported yet' in ansible_failed_result.msg"}
    - name: last
      selinux: {state: disabled}
      when: ansible_os_family == 'Debian'
    - name: not reached
      ping:
"#,
    );
    let said = lab.play(&["absent.yaml"]).expect(2);
    assert_eq!(said.statuses("a", "of another system"), ["skipped"]);
    assert_eq!(said.statuses("a", "compare"), ["ok"]);
    assert_eq!(said.statuses("a", "why"), ["ok"]);
    assert_eq!(said.statuses("a", "last"), ["failed"]);
    assert!(said.statuses("a", "not reached").is_empty());
    assert!(said.stderr.contains("modules `community.general.ufw`, `selinux`, `yum` are not supported yet"), "{}", said.stderr);
}

fn includes_are_decided_at_run_time(lab: &Lab) {
    lab.write(
        "include.yaml",
        r#"
- hosts: a
  gather_facts: true
  tasks:
    - name: by fact
      include_tasks: "tasks/{{ ansible_os_family | lower }}.yaml"
      vars: {word: included}
    - name: in a loop
      include_tasks: tasks/item.yaml
      loop: [1, 2]
    - name: role by variable
      include_role: {name: "{{ which }}"}
      vars: {which: chosen}
"#,
    );
    lab.write("tasks/debian.yaml", "- {name: here, set_fact: {got: \"{{ word }}\"}}\n- {name: check, assert: {that: got == 'included'}}\n");
    lab.write("tasks/item.yaml", "- {name: item task, set_fact: {sum: \"{{ (sum | default(0)) + item }}\"}}\n");
    lab.write("roles/chosen/tasks/main.yaml", "- {name: of the role, assert: {that: [sum == 3, setting == 'default']}}\n");
    lab.write("roles/chosen/defaults/main.yaml", "setting: default\n");
    let said = lab.play(&["include.yaml"]).expect(0);
    assert_eq!(said.statuses("a", "check"), ["ok"]);
    assert_eq!(said.statuses("a", "item task"), ["ok", "ok"]);
    assert_eq!(said.statuses("a", "of the role"), ["ok"]);
}

fn tasks_are_delegated_to_localhost_and_to_other_hosts(lab: &Lab) {
    let path = lab.path("written-here");
    lab.write(
        "delegate.yaml",
        &format!(
            r#"
- hosts: a
  gather_facts: false
  tasks:
    - name: here
      copy: {{content: "from {{{{ inventory_hostname }}}}", dest: {path}}}
      delegate_to: localhost
    - name: there
      command: hostname
      delegate_to: b
      register: there
      changed_when: false
    - {{name: check, assert: {{that: there.stdout == 'b'}}}}
"#,
            path = path.display()
        ),
    );
    let said = lab.play(&["delegate.yaml"]).expect(0);
    assert_eq!(std::fs::read_to_string(&path).expect("written on this machine"), "from a");
    assert_eq!(said.statuses("a", "check"), ["ok"]);
    let again = lab.play(&["delegate.yaml"]).expect(0);
    assert_eq!(again.statuses("a", "here"), ["ok"], "the second time it is there");
}

fn others_users_act_in_their_own_name(lab: &Lab) {
    lab.nodes.ssh("a", "id worker >/dev/null 2>&1 || useradd -m worker");
    lab.write(
        "become.yaml",
        r#"
- hosts: a
  gather_facts: false
  become: true
  become_user: worker
  tasks:
    - name: who
      command: id -un
      register: who
      changed_when: false
    - name: file
      copy: {content: "mine\n", dest: "~/mine"}
    - name: of whom
      stat: {path: /home/worker/mine}
      register: mine
      become: false
    - {name: check, assert: {that: [who.stdout == 'worker', mine.stat.pw_name == 'worker']}}
    - name: not allowed
      copy: {content: x, dest: /etc/not-allowed}
      register: refused
      ignore_errors: true
    - {name: refused, assert: {that: refused is failed}}
"#,
    );
    let said = lab.play(&["become.yaml"]).expect(0);
    assert_eq!(said.statuses("a", "check"), ["ok"]);
    assert_eq!(said.statuses("a", "refused"), ["ok"]);
}

fn batches_follow_each_other(lab: &Lab) {
    let log = lab.path("order");
    lab.write(
        "serial.yaml",
        &format!(
            r#"
- hosts: nodes
  gather_facts: false
  serial: 1
  tasks:
    - name: begin
      shell: echo "{{{{ inventory_hostname }}}} begins {{{{ ansible_play_batch | join(',') }}}}" >> {log}
      delegate_to: localhost
    - name: end
      shell: sleep 0.3; echo "{{{{ inventory_hostname }}}} ends" >> {log}
      delegate_to: localhost
- hosts: nodes
  gather_facts: false
  tasks:
    - name: after
      shell: echo "after" >> {log}
      delegate_to: localhost
"#,
            log = log.display()
        ),
    );
    lab.play(&["serial.yaml"]).expect(0);
    let order = std::fs::read_to_string(&log).expect("written");
    assert_eq!(order.lines().collect::<Vec<_>>(), ["a begins a", "a ends", "b begins b", "b ends", "after", "after"]);
}

fn hosts_and_groups_are_added_in_mid_run(lab: &Lab) {
    lab.write("grow.yaml", &format!(r#"
- hosts: a
  gather_facts: false
  tasks:
    - name: add
      add_host: {{name: guest, groups: [guests], ansible_host: "{{{{ hostvars['b'].ansible_host }}}}", ansible_user: root, ansible_ssh_private_key_file: {key}, ansible_ssh_common_args: "-o UserKnownHostsFile={known}", word: given}}
- hosts: nodes
  gather_facts: true
  tasks:
    - name: group
      group_by: {{key: "os_{{{{ ansible_os_family }}}}_{{{{ inventory_hostname }}}}"}}
- hosts: guests
  gather_facts: false
  tasks:
    - name: on the guest
      command: hostname
      register: name
      changed_when: false
    - {{name: check the guest, assert: {{that: [name.stdout == 'b', word == 'given', "'guests' in group_names"]}}}}
- hosts: os_Debian_b
  gather_facts: false
  tasks:
    - {{name: only b, assert: {{that: [inventory_hostname == 'b', "groups['os_Debian_a'] == ['a']"]}}}}
"#, key = lab.nodes.key.display(), known = lab.path("known_hosts").display()));
    let said = lab.play(&["grow.yaml"]).expect(0);
    assert_eq!(said.statuses("guest", "check the guest"), ["ok"]);
    assert_eq!(said.statuses("b", "only b"), ["ok"]);
    assert!(said.statuses("a", "only b").is_empty());
}

fn run_once_serves_all(lab: &Lab) {
    let log = lab.path("once");
    lab.write(
        "once.yaml",
        &format!(
            r"
- hosts: nodes
  gather_facts: false
  tasks:
    - name: once
      shell: echo once | tee -a {log}
      delegate_to: localhost
      run_once: true
      register: once
    - {{name: all know, assert: {{that: once.stdout == 'once'}}}}
",
            log = log.display()
        ),
    );
    let said = lab.play(&["once.yaml"]).expect(0);
    assert_eq!(std::fs::read_to_string(&log).expect("written").lines().count(), 1);
    for host in ["a", "b"] {
        assert_eq!(said.statuses(host, "all know"), ["ok"]);
    }
}

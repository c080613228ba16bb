//! The engine survives: killed agents and controllers, cut links, restarts, Ctrl-C, two runs at once.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use provision::project::Vault;

use super::lab::{Lab, Said};
use crate::support::proxy::Proxy;

/// Tells the next agent on the node to kill itself there.
fn fault(lab: &Lab, node: &str, point: &str, task: &str) {
    lab.nodes.ssh(node, &format!("printf '%s\\n%s\\n' '{point}' '{task}' > /run/provision-fault"));
}

/// Waits until a command succeeds on the node.
#[track_caller]
pub fn wait_on(lab: &Lab, node: &str, command: &str) {
    let until = Instant::now() + Duration::from_secs(40);
    while !lab.nodes.ssh_output(node, command).status.success() {
        assert!(Instant::now() < until, "`{command}` never succeeded on {node}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("our own child");
}

pub fn finish(child: Child) -> Said {
    Said::of(&child.wait_with_output().expect("waited for"))
}

fn read(lab: &Lab, node: &str, path: &str) -> String {
    lab.nodes.ssh(node, &format!("cat {path} 2>/dev/null || true"))
}

/// Journals of runs that have not ended in order.
pub fn journals(lab: &Lab, node: &str) -> String {
    lab.nodes.ssh(node, "find / -xdev -name '*.journal' -path '*state/provision*' 2>/dev/null || true")
}

pub fn played(lab: &Lab, name: &str, text: &str, arguments: &[&str]) -> Said {
    lab.write(name, text);
    let mut all = vec![name];
    all.extend(arguments);
    lab.play(&all)
}

const OWED: &str = r#"
- hosts: a
  gather_facts: false
  become: true
  become_user: "{{ user }}"
  tasks:
    - name: write
      copy: {content: "one\n", dest: "{{ home }}/written"}
      notify: note
      register: written
    - name: depends
      shell: echo depended >> {{ home }}/log
      when: written is changed
  handlers:
    - name: note
      shell: echo handled >> {{ home }}/log
"#;

#[test]
fn a_write_that_was_not_recorded_still_counts_as_changed() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.nodes.ssh("a", "useradd -m worker");
    lab.write("owed.yaml", OWED);
    // The first acts in the agent itself, the second in a worker.
    for (user, home) in [("root", "/root"), ("worker", "/home/worker")] {
        let more = format!("user={user} home={home}");
        let arguments = ["owed.yaml", "-e", &more];
        fault(&lab, "a", "before the record", "write");
        lab.play(&arguments).expect(4);
        assert_eq!(read(&lab, "a", &format!("{home}/written")), "one\n", "the rename was done");
        assert_eq!(read(&lab, "a", &format!("{home}/log")), "", "and nothing after it");

        let again = lab.play(&arguments).expect(0);
        assert_eq!(again.statuses("a", "write"), ["changed"], "nothing was left to do, but it was changed");
        assert_eq!(read(&lab, "a", &format!("{home}/log")), "depended\nhandled\n");

        let third = lab.play(&arguments).expect(0);
        assert_eq!((third.statuses("a", "write"), third.statuses("a", "depends")), (vec!["ok".to_owned()], vec!["skipped".to_owned()]));
        assert_eq!(read(&lab, "a", &format!("{home}/log")), "depended\nhandled\n", "once");
        assert_eq!(journals(&lab, "a"), "", "a complete run leaves no journal");
    }
    a_handler_that_was_killed_runs_again(&lab);
    a_failure_leaves_its_handlers_and_nothing_else(&lab);
}

fn a_handler_that_was_killed_runs_again(lab: &Lab) {
    lab.nodes.ssh("a", "rm -f /root/written /root/log");
    let arguments = ["owed.yaml", "-e", "user=root home=/root"];
    fault(lab, "a", "before the record", "note");
    lab.play(&arguments).expect(4);
    let again = lab.play(&arguments).expect(0);
    assert_eq!(again.statuses("a", "write"), ["changed"], "by the run that was broken off");
    assert_eq!(again.statuses("a", "depends"), ["changed"], "and this was done by it: its result is given back");
    assert_eq!(again.statuses("a", "note"), ["changed"]);
    assert_eq!(read(lab, "a", "/root/log"), "depended\nhandled\nhandled\n", "at least once");
}

fn a_failure_leaves_its_handlers_and_nothing_else(lab: &Lab) {
    let playbook = |condition: &str| {
        format!(
            "- hosts: a\n  gather_facts: false\n  tasks:\n    - {{name: write, copy: {{content: two, dest: /root/two}}, notify: tell}}\n    \
             - {{name: count, shell: echo run >> /root/count}}\n    - {{name: judge, assert: {{that: {condition}}}}}\n  \
             handlers:\n    - {{name: tell, shell: echo told >> /root/told}}\n"
        )
    };
    played(lab, "fails.yaml", &playbook("false"), &[]).expect(2);
    let again = played(lab, "fails.yaml", &playbook("true"), &[]).expect(0);
    assert_eq!(again.statuses("a", "write"), ["ok"]);
    assert_eq!(read(lab, "a", "/root/count"), "run\nrun\n", "after a failure a command runs again, as with Ansible");
    assert_eq!(read(lab, "a", "/root/told"), "told\n", "and the handler is not lost");
}

const RESTART: &str = r#"
- hosts: nodes
  gather_facts: true
  tasks:
    - name: before
      command: cat /proc/sys/kernel/random/boot_id
      register: before
      changed_when: false
    - name: fact
      set_fact: {token: "of {{ inventory_hostname }}"}
    - name: role
      include_role: {name: chosen, public: true}
    - name: write
      copy: {content: "x\n", dest: /etc/written}
      notify: note
    - name: equal
      shell: echo equal >> /root/log
    - name: restart
      reboot: {test_command: "test -d /run/systemd/system", post_reboot_delay: 1}
      register: restarted
      when: inventory_hostname == 'a'
    - name: equal
      shell: echo equal >> /root/log
    - name: after
      command: cat /proc/sys/kernel/random/boot_id
      register: after
      changed_when: false
    - name: check
      assert:
        that:
          - (before.stdout != after.stdout) == (inventory_hostname == 'a')
          - token == 'of ' ~ inventory_hostname
          - setting == 'of the role'
          - ansible_facts.hostname == inventory_hostname
    - name: check the result
      assert:
        that: [restarted is changed, restarted.rebooted, restarted.elapsed >= 2, restarted.elapsed < 90]
      when: inventory_hostname == 'a'
    - name: check the other's
      assert: {that: "hostvars['a'].restarted.rebooted"}
  handlers:
    - name: note
      shell: echo handled >> /root/log
"#;

#[test]
fn a_play_goes_on_after_its_machine_restarted() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    lab.write("roles/chosen/defaults/main.yaml", "setting: of the role\n");
    lab.write("roles/chosen/tasks/main.yaml", "- {name: of the role, debug: {msg: hello}, notify: of the role}\n");
    lab.write("roles/chosen/handlers/main.yaml", "- {name: of the role, debug: {msg: never}}\n");
    let said = played(&lab, "restart.yaml", RESTART, &[]).expect(0);
    for node in ["a", "b"] {
        assert_eq!(read(&lab, node, "/root/log"), "equal\nequal\nhandled\n", "each task once on {node}, and its handler");
        assert_eq!(said.statuses(node, "check"), ["ok"]);
        assert_eq!(journals(&lab, node), "");
    }
    assert_eq!(said.statuses("a", "restart"), ["changed"]);
    assert_eq!(said.statuses("b", "restart"), ["skipped"]);
    assert_eq!(said.events("returned").len(), 1);
    // Two names for the earlier tasks, one result each: nothing was told twice.
    assert_eq!(said.statuses("a", "before"), ["ok"]);

    restarts_in_a_loop_as_another_user(&lab);
    restarts_in_a_handler_and_an_include(&lab);
    restarts_in_roles_whose_arguments_are_validated(&lab);
    a_machine_that_does_not_return_in_time_has_failed(&lab);
}

/// The last of them: nobody can log in to `b` afterwards.
fn a_machine_that_does_not_return_in_time_has_failed(lab: &Lab) {
    let text = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: stays up, reboot: {reboot_timeout: 3, reboot_command: "true"}, when: inventory_hostname == 'b', register: up, ignore_errors: true}
    - {name: still there, command: hostname, changed_when: false, when: up is failed and 'Timed out' in up.msg and up.rebooted}
    - {name: close the door, command: systemctl mask ssh.service ssh.socket, when: inventory_hostname == 'b'}
    - block:
        - {name: restart, reboot: {reboot_timeout: 8}, when: inventory_hostname == 'b'}
      rescue:
        - name: told by another
          copy: {content: "{{ inventory_hostname }}: {{ ansible_failed_task.name }}: {{ ansible_failed_result.msg }}", dest: /root/told}
          delegate_to: a
    - block:
        - {name: after, command: hostname, changed_when: false}
      rescue:
        - {name: never, debug: {msg: what cannot be reached is not rescued}}
"#;
    let said = played(lab, "gone.yaml", text, &[]).expect(4);
    assert_eq!((said.statuses("b", "stays up"), said.statuses("b", "still there")), (vec!["failed".to_owned()], vec!["ok".to_owned()]));
    assert_eq!(said.statuses("b", "restart"), ["failed"]);
    assert_eq!(read(lab, "a", "/root/told"), "b: restart: Timed out waiting for last boot time check (timeout=8)");
    let counts = ["ignored", "rescued", "unreachable", "failed"].map(|name| said.count("b", name));
    assert_eq!((counts, said.count("a", "unreachable")), ([1, 1, 1, 0], 0));
    assert_eq!((said.statuses("a", "after"), said.statuses("b", "after")), (vec!["ok".to_owned()], vec!["unreachable".to_owned()]));
    assert_eq!(said.statuses("b", "never"), Vec::<String>::new());
}

fn restarts_in_a_handler_and_an_include(lab: &Lab) {
    lab.nodes.ssh("a", "rm -f /root/log");
    lab.write(
        "tasks/inner.yaml",
        r"
- name: in
  shell: echo in {{ item }} >> /root/log
  notify: [first, again, last]
- {name: inner restart, reboot: , when: item == 2}
- name: out
  shell: echo out {{ item }} >> /root/log
",
    );
    let text = r#"
- hosts: a
  gather_facts: false
  tasks:
    - name: include
      include_tasks: tasks/inner.yaml
      loop: [1, 2, 3]
    - block:
        - {name: fails, command: "false"}
      rescue:
        - {name: rescue restart, reboot: }
        - {name: rescued, shell: echo rescued >> /root/log}
      always:
        - {name: always, shell: echo always >> /root/log}
    - block:
        - {name: after, shell: echo after >> /root/log}
  handlers:
    - {name: first, shell: echo first >> /root/log}
    - {name: again, reboot: , notify: later}
    - {name: last, shell: echo last >> /root/log}
    - {name: later, reboot: , notify: at last}
    - {name: at last, shell: echo at last >> /root/log}
"#;
    let said = played(lab, "nested.yaml", text, &[]).expect(0);
    assert_eq!(read(lab, "a", "/root/log"), "in 1\nout 1\nin 2\nout 2\nin 3\nout 3\nrescued\nalways\nafter\nfirst\nlast\nat last\n");
    assert_eq!(said.events("returned").len(), 4);
    assert_eq!(said.count("a", "rescued"), 1);
    assert_eq!(journals(lab, "a"), "");
}

fn restarts_in_roles_whose_arguments_are_validated(lab: &Lab) {
    lab.nodes.ssh("a", "rm -f /root/log");
    lab.write(
        "roles/validated/meta/main.yaml",
        "argument_specs: {main: {short_description: V, options: {word: {required: true}}}}\ndependencies: [below]\n",
    );
    lab.write("roles/below/meta/argument_specs.yaml", "argument_specs: {main: {short_description: B, options: {word: {type: str}}}}\n");
    lab.write("roles/below/tasks/main.yaml", "- {name: below, shell: 'echo below {{ word }} >> /root/log'}\n");
    lab.write(
        "roles/validated/tasks/main.yaml",
        "- {name: in, shell: 'echo in {{ word }} >> /root/log'}\n- {name: inner restart, reboot: }\n- {name: out, shell: 'echo out {{ word }} >> /root/log'}\n",
    );
    let text = r"
- hosts: a
  gather_facts: false
  tasks:
    - {name: included, include_role: {name: validated}, loop: [one, two], loop_control: {loop_var: word}}
    - {name: imported, import_role: {name: validated}, vars: {word: three}}
    - {name: after, shell: echo after >> /root/log}
";
    let said = played(lab, "validated.yaml", text, &[]).expect(0);
    // A dependency is done once, as in Ansible: the restart does not make that forgotten.
    let written: Vec<String> = ["one", "two", "three"].iter().map(|word| format!("in {word}\nout {word}\n")).collect();
    assert_eq!(read(lab, "a", "/root/log"), "below one\n".to_owned() + &written.concat() + "after\n");
    assert_eq!(said.events("returned").len(), 3);
    for (role, calls) in [("V", 3), ("B", 1)] {
        let name = format!("Validating arguments against arg spec 'main' - {role}");
        assert_eq!(said.statuses("a", &name), vec!["ok"; calls], "{name}: once a call");
    }
    assert_eq!(journals(lab, "a"), "");
}

fn restarts_in_a_loop_as_another_user(lab: &Lab) {
    lab.nodes.ssh("a", "useradd -m admin && mkdir -p /home/admin/.ssh && cp /root/.ssh/authorized_keys /home/admin/.ssh/ && chown -R admin /home/admin/.ssh && echo 'admin ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/admin");
    let text = r"
- hosts: a
  gather_facts: false
  tasks:
    - name: who
      command: id -un
      register: who
      changed_when: false
    - name: twice
      reboot:
      become: true
      loop: [one, two]
      register: twice
      notify: 'note {{ item }}'
    - name: check
      assert:
        that:
          - who.stdout == 'admin'
          - twice.results | map(attribute='item') | list == ['one', 'two']
          - twice.results | map(attribute='rebooted') | list == [true, true]
          - twice is changed
  handlers:
    - name: note one
      shell: echo handled one >> /root/looped
      become: true
    - name: note two
      shell: echo handled two >> /root/looped
      become: true
";
    let said = played(lab, "looped.yaml", text, &["-e", "ansible_user=admin"]).expect(0);
    assert_eq!(said.statuses("a", "twice"), ["changed", "changed"]);
    assert_eq!(said.events("returned").len(), 2);
    assert_eq!(read(lab, "a", "/root/looped"), "handled one\nhandled two\n", "an item before a restart is known after it");
}

#[test]
fn a_restart_of_a_run_that_died_is_not_repeated() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write("once.yaml", "- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: restart, reboot: , register: r}\n    - {name: after, shell: echo after >> /root/after, when: r.rebooted}\n");
    let boot = lab.nodes.ssh("a", "cat /proc/sys/kernel/random/boot_id");
    let mut child = lab.start(&["once.yaml"]);
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("\"restarting\""))), "it restarts");
    child.kill().expect("our own child");
    child.wait().expect("waited for");
    wait_on(&lab, "a", &format!("test \"$(cat /proc/sys/kernel/random/boot_id)\" != {}", boot.trim()));
    let said = lab.play(&["once.yaml"]).expect(0);
    assert_eq!(said.events("restarting").len(), 0, "it had restarted already");
    assert_eq!(read(&lab, "a", "/root/after"), "after\n");
}

/// Processes of ours, and what they started.
const OURS: &str = "pgrep -f '[a]gent run|[a]gent worker|[s]leep 30[0-9]'";

/// Looks at a node until nothing of ours is there any more, over a session that was opened before.
pub struct Watch(Child);

impl Watch {
    /// To be called while something of ours runs there.
    pub fn begin(lab: &Lab, node: &str) -> Self {
        // When each look began, by the one clock of this machine, until one finds nothing.
        let script = format!("while date +%s%N && {OURS} >/dev/null; do sleep 0.02; done");
        let mut child = lab.nodes.ssh_command(node, &script).stdout(Stdio::piped()).spawn().expect("running ssh");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("the first look");
        Self(child)
    }

    /// Nothing was there 2 s after this moment. A look is not a moment: the longest gap between two of them is granted. Answers
    /// whether that was short enough to say anything: a machine may be so busy that it was not, and then the scene is played again.
    #[must_use]
    #[track_caller]
    pub fn quiet_within_two_seconds(mut self, since: SystemTime) -> bool {
        let mut text = String::new();
        self.0.stdout.as_mut().expect("piped").read_to_string(&mut text).expect("looks");
        self.0.wait().expect("waited for");
        // The first one's first digit was taken as the word that it looks.
        let looks: Vec<Duration> = text.lines().skip(1).map(|line| Duration::from_nanos(line.parse().expect("a moment"))).collect();
        let quiet = looks.last().expect("more than one look").saturating_sub(since.duration_since(UNIX_EPOCH).expect("a moment"));
        let gap = looks.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
        let is_seen = gap < LONGEST_GAP;
        assert!(!is_seen || quiet <= Duration::from_secs(2) + gap, "quiet after {quiet:?}, looked at least each {gap:?}");
        eprintln!("nothing of ours after {quiet:?}, looked at least each {gap:?}");
        is_seen
    }
}

/// Between two looks of a [`Watch`].
const LONGEST_GAP: Duration = Duration::from_millis(500);

/// Plays a scene until it was seen.
#[track_caller]
pub fn until_seen(mut scene: impl FnMut() -> bool) {
    assert!((0..6).any(|_| scene()), "six times the machine was too busy for a look each {LONGEST_GAP:?}");
}

#[test]
fn an_interrupt_ends_everything_and_the_next_run_repairs() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    for node in ["a", "b"] {
        lab.nodes.ssh(node, "useradd -m worker");
    }
    lab.write(
        "slow.yaml",
        r"
- hosts: a
  gather_facts: false
  tasks:
    - {name: write, copy: {content: x, dest: /root/x}, notify: note}
    - name: slow
      shell: echo begun >> /root/log; test -e /root/quick || sleep 301 | cat; echo ended >> /root/log
  handlers:
    - {name: note, shell: echo handled >> /root/log}
- hosts: b
  gather_facts: false
  become: true
  become_user: worker
  tasks:
    - name: slow
      shell: |
        trap '' TERM
        echo begun >> ~/log; test -e ~/quick || { sleep 302 & sleep 303 | cat; }; echo ended >> ~/log
",
    );
    // Plays follow each other: each host by itself.
    for (node, home) in [("a", "/root"), ("b", "/home/worker")] {
        until_seen(|| {
            lab.nodes.ssh(node, &format!("rm -f {home}/log"));
            let child = lab.start(&["slow.yaml", "--limit", node]);
            wait_on(&lab, node, "pgrep -f '[s]leep 30[0-9]'");
            let watch = Watch::begin(&lab, node);
            let (moment, since) = (SystemTime::now(), Instant::now());
            signal(&child, Signal::SIGINT);
            finish(child).expect(99);
            assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
            watch.quiet_within_two_seconds(moment)
        });
        assert_eq!(read(&lab, node, &format!("{home}/log")), "begun\n");

        lab.nodes.ssh(node, &format!("touch {home}/quick"));
        let again = lab.play(&["slow.yaml", "--limit", node]).expect(0);
        assert_eq!(again.statuses(node, "slow"), ["changed"]);
        let log = read(&lab, node, &format!("{home}/log"));
        assert_eq!(log, if node == "a" { "begun\nbegun\nended\nhandled\n" } else { "begun\nbegun\nended\n" });
        assert_eq!(journals(&lab, node), "");
    }
    an_interrupted_dpkg_is_repaired_first(&lab);
}

fn an_interrupted_dpkg_is_repaired_first(lab: &Lab) {
    let folder = lab.path("deb");
    fs::create_dir_all(folder.join("DEBIAN")).expect("made");
    fs::write(
        folder.join("DEBIAN/control"),
        "Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: t <t@example.org>\nDescription: slow\n",
    )
    .expect("written");
    fs::write(folder.join("DEBIAN/postinst"), "#!/bin/sh\nset -e\ntest -e /root/fast || sleep 304\necho configured >> /root/configured\n")
        .expect("written");
    let run = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).current_dir(lab.folder.path()).stdout(Stdio::null()).status();
        assert!(status.expect("it runs").success(), "{program} {arguments:?}");
    };
    run("chmod", &["755", "deb/DEBIAN/postinst"]);
    run("dpkg-deb", &["--build", "--root-owner-group", "deb", "slow.deb"]);
    lab.write("deb.yaml", "- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: file, copy: {src: slow.deb, dest: /root/slow.deb}}\n    - {name: slow, apt: {deb: /root/slow.deb}}\n");
    until_seen(|| {
        let child = lab.start(&["deb.yaml"]);
        wait_on(lab, "a", "pgrep -f '[s]leep 304'");
        let (watch, moment) = (Watch::begin(lab, "a"), SystemTime::now());
        signal(&child, Signal::SIGINT);
        finish(child).expect(99);
        watch.quiet_within_two_seconds(moment)
    });
    assert_ne!(lab.nodes.ssh("a", "dpkg-query -W -f '${db:Status-Abbrev}' slow").trim(), "ii", "half way");

    lab.nodes.ssh("a", "touch /root/fast");
    let again = lab.play(&["deb.yaml"]).expect(0);
    assert_eq!(lab.nodes.ssh("a", "dpkg-query -W -f '${db:Status-Abbrev}' slow").trim(), "ii");
    assert_eq!(lab.nodes.ssh("a", "dpkg --audit"), "");
    assert_eq!(read(lab, "a", "/root/configured"), "configured\n");
    let warnings = again.events("warning");
    assert!(
        warnings.iter().any(|warning| warning["message"].as_str().is_some_and(|text| text.contains("finish an interrupted dpkg run"))),
        "{warnings:?}"
    );
    let third = lab.play(&["deb.yaml"]).expect(0);
    assert_eq!(third.count("a", "changed"), 0);
}

fn order(lab: &Lab, name: &str, command: &str) {
    lab.write(name, &format!("- hosts: a\n  gather_facts: false\n  tasks:\n    - {{name: of {name}, shell: \"{command}\"}}\n"));
}

#[test]
fn two_runs_never_work_at_once() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    order(&lab, "first.yaml", "sleep 15; echo first >> /root/log");
    order(&lab, "second.yaml", "echo second >> /root/log");
    let first = lab.start(&["first.yaml"]);
    wait_on(&lab, "a", "pgrep -x sleep");
    let second = lab.play(&["second.yaml"]).expect(0);
    let id = first.id();
    finish(first).expect(0);
    assert_eq!(read(&lab, "a", "/root/log"), "first\nsecond\n");
    let waiting = second.events("waiting");
    let told = waiting.first().expect("the second says that it waits");
    assert!(told["for"].as_str().is_some_and(|who| who.ends_with(&format!("process {id}"))), "{told}");
    assert_eq!(told["doing"], "of first.yaml");
    assert!(told["since"].as_u64().is_some_and(|since| since > 1_700_000_000), "{told}");

    a_run_whose_controller_was_killed_is_waited_for(&lab);
    what_a_killed_agent_left_running_is_waited_for(&lab);
    an_interrupted_wait_ends_at_once(&lab);
}

fn a_run_whose_controller_was_killed_is_waited_for(lab: &Lab) {
    lab.nodes.ssh("a", "rm /root/log");
    let mut first = lab.start(&["first.yaml"]);
    wait_on(lab, "a", "pgrep -x sleep");
    first.kill().expect("our own child");
    first.wait().expect("waited for");
    let second = lab.play(&["second.yaml"]).expect(0);
    assert_eq!(read(lab, "a", "/root/log"), "first\nsecond\n", "the command in hand was finished, then came the second");
    assert_eq!(second.events("waiting").len(), 1);
    // It was recorded: it is not run again.
    let again = lab.play(&["first.yaml"]).expect(0);
    assert_eq!(again.statuses("a", "of first.yaml"), ["changed"]);
}

fn what_a_killed_agent_left_running_is_waited_for(lab: &Lab) {
    lab.nodes.ssh("a", "id worker 2>/dev/null || useradd -m worker");
    for user in ["root", "worker"] {
        lab.nodes.ssh("a", "rm -f /root/log /tmp/log; touch /tmp/log; chmod 666 /tmp/log");
        order(lab, "orphan.yaml", "sleep 8; echo first >> /tmp/log");
        order(lab, "next.yaml", "echo second >> /tmp/log");
        let first = lab.start(&["orphan.yaml", "--become", "--become-user", user]);
        wait_on(lab, "a", "pgrep -x sleep");
        lab.nodes.ssh("a", "pkill -KILL -f '[a]gent run'");
        let second = lab.play(&["next.yaml"]).expect(0);
        finish(first).expect(4);
        assert_eq!(read(lab, "a", "/tmp/log"), "first\nsecond\n", "{user}");
        let warnings = second.events("warning");
        assert!(
            warnings.iter().any(|warning| warning["message"]
                .as_str()
                .is_some_and(|text| text.contains("waiting for what an interrupted run has started: run sleep 8"))),
            "{user}: {warnings:?}"
        );
    }
}

fn an_interrupted_wait_ends_at_once(lab: &Lab) {
    let first = lab.start(&["first.yaml"]);
    wait_on(lab, "a", "pgrep -x sleep");
    let mut second = lab.start(&["second.yaml"]);
    let mut said = BufReader::new(second.stdout.take().expect("piped")).lines();
    assert!(said.any(|line| line.expect("text").contains(r#""event":"waiting""#)), "the second says that it waits");
    signal(&second, Signal::SIGTERM);
    said.for_each(drop);
    assert_eq!(second.wait().expect("waited for").code(), Some(99));
    finish(first).expect(0);
}

#[test]
fn a_run_survives_a_cut_link_and_ends_where_it_is_lost() {
    let Some(mut lab) = Lab::new(&["a"]) else { return };
    let proxy = Proxy::before((lab.nodes.addresses["a"], 22).into());
    lab.through("a", proxy.port());
    // Chatty: what a cut link does not take must hold nothing up.
    lab.write("cut.yaml", "- hosts: a\n  gather_facts: false\n  tasks:\n    - {name: one, shell: 'for i in $(seq 40); do head -c 20000 /dev/zero | tr \"\\0\" x; echo; sleep 0.1; done; echo one >> /root/log'}\n    - {name: two, shell: echo two >> /root/log}\n");
    let child = lab.start(&["cut.yaml"]);
    let output = std::thread::spawn(move || finish(child));
    wait_on(&lab, "a", "pgrep -x sleep");
    proxy.cut_for(Duration::from_secs(10));
    output.join().expect("it ends").expect(0);
    assert_eq!(read(&lab, "a", "/root/log"), "one\ntwo\n");

    a_lost_link_ends_the_agent_after_the_action_in_hand(&lab, &proxy, true);
    a_lost_link_ends_the_agent_after_the_action_in_hand(&lab, &proxy, false);
}

/// `closed`: its end is seen; else nothing comes any more.
fn a_lost_link_ends_the_agent_after_the_action_in_hand(lab: &Lab, proxy: &Proxy, closed: bool) {
    lab.nodes.ssh("a", "rm -f /root/log");
    let seconds = if closed { 4 } else { 23 };
    lab.write("lost.yaml", &format!("- hosts: a\n  gather_facts: false\n  tasks:\n    - {{name: one, shell: sleep {seconds}; echo one >> /root/log}}\n    - {{name: two, shell: echo two >> /root/log}}\n"));
    let mut child = lab.start(&["lost.yaml"]);
    wait_on(lab, "a", "pgrep -x sleep");
    let since = Instant::now();
    if closed {
        proxy.sever();
    } else {
        proxy.pause();
    }
    // Within 20 s of silence, and what its own work takes.
    let limit = Duration::from_secs(if closed { 6 } else { 25 });
    while lab.nodes.ssh_output("a", "pgrep -f '[a]gent run'").status.success() {
        assert!(since.elapsed() < limit + Duration::from_secs(4), "the agent is still there after {:?}", since.elapsed());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(read(lab, "a", "/root/log"), "one\n", "the action in hand was finished, nothing after it was begun");
    if closed {
        finish(child).expect(4);
    } else {
        child.kill().expect("our own child");
        child.wait().expect("waited for");
        proxy.sever();
        proxy.resume();
    }
    let again = lab.play(&["lost.yaml"]).expect(0);
    assert_eq!(again.statuses("a", "one"), ["changed"], "its record is given back");
    assert_eq!(read(lab, "a", "/root/log"), "one\ntwo\n", "it was not run again");
}

#[test]
fn a_converged_playbook_writes_nothing_at_all() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write("files/one", "one\n");
    lab.write("templates/two.j2", "{{ ansible_facts.hostname }} {{ word }}\n");
    lab.write(
        "converged.yaml",
        r#"
- hosts: a
  gather_facts: true
  vars: {word: two}
  tasks:
    - {copy: {src: one, dest: /etc/one, mode: "0640"}}
    - {template: {src: two.j2, dest: /etc/two}, notify: note}
    - {file: {path: /srv/folder/deep, state: directory}}
    - {file: {path: /srv/link, src: /etc/one, state: link}}
    - {stat: {path: /etc/one}, register: one}
    - {assert: {that: one.stat.exists}}
    - {command: "true", changed_when: false}
    - {shell: "echo x > /srv/made", args: {creates: /srv/made}}
    - {systemd: {name: ssh, state: started, enabled: true}}
    - {apt: {name: systemd}}
    - {copy: {content: x, dest: /home/other/x}, become: true, become_user: other}
    - {wait_for: {timeout: 2}}
    - {wait_for: {timeout: 1}, become: true, become_user: other}
  handlers:
    - {name: note, shell: echo handled >> /root/log}
"#,
    );
    lab.nodes.ssh("a", "useradd --create-home other");
    lab.play(&["converged.yaml"]).expect(0);
    lab.play(&["converged.yaml"]).expect(0);
    // The kernel counts an inode's page for who dirties it: with everything on the disk, and files newer than their last access, a
    // read that leaves an access time shows.
    lab.nodes.ssh("a", "touch /etc/one /etc/two /srv/folder/deep /etc/passwd /etc/group /var/lib/dpkg/status && sync");
    let before = listing(&lab);
    let child = lab.start(&["converged.yaml"]);
    // What the kernel counts for the agent, read again and again until it is gone.
    let samples = lab.nodes.ssh("a", "for i in $(seq 200); do for k in run worker; do for p in $(pgrep -f \"agent $k\"); do sed -n \"s/^write_bytes:/$k/p\" /proc/$p/io 2>/dev/null; done; done; sleep 0.03; done");
    let said = finish(child).expect(0);
    assert_eq!(said.count("a", "changed"), 0, "{}", said.stdout);
    let counts: Vec<u64> = samples.lines().filter_map(|line| line.split(' ').next_back()?.parse().ok()).collect();
    for kind in ["run", "worker"] {
        assert!(samples.lines().filter(|line| line.starts_with(kind)).count() > 5, "`agent {kind}` was seen at work: {samples}");
    }
    let after = listing(&lab);
    let changed: Vec<&String> = after.iter().filter(|line| !before.contains(*line)).collect();
    assert_eq!(counts.iter().max(), Some(&0), "bytes that the agent and its worker wrote to disks; changed: {changed:?}");
    assert!(changed.is_empty(), "changed on the node: {changed:?}");
    assert_eq!(before.len(), after.len());
}

/// Path, type, change time, size and digest of everything on the node's disk, but what sshd and systemd log.
fn listing(lab: &Lab) -> std::collections::BTreeSet<String> {
    let text = lab.nodes.ssh(
        "a",
        "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /var/log -o -path /var/lib/systemd/timesync -o -path /tmp -o -path /var/tmp/systemd-private-* \\) -prune -o -printf '%p %y %C@ %s %m %u\\n'; \
         find /etc /root /srv /var/lib/dpkg /var/lib/apt -xdev -type f -exec sha256sum {} +",
    );
    text.lines().map(str::to_owned).collect()
}

/// A text as vault data, as a YAML value of this indentation.
pub fn vaulted(text: &str, indentation: usize) -> String {
    let sealed = Vault::with_password("vault password").seal(text.as_bytes(), None, &[7; 32]).expect("sealed");
    sealed.lines().map(|line| format!("{}{line}\n", " ".repeat(indentation))).collect()
}

const SECRETS: &str = r#"
- hosts: nodes
  gather_facts: true
  become: true
  tasks:
    - name: show
      debug: {msg: "the token is {{ token }}"}
    - name: derive
      set_fact: {derived: "a {{ token }} b"}
    - name: write where no disk is
      copy: {content: "{{ derived }}\nsecond line\n", dest: /run/shown}
    - name: again
      copy: {content: "{{ derived }}\nanother line\n", dest: /run/shown}
    - name: print
      command: cat
      args: {stdin: "{{ token }}"}
      register: printed
    - name: print elsewhere
      command: cat
      args: {stdin: "{{ token }}"}
      delegate_to: "{{ groups['nodes'] | difference([inventory_hostname]) | first }}"
    - name: use what was printed
      debug: {var: printed.stdout_lines}
    - name: fail with it
      shell: cat; cat >&2; exit 3
      args: {stdin: "{{ token }}"}
      ignore_errors: true
    - name: fail on it
      file: {path: "/nonexistent/{{ token }}/x", state: touch}
      ignore_errors: true
    - name: loop
      command: "true"
      loop: ["{{ token }}", other]
    - name: unknown to all
      shell: "tr -dc a-z < /dev/urandom | head -c 24 | tee /run/generated"
      no_log: true
      register: generated
    - name: end
      fail: {msg: "in the end {{ token }} and {{ generated.stdout }}"}
      no_log: "{{ inventory_hostname == 'a' }}"
"#;

#[test]
fn no_secret_is_found_anywhere_after_a_run() {
    let Some(lab) = Lab::new(&["a", "b"]) else { return };
    let secrets = ["Tok3n-of-a-wq8z", "Tok3n-of-b-k2vx", "Gr0up-wide-p7yd", "B3come-word-m4tr", "Other-environment-h6sn"];
    for node in ["a", "b"] {
        lab.nodes.ssh(node, &format!(
            "useradd -m admin && mkdir -p /home/admin/.ssh && cp /root/.ssh/authorized_keys /home/admin/.ssh/ && chown -R admin /home/admin/.ssh \
             && echo 'admin:{}' | chpasswd && echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin", secrets[3]));
    }
    lab.write("secret/vault", "vault password\n");
    lab.write("secret/become", &format!("{}\n", secrets[3]));
    // A value in a file, a whole file, and a value that nothing reads.
    lab.write("host_vars/a.yaml", &format!("token: !vault |\n{}", vaulted(secrets[0], 2)));
    lab.write("host_vars/b.yaml", &vaulted(&format!("token: {}\n", secrets[1]), 0));
    lab.write("group_vars/nodes.yaml", &format!("unused: !vault |\n{}", vaulted(secrets[2], 2)));
    lab.write("secrets.yaml", SECRETS);
    let mut watch = ProcessWatch::begin(&secrets);
    let mut said = String::new();
    for format in [&["--json", "-vvv"][..], &["-vvvv"]] {
        let mut arguments = vec!["playbook", "secrets.yaml", "-i", "inventory.ini", "--diff", "-u", "admin", "-e", "ansible_user=admin"];
        arguments.extend(["--vault-password-file", "secret/vault", "--become-password-file", "secret/become"]);
        arguments.extend(format);
        let output = lab.bare_command().args(&arguments).output().expect("provision runs");
        let run = Said::of(&output).expect(2);
        let shows_differences = run.events("result").iter().any(|result| result["diff"][0]["after_header"] == "/run/shown")
            || run.stderr.contains("+++ after: /run/shown");
        assert!(shows_differences, "the difference was shown: {}{}", run.stdout, run.stderr);
        said.push_str(&run.stdout);
        said.push_str(&run.stderr);
    }
    assert!(said.contains("***"), "secrets were masked, not left out: {said}");
    let mut searched: Vec<&str> = secrets.to_vec();
    let generated: Vec<String> = ["a", "b"].iter().map(|node| read(&lab, node, "/run/generated")).collect();
    assert_eq!(generated[0].len(), 24);
    // What `no_log` hides is shown by nobody; on b the last task says it on purpose.
    searched.push(&generated[0]);
    let found: Vec<&&str> = searched.iter().filter(|secret| said.contains(**secret)).collect();
    assert!(
        found.is_empty(),
        "in what provision says: {found:?}: {}",
        said.lines().filter(|line| searched.iter().any(|secret| line.contains(secret))).collect::<Vec<_>>().join("\n")
    );
    assert_eq!(watch.end(), Vec::<String>::new(), "in arguments or environments of processes");

    let on_disk: Vec<&str> = searched.iter().copied().chain([generated[1].as_str()]).collect();
    for node in &lab.nodes.nodes {
        assert_ne!(journals(&lab, &node.name.to_string()), "", "a failed run keeps its journal, and that is searched too");
        let folder = lab.nodes.environment.names().node_folder(&node.name);
        let found = files_with(&folder, &on_disk);
        assert_eq!(found, Vec::<String>::new(), "on the disk of {}", node.name);
        let log = lab.nodes.ssh(&node.name.to_string(), "journalctl -a --no-pager -o export");
        assert!(log.len() > 1000 && !on_disk.iter().any(|secret| log.contains(secret)), "in the system's journal of {}", node.name);
        let elsewhere = lab.nodes.ssh(&node.name.to_string(), "find /run /tmp /dev/shm -xdev -type f ! -path /run/shown ! -path /run/generated ! -path '/run/log/*' -exec cat {} + 2>/dev/null || true");
        assert!(!on_disk.iter().any(|secret| elsewhere.contains(secret)), "in memory file systems of {}", node.name);
    }
    assert_eq!(files_with(&lab.path(".provision"), &on_disk), Vec::<String>::new());
    // The search finds what is there.
    lab.nodes.ssh("a", &format!("echo {} > /root/found; sync", secrets[4]));
    assert_eq!(files_with(&lab.nodes.environment.names().node_folder(&lab.nodes.nodes[0].name), &[secrets[4]]).len(), 1);
}

/// Files below a folder that hold one of the texts.
fn files_with(folder: &Path, texts: &[&str]) -> Vec<String> {
    let list = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect::<Vec<_>>();
    // The merged view of a node's disk shows the base image too, and what is mounted in it: beside `upper`, not inside.
    let inner = list(folder).into_iter().flat_map(|path| {
        if path.join("upper").exists() { list(&path).into_iter().filter(|path| !path.ends_with("root")).collect() } else { vec![path] }
    });
    let inner: Vec<_> = inner.collect();
    assert!(!inner.is_empty(), "nothing to search in {}", folder.display());
    // The texts go in on standard input: arguments are public.
    let mut search = Command::new("grep")
        .args(["-rlaF", "-f", "-"])
        .args(&inner)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("grep runs");
    search.stdin.take().expect("piped").write_all(texts.join("\n").as_bytes()).expect("written");
    let output = search.wait_with_output().expect("waited for");
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Looks at the arguments and environments of all processes, the nodes' too, until it is told to end.
struct ProcessWatch {
    end: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<(usize, Vec<String>)>>,
}

impl ProcessWatch {
    fn begin(secrets: &[&str]) -> Self {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        let end = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let ended = std::sync::Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let (mut seen, mut found) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
                    let path = entry.path();
                    for file in ["cmdline", "environ"] {
                        let Ok(bytes) = fs::read(path.join(file)) else { continue };
                        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
                        if file == "cmdline" && text.contains("agent worker") {
                            seen.insert(path.clone());
                        }
                        if secrets.iter().any(|secret| text.contains(secret)) {
                            found.insert(format!("{file}: {text}"));
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            (seen.len(), found.into_iter().collect())
        });
        Self { end, thread: Some(thread) }
    }

    fn end(&mut self) -> Vec<String> {
        self.end.store(true, std::sync::atomic::Ordering::SeqCst);
        let (workers, found) = self.thread.take().expect("ended once").join().expect("it only reads");
        assert!(workers > 0, "workers were seen");
        found
    }
}

const STEPS: &str = r#"
- hosts: a
  gather_facts: false
  tasks:
    - name: files
      copy: {content: "{{ item }}\n", dest: "/srv/{{ item }}"}
      loop: "{{ range(20) | list }}"
      notify: note
      register: files
    - name: count once
      shell: test ! -e /srv/log || exit 0; echo counted > /srv/log; sleep 0.2
      args: {creates: /srv/log}
    - name: link
      file: {src: /srv/log, dest: /srv/link, state: link}
    - name: depends
      copy: {content: "files were changed\n", dest: /srv/depends}
      when: files is changed
    - name: sleep
      command: sleep 0.3
  handlers:
    - name: note
      copy: {content: "handled\n", dest: /srv/handled}
"#;

#[test]
fn a_controller_killed_anywhere_leaves_what_the_next_run_completes() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.write("steps.yaml", STEPS);
    let state = |lab: &Lab| {
        lab.nodes.ssh(
            "a",
            "cd /srv && find . -printf '%p %y %m %l\\n' | sort && cat /srv/log /srv/depends /srv/handled $(seq -f '/srv/%g' 0 19)",
        )
    };
    lab.play(&["steps.yaml"]).expect(0);
    let whole = state(&lab);
    for (number, milliseconds) in [150, 300, 450, 600, 800, 1000, 1300].into_iter().enumerate() {
        lab.nodes.ssh("a", "rm -rf /srv/* /root/.local/state");
        let mut child = lab.start(&["steps.yaml"]);
        std::thread::sleep(Duration::from_millis(milliseconds));
        if number % 2 == 0 {
            child.kill().expect("our own child");
        } else {
            lab.nodes.ssh_output("a", "pkill -KILL -f '[a]gent run'");
        }
        child.wait().expect("waited for");
        lab.play(&["steps.yaml"]).expect(0);
        assert_eq!(state(&lab), whole, "killed after {milliseconds} ms");
        assert_eq!(journals(&lab, "a"), "");
    }
}

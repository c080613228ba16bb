//! Tasks that nobody waits for (`async` with `poll: 0`), on a real node.

use super::lab::Lab;
use super::survival::{journals, played, vaulted, wait_on};

const WAITED: &str = r#"
- hosts: nodes
  gather_facts: false
  become_user: worker
  tasks:
    - name: begun
      shell: sleep 2; echo the {{ word }}; echo {{ word }} | wc -c > /srv/late
      args: {creates: /srv/late}
      async: 60
      poll: 0
      become: true
      register: job
      notify: heard
    - {name: beside, command: test ! -e /srv/late, when: job is changed and not job.finished, changed_when: false}
    - name: waited for
      async_status: {jid: "{{ job.ansible_job_id }}"}
      become: true
      register: done
      until: done.finished
      retries: 60
      delay: 1
    - {name: after, copy: {dest: /srv/after, content: x}}
  handlers:
    - {name: heard, command: echo heard}
"#;

#[test]
fn a_job_is_planned_begun_once_and_keeps_no_secret() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    lab.nodes.ssh("a", "useradd -m worker; chmod 777 /srv");
    lab.write("secret/vault", "vault password\n");
    lab.write("group_vars/nodes.yaml", &format!("word: !vault |\n{}", vaulted("swordfish", 2)));
    lab.write_project(WAITED);
    let with = |words: &[&str]| lab.provision(&[words, &["--vault-password-file", "secret/vault"]].concat());

    let planned = with(&["plan", "--json", "--detailed-exitcode"]).expect(2);
    let plan = |task: &str| planned.events("planned").iter().find(|event| event["task"] == task).map(|event| event["plan"].to_string());
    assert_eq!(["begun", "waited for", "after"].map(plan), ["change", "unknown", "unknown"].map(|word| Some(format!("\"{word}\""))));
    assert_eq!(
        lab.nodes.ssh("a", "ls -A /srv /home/worker | grep -v bash; ls -d /home/worker/.ansible_async || true"),
        "/home/worker:\n.profile\n\n/srv:\n"
    );

    let checked = lab.play(&["playbooks/site.yaml", "--check", "--vault-password-file", "secret/vault"]).expect(0);
    assert_eq!(
        (checked.statuses("a", "begun"), checked.statuses("a", "waited for")),
        (vec!["changed".to_owned()], vec!["changed".to_owned()])
    );
    assert_eq!(lab.nodes.ssh("a", "ls /srv"), "", "check mode begins nothing");

    let said = with(&["up", "--yes", "--json"]).expect(0);
    assert_eq!(said.statuses("a", "waited for"), ["changed"], "{}", said.stdout);
    assert_eq!((said.statuses("a", "beside"), said.statuses("a", "heard")), (vec!["ok".to_owned()], vec!["changed".to_owned()]));
    let left = lab.nodes.ssh("a", "cd /home/worker/.ansible_async; stat -c '%a %U' . *; cat * /srv/late");
    let (modes, result) = left.split_at(left.find('{').expect("a result"));
    assert_eq!(modes, "700 worker\n600 worker\n");
    assert!(result.contains(r#""stdout":"the ***""#) && result.ends_with("10\n") && !result.contains("swordfish"), "{left}");

    let again = with(&["up"]).expect(0);
    assert!(again.stderr.contains("No changes"), "{}\n{}", again.stdout, again.stderr);
    assert_eq!(lab.nodes.ssh("a", "ls /home/worker/.ansible_async | wc -l"), "1\n", "what has nothing to do begins no job");
    assert_eq!(journals(&lab, "a"), "");
}

const LEFT: &str = r#"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: left, shell: sleep 3; echo left > /srv/left, async: 60, poll: 0}
    - {name: too long, shell: sleep 301 & sleep 302, async: 2, poll: 0, register: long}
    - {name: where, copy: {dest: /srv/where, content: "{{ long.results_file }}"}}
"#;

const RESTARTED: &str = r"
- hosts: nodes
  gather_facts: false
  tasks:
    - {name: before, command: cat /proc/sys/kernel/random/boot_id, register: before, changed_when: false}
    - {name: restart, shell: sleep 1; systemctl reboot, async: 10, poll: 0}
    - {name: wait, wait_for_connection: {delay: 4, timeout: 60}}
    - {name: after, command: cat /proc/sys/kernel/random/boot_id, register: after, changed_when: false}
    - {name: another, assert: {that: before.stdout != after.stdout}}
    - {name: nobody's, async_status: {jid: j1.1}, ignore_errors: true}
";

#[test]
fn a_job_goes_on_after_its_run_and_ends_in_its_time() {
    let Some(lab) = Lab::new(&["a"]) else { return };
    let said = played(&lab, "left.yaml", LEFT, &[]).expect(0);
    assert_eq!(said.statuses("a", "left"), ["changed"], "{}", said.stdout);
    assert_eq!(lab.nodes.ssh("a", "ls /srv"), "where\n", "it goes on");
    wait_on(&lab, "a", "grep -q left /srv/left");
    wait_on(&lab, "a", "grep -q 'Timeout exceeded' $(cat /srv/where) && ! pgrep -f '[s]leep 30|[a]gent job'");

    let said = played(&lab, "restarted.yaml", RESTARTED, &[]).expect(0);
    assert_eq!(said.statuses("a", "another"), ["ok"], "{}", said.stdout);
    assert!(said.stdout.contains("could not find job"), "{}", said.stdout);
}

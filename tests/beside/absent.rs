//! Hosts that are not there when the run begins, beside ansible-core: what is done elsewhere is done, a host is reached when a task needs
//! it, and only then is it out of reach.

use super::local::{Project, Ran};
use crate::support::sshd::Sshd;

/// The machine is made by a play of another host, as playbooks for clouds and for virtual machines do.
const BEFORE: &str = r#"
- hosts: one
  gather_facts: false
  tasks:
    - {name: slowly, command: sleep 5}
    - {name: make, command: "{{ start }}"}
- hosts: late
  tasks:
    - {name: on it, copy: {content: "{{ ansible_facts.system }}\n", dest: "{{ root }}/on-it"}}
"#;

/// Its own tasks make it.
const OWN: &str = r#"
- hosts: late:one
  gather_facts: false
  handlers:
    - {name: told, copy: {content: "{{ made.changed }} {{ count }}\n", dest: "{{ root }}/{{ inventory_hostname }}.told"}}
    - {name: elsewhere, copy: {content: "{{ count }}\n", dest: "{{ root }}/{{ inventory_hostname }}.elsewhere"}, delegate_to: localhost}
  tasks:
    - {name: say, debug: {msg: "{{ inventory_hostname }}"}}
    - {name: count, set_fact: {count: 7}}
    - name: around
      block:
        - name: make
          command: "{{ start }}"
          delegate_to: localhost
          register: made
          notify: [told, elsewhere]
          when: inventory_hostname == 'late'
        - name: on each
          copy: {content: "{{ item }} {{ made is changed }} {{ count }}\n", dest: "{{ root }}/{{ inventory_hostname }}.{{ item }}"}
          delegate_to: "{{ item }}"
          loop: [one, late, two]
          when: inventory_hostname == 'late'
      always:
        - {name: at last, command: echo done, register: said}
    - {name: skipped, command: 'true', when: said.stdout != 'done'}
    - {name: facts, setup: {gather_subset: '!all'}}
    - {name: of facts, copy: {content: "{{ ansible_facts.system }} {{ hostvars.one.count }}\n", dest: "{{ root }}/{{ inventory_hostname }}.facts"}}
"#;

/// It is waited for.
const WAITED: &str = r#"
- hosts: late
  gather_facts: false
  tasks:
    - {name: make, command: "{{ start }}", delegate_to: localhost}
    - {name: port, wait_for: {host: 127.0.0.1, port: "{{ ansible_port }}", timeout: 20}, delegate_to: localhost}
    - {name: answers, wait_for_connection: {timeout: 20}}
    - {name: on it, copy: {content: "x\n", dest: "{{ root }}/on-it"}}
- hosts: one
  gather_facts: false
  tasks:
    - {name: on it too, copy: {content: "y\n", dest: "{{ root }}/on-it-too"}, delegate_to: late}
"#;

/// Whether it is there decides what is done.
const ASKED: &str = r#"
- hosts: late
  gather_facts: false
  tasks:
    - {name: there, ping: , ignore_unreachable: true, register: there}
    - {name: still not, command: 'true', ignore_unreachable: true}
    - {name: told, copy: {content: "{{ there is unreachable }} {{ there is failed }}\n", dest: "{{ root }}/told"}, delegate_to: localhost}
    - {name: make, command: "{{ start }}", delegate_to: localhost, when: there is unreachable}
    - {name: now, ping: , register: there}
    - {name: on it, copy: {content: "{{ there.ping }}\n", dest: "{{ root }}/on-it"}}
"#;

/// It never comes.
const NEVER: &str = r#"
- hosts: late:one
  gather_facts: false
  tasks:
    - {name: say, debug: {msg: x}}
    - {name: elsewhere, copy: {content: "{{ inventory_hostname }}\n", dest: "{{ root }}/{{ inventory_hostname }}.made"}, delegate_to: two}
    - name: around
      block:
        - {name: needs it, command: 'true'}
      rescue:
        - {name: rescued, debug: {msg: x}}
      always:
        - {name: at last, debug: {msg: x}}
    - {name: after, debug: {msg: x}}
- hosts: late:one
  gather_facts: false
  tasks:
    - {name: later, debug: {msg: x}}
"#;

/// It did not come in time, and something is done about it.
const RESCUED: &str = r#"
- hosts: late
  gather_facts: false
  tasks:
    - name: around
      block:
        - {name: answers, wait_for_connection: {timeout: 2, sleep: 1}}
      rescue:
        - {name: make, command: "{{ start }}", delegate_to: localhost}
        - {name: now, ping: }
    - {name: on it, copy: {content: "x\n", dest: "{{ root }}/on-it"}}
"#;

/// The project, and the words that run it: `late` is the server's host.
fn project(site: &str, sshd: &Sshd) -> Option<(Project, [String; 3])> {
    let project = Project::new(&[("site.yml", site)])?;
    let login = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let late = format!(
        "late ansible_connection=ssh ansible_host=127.0.0.1 ansible_port={} ansible_ssh_private_key_file={} ansible_ssh_common_args='{login}'\n",
        sshd.port(),
        sshd.user_key().display()
    );
    project.write("hosts.ini", &format!("{late}[here]\none\ntwo\n[here:vars]\nansible_connection=local\n"));
    Some((project, ["site.yml".to_owned(), "-e".to_owned(), format!("start='{}'", sshd.command())]))
}

fn both(site: &str, words: &[&str]) -> Option<(Ran, Ran, String)> {
    let mut sshd = Sshd::start();
    let (project, first) = project(site, &sshd)?;
    let words: Vec<&str> = first.iter().map(String::as_str).chain(words.iter().copied()).collect();
    sshd.stop();
    let (theirs, they_said) = project.theirs(&words);
    sshd.stop();
    let (ours, we_said) = project.ours(&words);
    Some((theirs, ours, format!("{they_said}\n{we_said}")))
}

fn runs_as_ansibles(site: &str, words: &[&str], code: i32) -> Option<Ran> {
    let (theirs, ours, said) = both(site, words)?;
    assert_eq!(theirs.code, code, "{said}");
    assert_eq!(theirs, ours, "{said}");
    Some(ours)
}

#[test]
fn a_host_is_reached_when_its_first_play_begins() {
    let Some(ran) = runs_as_ansibles(BEFORE, &[], 0) else { return };
    assert_eq!(ran.files.get("on-it").map(String::as_str), Some("Linux\n"));
}

#[test]
fn a_hosts_own_tasks_make_it() {
    let Some(ran) = runs_as_ansibles(OWN, &[], 0) else { return };
    assert_eq!(ran.files.get("late.told").map(String::as_str), Some("True 7\n"));
}

#[test]
fn a_host_that_is_made_is_waited_for() {
    let Some(ran) = runs_as_ansibles(WAITED, &[], 0) else { return };
    assert_eq!(ran.files.get("on-it-too").map(String::as_str), Some("y\n"));
}

/// What made the machine is done again once the machine is gone.
#[test]
fn a_host_that_is_gone_is_made_again() {
    for site in [WAITED, OWN] {
        let mut sshd = Sshd::start();
        let Some((project, words)) = project(site, &sshd) else { return };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        for round in 0..2 {
            sshd.stop();
            let (ran, said) = project.ours(&words);
            assert_eq!((ran.code, ran.told["late"].contains(&"changed make".to_owned())), (0, true), "round {round}: {said}");
        }
    }
}

#[test]
fn a_task_may_ask_whether_its_host_is_there() {
    let Some(ran) = runs_as_ansibles(ASKED, &[], 0) else { return };
    assert_eq!(ran.files.get("told").map(String::as_str), Some("True False\n"));
}

#[test]
fn a_host_that_never_comes_does_what_is_done_elsewhere() {
    let Some(ran) = runs_as_ansibles(NEVER, &[], 4) else { return };
    assert_eq!(ran.files.len(), 2, "{:?}", ran.files);
}

#[test]
fn a_wait_in_vain_is_rescued() {
    _ = runs_as_ansibles(RESCUED, &[], 0);
}

/// Nothing is made by a check: the host stays away.
#[test]
fn a_check_tells_what_needs_a_host_that_is_not_there() {
    _ = runs_as_ansibles(BEFORE, &["--check"], 4);
    _ = runs_as_ansibles(NEVER, &["--check"], 4);
}

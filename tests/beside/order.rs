//! What a host's tasks see of what other hosts do before them, beside ansible-core.

use super::local::Project;
use crate::support::sshd::Sshd;

/// What two hosts share is the file system here; elsewhere it is a service, a network file system, or what one copies to the other.
const SEEN: &str = r#"
- hosts: db
  gather_facts: false
  tasks:
    - {name: make, shell: "sleep 3; touch {{ root }}/made"}
- hosts: app
  gather_facts: false
  tasks:
    - {name: attempts, stat: {path: "{{ root }}/made"}, register: tried, until: tried.stat.exists, retries: 1, delay: 1}
    - {name: wait, wait_for: {path: "{{ root }}/made", timeout: 1}}
    - {name: look, find: {paths: "{{ root }}", patterns: made}, register: found}
    - {name: tell, copy: {content: "{{ tried.attempts }} {{ found.matched }}\n", dest: "{{ root }}/told.first"}}
- hosts: all
  gather_facts: false
  vars: {path: "{{ root }}/{{ inventory_hostname }}", is_db: "{{ inventory_hostname == 'db' }}"}
  tasks:
    - {name: one makes, shell: "sleep 2; touch {{ root }}/second", when: is_db}
    - {name: all look, stat: {path: "{{ root }}/second"}, register: seen}
    - {name: all wait, wait_for: {path: "{{ root }}/second", timeout: 1}}
    - {name: all tell, copy: {content: "{{ seen.stat.exists }}\n", dest: "{{ path }}.second"}}
    - block:
        - {name: one fails, fail: {}, when: is_db}
      rescue:
        - {name: one rescues, shell: "sleep 2; touch {{ root }}/third"}
    - {name: all look again, stat: {path: "{{ root }}/third"}, register: seen}
    - {name: all tell again, copy: {content: "{{ seen.stat.exists }}\n", dest: "{{ path }}.third"}}
    - {name: one includes, include_tasks: more.yml, when: is_db}
    - {name: all find, find: {paths: "{{ root }}", patterns: fourth}, register: seen}
    - {name: all tell what, copy: {content: "{{ seen.matched }}\n", dest: "{{ path }}.fourth"}}
    - {name: one changes, copy: {content: "", dest: "{{ root }}/changed"}, when: is_db, notify: handle}
    - meta: flush_handlers
    - {name: all look after it, stat: {path: "{{ root }}/fifth"}, register: seen}
    - {name: all tell of it, copy: {content: "{{ seen.stat.exists }}\n", dest: "{{ path }}.fifth"}}
    - {name: one makes it here, shell: "sleep 2; echo six > {{ root }}/sixth", delegate_to: localhost, when: is_db}
    - {name: all read it here, copy: {content: "{{ lookup('pipe', 'cat ' ~ root ~ '/sixth') }}\n", dest: "{{ path }}.sixth"}}
    - {name: all shown, debug: {msg: "{{ lookup('pipe', 'cat ' ~ root ~ '/sixth') }}"}}
  handlers:
    - {name: handle, shell: "sleep 2; touch {{ root }}/fifth"}
"#;

#[test]
fn a_task_sees_what_other_hosts_did_before_it() {
    let sshd = Sshd::start();
    let login = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let of_all = format!(
        "ansible_port={} ansible_ssh_private_key_file={} ansible_ssh_common_args='{login}'",
        sshd.port(),
        sshd.user_key().display()
    );
    // No two names of one machine: nobody knows that they share anything.
    let hosts = format!("db ansible_host=127.0.0.1 {of_all}\napp ansible_host=localhost {of_all}\nlocalhost ansible_connection=local\n");
    let site = SEEN.replace("hosts: all", "hosts: db:app");
    let more = "- {name: more, shell: \"sleep 2; touch {{ root }}/fourth\"}\n";
    let Some(project) = Project::new(&[("site.yml", &site), ("hosts.ini", &hosts), ("more.yml", more)]) else { return };
    let (mut theirs, they_said) = project.theirs(&["site.yml"]);
    let (ours, we_said) = project.ours(&["site.yml"]);
    assert_eq!(theirs.code, 0, "{they_said}");
    // Ours tells of what is included by an event of its own.
    theirs.told.values_mut().for_each(|told| told.retain(|line| line != "ok one includes"));
    assert_eq!(theirs, ours, "{they_said}\n{we_said}");
    assert_eq!(["told.first", "app.second", "app.third", "app.fourth"].map(|name| ours.files[name].trim()), ["1 1", "True", "True", "1"]);
}

//! What published roles use, beside ansible-core: roles of collections, templates beside templates, blocks of handlers, tasks that are
//! waited for, and modules that only other kinds of hosts have.

use super::local::Project;

const COLLECTION: &str = "collections/ansible_collections/acme/web";

#[test]
fn roles_and_playbooks_of_collections_are_found_by_their_full_names() {
    let Some(project) = Project::new(&[
        (
            "site.yml",
            r#"
- hosts: all
  gather_facts: false
  roles: [acme.web.server]
- import_playbook: acme.web.after
- hosts: all
  gather_facts: false
  collections: [acme.web]
  tasks:
    - include_role: {name: "{{ which }}", tasks_from: more.yml}
      vars: {which: acme.web.shared}
    - import_role: {name: deep.inner}
"#,
        ),
        (&format!("{COLLECTION}/roles/server/meta/main.yml"), "dependencies: [{role: shared, from: the dependency}]\n"),
        (
            &format!("{COLLECTION}/roles/server/tasks/main.yml"),
            r#"
- include_role: {name: acme.web.shared}
  vars: {from: an include}
- name: told
  copy:
    content: "{{ role_name }} {{ ansible_role_name }} {{ ansible_collection_name }}\n"
    dest: "{{ root }}/{{ inventory_hostname }}/server"
  notify: ["acme.web.server : full", "server : short"]
"#,
        ),
        (
            &format!("{COLLECTION}/roles/server/handlers/main.yml"),
            "- {name: full, debug: {msg: x}}\n- {name: short, debug: {msg: y}}\n- {name: never, debug: {msg: z}}\n",
        ),
        (&format!("{COLLECTION}/roles/shared/defaults/main.yml"), "from: its default\n"),
        (
            &format!("{COLLECTION}/roles/shared/tasks/main.yml"),
            r#"
- name: shared
  lineinfile:
    path: "{{ root }}/{{ inventory_hostname }}/shared"
    line: "{{ from }}: {{ ansible_role_name }} of {{ ansible_collection_name }}"
    create: true
"#,
        ),
        (&format!("{COLLECTION}/roles/shared/tasks/more.yml"), "- {name: more, debug: {msg: \"{{ from }}\"}}\n"),
        (&format!("{COLLECTION}/roles/deep/inner/tasks/main.yml"), "- {name: deep, debug: {msg: \"{{ ansible_role_name }}\"}}\n"),
        (&format!("{COLLECTION}/playbooks/after.yml"), "- hosts: one\n  gather_facts: false\n  tasks: [{name: after, command: 'true'}]\n"),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(told(&theirs), told(&ours), "{said}");
    assert_eq!((theirs.code, &theirs.files), (ours.code, &ours.files), "{said}");
    assert_eq!(ours.files.get("one/server").map(String::as_str), Some("server acme.web.server acme.web\n"), "{said}");
    assert_eq!(ours.told["one"].iter().filter(|line| line.ends_with("full") || line.ends_with("short")).count(), 2, "{said}");
}

#[test]
fn templates_are_found_beside_the_template_that_includes_them() {
    let Some(project) = Project::new(&[
        (
            "site.yml",
            "- hosts: one\n  gather_facts: false\n  roles: [web]\n  tasks: [{debug: {msg: \"{{ lookup('template', 'roles/web/templates/etc/whole.j2') }}\"}}]\n",
        ),
        ("roles/web/tasks/main.yml", "- {name: made, template: {src: etc/whole.j2, dest: \"{{ root }}/one/made\"}}\n"),
        (
            "roles/web/templates/etc/whole.j2",
            "{% extends 'frame.j2' %}{% from 'words.j2' import word %}{% block middle %}{{ word() }} {% include 'part.j2' %}{% endblock %}",
        ),
        ("roles/web/templates/etc/frame.j2", "<{% block middle %}{% endblock %}>\n"),
        ("roles/web/templates/etc/words.j2", "{% macro word() %}beside{% endmacro %}"),
        ("roles/web/templates/etc/part.j2", "the deep one"),
        ("roles/web/templates/part.j2", "the role's"),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs, ours, "{said}");
    assert_eq!(ours.files.get("one/made").map(String::as_str), Some("<beside the role's>"), "{said}");
}

#[test]
fn handlers_stand_in_blocks_and_include_files_that_hold_blocks() {
    let Some(project) = Project::new(&[
        (
            "site.yml",
            r"
- hosts: one
  gather_facts: false
  tasks:
    - {name: a change, command: 'true', notify: [inner, restarted]}
  handlers:
    - when: inventory_hostname == 'one'
      block:
        - {name: inner, debug: {msg: x}}
        - {name: nobody's, debug: {msg: x}}
    - name: restart it
      debug: {msg: x}
      listen: restarted
    - name: check it
      include_tasks: started.yml
      listen: restarted
",
        ),
        (
            "started.yml",
            r"
- name: found out
  command: 'true'
  register: state
- when: state.rc == 0
  block:
    - {name: in the block, debug: {msg: x}}
",
        ),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, told(&theirs)), (0, told(&ours)), "{said}");
    assert_eq!(ours.code, 0, "{said}");
    assert!(ours.told["one"].iter().any(|line| line == "ok in the block"), "{said}");
}

const WAITED: &str = r#"
- hosts: one
  gather_facts: false
  vars: {limit: 20, every: 1}
  tasks:
    - name: waited for
      command: sh -c "sleep 0.3; echo done > {{ root }}/one/waited"
      async: "{{ limit }}"
      poll: "{{ every }}"
      register: waited
    - {name: read, assert: {that: [waited.rc == 0, waited is changed]}}
    - {name: too long, command: sleep 8, async: 1, poll: 1}
"#;

#[test]
fn a_task_with_async_is_waited_for_and_ended_in_its_time() {
    let Some(project) = Project::new(&[("site.yml", WAITED)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[("ANSIBLE_ASYNC_DIR", "/tmp/.provision-async")]);
    assert_eq!((theirs.code, &theirs.told, &theirs.files), (2, &ours.told, &ours.files), "{said}");
    assert_eq!(ours.code, 2, "{said}");
}

const BEGUN: &str = r#"
- hosts: one
  vars: {ansible_async_dir: "{{ root }}-jobs"}
  tasks:
    - name: begun
      command: sh -c "until [ -e {{ root }}/one/go ]; do sleep 0.1; done; echo done > {{ root }}/one/begun; echo said; echo warned >&2"
      async: 60
      poll: 0
      register: job
      notify: heard
    - {name: at once, stat: {path: "{{ root }}/one/begun"}, register: found}
    - name: its first word
      assert:
        that:
          - job is changed and job.started and not job.finished and not found.stat.exists
          - (job.keys() | sort) == ['ansible_job_id', 'changed', 'failed', 'finished', 'results_file', 'started']
          - job.results_file == ansible_async_dir ~ '/' ~ job.ansible_job_id
    - name: not yet
      async_status: {jid: "{{ job.ansible_job_id }}"}
      register: state
    - {name: its state, assert: {that: [state is not changed, state.started, not state.finished, state.stdout == '']}}
    - {name: go, file: {path: "{{ root }}/one/go", state: touch}}
    - name: waited for
      async_status: {jid: "{{ job.ansible_job_id }}"}
      register: waited
      until: waited is finished
      retries: 30
      delay: 1
    - name: its last word
      assert:
        that:
          - waited is changed and waited.finished and waited.rc == 0 and waited.stdout == 'said' and waited.stderr_lines == ['warned']
          - waited.cmd[0] == 'sh' and waited.ansible_job_id == job.ansible_job_id and waited.results_file == job.results_file
    - {name: others, shell: "echo ${ANSIBLE_ASYNC_DIR:-none}", register: others}
    - {name: know of no folder, assert: {that: others.stdout == 'none'}}
    - {name: some, shell: "exit {{ item }}", loop: [0, 3], async: 20, poll: 0, register: jobs}
    - name: their ends
      async_status: {jid: "{{ item.ansible_job_id }}"}
      loop: "{{ jobs.results }}"
      register: ends
      until: ends.finished
      retries: 20
      delay: 1
      ignore_errors: true
    - {name: the codes, assert: {that: "ends.results | map(attribute='rc') | list == [0, 3]"}}
    - {name: long, command: sleep 20, async: 1, poll: 0, register: long}
    - name: ended
      async_status: {jid: "{{ long.ansible_job_id }}"}
      register: ended
      until: ended.finished
      retries: 20
      delay: 1
      ignore_errors: true
    - {name: too late, assert: {that: [ended is failed, ended.msg == 'Timeout exceeded', ended.child_pid is integer]}}
    - {name: cleared, async_status: {jid: "{{ job.ansible_job_id }}", mode: cleanup}, register: cleared}
    - {name: what is gone, assert: {that: [cleared is not changed, cleared.erased == job.results_file]}}
    - {name: gone, async_status: {jid: "{{ job.ansible_job_id }}"}, ignore_errors: true, register: gone}
    - {name: where it was, assert: {that: [gone.msg == 'could not find job', gone.finished]}}
  handlers:
    - {name: heard, debug: {msg: x}}
"#;

#[test]
fn a_task_that_nobody_waits_for_is_asked_for_as_ansibles() {
    let Some(project) = Project::new(&[("site.yml", BEGUN)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, &theirs.told, &theirs.files), (0, &ours.told, &ours.files), "{said}");
    assert_eq!(ours.code, 0, "{said}");
}

/// Ansible's callback is told of no empty loop, and tells of includes.
fn told(ran: &super::local::Ran) -> std::collections::BTreeMap<String, Vec<String>> {
    let kept = |line: &&String| !["skipped of nothing", "ok check it", "ok acme.web.shared", "ok {{ which }}"].contains(&line.as_str());
    ran.told.iter().map(|(host, lines)| (host.clone(), lines.iter().filter(kept).cloned().collect())).collect()
}

const OTHERS: &str = r#"
- hosts: all
  gather_facts: true
  vars: {packages: [], red: "{{ ansible_facts.os_family == 'RedHat' }}"}
  tasks:
    - {name: of another kind, dnf: {name: httpd}, when: red | bool}
    - {name: of nothing, yum_repository: {name: "{{ item }}"}, loop: "{{ packages }}"}
    - include_tasks: "{{ ansible_facts.os_family | lower }}.yml"
    - name: around
      when: red | bool
      block:
        - {name: in a block, rpm_key: {key: x}}
    - {name: last, command: 'true'}
"#;

#[test]
fn a_module_that_is_not_here_fails_only_where_a_host_reaches_it() {
    let redhat = "- {name: named for them, dnf: {name: httpd}}\n";
    let Some(project) = Project::new(&[
        ("site.yml", OTHERS),
        ("redhat.yml", redhat),
        ("suse.yml", redhat),
        ("debian.yml", "- {name: ours, debug: {msg: x}}\n"),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, told(&theirs)), (0, told(&ours)), "{said}");
    assert_eq!(ours.code, 0, "{said}");
    assert!(said.contains("modules `dnf`, `rpm_key`, `yum_repository` are not supported yet"), "{said}");

    // Where it is reached, nothing makes a success of it.
    project.write(
        "site.yml",
        "- hosts: one\n  gather_facts: false\n  tasks:\n    - {name: reached, dnf: {name: x}, when: reached, ignore_errors: true, failed_when: false}\n    - {name: not any more, command: 'true'}\n",
    );
    let (_, ours, said) = project.both(&["site.yml", "-e", r#"{"reached": true}"#], &[]);
    assert_eq!((ours.code, ours.told["one"].as_slice()), (2, ["failed reached".to_owned()].as_slice()), "{said}");
    assert!(said.contains("the module `dnf` is not supported yet: `package` installs"), "{said}");

    // Where nothing keeps a host from it, nothing is done at all.
    project.write("site.yml", "- hosts: one\n  gather_facts: false\n  tasks: [{command: 'true'}, {include_tasks: redhat.yml}]\n");
    let (_, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((ours.code, ours.told.len()), (3, 0), "{said}");
}

const THROTTLED: &str = r#"
- hosts: all
  gather_facts: false
  vars: {most: 1}
  tasks:
    - name: one after the other
      command: sh -c "mkdir {{ root }}/turn && sleep 0.4 && rmdir {{ root }}/turn"
      throttle: "{{ most }}"
    - throttle: 1
      block:
        - name: each with all its items
          command: sh -c "mkdir {{ root }}/turn && sleep 0.2 && rmdir {{ root }}/turn"
          loop: [1, 2]
"#;

#[test]
fn a_task_with_throttle_runs_on_so_many_hosts_at_once() {
    let Some(project) = Project::new(&[("site.yml", THROTTLED)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!((theirs.code, &theirs.told), (0, &ours.told), "{said}");
    assert_eq!(ours.code, 0, "{said}");
}

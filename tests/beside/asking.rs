//! Every way in which a host's tasks ask for what is another one's or the controller's, beside ansible-core: what is refused to a node
//! that asks for more refuses nothing here.

use super::local::Project;
use crate::support::sshd::Sshd;

const SITE: &str = r#"
- hosts: app
  gather_facts: false
  vars: {peer: db, wanted: port, all_of_peer: "{{ hostvars[peer] }}", environment_of: HOME, line: "echo {{ peer }}"}
  tasks:
    - name: ways to read
      copy:
        dest: "{{ root }}/read"
        content: |
          {{ hostvars.db.port }} {{ hostvars['db']['port'] }} {{ hostvars[peer].port }} {{ hostvars[peer][wanted] }}
          {{ hostvars[peer].get('port') }} {{ hostvars.db.get('none', 'default') }} {{ hostvars['db'].get(wanted, 1) }}
          {{ groups.all | map('extract', hostvars, 'port') | join(' ') }} {{ peer | extract(hostvars, ['nested', 'deep']) }}
          {{ groups.all | map('extract', hostvars) | map(attribute='port') | join(' ') }} {{ all_of_peer.port }}
          {{ 'port' in hostvars[peer] }} {{ hostvars.db.none is defined }} {{ hostvars[peer].none | default('none') }}
          {{ hostvars | dict2items | selectattr('key', 'eq', 'db') | map(attribute='value.port') | first }} {{ hostvars.values() | map(attribute='port') | join(' ') }}
          {% set other = hostvars[peer] %}{{ other.port }} {% for host in groups.all %}{{ hostvars[host].port }}{% endfor %}
          {{ (hostvars[peer] | dict2items | selectattr('key', 'eq', 'port') | first).value }} {{ lookup('vars', 'hostvars')[peer].port }}
          {{ lookup('pipe', 'echo a') }} {{ lookup('ansible.builtin.pipe', line) }} {{ query('pipe', 'echo b', 'echo c') | join }}
          {{ lookup('env', 'HOME') }} {{ lookup('env', environment_of) }} {{ lookup('lines', 'echo d') }} {{ lookup(which, 'echo e') }}
          {{ '~' | expanduser }} {{ '$HOME' | expandvars }}
      vars: {which: pipe}
    - {name: with pipe, copy: {content: "{{ item }}\n", dest: "{{ root }}/pipe-{{ item }}"}, with_pipe: [echo f, "echo {{ peer }}"]}
    - {name: with lines, copy: {content: "{{ item }}\n", dest: "{{ root }}/lines-{{ item }}"}, with_lines: "printf 'g\\nh\\n'"}
    - {name: with environment, copy: {content: "{{ item }}\n", dest: "{{ root }}/env"}, with_env: HOME}
    - {name: elsewhere, command: "touch {{ root }}/elsewhere", delegate_to: db}
    - {name: elsewhere by a name, copy: {src: own.txt, dest: "{{ root }}/own"}, delegate_to: "{{ peer }}"}
    - {name: a template elsewhere, template: {src: own.j2, dest: "{{ root }}/own.j2"}, delegate_to: db}
    - {name: reached, wait_for_connection: {timeout: 20}, delegate_to: db}
    - {name: fetched from there, fetch: {src: "{{ root }}/own", dest: "{{ root }}/fetched", flat: true}, delegate_to: db}
    - {name: facts of it, setup: {gather_subset: ['!all', '!min', env]}, delegate_to: db, delegate_facts: true}
    - {name: a fact of it, set_fact: {learned: yes}, delegate_to: db, delegate_facts: true}
    - {name: told of it, copy: {content: "{{ hostvars.db.ansible_env is defined }} {{ hostvars.db.learned }}\n", dest: "{{ root }}/told"}}
    - name: around
      delegate_to: db
      block:
        - {name: within, ansible.builtin.file: {path: "{{ root }}/within", state: touch}}
        - {name: included, include_tasks: more.yml}
      always:
        - {name: last, ansible.builtin.stat: {path: "{{ root }}"}}
    - {name: applied, include_tasks: {file: more.yml, apply: {delegate_to: db}}}
    - {name: a role there, include_role: {name: other}, vars: {where: db}}
    - {name: here, local_action: command true}
    - {name: here too, command: "true", connection: local}
    - {name: noticed, command: "true", notify: handle}
  handlers:
    - {name: handle, command: "true", delegate_to: localhost}
- hosts: db
  gather_facts: false
  tasks:
    - {name: learned, copy: {content: "{{ learned }}\n", dest: "{{ root }}/learned"}}
"#;

#[test]
fn whatever_a_program_asks_is_answered() {
    let sshd = Sshd::start();
    let login = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let of_all = format!(
        "ansible_port={} ansible_ssh_private_key_file={} ansible_ssh_common_args='{login}'",
        sshd.port(),
        sshd.user_key().display()
    );
    let hosts = format!(
        "db ansible_host=127.0.0.1 {of_all} port=5 nested='{{\"deep\": 6}}'\napp ansible_host=localhost {of_all} port=7\n\
         [all:vars]\nansible_become_user=\"{{{{ lookup('env', 'USER') | default('root', true) }}}}\"\n"
    );
    let files = [
        ("site.yml", SITE),
        ("hosts.ini", &*hosts),
        ("own.txt", "own\n"),
        ("templates/own.j2", "{{ hostvars.db.port }} {{ hostvars['app'].get('port') }}\n"),
        ("more.yml", "- {name: more, ansible.builtin.lineinfile: {path: \"{{ root }}/within\", line: more}}\n"),
        ("roles/other/tasks/main.yml", "- {name: of the role, ansible.builtin.command: \"true\", delegate_to: \"{{ where }}\"}\n"),
    ];
    let Some(project) = Project::new(&files) else { return };
    let (theirs, they_said) = project.theirs(&["site.yml"]);
    let (ours, we_said) = project.ours(&["site.yml"]);
    assert_eq!((theirs.code, ours.code), (0, 0), "{they_said}\n{we_said}");
    assert_eq!(theirs.files, ours.files, "{we_said}");
}

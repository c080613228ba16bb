//! Words by which playbooks cope with what may be missing, beside ansible-core: nothing of them is a mistake.

use super::local::Project;

const SITE: &str = r#"
- hosts: one:two
  vars: {empty: [], ansible_async_dir: "{{ root }}.jobs", out: "{{ root }}/{{ inventory_hostname }}"}
  tasks:
    - name: conditions of expressions
      copy:
        dest: "{{ out }}/expressions"
        content: |
          {{ a1 if a1 | default(false) else 'n' }} {% if a2 | d() %}{{ a2 }}{% endif %}
          {% if a3 | d() and a3 | bool %}{{ a3 }}{% endif %} {% if a4 | d([]) | length > 0 %}{{ a4 }}{% endif %}
          {% if a5 | default('x') != 'x' %}{{ a5 }}{% endif %} {% if not a6 | d() %}y{% else %}{{ a6 }}{% endif %}
          {{ a7 if 'a7' in vars else 'n' }} {{ 'y' if 'a8' not in vars else a8 }}
    - {name: by default, debug: {msg: "{{ b1 }}"}, when: b1 | d(false)}
    - {name: in vars, debug: {msg: "{{ b2 }}"}, when: "'b2' in vars"}
    - {name: of vars, debug: {msg: "{{ b3 }}"}, when: "vars['b3'] is defined"}
    - {name: looked up, debug: {msg: "{{ b4 }}"}, when: "lookup('vars', 'b4', default='') != ''"}
    - name: no items
      debug: {msg: "{{ item }}"}
      loop: "{{ [empty, c1 | d([])] | flatten }}"
      when: (empty is truthy or c1 is truthy)
    - {name: none, include_tasks: more.yml, loop: "{{ empty }}", when: c2}
    - {name: left out, file: {path: "{{ out }}/made", state: touch, no_such_argument: "{{ d1 | d(omit) }}"}}
    - {name: perhaps, command: echo 1, async: "{{ e1 | default(omit) }}", changed_when: false}
    - {name: waited for, command: echo 2, async: 20, poll: "{{ ansible_check_mode | ternary(0, 1) }}", register: waited, changed_when: false}
    - {name: not waited for, command: echo 3, async: 20, poll: "{{ ansible_check_mode | ternary(1, 0) }}", register: unwaited, changed_when: false}
    - {name: relatives, set_fact: {ansible_facts: "{{ ansible_facts | combine({'os_family': 'Other'}) }}"}}
    - meta: end_host
      when: inventory_hostname == 'two'
    - name: what is left
      copy:
        dest: "{{ out }}/left"
        content: "{{ waited.stdout }} {{ unwaited.stdout is defined }} {{ ansible_facts.os_family }} {{ ansible_play_hosts }} {{ play_hosts }}\n"
- hosts: one:two
  gather_facts: false
  tasks:
    - {name: both again, copy: {dest: "{{ root }}/{{ inventory_hostname }}/again", content: "{{ ansible_play_hosts }}\n"}}
"#;

#[test]
fn what_copes_with_what_is_missing_runs_as_ansibles() {
    let Some(project) = Project::new(&[("site.yml", SITE), ("more.yml", "[]\n")]) else { return };
    let (theirs, mut ours, said) = project.both(&["site.yml"], &[]);
    // What has no items is told to nobody there, but counted.
    ours.told.values_mut().for_each(|told| told.retain(|line| !["skipped no items", "skipped none"].contains(&line.as_str())));
    assert_eq!(theirs, ours, "{said}");
    assert_eq!(ours.code, 0, "{said}");
    assert_eq!(ours.files.get("one/left").map(String::as_str), Some("2 False Other ['one'] ['one']\n"), "{said}");
}

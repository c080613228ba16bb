//! Includes that conditions take none or some of, beside ansible-core: what is told, counted, registered and brought.

use super::local::{Project, Ran};

const SITE: &str = r#"
- hosts: all
  gather_facts: false
  tasks:
    - {name: never, include_tasks: more.yml, when: false, register: never}
    - {name: never a role, include_role: {name: more}, when: inventory_hostname == 'none'}
    - name: of two of three
      include_tasks: more.yml
      loop: [a, b, c]
      loop_control: {loop_var: letter}
      when: letter != 'b'
    - name: of none
      include_tasks: more.yml
      with_items: [a, b]
      when: item == 'c'
    - {name: of nothing, include_tasks: more.yml, loop: []}
    - name: decided before
      include_tasks: more.yml
      loop: [d, e]
      loop_control: {loop_var: letter}
      when: seen[-1] != 'd'
    - name: what came
      copy:
        content: "{{ seen | join(' ') }} {{ never.skipped }} {{ never.false_condition | default('-') }}\n"
        dest: "{{ root }}/{{ inventory_hostname }}/seen"
"#;

fn skipped(ran: &Ran) -> Vec<&String> {
    ran.told.values().flatten().filter(|line| line.starts_with("skipped")).collect()
}

#[test]
fn skipped_includes_are_told_and_counted_and_all_conditions_come_first() {
    let Some(project) = Project::new(&[
        ("site.yml", SITE),
        ("more.yml", "- set_fact: {seen: \"{{ seen | default([]) + [letter | default('?')] }}\"}\n"),
        ("roles/more/tasks/main.yml", "- command: 'true'\n"),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(skipped(&theirs), skipped(&ours), "{said}");
    assert_eq!((theirs.code, theirs.recaps, theirs.files), (ours.code, ours.recaps, ours.files.clone()), "{said}");
    assert_eq!(ours.files.get("one/seen").map(String::as_str), Some("a c d e True False\n"), "{said}");
}

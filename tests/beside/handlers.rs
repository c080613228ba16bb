//! Handlers of imported roles: what they have of the blocks, files and roles around the import, beside ansible-core.

use super::local::Project;

const SITE: &str = r#"
- hosts: all
  gather_facts: false
  roles:
    - {role: outer, vars: {of_role: role}, when: inventory_hostname == 'one'}
  tasks:
    - name: around
      vars: {of_block: block}
      environment: {OF_BLOCK: "{{ of_block }}"}
      notify: after the role
      tags: [some]
      block:
        - name: inner
          vars: {of_inner: inner}
          ignore_errors: true
          block:
            - import_role: {name: first}
              vars: {of_import: import}
        - import_tasks: tasks/more.yml
          vars: {of_file: file}
          when: inventory_hostname == 'two'
    - import_role: {name: fourth}
  handlers:
    - {name: after the role, command: 'true'}
"#;

const HANDLERS: &str = r#"
- name: first told
  shell: "echo $OF_BLOCK {{ of_block | default('-') }} {{ of_inner | default('-') }} {{ of_import | default('-') }} >> {{ root }}/{{ inventory_hostname }}/first; exit 3"
- name: first told too
  command: 'true'
"#;

#[test]
fn handlers_of_an_imported_role_have_what_stands_around_the_import() {
    let Some(project) = Project::new(&[
        ("site.yml", SITE),
        ("tasks/more.yml", "- import_role: {name: second}\n- {name: of the file, command: 'true'}\n"),
        (
            "roles/first/tasks/main.yml",
            "- {name: a change, command: 'true', notify: [first told, first told too]}\n- meta: flush_handlers\n",
        ),
        ("roles/fourth/tasks/main.yml", "- {name: another change, command: 'true', notify: [fourth told]}\n"),
        ("roles/fourth/handlers/main.yml", "- {name: fourth told, debug: {msg: \"{{ of_block is defined }}\"}}\n"),
        ("roles/first/handlers/main.yml", HANDLERS),
        ("roles/second/tasks/main.yml", "- {name: second change, command: 'true', notify: second told}\n"),
        (
            "roles/second/handlers/main.yml",
            "- name: second told\n  copy: {content: \"{{ of_block }} {{ of_file | default('-') }}\\n\", dest: \"{{ root }}/{{ inventory_hostname }}/second\"}\n",
        ),
        ("roles/outer/tasks/main.yml", "- {name: of the outer, vars: {of_outer: outer}, block: [{import_role: {name: third}}]}\n"),
        ("roles/third/tasks/main.yml", "- {name: third change, command: 'true', notify: third told}\n"),
        (
            "roles/third/handlers/main.yml",
            "- name: third told\n  copy: {content: \"{{ of_role }} {{ of_outer | default('-') }}\\n\", dest: \"{{ root }}/{{ inventory_hostname }}/third\"}\n",
        ),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs.told, ours.told, "{said}");
    assert_eq!((theirs.code, theirs.files), (ours.code, ours.files.clone()), "{said}");
    assert_eq!(ours.files.get("two/second").map(String::as_str), Some("block file\n"), "{said}");
    assert_eq!(ours.files.get("one/third").map(String::as_str), Some("role outer\n"), "{said}");
}

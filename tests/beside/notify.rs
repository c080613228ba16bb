//! `notify` of blocks, imports and includes: whom it reaches, beside ansible-core.

use super::local::Project;

const SITE: &str = r"
- hosts: all
  gather_facts: false
  tasks:
    - name: a block around includes
      notify: of the block
      block:
        - include_tasks: tasks/some.yml
        - include_tasks: {file: tasks/some.yml, apply: {notify: of apply}}
        - {name: include some, include_role: {name: some}}
        - include_tasks: tasks/some.yml
          loop: [1, 2]
        - {name: own, command: 'true', notify: own}
        - {name: none, command: 'true', notify: []}
        - {name: unchanged, debug: {msg: x}}
    - meta: flush_handlers
    - import_tasks: tasks/some.yml
      notify: of the import
    - meta: flush_handlers
    - import_role: {name: some}
      notify: [of the import, a topic]
    - meta: flush_handlers
    - name: outer
      notify: outer
      block:
        - name: inner
          notify: inner
          block:
            - include_tasks: tasks/some.yml
          rescue:
            - {name: rescued, command: 'true'}
          always:
            - {name: always, command: 'true'}
        - name: fails
          block:
            - include_tasks: tasks/fails.yml
          rescue:
            - include_tasks: tasks/some.yml
        - {name: of the outer, command: 'true', when: inventory_hostname == 'two'}
  handlers:
    - {name: of the block, command: 'true'}
    - {name: of apply, command: 'true'}
    - {name: own, command: 'true'}
    - {name: inner, command: 'true'}
    - {name: outer, command: 'true'}
    - {name: listens, command: 'true', listen: a topic}
    - {name: of the import, command: 'true'}
    - {name: never, command: 'true'}
    - {name: of some, command: 'true'}
";

const SOME: &str = r"
- {name: changes, command: 'true'}
- name: deeper
  block:
    - include_tasks: deeper.yml
";

#[test]
fn notify_of_a_block_reaches_what_is_included_in_it() {
    let Some(project) = Project::new(&[
        ("site.yml", SITE),
        ("tasks/some.yml", SOME),
        ("tasks/deeper.yml", "- {name: deep, command: 'true'}\n- {name: quiet, debug: {msg: x}}\n"),
        ("tasks/fails.yml", "- {name: fails, command: 'false'}\n"),
        ("roles/some/tasks/main.yml", "- {name: of the role, command: 'true'}\n- {name: owned, command: 'true', notify: of some}\n"),
        ("roles/some/handlers/main.yml", "- {name: of some, command: 'true'}\n"),
    ]) else {
        return;
    };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    let lines = |told: &Vec<String>| told.join("\n") + "\n";
    for (host, theirs) in &theirs.told {
        let (theirs, ours) = (lines(theirs), ours.told.get(host).map(lines).unwrap_or_default());
        assert!(theirs == ours, "{host}:\n{}{said}", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
    }
    assert_eq!((theirs.code, ours.code), (0, 0), "{said}");
    let told = &ours.told["one"];
    for handler in ["of the block", "of apply", "own", "of the import", "listens", "inner", "outer"] {
        assert!(told.contains(&format!("changed {handler}")), "{handler}: {told:?}");
    }
    assert!(!told.iter().any(|line| line.ends_with("never")), "{told:?}");
}

//! What is wrong in tasks that a condition may leave out, beside ansible-core: it is told beforehand, nothing of it ends the run where no
//! host reaches it, and it fails there and only there where one does.

use super::local::{Project, Ran};

/// Tasks with a mistake that Ansible meets only where it runs them: name, what we say of it and the task.
const TASKS: &[(&str, &str, &str)] = &[
    ("include role", "there is no role `nosuchrole`", "include_role: {name: nosuchrole}"),
    ("include part", "there is no file `nosuchfile.yml`", "include_tasks: nosuchfile.yml"),
    ("include dependency", "there is no role `nosuchrole`", "include_role: {name: depends}"),
    ("include import", "there is no file `nosuchfile.yml`", "include_tasks: tasks/imports.yml"),
    ("variables", "there is no file `nosuchvars.yml`", "include_vars: nosuchvars.yml"),
    ("broken variables", "is never closed", "include_vars: broken.yml"),
    ("list of variables", "must be a mapping", "include_vars: list.yml"),
    ("source", "there is no file `nosuch`", "copy: {src: nosuch, dest: \"{{ root }}/x\"}"),
    ("source of a loop", "there is no file `nosuch`", "copy: {src: \"{{ item }}\", dest: \"{{ root }}/x\"}\n  loop: [nosuch]"),
    ("template", "there is no template `nosuch`", "template: {src: nosuch, dest: \"{{ root }}/x\"}"),
    ("script", "there is no file `nosuch`", "script: nosuch"),
    ("lookup", "there is no file `nosuch`", "debug: {msg: \"{{ lookup('file', 'nosuch') }}\"}"),
    ("unknown lookup", "nosuch", "debug: {msg: \"{{ lookup('nosuch', 1) }}\"}"),
    ("filter", "nosuchfilter", "debug: msg={{ 1 | nosuchfilter }}"),
    ("syntax", "unexpected", "debug: msg=\"{{ 1 + ) }}\""),
    ("condition", "unexpected", "debug: {msg: a}\n  failed_when: \"1 + )\""),
    ("variable", "unexpected", "debug: {msg: \"{{ wrong }}\"}\n  vars: {wrong: \"{{ 1 + ) }}\"}"),
    (
        "variable of a file",
        "unexpected",
        "copy: {content: \"{{ of_file }}\", dest: \"{{ root }}/x\"}\n  vars: {of_file: \"{{ lookup('template', 'syntax.j2') }}\"}",
    ),
    ("filter of a template", "nosuchfilter", "template: {src: filter.j2, dest: \"{{ root }}/x\"}"),
    ("syntax of a template", "unexpected", "template: {src: syntax.j2, dest: \"{{ root }}/x\"}"),
    ("argument", "module `copy` has no argument `nosucharg`", "copy: {content: a, dest: \"{{ root }}/x\", nosucharg: 1}"),
    ("choice", "nosuchstate", "file: {path: \"{{ root }}/x\", state: nosuchstate}"),
    ("missing argument", "argument `path`", "file: {state: touch}"),
    ("keyword", "`become`: ", "debug: {msg: a}\n  become: nosuch"),
    ("asynchronous", "`async`: ", "command: \"true\"\n  async: nosuch"),
    ("include task", "module `copy` has no argument `nosucharg`", "include_tasks: tasks/argument.yml"),
    ("free text", "module `file` takes no free text", "file: some text"),
];

/// Those that Ansible meets when it reads a file, in the middle of the run: it ends there.
const TEXTS: &[(&str, &str, &str)] = &[
    ("include keyword", "unknown keyword `nosuchkey`", "include_tasks: tasks/keyword.yml"),
    ("include yaml", "is never closed", "include_tasks: tasks/yaml.yml"),
    ("include module", "unknown module `nosuchmodule`", "include_tasks: tasks/module.yml"),
    ("include tasks of a role", "unknown keyword `nosuchkey`", "include_role: {name: tasks}"),
    ("include defaults of a role", "is never closed", "include_role: {name: defaults}"),
    ("include handlers of a role", "unknown keyword `nosuchkey`", "include_role: {name: handlers}"),
    ("handler", "no handler is named `nosuchhandler`", "command: \"true\"\n  notify: nosuchhandler"),
];

const KEYWORD: &str = "- {name: first, debug: {msg: a}}\n- name: second\n  debug: {msg: a}\n  nosuchkey: 1\n";

fn files() -> Vec<(&'static str, &'static str)> {
    vec![
        ("tasks/keyword.yml", KEYWORD),
        ("tasks/yaml.yml", "- {name: first, debug: {msg: a}\n"),
        ("tasks/module.yml", "- {name: first, debug: {msg: a}}\n- {name: second, nosuchmodule: {}}\n"),
        ("tasks/argument.yml", "- {name: include task, copy: {content: a, dest: \"{{ root }}/x\", nosucharg: 1}}\n"),
        ("tasks/imports.yml", "- {name: first, debug: {msg: a}}\n- import_tasks: nosuchfile.yml\n"),
        ("roles/tasks/tasks/main.yml", KEYWORD),
        ("roles/defaults/tasks/main.yml", "- {name: first, debug: {msg: a}}\n"),
        ("roles/defaults/defaults/main.yml", "a: {b\n"),
        ("roles/handlers/tasks/main.yml", "- {name: first, debug: {msg: a}}\n"),
        ("roles/handlers/handlers/main.yml", KEYWORD),
        ("roles/depends/tasks/main.yml", "- {name: first, debug: {msg: a}}\n"),
        ("roles/depends/meta/main.yml", "dependencies: [nosuchrole]\n"),
        ("vars/broken.yml", "a: {b\n"),
        ("vars/list.yml", "- a\n"),
        ("templates/filter.j2", "{{ 1 | nosuchfilter }}\n"),
        ("templates/syntax.j2", "{{ 1 + ) }}\n"),
    ]
}

/// A play of tasks, in the words of `wrap` for each.
fn play(tasks: &[(&str, &str, &str)], wrap: impl Fn(usize, &str, &str) -> String) -> String {
    let tasks = tasks.iter().enumerate().map(|(index, (name, _, task))| wrap(index, name, task));
    format!("- hosts: all\n  gather_facts: false\n  tasks:\n{}", tasks.collect::<String>())
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

fn project(site: &str) -> Option<Project> {
    let mut files = files();
    files.push(("site.yml", site));
    Project::new(&files)
}

/// Includes are counted where they fail, in another way.
fn without_counts(ran: Ran) -> Ran {
    Ran { recaps: Vec::new(), ..ran }
}

#[test]
fn what_nobody_reaches_is_told_and_skipped() {
    let wrap =
        |_: usize, name: &str, task: &str| indented(&format!("- name: {name}\n  {task}\n  when: inventory_hostname == 'nobody'\n"), 4);
    let all: Vec<_> = TASKS.iter().chain(TEXTS).copied().collect();
    let Some(project) = project(&play(&all, wrap)) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs, ours, "{said}");
    assert_eq!(ours.code, 0, "{said}");
    for (name, message, _) in &all {
        let is_told = said.lines().any(|line| line.starts_with("warning: ") && line.contains(message));
        assert!(is_told, "{name}: {message}\n{said}");
    }
    let (checked, said) = project.ours(&["--check", "site.yml"]);
    assert_eq!((checked.code, &checked.told), (0, &ours.told), "{said}");
    let (syntax, said) = project.ours(&["--syntax-check", "site.yml"]);
    assert_eq!(syntax.code, 0, "{said}");
    assert_eq!(said.matches("warning: ").count(), said.matches("the task fails on a host that reaches it").count(), "{said}");
    assert!(said.contains("site.yml:"), "{said}");
}

#[test]
fn who_reaches_it_fails_there_and_is_rescued() {
    let wrap = |index: usize, name: &str, task: &str| {
        let block = format!("- name: {name}\n  {task}\n");
        let rescue = format!("- {{name: rescued {index}, copy: {{content: \"{index}\\n\", dest: \"{{{{ root }}}}/one/{index}\"}}}}");
        let block = format!("- when: inventory_hostname == 'one'\n  block:\n{}  rescue:\n    {rescue}\n", indented(&block, 4));
        indented(&block, 4)
    };
    let Some(project) = project(&play(TASKS, wrap)) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(without_counts(theirs), without_counts(ours), "{said}");
    let results: Vec<serde_json::Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (name, message, _) in TASKS {
        let failed = results.iter().find(|result| result["task"] == *name && result["host"] == "one" && result["status"] == "failed");
        let failed = failed.unwrap_or_else(|| panic!("{name} has not failed:\n{said}"));
        assert!(failed.to_string().contains(message), "{name}: {message}: {failed}");
    }
}

#[test]
fn who_reaches_it_goes_on_where_errors_are_ignored() {
    let wrap = |_: usize, name: &str, task: &str| {
        indented(&format!("- name: {name}\n  {task}\n  ignore_errors: true\n  when: inventory_hostname == 'one'\n"), 4)
    };
    // Of an include that is not there nothing is ignored.
    let tasks: Vec<_> =
        TASKS.iter().filter(|(_, _, task)| !task.starts_with("include_tasks") && !task.starts_with("include_role")).copied().collect();
    let Some(project) = project(&play(&tasks, wrap)) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs, ours, "{said}");
    assert_eq!(ours.code, 0, "{said}");
    for (_, _, task) in TASKS.iter().filter(|(_, _, task)| task.starts_with("include_tasks") || task.starts_with("include_role")) {
        let tasks = format!(
            "- name: include it\n  {task}\n  ignore_errors: true\n  when: inventory_hostname == 'one'\n- {{name: after, debug: {{msg: a}}}}\n"
        );
        project.write("site.yml", &format!("- hosts: all\n  gather_facts: false\n  tasks:\n{}", indented(&tasks, 4)));
        let (theirs, ours, said) = project.both(&["site.yml"], &[]);
        assert_eq!(theirs, ours, "{task}: {said}");
        assert_eq!(ours.code, 2, "{task}: {said}");
    }
}

#[test]
fn nothing_rescues_a_file_that_cannot_be_read() {
    let Some(project) = project("") else { return };
    for (name, message, task) in TEXTS {
        let block = format!("- name: {name}\n  {task}\n  when: inventory_hostname == 'one'\n  ignore_errors: true\n");
        let block = format!(
            "- block:\n{}  rescue:\n    - {{name: rescued, debug: {{msg: a}}}}\n  always:\n    - {{name: always, debug: {{msg: a}}}}\n",
            indented(&block, 4)
        );
        project.write("site.yml", &format!("- hosts: one\n  gather_facts: false\n  tasks:\n{}", indented(&block, 4)));
        let (theirs, ours, said) = project.both(&["site.yml"], &[]);
        assert_ne!(theirs.code, 0, "{name}: {said}");
        assert_eq!(ours.code, 2, "{name}: {said}");
        for ran in [&theirs, &ours] {
            let told = ran.told.get("one").cloned().unwrap_or_default();
            assert!(
                !told.iter().any(|line| line.ends_with("rescued") || line.ends_with("always") || line.ends_with("first")),
                "{name}: {said}"
            );
        }
        assert!(
            said.lines().any(|line| line.starts_with('{') && line.contains("failed") && line.contains(message)),
            "{name}: {message}: {said}"
        );
    }
}

#[test]
fn what_everybody_reaches_is_an_error_before_anything_is_done() {
    let wrap = |_: usize, name: &str, task: &str| indented(&format!("- name: {name}\n  {task}\n"), 4);
    let all: Vec<_> = TASKS.iter().chain(TEXTS).copied().collect();
    let Some(project) = project(&play(&all, wrap)) else { return };
    let (ours, said) = project.ours(&["site.yml"]);
    assert_eq!((ours.code, ours.told.len(), ours.files.len()), (3, 0, 0), "{said}");
    for (name, message, _) in &all {
        let is_told = said.lines().any(|line| line.starts_with("error: ") && line.contains(message));
        assert!(is_told, "{name}: {message}\n{said}");
    }
    assert!(!said.contains("the task fails on a host that reaches it"), "{said}");
}

/// A loop is evaluated before the conditions; what is undefined in it waits for them.
const LOOPS: &str = r#"
- hosts: all
  gather_facts: false
  tasks:
    - {name: undefined, debug: {msg: a}, loop: "{{ of_nobody_at_all }}", when: inventory_hostname == 'nobody'}
    - name: before
      block:
        - {name: syntax, debug: {msg: a}, loop: "{{ 1 + ) }}", when: inventory_hostname == 'nobody'}
      rescue:
        - {name: rescued 1, debug: {msg: a}}
    - block:
        - {name: file, debug: {msg: a}, with_file: nosuch, when: inventory_hostname == 'nobody'}
      rescue:
        - {name: rescued 2, debug: {msg: a}}
    - block:
        - {name: include, include_tasks: "{{ item }}", loop: "{{ 1 | nosuchfilter }}", when: inventory_hostname == 'nobody'}
      rescue:
        - {name: rescued 3, debug: {msg: a}}
"#;

#[test]
fn a_loop_that_cannot_be_evaluated_fails_before_its_conditions() {
    let Some(project) = project(LOOPS) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    assert_eq!(theirs, ours, "{said}");
    assert_eq!(ours.told["one"].iter().filter(|told| told.contains("rescued")).count(), 3, "{said}");
}

/// All that may leave a task out.
const PLACES: &str = r#"
- hosts: all
  gather_facts: false
  vars: {nothing: [], mine: 1}
  handlers:
    - {name: nobody's, file: {path: "{{ root }}/a", nosuch1: 1}}
  roles:
    - {role: wrong, when: inventory_hostname == 'nobody'}
  tasks:
    - {name: by tag, file: {path: "{{ root }}/a", nosuch2: 1}, tags: [never]}
    - {name: no items, file: {path: "{{ item }}", nosuch3: 1}, loop: "{{ nothing }}"}
    - name: around
      when: inventory_hostname == 'nobody'
      block:
        - {name: in a block, file: {path: "{{ root }}/a", nosuch4: 1}}
    - name: rescued
      block:
        - {name: fine, debug: {msg: a}}
      rescue:
        - {name: in a rescue, file: {path: "{{ root }}/a", nosuch5: 1}}
    - {name: include more, include_tasks: more.yml, when: inventory_hostname == 'nobody'}
    - {name: other variables, include_vars: others.yml, when: inventory_hostname == 'nobody'}
    - name: own variables
      debug: {msg: a}
      vars: {mine: "{{ 3 + ) }}"}
      when: inventory_hostname == 'nobody'
    - {name: read, copy: {content: "{{ mine }}\n", dest: "{{ root }}/{{ inventory_hostname }}/read"}}
"#;

#[test]
fn whatever_may_leave_a_task_out_makes_warnings_of_its_mistakes() {
    let Some(project) = Project::new(&[
        ("site.yml", PLACES),
        ("more.yml", "- {name: in a file, file: {path: \"{{ root }}/a\", nosuch6: 1}}\n"),
        ("others.yml", "mine: \"{{ 2 + ) }}\"\n"),
        ("roles/wrong/tasks/main.yml", "- {name: of a role, file: {path: \"{{ root }}/a\", nosuch7: 1}}\n"),
    ]) else {
        return;
    };
    let (theirs, mut ours, said) = project.both(&["site.yml"], &[]);
    // What has no items is told to nobody there, but counted.
    ours.told.values_mut().for_each(|told| told.retain(|line| line != "skipped no items"));
    assert_eq!(theirs, ours, "{said}");
    for number in 1..8 {
        let message = format!("warning: module `file` has no argument `nosuch{number}`: the task fails on a host that reaches it");
        assert_eq!(said.matches(&message).count(), 1, "{message}\n{said}");
    }
    assert_eq!(said.matches("warning: syntax error: unexpected `)`").count(), 2, "{said}");
}

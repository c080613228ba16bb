//! Specifications of arguments beside ansible-core: what each value comes to, and roles that are validated when they are called.

use serde_json::{Value as Json, json};

use super::engine::TestEngine;
use super::{Task, compare, ours, task, theirs};

/// A validation of values that are given.
fn validated(specification: Json, given: Json) -> Task {
    task("validate_argument_spec", json!({"argument_spec": specification, "provided_arguments": given}))
}

/// Values that may be one of a type or not, each against all types: arguments `x_…` of one validation for each value.
fn of_types() -> Vec<Task> {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(2),
        json!(-7),
        json!(1.0),
        json!(0.0),
        json!(2.5),
        json!(""),
        json!("abc"),
        json!(" 12 "),
        json!("1_000"),
        json!("+5"),
        json!("1e3"),
        json!("15e-1"),
        json!("150e-1"),
        json!("1."),
        json!(".5"),
        json!("3.0"),
        json!("0x10"),
        json!("nan"),
        json!("-inf"),
        json!("99999999999999999999"),
        json!("Yes"),
        json!(" off "),
        json!("1.0"),
        json!("t"),
        json!("maybe"),
        json!("a,b, c"),
        json!("a=1 b=2"),
        json!("a=1, b='x y', c=\"z\""),
        json!("a=1 b"),
        json!("{\"a\": 1}"),
        json!("{'a': [1, None, (True, 2.5)], \"b\": {}}"),
        json!("{'a': x}"),
        json!("{a: 1}"),
        json!("[1]"),
        json!("{"),
        json!("10"),
        json!("10 K"),
        json!("1.5GB"),
        json!("1.5Gb"),
        json!("3 megabytes"),
        json!("3 megabyte"),
        json!("3 megabit"),
        json!("7Q"),
        json!("-1"),
        json!([]),
        json!(["a", 1, null]),
        json!([[1], {"a": 1}]),
        json!({}),
        json!({"a": {"b": [1]}}),
    ];
    let types = ["str", "list", "dict", "bool", "int", "float", "path", "raw", "json", "jsonarg", "bytes", "bits"];
    let choices = [json!(["abc", "2", "yes", "no"]), json!([1, 2.5, "off"]), json!([true, "a", null])];
    let mut specification = serde_json::Map::new();
    specification.insert("x_plain".to_owned(), json!({}));
    for kind in types {
        specification.insert(format!("x_{kind}"), json!({"type": kind, "required": true}));
        specification.insert(format!("x_list_of_{kind}"), json!({"type": "list", "elements": kind}));
        for (number, choices) in choices.iter().enumerate() {
            specification.insert(format!("x_{kind}_of_{number}"), json!({"type": kind, "choices": choices}));
        }
    }
    // Ansible's own code breaks over an infinite integer.
    let is_whole = |name: &str| name.contains("int");
    let infinite = |value: &Json| value == "-inf";
    let given = |value: &Json| -> Json {
        let names = specification.keys().filter(|name| !(infinite(value) && is_whole(name)));
        Json::Object(names.map(|name| (name.clone(), value.clone())).collect())
    };
    values
        .iter()
        .map(|value| {
            let mut specification = specification.clone();
            specification.retain(|name, _| !(infinite(value) && is_whole(name)));
            validated(specification.into(), given(value))
        })
        .collect()
}

/// Rules, aliases, defaults and what is nested.
fn of_rules() -> Vec<Task> {
    let inside = |rules: Json, options: Json, given: Json| {
        let mut declared = json!({"type": "dict", "options": options});
        declared.as_object_mut().expect("a mapping").extend(rules.as_object().expect("rules").clone());
        validated(json!({"x": declared}), json!({"x": given}))
    };
    let abc = json!({"a": {"type": "int"}, "b": {}, "c": {"default": "z"}});
    let mut tasks = vec![
        validated(json!({}), json!({})),
        validated(json!({}), json!({"a": 1})),
        validated(json!({"a": {"required": true}, "b": {"required": true}}), json!({})),
        validated(json!({"a": {"required": true}}), json!({"a": null})),
        validated(json!({"a": {"type": "int", "required": true}}), json!({"a": null})),
        validated(json!({"a": {"type": "int"}}), json!({"a": null})),
        validated(json!({"a": {"type": "int", "default": 5}}), json!({"a": null})),
        validated(json!({"a": {"type": "int", "default": "five"}}), json!({})),
        validated(json!({"a": {"choices": ["x"], "default": "y"}}), json!({})),
        validated(json!({"a": {"choices": ["x"]}}), json!({})),
        validated(json!({"a": {"choices": ["x"]}}), json!({"a": null})),
        validated(json!({"a": {"required": true, "default": 1}}), json!({"a": 1})),
        validated(json!({"a": {"choices": "xyz"}}), json!({"a": "x"})),
        validated(json!({"a": {"type": "string"}}), json!({})),
        validated(json!({"a": {"type": "string"}}), json!({"a": "x"})),
        validated(json!({"a": {"type": "list", "elements": "string"}}), json!({"a": []})),
        validated(json!({"a": {"type": "list", "elements": "string"}}), json!({"a": ["x"]})),
        validated(json!({"a": {"aliases": ["old", "older"], "required": true}}), json!({"old": 1})),
        validated(json!({"a": {"aliases": ["old"], "type": "int"}}), json!({"a": 1, "old": "x"})),
        validated(json!({"a": {"aliases": "old"}}), json!({"a": 1})),
        validated(json!({"a": {"no_log": true, "type": "int"}}), json!({"a": "secret"})),
        validated(json!({"a": {}}), json!({"b": 1, "c": 2})),
        validated(json!({"a": {"type": "dict", "apply_defaults": true, "options": {"b": {"required": true}}}}), json!({})),
        validated(json!({"a": {"type": "dict", "apply_defaults": true, "options": {"b": {"default": 1}}}}), json!({})),
        validated(json!({"a": {"type": "dict", "options": {"b": {"required": true}}}}), json!({})),
        validated(json!({"a": {"type": "dict", "options": {"b": {"required": true}}}}), json!({"a": null})),
        validated(json!({"a": {"type": "raw", "options": {"b": {"required": true}}}}), json!({"a": {}})),
        validated(
            json!({"a": {"type": "list", "elements": "dict", "options": {"b": {"required": true, "type": "int"}}}}),
            json!({"a": [{"b": 1}, {}, {"b": "x", "q": 1}]}),
        ),
        validated(
            json!({"a": {"type": "dict", "options": {"b": {"type": "dict", "options": {"c": {"type": "bool", "choices": [true]}}}}}}),
            json!({"a": {"b": {"c": "no"}}}),
        ),
        validated(json!({"a": {"type": "dict", "options": {"b": {"aliases": ["old"], "required": true}}}}), json!({"a": {"old": 1}})),
        validated(json!({"a": {"type": "dict", "options": {"b": {}}}}), json!({"a": {"b": 1, "z": 2}})),
    ];
    for given in
        [json!({}), json!({"a": 1}), json!({"a": "1", "b": 2}), json!({"b": null}), json!({"a": 1, "b": 1, "c": 1}), json!({"a": null})]
    {
        for rules in [
            json!({"mutually_exclusive": [["a", "b"], ["b", "c"]]}),
            json!({"mutually_exclusive": ["a", "b"]}),
            json!({"required_together": [["a", "b"]]}),
            json!({"required_together": [["a", "c"]]}),
            json!({"required_one_of": [["a", "b"]]}),
            json!({"required_one_of": [["a"], ["b"]]}),
            json!({"required_if": [["a", 1, ["b", "d"]]]}),
            json!({"required_if": [["a", 1, ["b", "d"], true]]}),
            json!({"required_if": [["a", "1", ["b"]], ["c", "z", ["b"]]]}),
            json!({"required_by": {"a": "b"}}),
            json!({"required_by": {"a": ["b", "c"], "c": "a"}}),
        ] {
            tasks.push(inside(rules, abc.clone(), given.clone()));
        }
    }
    tasks
}

/// The arguments that the sentences are about, in their order; of those that name none `-`.
fn about(result: &Json) -> Option<Vec<&str>> {
    let sentences = result["argument_errors"].as_array()?.iter().filter_map(Json::as_str);
    let name = |sentence: &'_ str| -> Option<(usize, usize)> {
        let start = sentence.find("x_")?;
        let length =
            sentence[start..].find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(sentence.len() - start);
        Some((start, start + length))
    };
    Some(sentences.map(|sentence| name(sentence).map_or("-", |(from, to)| &sentence[from..to])).collect())
}

/// Runs all and compares: all fields but the sentences, which are ours; how many they are, and what about.
fn equal(variables: &Json, tasks: &[Task]) {
    let Some((theirs, folder)) = theirs(variables, &[], tasks) else { return };
    let mut engine = TestEngine::new(variables, folder.path());
    let mut wrong = Vec::new();
    for (task, theirs) in tasks.iter().zip(&theirs) {
        let ours = ours(task, &mut engine);
        wrong.extend(compare(task, theirs, &ours, &["msg", "argument_errors"]));
        let (their_names, our_names) = (about(theirs), about(&ours));
        if their_names != our_names {
            wrong.push(format!("{}\n    {their_names:?} is Ansible's,\n    {our_names:?} ours\n{theirs}\n{ours}", task.arguments));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), tasks.len(), wrong.join("\n"));
}

#[test]
fn every_type_and_choice_refuses_what_ansibles_refuses() {
    equal(&json!({}), &of_types());
}

#[test]
fn rules_aliases_and_nested_arguments_are_ansibles() {
    equal(&json!({}), &of_rules());
}

#[test]
fn variables_are_validated_below_what_is_given() {
    let variables = json!({"a": "{{ b + 1 }}", "b": 2, "c": "text", "old": 1, "list": ["{{ b }}", 3], "left": "{{ omit }}"});
    let spec = |value: Json| task("validate_argument_spec", json!({ "argument_spec": value }));
    let tasks = vec![
        spec(json!({"a": {"type": "int", "choices": [3]}})),
        spec(json!({"c": {"type": "int"}})),
        validated(json!({"c": {"type": "int"}}), json!({"c": 5})),
        // Aliases are no names of variables.
        spec(json!({"new": {"aliases": ["old"], "required": true}})),
        spec(json!({"list": {"type": "list", "elements": "int"}})),
        spec(json!({"left": {"required": true}})),
        spec(json!({"b": {"type": "int", "default": "{{ c }}"}})),
        task("validate_argument_spec", json!({"argument_spec": {"b": {}}, "validate_args_context": {"name": "here"}})),
        task("validate_argument_spec", json!({"argument_spec": [1]})),
        task("validate_argument_spec", json!({"argument_spec": {}, "provided_arguments": "a=1"})),
    ];
    equal(&variables, &tasks);
}

#[cfg(feature = "controller")]
mod roles {
    use crate::beside::local::{Project, Ran};

    const SPECIFICATIONS: &str = r"
argument_specs:
  main:
    short_description: The shop
    author: [somebody]
    options:
      at: {type: int, required: true, description: [Where it listens.]}
      level: {choices: [low, high], default: low}
      users:
        type: list
        elements: dict
        options: {name: {type: str, required: true}, age: {type: int}}
      unset: {type: str, default: documented only}
  install: {options: {version: {type: str, required: true}}}
  quiet: {}
";

    const TASKS: &str = "- {name: task, copy: {content: \"{{ unset | default('unset') }} {{ at | default('-') }}\\n\", dest: \"{{ root }}/{{ inventory_hostname }}/{{ file | default('main') }}\"}}\n";

    const FILES: &[(&str, &str)] = &[
        ("roles/shop/meta/argument_specs.yml", SPECIFICATIONS),
        // What this one says is not looked at.
        ("roles/shop/meta/main.yml", "argument_specs: {main: {options: {never: {required: true}}}}\n"),
        ("roles/shop/tasks/main.yml", TASKS),
        ("roles/shop/tasks/install.yml", "- {name: installed, debug: {msg: \"{{ version | default('-') }}\"}}\n"),
        ("roles/shop/tasks/quiet.yml", "- {name: include quiet, include_tasks: install.yml}\n"),
        (
            "roles/bare/meta/main.yml",
            "argument_specs: {main: {options: {word: {type: str}}}}\ndependencies: [{role: shop, at: \"{{ 40 + 2 }}\", level: low}]\n",
        ),
        (
            "roles/told/meta/argument_specs.yaml",
            "argument_specs: {main: {options: {told: {type: int}, other: {type: bool, aliases: [another]}}}}\n",
        ),
        ("roles/told/tasks/main.yml", "- {name: told, debug: {msg: \"{{ told }}\"}}\n"),
        (
            "ansible_failed.yml",
            "- {name: failed, copy: {content: \"{{ ansible_failed_task.name }} {{ ansible_failed_result.keys() | difference(['exception', '_ansible_no_log']) | sort | join(' ') }} {{ ansible_failed_result.argument_errors | default([]) | length }} {{ ansible_failed_result.validate_args_context | default({}) | to_json(sort_keys=true) }} {{ ansible_failed_result.argument_spec_data | default({}) | to_json(sort_keys=true) }}\\n\", dest: \"{{ root }}/{{ inventory_hostname }}/failed-{{ number }}\"}}\n",
        ),
    ];

    fn both(site: &str, words: &[&str]) -> Option<(Ran, Ran, String)> {
        let files: Vec<(&str, &str)> = FILES.iter().copied().chain([("site.yml", site)]).collect();
        let project = Project::new(&files)?;
        let words: Vec<&str> = ["site.yml"].iter().chain(words).copied().collect();
        Some(project.both(&words, &[]))
    }

    /// What both told, counted and left, and that the exit code is this.
    fn equal(site: &str, words: &[&str], code: i32) {
        let Some((theirs, ours, said)) = both(site, words) else { return };
        assert_eq!(
            (theirs.code, &theirs.told, &theirs.recaps, &theirs.files),
            (ours.code, &ours.told, &ours.recaps, &ours.files),
            "{said}"
        );
        assert_eq!(ours.code, code, "{said}");
    }

    /// Each call in a block of its own, its failure told in a file.
    fn rescued(calls: &[&str]) -> String {
        let block = |(number, call): (usize, &&str)| {
            format!(
                "    - block: [{{name: include it, {call}}}]\n      rescue: [{{include_tasks: ansible_failed.yml, vars: {{number: {number}}}}}]\n"
            )
        };
        let blocks: String = calls.iter().enumerate().map(block).collect();
        format!("- hosts: all\n  gather_facts: false\n  vars: {{text: abc, left: '{{{{ omit }}}}'}}\n  tasks:\n{blocks}")
    }

    #[test]
    fn every_way_to_call_a_role_validates_as_ansibles_does() {
        equal(
            r#"
- hosts: all
  gather_facts: false
  roles:
    - {role: shop, at: "80", level: high}
    - {role: bare, vars: {word: 5}}
    - {role: told, told: 3, another: "no", tags: chosen}
  tasks:
    - {name: include by include, include_role: {name: shop}, vars: {at: 1, users: [{name: x}]}}
    - {name: include again, include_role: {name: shop}, vars: {at: 2, level: "{{ 'lo' ~ 'w' }}"}}
    - {name: by import, import_role: {name: shop}, vars: {at: "{{ 3 }}", file: imported}}
    - {name: include an entry point, include_role: {name: shop, tasks_from: install}, vars: {version: 1.5}}
    - {name: include without one, include_role: {name: shop, tasks_from: install.yml}}
    - {name: include an empty one, include_role: {name: shop, tasks_from: quiet}}
    - {name: include turned off, include_role: {name: shop, tasks_from: install, rolespec_validate: false}}
    - {name: include off by a template, include_role: {name: shop, rolespec_validate: "{{ 1 == 2 }}"}}
    - {name: off for an import, import_role: {name: shop, rolespec_validate: false}}
    - {name: include in a loop, include_role: {name: shop}, loop: [4, 5], loop_control: {loop_var: at}}
    - {name: include of some hosts, include_role: {name: shop}, vars: {at: 6}, when: inventory_hostname == 'one'}
"#,
            &[],
            0,
        );
    }

    #[test]
    fn what_a_role_refuses_is_told_as_ansible_tells_it() {
        let site = rescued(&[
            "include_role: {name: shop}",
            "include_role: {name: shop}, vars: {at: \"{{ text }}\"}",
            "include_role: {name: shop}, vars: {at: 1, level: \"{{ text }}\", users: [{age: \"{{ text }}\"}, {name: x, more: 1}]}",
            "include_role: {name: shop}, vars: {at: \"{{ left }}\"}",
            "include_role: {name: shop}, vars: {at: \"{{ lookup('vars', 'is_not_' ~ 'there') }}\"}",
            "include_role: {name: shop, tasks_from: install}, vars: {at: 1}",
            "import_role: {name: shop}, vars: {at: \"{{ [1] }}\"}",
            "include_role: {name: told, apply: {ignore_errors: true}}, vars: {told: \"{{ text }}\"}",
        ]);
        equal(&site, &[], 0);
    }

    #[test]
    fn parameters_of_a_role_come_before_all_and_must_be_declared() {
        // `told` of the entry stands against the command line's; the entry is refused all the same.
        let site = |parameters: &str| format!("- hosts: all\n  gather_facts: false\n  roles: [{{role: told, {parameters}}}]\n");
        equal(&site("told: \"{{ text }}\""), &["-e", "told=7", "-e", "text=abc"], 2);
        equal(&site("told: \"{{ text }}\""), &["-e", "told=abc", "-e", "text=7"], 0);
    }

    #[test]
    fn validations_are_done_whatever_the_tags_and_in_check_mode() {
        let site = "- hosts: all\n  gather_facts: false\n  roles: [{role: shop, at: 1}]\n  tasks:\n    - {name: include c, include_role: {name: told, apply: {tags: c}}, vars: {told: 1}, tags: c}\n    - {name: include d, include_role: {name: told}, vars: {told: 1}, tags: d}\n";
        equal(site, &["--tags", "c"], 0);
        equal(site, &["--tags", "d"], 0);
        equal(site, &["--skip-tags", "always"], 0);
        equal(site, &["--check"], 0);
        equal(site, &["--start-at-task", "shop : task"], 0);
    }
}

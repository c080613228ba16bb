//! What a validation says, and what a plan cannot know of it.

use serde_json::{Value as Json, json};

use super::{Specification, Verdict};
use crate::program::Value;

fn verdict(specification: Json, given: &Value) -> Verdict {
    let (specification, problems) = Specification::read(&specification.into());
    assert_eq!(problems, [], "the test's specification is right");
    specification.validate(given.as_map().cloned().unwrap_or_default())
}

fn errors(specification: Json, given: Json) -> Vec<String> {
    verdict(specification, &given.into()).errors
}

#[test]
fn each_sentence_names_its_argument() {
    let specification = json!({
        "port": {"type": "int", "required": true},
        "level": {"choices": ["low", "high"]},
        "key": {"type": "int", "no_log": true},
        "users": {
            "type": "list",
            "elements": "dict",
            "options": {"name": {"required": true}, "more": {"type": "dict", "options": {"a": {"type": "bool"}, "b": {}}}},
            "required_if": [["name", "root", ["more"]]],
        },
    });
    assert_eq!(
        errors(
            specification.clone(),
            json!({"level": "mid", "key": "s3cret", "users": [{}, {"name": "root"}, {"name": "x", "more": {"a": 7}, "z": 1}]})
        ),
        [
            "required, and missing: port",
            "argument `key`: the value is no int",
            "argument `level`: mid is none of low, high",
            "in `users[0]`: required, and missing: name",
            "in `users[1]`: required where `name` is root, and missing: more",
            "argument `users[2].more.a`: expected a boolean, not an integer",
            "no such argument: users[2].z (there are name, more)",
        ]
    );
    assert_eq!(errors(specification, json!({"port": "80", "level": "low"})), Vec::<String>::new());
}

#[test]
fn unknown_values_make_the_verdict_unknown_only_where_it_depends_on_them() {
    let unknown = |kind: Json| verdict(json!({ "x": kind }), &crate::map! { "x" => Value::unknown("a command") }.into());
    for kind in [json!({}), json!({"type": "path", "required": true}), json!({"type": "raw"})] {
        assert_eq!(unknown(kind), Verdict::default());
    }
    for kind in [json!({"type": "int"}), json!({"choices": ["a"]}), json!({"type": "dict", "options": {"a": {"required": true}}})] {
        assert_eq!(unknown(kind).unknown.as_deref(), Some("a command"));
    }
    let inside = |elements: &str| {
        let given = Value::list(vec!["a".into(), Value::unknown("a command")]);
        verdict(json!({"x": {"type": "list", "elements": elements}}), &crate::map! { "x" => given }.into())
    };
    assert_eq!(inside("str"), Verdict::default());
    // What is certain is said all the same.
    assert_eq!(inside("int").errors, ["argument `x[0]`: \"a\" is not an integer"]);
}

#[test]
fn secrets_are_in_no_sentence() {
    let given = crate::map! { "x" => Value::text("s3cret").into_secret(), "y" => Value::text("s3cret").into_secret() };
    let said = verdict(json!({"x": {"type": "int"}, "y": {"choices": ["a"]}}), &given.into()).errors;
    assert_eq!(said, ["argument `x`: the value is no int", "argument `y`: *** is none of a"]);
}

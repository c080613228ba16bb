//! The user's values over the chart's: mappings are merged, the rest is replaced, null deletes.
//!
//! Source: helm 4 pkg/chart/common/util/coalesce.go (`coalesceValues`, `coalesceTablesFullKey`, `cleanNilValues`).

use super::value::{Entries, Value};

/// The values that templates see. A null among the defaults is nothing; a null of the user's for what has no default stays.
pub fn values(defaults: &Value, user: &Value) -> Value {
    let merged = match (defaults, user) {
        (Value::Map(defaults), Value::Map(user)) => merge(&defaults.borrow(), &user.borrow(), 0),
        (Value::Map(defaults), _) => without_nulls(&defaults.borrow()),
        (_, Value::Map(user)) => user.borrow().clone(),
        _ => Entries::new(),
    };
    Value::map(merged).deep_copy()
}

fn merge(defaults: &Entries, user: &Entries, depth: usize) -> Entries {
    let mut merged = user.clone();
    for (key, default) in defaults {
        match user.get(key) {
            None => match default {
                Value::Nil => {}
                Value::Map(inner) => drop(merged.insert(key.clone(), Value::map(without_nulls(&inner.borrow())))),
                other => drop(merged.insert(key.clone(), other.clone())),
            },
            // Below the first level only a default that is there can be deleted.
            Some(Value::Nil) if depth == 0 || !matches!(default, Value::Nil) => drop(merged.remove(key)),
            Some(Value::Map(user)) => {
                if let Value::Map(defaults) = default {
                    merged.insert(key.clone(), Value::map(merge(&defaults.borrow(), &user.borrow(), depth + 1)));
                }
            }
            Some(_) => {}
        }
    }
    merged
}

fn without_nulls(entries: &Entries) -> Entries {
    let kept = entries.iter().filter(|(_, value)| !matches!(value, Value::Nil));
    kept.map(|(key, value)| {
        let value = match value {
            Value::Map(inner) => Value::map(without_nulls(&inner.borrow())),
            other => other.clone(),
        };
        (key.clone(), value)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_users_values_lie_over_the_charts_and_null_deletes() {
        let merged = |defaults, user| values(&Value::from_json(&defaults), &Value::from_json(&user)).to_json().expect("JSON");
        assert_eq!(
            merged(
                json!({"a": {"x": 1, "y": [1, 2], "z": {"q": 1}}, "b": 1, "n": null}),
                json!({"a": {"y": [3], "z": null, "new": 2}, "b": null, "c": null})
            ),
            json!({"a": {"new": 2, "x": 1, "y": [3]}, "c": null})
        );
        assert_eq!(merged(json!({"a": {"x": null, "y": 1}}), json!({})), json!({"a": {"y": 1}}));
        assert_eq!(merged(json!({"a": {"x": 1}}), json!({"a": "text"})), json!({"a": "text"}));
        assert_eq!(merged(json!({"a": 1}), json!({"a": {"x": 1}})), json!({"a": {"x": 1}}));
    }

    #[test]
    fn what_a_template_changes_is_not_the_charts() {
        let defaults = Value::from_json(&json!({"a": {"x": 1}}));
        let merged = values(&defaults, &Value::Nil);
        let Value::Map(entries) = &merged else { panic!("a mapping") };
        let Some(Value::Map(inner)) = entries.borrow().get("a").cloned() else { panic!("a mapping") };
        inner.borrow_mut().insert("y".into(), Value::Int(1));
        assert_eq!(defaults.to_json().expect("JSON"), json!({"a": {"x": 1}}));
    }
}

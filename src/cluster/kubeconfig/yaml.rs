//! Kubeconfig files as values, and back: every reader of YAML 1.1 and 1.2 reads the same from what is written here.

use std::fmt::Write;

use serde_json::Value;

/// Reads one document; a key that stands twice is a mistake. The error has line and column.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let document: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let value = serde_json::to_value(&document).map_err(|error| error.to_string())?;
    match value {
        Value::Null => Ok(Value::Object(serde_json::Map::new())),
        Value::Object(_) => Ok(value),
        _ => Err("it is no mapping".to_owned()),
    }
}

/// Writes block style, lists at their key's indentation, as kubectl does. (The libyaml family writes `on` and `12:30` bare,
/// which Go's reader takes for a boolean and a number.)
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, indentation: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let _ = write!(text, "{:indentation$}{}:", "", scalar(&Value::from(key.as_str())));
                below(value, indentation, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                block(item, indentation + 2, &mut inner);
                // The first line of an item stands behind its dash.
                let _ = write!(text, "{:indentation$}- {}", "", &inner[indentation + 2..]);
            }
        }
        other => {
            let _ = writeln!(text, "{:indentation$}{}", "", scalar(other));
        }
    }
}

fn below(value: &Value, indentation: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            block(value, indentation + 2, text);
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, indentation, text);
        }
        other => {
            let _ = writeln!(text, " {}", scalar(other));
        }
    }
}

/// JSON is YAML: only what no reader takes for something else goes without quotes.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let letters = text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./+=@:".contains(letter));
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
    let word = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&&*text.to_ascii_lowercase());
    letters && begins && !word && !text.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_written_is_read_again() {
        let value = json!({
            "current-context": "", "on": "yes", "a b": ["12:30", "0644", "1e3", "x: y", "#", "- a", null, true, 7, "two\nlines", "~", "a:"],
            "nested": [[1, [2]], {"a": {}, "b": [], "c": [{"d": 1}]}], "preferences": {}, "data": "LS0tLS1CRUdJTi=="
        });
        let text = write(&value);
        assert_eq!(read(&text), Ok(value), "{text}");
    }

    #[test]
    fn what_another_reader_takes_for_something_else_is_quoted() {
        for text in ["yes", "On", "12:30", "0644", "1_000", "2024-01-01", "~", "null", "", "a: b", "*a", "1e3", "=", "<<", ".inf"] {
            assert!(scalar(&text.into()).starts_with('"'), "{text}");
        }
        for text in ["kubernetes-admin@kubernetes", "https://192.168.60.2:6443", "/home/me/.minikube/ca.crt", "v1"] {
            assert_eq!(scalar(&text.into()), text);
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_a_mistake() {
        assert!(read("users: []\nusers: []\n").unwrap_err().contains("duplicate"));
    }
}

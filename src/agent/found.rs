//! Paths of the controller that results tell of.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::include::normal;
use crate::program::Value;

/// Members of a result that hold paths, or more of them. A file's content, or what a server answers, is no path.
const MEMBERS: [&str; 6] = ["path", "dest", "stat", "files", "stdout", "stdout_lines"];

/// Paths that a module's result gives.
pub fn paths(result: &Value) -> BTreeSet<Arc<str>> {
    let mut found = BTreeSet::new();
    let mut open = vec![result];
    while let Some(value) = open.pop() {
        match value {
            Value::Text(text) => found.extend(of_text(text.as_str())),
            Value::List(items) => open.extend(items.iter()),
            Value::Map(entries) => {
                open.extend(entries.iter().filter(|(key, _)| MEMBERS.contains(&&*key.text())).map(|(_, value)| value));
            }
            _ => {}
        }
    }
    found
}

/// Absolute paths that make a text, one a line; the root itself is no file.
pub fn of_text(text: &str) -> impl Iterator<Item = Arc<str>> {
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with('/'));
    lines.map(|line| normal(line.as_ref())).filter(|path| path.len() > 1 && path.starts_with('/')).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_a_result_calls_so() {
        let found = |value: Value| paths(&value).iter().map(|path| path.to_string()).collect::<Vec<_>>();
        assert_eq!(found(Value::map(crate::map! { "stat" => crate::map! { "path" => "/a/../b", "mimetype" => "/x" } })), ["/b"]);
        let files: Value = vec![Value::map(crate::map! { "path" => "/a" }), Value::map(crate::map! { "path" => "/c/" })].into();
        assert_eq!(found(Value::map(crate::map! { "files" => files, "content" => "/x" })), ["/a", "/c"]);
        assert_eq!(found(Value::map(crate::map! { "stdout" => "/a b\nword\n /\n/../\n", "msg" => "/x" })), ["/a b"]);
    }
}

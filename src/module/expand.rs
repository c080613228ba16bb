//! `~` and `$VARIABLE` in paths and words, and shell patterns of paths: Python's `expanduser`, `expandvars`, `glob`.

use std::path::{Path, PathBuf};

use crate::program::glob::glob;
use crate::system::{FileKind, Result, System};

/// Both expansions, variables first, with the task's environment before the process's own.
pub fn expand(text: &str, system: &dyn System, environment: &[(String, String)]) -> Result<String> {
    let variable = |name: &str| {
        let given = environment.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        given.or_else(|| system.environment(name))
    };
    user(&variables(text, &variable), system, &variable)
}

/// `$NAME` and `${NAME}`; a name without a value stays as it is written.
fn variables(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        expanded += &rest[..start];
        let after = &rest[start + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.find('}').map(|end| &inner[..end]));
        let (name, length) = if let Some(name) = braced {
            (name, name.len() + 2)
        } else {
            let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(after.len());
            (&after[..end], end)
        };
        match variable(name).filter(|_| !name.is_empty()) {
            Some(value) => expanded += &value,
            None => expanded += &rest[start..=start + length],
        }
        rest = &after[length..];
    }
    expanded + rest
}

/// A leading `~` or `~name`; an unknown user stays as it is written.
fn user(text: &str, system: &dyn System, variable: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let Some(after) = text.strip_prefix('~') else { return Ok(text.to_owned()) };
    let (name, rest) = after.split_at(after.find('/').unwrap_or(after.len()));
    let home = if name.is_empty() {
        match variable("HOME") {
            Some(home) => Some(home),
            None => Some(system.whoami()?.home.to_string_lossy().into_owned()),
        }
    } else {
        system.user(name)?.map(|user| user.home.to_string_lossy().into_owned())
    };
    Ok(home.map_or_else(|| text.to_owned(), |home| home.trim_end_matches('/').to_owned() + rest))
}

/// Whether anything has a path of this pattern; `*`, `?` and `[…]` do not match a leading dot, nothing matches `/`.
pub fn any_match(pattern: &Path, system: &dyn System) -> Result<bool> {
    let text = pattern.to_string_lossy();
    if !text.contains(['*', '?', '[']) {
        let found = system.metadata(pattern)?;
        return match found {
            // `name/` is only a folder.
            Some(_) if text.ends_with('/') => is_directory(pattern, system),
            found => Ok(found.is_some()),
        };
    }
    let mut candidates = vec![PathBuf::new()];
    let parts: Vec<_> = pattern.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    for part in parts {
        let mut next = Vec::new();
        for folder in &candidates {
            if part.contains(['*', '?', '[']) {
                let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                for name in system.list(listed)?.unwrap_or_default() {
                    if glob(&part, &name) && (part.starts_with('.') || !name.starts_with('.')) {
                        next.push(folder.join(name));
                    }
                }
            } else if system.metadata(&folder.join(&part))?.is_some() {
                next.push(folder.join(&part));
            }
        }
        candidates = next;
    }
    if text.ends_with('/') {
        for candidate in &candidates {
            if is_directory(candidate, system)? {
                return Ok(true);
            }
        }
        return Ok(false);
    }
    Ok(!candidates.is_empty())
}

fn is_directory(path: &Path, system: &dyn System) -> Result<bool> {
    Ok(system.metadata(&system.canonical(path)?)?.is_some_and(|found| found.kind == FileKind::Directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::Fake;

    fn fake() -> Fake {
        let script = serde_json::json!({
            "users": {"bob": {"uid": 1000}}, "environment": {"HOME": "/root/", "DIR": "/srv", "A_1": "x"},
            "files": {"/srv/a.conf": "", "/srv/.hidden": "", "/srv/sub/b.conf": ""}, "links": {"/srv/dangling": "/nowhere"},
        });
        Fake::from_value(script).expect("is a machine")
    }

    #[test]
    fn homes_and_variables_are_expanded_as_python_does() {
        let task = [("DIR".to_owned(), "/task".to_owned())];
        for (text, expanded) in [
            ("~/x", "/root/x"),
            ("~bob/x", "/home/bob/x"),
            ("~nobody/x", "~nobody/x"),
            ("a~", "a~"),
            ("$DIR/${A_1}b$A_1-", "/task/xbx-"),
            ("$NONE ${NONE} $ ${", "$NONE ${NONE} $ ${"),
        ] {
            assert_eq!(expand(text, &fake(), &task).expect("expands"), expanded, "{text}");
        }
    }

    #[test]
    fn patterns_match_as_pythons_glob() {
        for (pattern, found) in [
            ("/srv/*.conf", true),
            ("/srv/*/b.c[a-o]nf", true),
            ("/srv/[!b].conf", true),
            ("/srv/?idden", false),
            ("/srv/*hidden", false),
            ("/srv/.h*", true),
            ("/srv/dangling", true),
            ("/srv/sub/", true),
            ("/srv/a.conf/", false),
            ("/nowhere/*", false),
        ] {
            assert_eq!(any_match(Path::new(pattern), &fake()).expect("reads"), found, "{pattern}");
        }
    }
}

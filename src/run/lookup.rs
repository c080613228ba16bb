//! Lookups that only the workstation can make.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::module::arguments::text;
use crate::program::{Map, Value};

/// The results, or why not.
pub fn answer(plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>, String> {
    let words = || terms.iter().map(text).collect::<Result<Vec<String>, String>>();
    match plugin.strip_prefix("ansible.builtin.").unwrap_or(plugin) {
        "env" => {
            let default = options.get("default").cloned().unwrap_or_else(|| Value::text(""));
            words().map(|names| names.iter().map(|name| std::env::var(name).map_or_else(|_| default.clone(), Value::from)).collect())
        }
        "pipe" => words()?.iter().map(|line| shell("pipe", line).map(|output| Value::from(output.trim_end().to_owned()))).collect(),
        "lines" => {
            let mut lines = Vec::new();
            for line in words()? {
                lines.extend(shell("lines", &line)?.lines().map(|line| Value::from(line.trim_end().to_owned())));
            }
            Ok(lines)
        }
        "provision.path_test" => path_test(&words()?).map(|holds| vec![Value::Bool(holds)]),
        "provision.path_filter" => path_filter(&words()?).map(|path| vec![Value::from(path)]),
        other => Err(format!("the lookup '{other}' is not supported: see the table of lookups in the documentation")),
    }
}

/// As Ansible: by the shell, in the playbook's folder (the process' own).
fn shell(plugin: &str, line: &str) -> Result<String, String> {
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", line])
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| format!("lookup {plugin}: {line}: {error}"))?;
    if !output.status.success() {
        return Err(format!("lookup {plugin}: {line}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Tests on paths of the workstation: `exists`, `file`, `directory`, `link`, `link_exists`, `mount`, `same_file`.
fn path_test(words: &[String]) -> Result<bool, String> {
    let [test, first, rest @ ..] = words else { return Err("a test on a path needs the path".to_owned()) };
    let path = Path::new(first);
    let identity = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    Ok(match test.as_str() {
        "exists" => path.exists(),
        "file" => path.is_file(),
        "directory" => path.is_dir(),
        "link" => path.is_symlink(),
        "link_exists" => std::fs::symlink_metadata(path).is_ok(),
        "mount" => match (identity(path), path.join("..").canonicalize()) {
            (Ok((device, inode)), Ok(parent)) => identity(&parent).is_ok_and(|(above, of)| above != device || of == inode),
            _ => false,
        },
        "same_file" => match rest {
            [second] => matches!((identity(path), identity(Path::new(second))), (Ok(a), Ok(b)) if a == b),
            _ => return Err("same_file compares two paths".to_owned()),
        },
        other => return Err(format!("the test '{other}' on paths is not supported")),
    })
}

fn path_filter(words: &[String]) -> Result<String, String> {
    let [filter, path] = words else { return Err("a filter on a path needs the path".to_owned()) };
    let home = |text: &str| match text.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => std::env::var("HOME").map_or_else(|_| text.to_owned(), |home| format!("{home}{rest}")),
        None => text.to_owned(),
    };
    match filter.as_str() {
        "expanduser" => Ok(home(path)),
        "realpath" => {
            let path = Path::new(path);
            // As Python: what does not exist is kept as it is written.
            let mut missing = Vec::new();
            let mut existing = std::path::absolute(path).map_err(|error| error.to_string())?;
            while !existing.exists() {
                let Some(name) = existing.file_name() else { break };
                missing.push(name.to_owned());
                existing.pop();
            }
            let mut real = existing.canonicalize().map_err(|error| format!("realpath {}: {error}", path.display()))?;
            real.extend(missing.iter().rev());
            Ok(real.display().to_string())
        }
        "expandvars" => {
            let mut expanded = String::new();
            let mut rest = path.as_str();
            while let Some(at) = rest.find('$') {
                expanded.push_str(&rest[..at]);
                let after = &rest[at + 1..];
                let (name, length) = match after.strip_prefix('{').and_then(|inner| inner.find('}').map(|end| (&inner[..end], end + 2))) {
                    Some(found) => found,
                    None => {
                        let end = after.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_')).unwrap_or(after.len());
                        (&after[..end], end)
                    }
                };
                match std::env::var(name) {
                    Ok(value) if !name.is_empty() => expanded.push_str(&value),
                    _ => expanded.push_str(&rest[at..=at + length]),
                }
                rest = &after[length..];
            }
            expanded.push_str(rest);
            Ok(expanded)
        }
        other => Err(format!("the filter '{other}' on paths is not supported")),
    }
}

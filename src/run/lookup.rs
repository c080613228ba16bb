//! Lookups that only the workstation can make.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Failure;
use super::password::Passwords;
use crate::agent::frame::PLAYBOOK_DIR;
use crate::module::arguments::text;
use crate::playbook::fetch::normal;
use crate::playbook::pattern::hosts_of;
use crate::program::{Map, Value};

/// What lookups for a host are made with.
#[derive(Clone, Debug)]
pub struct Lookups {
    pub passwords: Arc<Passwords>,
    /// Those that may ask something of this machine: a node cannot have more of it done than the project's files say.
    pub of_controller: Arc<BTreeSet<Arc<str>>>,
    /// The run acts: what is new is kept.
    pub acts: bool,
    /// `groups`.
    pub groups: Value,
}

impl Lookups {
    /// The results, or why not.
    pub fn answer(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>, Failure> {
        match plugin.strip_prefix("ansible.builtin.").unwrap_or(plugin) {
            "password" => self.passwords.answer(self.acts, terms, options),
            "inventory_hostnames" => {
                let texts = terms.iter().map(|term| term.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>();
                let patterns = texts.ok_or_else(|| failure("the 'inventory_hostnames' lookup expects patterns, each a text".to_owned()))?;
                let hosts = self.groups.as_map().map(|groups| hosts_of(groups, &patterns)).unwrap_or_default();
                Ok(hosts.into_iter().map(Value::text).collect())
            }
            plugin @ ("pipe" | "lines" | "env") if !self.of_controller.contains(plugin) => Err(Failure {
                message: format!("the lookup '{plugin}' is asked for by a node, and no file of the project says it"),
                hint: Some(format!("write `lookup('{plugin}', …)` in a playbook, role, template or file of variables")),
            }),
            // It shows variables of this machine's environment.
            "provision.path_filter" if is_of_environment(terms) && !self.of_controller.contains(EXPANDS) => {
                Err(failure(format!("the filter '{EXPANDS}' is asked for by a node, and no file of the project says it")))
            }
            plugin => answer(plugin, terms, options).map_err(failure),
        }
    }
}

/// The filter that puts variables of the environment in.
const EXPANDS: &str = "expandvars";

fn is_of_environment(terms: &[Value]) -> bool {
    terms.first().and_then(Value::as_str) == Some(EXPANDS)
}

fn failure(message: String) -> Failure {
    Failure { message, hint: None }
}

fn answer(plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>, String> {
    let words = || terms.iter().map(text).collect::<Result<Vec<String>, String>>();
    let folder = options.get(PLAYBOOK_DIR).and_then(Value::as_str);
    match plugin {
        "env" => {
            let default = options.get("default").cloned().unwrap_or_else(|| Value::text(""));
            words().map(|names| names.iter().map(|name| std::env::var(name).map_or_else(|_| default.clone(), Value::from)).collect())
        }
        "pipe" => words()?.iter().map(|line| shell("pipe", line, folder).map(|output| Value::from(output.trim_end().to_owned()))).collect(),
        "lines" => {
            let mut lines = Vec::new();
            for line in words()? {
                let output = shell("lines", &line, folder)?.replace("\r\n", "\n").replace('\r', "\n");
                lines.extend(output.lines().map(|line| Value::from(line.to_owned())));
            }
            Ok(lines)
        }
        "provision.path_test" => path_test(&words()?).map(|holds| vec![Value::Bool(holds)]),
        "provision.path_filter" => path_filter(&words()?).map(|path| vec![Value::from(path)]),
        other => Err(format!("the lookup '{other}' cannot be made for a variable of another host")),
    }
}

/// As Ansible: by the shell, in the playbook's folder.
fn shell(plugin: &str, line: &str, folder: Option<&str>) -> Result<String, String> {
    let output = std::process::Command::new("/bin/sh")
        .args(["-c", line])
        .current_dir(folder.unwrap_or("."))
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
    match filter.as_str() {
        "expanduser" => Ok(expanded(path)),
        "abspath" => absolute(path).map(|path| normal(&path).display().to_string()),
        "realpath" => absolute(path).map(|path| real(&path).display().to_string()),
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

/// `~` and `~name` as Python's `os.path.expanduser`: who has no folder stays as written.
fn expanded(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else { return path.to_owned() };
    let (name, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let known = |user: nix::Result<Option<nix::unistd::User>>| user.ok().flatten().map(|user| user.dir.display().to_string());
    let home = match name {
        "" => std::env::var("HOME").ok().or_else(|| known(nix::unistd::User::from_uid(nix::unistd::getuid()))),
        name => known(nix::unistd::User::from_name(name)),
    };
    match home {
        Some(home) => {
            Some(format!("{}{below}", home.trim_end_matches('/'))).filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned())
        }
        None => path.to_owned(),
    }
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    std::env::current_dir().map(|folder| folder.join(path)).map_err(|error| format!("find the working folder: {error}"))
}

/// Links followed as far as they lead anywhere; what is not there is kept as it is written.
fn real(path: &Path) -> PathBuf {
    /// More links than this lead in a circle.
    const LINKS: usize = 40;
    let mut links = 0;
    let mut found = PathBuf::from("/");
    let mut open: Vec<PathBuf> = path.components().rev().map(|part| part.as_os_str().into()).collect();
    while let Some(part) = open.pop() {
        match part.to_str() {
            Some("/") => found = "/".into(),
            Some(".") => {}
            Some("..") => {
                found.pop();
            }
            _ => {
                let next = found.join(&part);
                match std::fs::read_link(&next) {
                    Ok(target) if links < LINKS => {
                        links += 1;
                        open.extend(target.components().rev().map(|part| PathBuf::from(part.as_os_str())));
                    }
                    _ => found = next,
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent says words of its own: a node that is somebody else's has nothing run here.
    #[test]
    fn a_node_asks_for_what_the_projects_files_say() {
        let asked = |said: &[&str], plugin: &str, term: &str| {
            let lookups = Lookups {
                passwords: Arc::new(Passwords::new(Arc::default())),
                of_controller: Arc::new(said.iter().map(|name| Arc::from(*name)).collect()),
                acts: true,
                groups: Value::Null,
            };
            lookups.answer(plugin, &[Value::text(term)], &Map::new())
        };
        let folder = tempfile::tempdir().expect("a folder");
        let made = folder.path().join("made");
        let line = format!("touch {}; echo x", made.display());
        for plugin in ["pipe", "lines", "ansible.builtin.pipe"] {
            let failure = asked(&["env"], plugin, &line).expect_err("refused");
            assert!(failure.message.ends_with("no file of the project says it"), "{}", failure.message);
        }
        assert!(!made.exists() && asked(&["pipe"], "env", "HOME").is_err());
        assert_eq!(asked(&["pipe"], "pipe", &line).expect("said"), [Value::from("x")]);
        assert!(made.exists());
    }
}

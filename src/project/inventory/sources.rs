//! Inventory sources: files, folders, scripts, lists of hosts.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::graph::Graph;
use super::{address, ini, yaml};
use crate::project::{Files, vault};
use crate::source::{Diagnostic, Diagnostics, NOWHERE, yaml as documents};

/// Endings of files that a folder's reading leaves out (Ansible's `INVENTORY_IGNORE_EXTS`).
const IGNORED: [&str; 12] = [".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg", ".retry"];

/// Adds one source: a path, or hosts with commas (`a,b,`).
pub(super) fn read(graph: &mut Graph, files: &mut Files, base: &Path, source: &str) -> Option<PathBuf> {
    let path = files.resolve(base, source);
    if !path.exists() && source.contains(',') {
        for host in source.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            let (name, port) = address::parse(host).unwrap_or_else(|| (host.to_owned(), None));
            if !graph.has_host(&name) {
                graph.add_host(&name, "ungrouped", port, NOWHERE, Some(Path::new(source)));
            }
        }
        return None;
    }
    if !path.exists() {
        let name = files.name(&path);
        files.diagnostics.push(
            Diagnostic::nowhere(format!("read the inventory `{name}`: no such file or folder"))
                .hint("a list of hosts has a comma: `-i web1,web2` or `-i web1,`"),
        );
        files.unknown = true;
        return None;
    }
    one(graph, files, &path);
    Some(if path.is_dir() { path } else { path.parent().unwrap_or(&path).to_owned() })
}

fn one(graph: &mut Graph, files: &mut Files, path: &Path) {
    if path.is_dir() {
        let mut names: Vec<String> = match std::fs::read_dir(path) {
            Ok(entries) => entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect(),
            Err(error) => {
                let message = format!("read the folder `{}`: {}", files.name(path), vault::plain(&error));
                files.unknown = true;
                return files.diagnostics.push(Diagnostic::nowhere(message));
            }
        };
        names.sort();
        for name in names {
            let ignored = name.starts_with('.') || matches!(name.as_str(), "host_vars" | "group_vars" | "vars_plugins");
            if !ignored && !IGNORED.iter().any(|ending| name.ends_with(ending)) {
                one(graph, files, &path.join(name));
            }
        }
        return;
    }
    let script = std::fs::metadata(path).is_ok_and(|about| vault::is_executable(&about))
        && std::fs::read(path).is_ok_and(|content| content.starts_with(b"#!"));
    if script {
        return run(graph, files, path);
    }
    let Some(file) = files.read(path) else { return };
    let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned());
    match ending.as_deref() {
        Some("toml") => {
            files.unknown = true;
            files.diagnostics.push(Diagnostic::in_file(file, "inventories in TOML are not supported").hint("write it as YAML or INI"));
        }
        Some("yml" | "yaml" | "json") => as_yaml(graph, files, file, path),
        None if looks_like_yaml(files, file) => as_yaml(graph, files, file, path),
        _ => as_ini(graph, files, file, path),
    }
}

/// A file without an ending is YAML where it reads as a mapping, or begins as one.
fn looks_like_yaml(files: &Files, file: u32) -> bool {
    let text = files.sources.file(file).map(|file| file.text.clone()).unwrap_or_default();
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', ';'])).unwrap_or_default();
    let mut unheard = Diagnostics::default();
    match documents::document(&files.sources, file, &mut unheard) {
        Some(node) => node.as_map().is_some(),
        None => first == "---" || first.ends_with(':') && !first.contains('='),
    }
}

fn as_ini(graph: &mut Graph, files: &mut Files, file: u32, path: &Path) {
    let name = files.name(path);
    let Some(source) = files.sources.file(file) else { return };
    let origin = ini::Origin { file, name: &name, path, secret: source.secret };
    let before = files.diagnostics.count_errors();
    ini::read(graph, origin, &source.text, &mut files.diagnostics);
    if files.diagnostics.count_errors() > before {
        files.unread.push(Arc::clone(&source.text));
    }
}

fn as_yaml(graph: &mut Graph, files: &mut Files, file: u32, path: &Path) {
    let Some(document) = files.yaml(path) else { return };
    let node = &document.node;
    if let Some((key, plugin)) = node.entry("plugin") {
        let plugin = plugin.text().unwrap_or_default();
        let name = files.name(path);
        files.unknown = true;
        files.diagnostics.push(
            Diagnostic::at(key, format!("the inventory plugin `{plugin}` is not supported"))
                .hint(format!("write down what it finds: ansible-inventory -i {name} --list --yaml --export > hosts.yml")),
        );
    } else if node.is_null() {
        files.diagnostics.push(Diagnostic::in_file(file, "an empty inventory").as_warning());
    } else if node.as_map().is_none() {
        files.diagnostics.push(Diagnostic::at(node, format!("an inventory is a mapping of groups, this is {}", node.describe())));
    } else {
        yaml::read(graph, files, path, node, document.secret);
    }
}

/// Runs an inventory script: it prints JSON for `--list`.
fn run(graph: &mut Graph, files: &mut Files, path: &Path) {
    let name = files.name(path);
    // Until it has said what it knows.
    let was_unknown = std::mem::replace(&mut files.unknown, true);
    let mut fail =
        |cause: String| files.diagnostics.push(Diagnostic::nowhere(format!("run the inventory script `{name} --list`: {cause}")));
    let output = match Command::new(path).arg("--list").stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => return fail(vault::plain(&error)),
    };
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().map_or("was killed".to_owned(), |code| format!("exited with {code}"));
        return fail(format!("{code}: {}", complaint.trim().lines().last().unwrap_or_default()));
    }
    let Ok(text) = String::from_utf8(output.stdout) else { return fail("it printed something that is not UTF-8".to_owned()) };
    let printed = PathBuf::from(format!("{} --list", path.display()));
    let file = files.sources.add(format!("{name} --list"), &printed, text);
    let Some(node) = documents::document(&files.sources, file, &mut files.diagnostics) else { return };
    files.unknown = was_unknown;
    if node.as_map().is_none() {
        files.diagnostics.push(Diagnostic::at(&node, format!("an inventory script prints a JSON object, this is {}", node.describe())));
    } else if node.get("_meta").and_then(|meta| meta.get("hostvars")).is_none() {
        files.diagnostics.push(
            Diagnostic::in_file(file, "an inventory script without `_meta.hostvars`")
                .hint("print each host's variables there; a call with `--host` for each host is not made"),
        );
    } else {
        yaml::read_script(graph, files, path, &node);
    }
}

//! Lookups: those on the program's files are answered here, the rest by the controller.

use std::sync::Arc;

use super::frame::PLAYBOOK_DIR;
use super::scope::TaskScope;
use crate::module::encoding::Encoding;
use crate::program::glob::glob;
use crate::program::{File, Map, Value};
use crate::template::lookups::table::{self, Support};
use crate::template::lookups::{csv, ini};
use crate::template::{Error, Result};

/// The option by which a loop tells `first_found` the folder of its task's kind.
pub const FOLDER: &str = "_subdir";

/// Where `with_first_found` of a module's task searches, beside the folders themselves: as ansible-core's `TaskExecutor._get_loop_items`.
pub fn folder_of(module: &str) -> &'static str {
    match module {
        module if module.contains("template") => "templates",
        module if module.contains("var") => "vars",
        _ => "files",
    }
}

/// A lookup by short name.
pub fn lookup(scope: &TaskScope<'_>, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
    let plugin = plugin.strip_prefix("ansible.builtin.").unwrap_or(plugin);
    let flag = |name: &str, default: bool| options.get(name).map_or(default, Value::is_truthy);
    match plugin {
        "file" => terms
            .iter()
            .map(|term| {
                let (_, text) = file_text(scope, "files", &text(plugin, term)?)?;
                let text = if flag("rstrip", true) { text.trim_end().to_owned() } else { text };
                Ok(Value::text(if flag("lstrip", false) { text.trim_start().to_owned() } else { text }))
            })
            .collect(),
        "template" => terms.iter().map(|term| template(scope, &text(plugin, term)?, options)).collect(),
        "fileglob" => {
            let mut found = Vec::new();
            for term in terms {
                found.extend(file_glob(scope, &text(plugin, term)?));
            }
            Ok(found)
        }
        "first_found" => first_found(scope, terms, options),
        "unvault" => terms.iter().map(|term| file_text(scope, "files", &text(plugin, term)?).map(|(_, text)| Value::text(text))).collect(),
        "ini" => ini::run(terms, options, &mut |name, encoding| encoded(scope, name, encoding)),
        "csvfile" => csv::run(terms, options, &mut |name, encoding| encoded(scope, name, encoding)),
        "password" | "pipe" | "lines" => {
            let mut options = options.clone();
            options.insert(PLAYBOOK_DIR.into(), scope.executor.playbook_dir().map_or(Value::Null, Value::text));
            scope.ask_lookup(plugin, terms, &options)
        }
        "inventory_hostnames" | "env" => scope.ask_lookup(plugin, terms, options),
        other => Err(match table::find(other).map(|lookup| &lookup.support) {
            Some(Support::No { reason, instead }) => {
                Error::failed(format!("the lookup '{other}' is not supported: {reason}")).hint(*instead)
            }
            _ => Error::failed(format!("unknown lookup `{other}`")),
        }),
    }
}

fn text(plugin: &str, term: &Value) -> Result<String> {
    match term {
        Value::Unknown(cause) => Err(Error::unknown(Arc::clone(cause))),
        Value::List(_) | Value::Map(_) => Err(Error::failed(format!("the lookup '{plugin}' expects texts, not a {}", term.type_name()))),
        other => crate::module::arguments::text(other).map_err(Error::failed),
    }
}

/// Where a file of the program lies, and its text.
fn file_text(scope: &TaskScope<'_>, kind: &str, name: &str) -> Result<(Arc<str>, String)> {
    let (path, _) = scope.executor.find_file(kind, name, scope.context)?;
    let bytes = scope.executor.file_bytes(&path)?;
    let text = String::from_utf8(bytes.to_vec()).map_err(|_| Error::failed(format!("{path} is not UTF-8 text")))?;
    Ok((path, text))
}

/// The text of a file of the program in an encoding of Python's name.
fn encoded(scope: &TaskScope<'_>, name: &str, encoding: &str) -> Result<String> {
    let (path, _) = scope.executor.find_file("files", name, scope.context)?;
    let bytes = scope.executor.file_bytes(&path)?;
    let marked = encoding.to_ascii_lowercase().replace('_', "-") == "utf-8-sig";
    let bytes = if marked { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes[..] };
    let encoding = Encoding::of(if marked { "utf-8" } else { encoding }).map_err(|error| Error::failed(error.message))?;
    encoding.strict(bytes).ok_or_else(|| Error::failed(format!("{path} is not written in this encoding")).hint("name it with `encoding`"))
}

fn template(scope: &TaskScope<'_>, name: &str, options: &Map) -> Result<Value> {
    let (path, text) = file_text(scope, "templates", name)?;
    let extra: Map = options.get("template_vars").and_then(Value::as_map).cloned().unwrap_or_default();
    let mut locals = scope.locals.clone();
    locals.extend(super::about::known(name, &path, None));
    locals.extend(extra);
    let inner = TaskScope::new(scope.executor, scope.context, &locals, scope.position).inside(&path);
    let template = crate::program::Template { source: text.into(), span: scope.executor.beginning_of(&path) };
    crate::template::jinja::Jinja::new(&inner).render(&template).map(Value::text)
}

/// Files of the program that match, as the controller names them.
fn file_glob(scope: &TaskScope<'_>, pattern: &str) -> Vec<Value> {
    let files = &scope.executor.program.files;
    let folders = if pattern.starts_with('/') { vec![Arc::from("")] } else { scope.executor.search_folders("files", scope.context) };
    for folder in folders {
        let full = if folder.is_empty() { pattern.to_owned() } else { format!("{folder}/{pattern}") };
        let is_match = |path: &str| {
            full.split('/').count() == path.split('/').count()
                && full.split('/').zip(path.split('/')).all(|(pattern, part)| glob(pattern, part))
        };
        let found: Vec<Value> = files
            .iter()
            .filter(|(path, file)| matches!(file, File::Plain { .. }) && is_match(path))
            .map(|(path, _)| Value::text(Arc::clone(path)))
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn first_found(scope: &TaskScope<'_>, terms: &[Value], options: &Map) -> Result<Vec<Value>> {
    let mut names: Vec<String> = Vec::new();
    let mut skip = options.get("skip").is_some_and(Value::is_truthy);
    let words = |value: Option<&Value>, separators: &[char]| -> Vec<String> {
        match value {
            Some(Value::List(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            Some(Value::Text(text)) => {
                text.as_str().split(separators).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
            }
            _ => Vec::new(),
        }
    };
    let mut add = |files: Vec<String>, paths: Vec<String>| {
        if paths.is_empty() {
            names.extend(files);
        } else {
            names.extend(paths.iter().flat_map(|path| files.iter().map(move |file| format!("{path}/{file}"))));
        }
    };
    for term in terms {
        match term {
            Value::Map(entries) => {
                skip |= entries.get("skip").is_some_and(Value::is_truthy);
                add(words(entries.get("files"), &[',', ';']), words(entries.get("paths"), &[',', ';', ':']));
            }
            Value::List(items) => items.iter().for_each(|item| add(item.as_str().map(str::to_owned).into_iter().collect(), Vec::new())),
            other => add(vec![text("first_found", other)?], Vec::new()),
        }
    }
    add(words(options.get("files"), &[',', ';']), words(options.get("paths"), &[',', ';', ':']));
    let known = &scope.executor.program;
    let folders = scope.executor.search_folders(options.get(FOLDER).and_then(Value::as_str).unwrap_or("files"), scope.context);
    for name in &names {
        // In order of the folders, whatever the file is for.
        for folder in &folders {
            let folder = std::slice::from_ref(folder);
            let of_files = super::include::find(&known.files, folder, name).map(|(path, _)| path);
            let of_vars = || super::include::find(&known.fragments.vars, folder, name).map(|(path, _)| path);
            let of_tasks = || super::include::find(&known.fragments.tasks, folder, name).map(|(path, _)| path);
            if let Some(path) = of_files.or_else(of_vars).or_else(of_tasks) {
                return Ok(vec![Value::text(path)]);
            }
        }
    }
    if skip {
        return Ok(Vec::new());
    }
    Err(Error::failed(format!("No file was found when using first_found: {}", names.join(", "))))
}

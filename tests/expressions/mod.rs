//! Expressions against ansible-core's own answers: the cases are data, the answers are the oracle's.

mod reads;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use provision::program::{Key, Map, Span, Template, Tree, Value};
use provision::template::jinja::Jinja;
use provision::template::{Error, ErrorKind, Options, Scope};

/// Variables of a case.
struct Variables(BTreeMap<Arc<str>, Arc<Tree>>);

impl Scope for Variables {
    fn variable(&self, name: &str) -> Result<Option<Arc<Tree>>, Error> {
        Ok(self.0.get(name).cloned())
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    fn host_variable(&self, _: &str, _: &str) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn host_variables(&self, _: &str) -> Result<Map, Error> {
        Ok(Map::new())
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        Vec::new()
    }

    fn lookup(&self, plugin: &str, _: &[Value], _: &Map) -> Result<Vec<Value>, Error> {
        Err(Error::failed(format!("no lookup '{plugin}'")))
    }

    fn path_test(&self, test: &str, paths: &[&str]) -> Result<bool, Error> {
        let path = Path::new(paths[0]);
        Ok(match test {
            "directory" => path.is_dir(),
            "file" => path.is_file(),
            _ => path.exists(),
        })
    }
}

fn template(source: &str) -> Template {
    Template { source: source.into(), span: Span { file: 0, line: 1, column: 1 } }
}

/// As the compiler of playbooks makes it: texts with delimiters are templates.
fn tree(value: &Value) -> Tree {
    match value {
        Value::Text(text) if Options::default().is_template(text.as_str()) => Tree::Template(template(text.as_str())),
        Value::List(items) => Tree::List(items.iter().map(tree).collect()).folded(),
        Value::Map(entries) => Tree::Map(entries.iter().map(|(key, value)| (Tree::Literal(key.value()), tree(value))).collect()).folded(),
        other => Tree::Literal(other.clone()),
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expressions")
}

/// What needs ansible-core alone.
fn files() -> Vec<PathBuf> {
    files_in(&folder())
}

/// What needs a collection, too.
fn files_of_collections() -> Vec<PathBuf> {
    files_in(&folder().join("collections"))
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder is part of the checkout")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

/// The file's cases; read by our own `from_yaml`, which `yaml.yaml` checks.
fn read(path: &Path) -> (Map, Vec<Value>) {
    let text = std::fs::read_to_string(path).expect("a readable case file");
    let scope = Variables(BTreeMap::from([("text".into(), Arc::new(Tree::Literal(Value::text(text))))]));
    let document =
        Jinja::new(&scope).expression(&template("text | from_yaml")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let variables = document.get("variables").and_then(Value::as_map).cloned().unwrap_or_default();
    let cases = document.get("cases").and_then(Value::as_list).expect("a list of cases").to_vec();
    (variables, cases)
}

/// The same in type as well: `1`, `1.0` and `true` differ.
fn exact(ours: &Value, theirs: &Value, unordered: bool) -> bool {
    match (ours, theirs) {
        (Value::List(a), Value::List(b)) if unordered => {
            a.len() == b.len() && a.iter().all(|item| b.iter().any(|other| exact(item, other, false)))
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| exact(a, b, false)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((a_key, a), (b_key, b))| a_key == b_key && exact(a, b, false))
        }
        (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
        (a, b) => a.type_name() == b.type_name() && a == b,
    }
}

/// The variables of a case, over those of its file.
fn scope(case: &Value, variables: &Map) -> Variables {
    let mut all = variables.clone();
    if let Some(own) = case.get("variables").and_then(Value::as_map) {
        all.extend(own.clone());
    }
    Variables(all.iter().map(|(key, value)| (key.text().into(), Arc::new(tree(value)))).collect())
}

fn evaluate(case: &Value, scope: &dyn Scope) -> Result<Value, Error> {
    let jinja = Jinja::new(scope);
    if let Some(text) = case.get("template").and_then(Value::as_str) {
        return jinja.evaluate(&tree(&text.into()));
    }
    if let Some(text) = case.get("expression").and_then(Value::as_str) {
        return jinja.expression(&template(text));
    }
    if let Some(condition) = case.get("condition") {
        let condition = match condition {
            Value::Text(text) => Tree::Expression(template(text.as_str())),
            other => Tree::Literal(other.clone()),
        };
        return jinja.condition(&condition).map(Value::Bool);
    }
    let text = case.get("file").and_then(Value::as_str).expect("one of the kinds");
    let mut options = Options::file();
    for (name, value) in case.get("options").and_then(Value::as_map).cloned().unwrap_or_default() {
        let text = || value.as_str().expect("a text").to_owned();
        match name.text().as_ref() {
            "variable_start_string" => options.variable_start_string = text(),
            "variable_end_string" => options.variable_end_string = text(),
            "block_start_string" => options.block_start_string = text(),
            "block_end_string" => options.block_end_string = text(),
            "comment_start_string" => options.comment_start_string = text(),
            "comment_end_string" => options.comment_end_string = text(),
            "newline_sequence" => options.newline_sequence = text(),
            "trim_blocks" => options.trim_blocks = value.is_truthy(),
            "lstrip_blocks" => options.lstrip_blocks = value.is_truthy(),
            other => panic!("unknown option {other}"),
        }
    }
    jinja.render_with(&template(text), &options).map(Value::Text)
}

fn kind(error: &Error) -> &'static str {
    match error.kind {
        ErrorKind::Syntax => "syntax",
        ErrorKind::Undefined => "undefined",
        ErrorKind::Unknown(_) => "unknown",
        ErrorKind::Failed => "failed",
    }
}

fn json(value: &Value) -> String {
    value.to_json(true).to_string()
}

#[test]
fn every_expression_gives_what_ansible_gives() {
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files().into_iter().chain(files_of_collections()) {
        let (variables, cases) = read(&path);
        for case in cases {
            count += 1;
            let wanted = case.get("ours").unwrap_or(&case);
            let unordered = case.get("unordered").is_some();
            let outcome = evaluate(&case, &scope(&case, &variables));
            let right = match (&outcome, wanted.get("error").and_then(Value::as_str)) {
                (Ok(Value::Omit), Some("omit")) => true,
                (Err(error), Some(wanted)) => kind(error) == wanted,
                (Ok(value), None) => exact(value, wanted.get("value").expect("a value or an error"), unordered),
                _ => false,
            };
            if !right {
                let source =
                    ["template", "expression", "condition", "file"].iter().find_map(|kind| case.get(kind)).map(json).unwrap_or_default();
                let ours = outcome.map_or_else(|error| format!("{}: {error}", kind(&error)), |value| json(&value));
                let theirs = wanted.get("error").or(wanted.get("value")).map(json).unwrap_or_default();
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                wrong.push(format!("{name}: {source}\n    ours    {ours}\n    theirs  {theirs}"));
            }
        }
    }
    assert!(count >= 300, "only {count} cases were found");
    assert!(wrong.is_empty(), "{} of {count} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_stored_answers_are_those_that_ansible_gives_now() {
    let Some(python) = crate::oracle::ansible("python") else { return };
    compare_stored(&files(), &python);
}

#[test]
#[ignore = "needs the collections: ANSIBLE_COLLECTIONS_PATH=… cargo test --test main the_stored_answers_of_collections -- --ignored"]
fn the_stored_answers_of_collections_are_those_that_ansible_gives_now() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/collections-venv.sh");
    let output = Command::new("sh").arg(&script).output().expect("sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    compare_stored(&files_of_collections(), Path::new(String::from_utf8_lossy(&output.stdout).trim()));
}

fn compare_stored(files: &[PathBuf], python: &Path) {
    let output = Command::new(python)
        .arg(folder().join("oracle.py"))
        .arg("check")
        .args(files)
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap_or_else(|error| panic!("run {}: {error}", python.display()));
    assert!(output.status.success(), "the oracle failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = Value::text(String::from_utf8_lossy(&output.stdout).into_owned());
    let scope = Variables(BTreeMap::from([("text".into(), Arc::new(Tree::Literal(text)))]));
    let answers = Jinja::new(&scope).expression(&template("text | from_json")).expect("the oracle's answers");
    let answers = answers.as_list().expect("a list a file");
    let mut wrong = Vec::new();
    for (path, answers) in files.iter().zip(answers) {
        let (_, cases) = read(path);
        for (case, answer) in cases.iter().zip(answers.as_list().expect("a list of answers")) {
            let unordered = case.get("unordered").is_some();
            // JSON's keys are texts.
            let same = match (case.get("value"), answer.get("value")) {
                (Some(stored), Some(now)) if unordered => exact(stored, now, true),
                (Some(stored), Some(now)) => stored.to_json(true) == now.to_json(true),
                (None, None) => case.get("error") == answer.get("error"),
                _ => false,
            };
            if !same {
                wrong.push(format!("{}: {} now {}", path.display(), json(case), json(answer)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} stored answers differ from ansible-core's:\n{}", wrong.len(), wrong.join("\n"));
    let _ = Key::Null;
}

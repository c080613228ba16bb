//! What is found in a text beforehand, against what its evaluation reads.

use std::cell::RefCell;
use std::collections::BTreeSet;

use provision::template::reads::{Form, Reads, of};

use super::{Arc, Error, Map, Scope, Tree, Value, Variables, evaluate, files, json, kind, read, scope, template};

/// Remembers what was read.
struct Recording<'case> {
    variables: &'case Variables,
    read: RefCell<BTreeSet<String>>,
}

impl Scope for Recording<'_> {
    fn variable(&self, name: &str) -> Result<Option<Arc<Tree>>, Error> {
        self.read.borrow_mut().insert(name.to_owned());
        self.variables.variable(name)
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.variables.names()
    }

    fn host_variable(&self, host: &str, name: &str) -> Result<Option<Value>, Error> {
        self.variables.host_variable(host, name)
    }

    fn host_variables(&self, host: &str) -> Result<Map, Error> {
        self.variables.host_variables(host)
    }

    fn hosts(&self) -> Vec<Arc<str>> {
        self.variables.hosts()
    }

    fn lookup(&self, plugin: &str, terms: &[Value], options: &Map) -> Result<Vec<Value>, Error> {
        self.variables.lookup(plugin, terms, options)
    }

    fn path_test(&self, test: &str, paths: &[&str]) -> Result<bool, Error> {
        self.variables.path_test(test, paths)
    }
}

/// The text of a case and its form; none for a text with delimiters of its own.
fn text(case: &Value) -> Option<(&str, Form)> {
    let of = |kind: &str, form| case.get(kind).and_then(Value::as_str).map(|text| (text, form));
    let file = || if case.get("options").is_none() { of("file", Form::Template) } else { None };
    of("template", Form::Template).or_else(|| of("expression", Form::Condition)).or_else(|| of("condition", Form::Condition)).or_else(file)
}

/// All names that a text reads, through the variables; `None`: it may be any.
fn closure(reads: &Reads, variables: &Variables) -> Option<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    let mut everything = reads.everything;
    let mut open: Vec<Arc<str>> = reads.names.iter().map(|name| Arc::clone(&name.name)).collect();
    while let Some(name) = open.pop() {
        if !all.insert(name.to_string()) {
            continue;
        }
        let Some(tree) = variables.0.get(&name) else { continue };
        tree.templates(&mut |template, expression| {
            let form = if expression { Form::Condition } else { Form::Template };
            if let Ok(reads) = of(template, form) {
                everything |= reads.everything;
                open.extend(reads.names.iter().map(|name| Arc::clone(&name.name)));
            }
        });
    }
    (!everything).then_some(all)
}

/// Texts whose values Ansible can give while a name in them is defined nowhere: it is a slip all the same, and told.
const REFUSED: &[&str] =
    &["{{ d | default(a) }}", "{{ true | ternary(\"a\", no_such) }}", "{% set x = no_such %}{{ x | default('late') }}"];

#[test]
fn everything_that_evaluation_reads_is_foreseen() {
    let (mut count, mut wrong) = (0, Vec::new());
    for path in files() {
        let (variables, cases) = read(&path);
        for case in &cases {
            let Some((source, form)) = text(case) else { continue };
            count += 1;
            let variables = scope(case, &variables);
            let recording = Recording { variables: &variables, read: RefCell::default() };
            let outcome = evaluate(case, &recording);
            let mut say = |what: &str| wrong.push(format!("{}: {what}", json(&source.into())));
            let reads = match (of(&template(source), form), &outcome) {
                (Ok(reads), _) => reads,
                (Err(_), Err(error)) if matches!(kind(error), "syntax" | "failed") => continue,
                (Err(problem), _) => {
                    say(&problem.message);
                    continue;
                }
            };
            let mut read = recording.read.into_inner();
            let any = read.contains("vars");
            // The engine's own.
            read.retain(|name| !matches!(name.as_str(), "omit" | "hostvars" | "vars"));
            // Of `vars.name`, too, evaluation takes whatever is there.
            if let Some(foreseen) = closure(&reads, &variables).filter(|_| !any) {
                read.difference(&foreseen).for_each(|name| say(&format!("reads {name}")));
            }
            let missing = |name: &str| !variables.0.contains_key(name);
            let unguarded: BTreeSet<&str> = reads.names.iter().filter(|name| !name.guarded).map(|name| &*name.name).collect();
            if outcome.is_ok() {
                let told = |name: &str| missing(name) && read.contains(name) && !REFUSED.contains(&source);
                for name in unguarded.iter().filter(|name| told(name)) {
                    say(&format!("copes without {name}"));
                }
            } else if path.ends_with("guards.yaml")
                && outcome.is_err_and(|error| error.is_undefined())
                && !unguarded.iter().any(|name| missing(name))
            {
                say("does not cope");
            }
        }
    }
    assert!(count >= 1000, "only {count} cases were found");
    assert!(wrong.is_empty(), "{} of {count} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn names_that_a_lookup_gives_to_a_template_are_not_missing_in_it() {
    let source = "{{ lookup('template', 't', template_vars=dict(a=1) | combine({'b': c}, {'d': 2})) }}";
    let template = provision::program::Template { source: source.into(), span: provision::program::Span::default() };
    let found = of(&template, Form::Template).expect("it parses");
    let given: Vec<&str> = found.tested.iter().map(|name| &**name).collect();
    assert_eq!(given, ["a", "b", "d"]);
}

//! The tests of Jinja2 and `ansible.builtin`: what stands after `is`.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::OnceLock;

use super::arguments::{Arguments, Bound, integer, strict_text, text};
use super::evaluate::Context;
use super::filters::{self, regex};
use super::syntax::short_name;
use super::{Error, ErrorKind, Result, is_nothing, operators, suggest, versions};
use crate::program::Value;

type Run = fn(&Context, Value, Bound) -> Result<bool>;

/// A test: its names, its parameters and what it asks.
pub struct Test {
    pub names: &'static [&'static str],
    pub parameters: &'static [&'static str],
    /// Whether undefined values are handed to it.
    accepts_undefined: bool,
    run: Run,
}

const fn test(names: &'static [&'static str], parameters: &'static [&'static str], run: Run) -> Test {
    Test { names, parameters, accepts_undefined: false, run }
}

const fn lenient(names: &'static [&'static str], run: Run) -> Test {
    Test { names, parameters: &[], accepts_undefined: true, run }
}

const TESTS: &[Test] = &[
    lenient(&["defined"], |_, value, _| Ok(!matches!(value, Value::Undefined(_)))),
    lenient(&["undefined"], |_, value, _| Ok(matches!(value, Value::Undefined(_)))),
    test(&["none"], &[], |_, value, _| Ok(matches!(value, Value::Null))),
    test(&["boolean"], &[], |_, value, _| Ok(matches!(value, Value::Bool(_)))),
    test(&["true"], &[], |_, value, _| Ok(matches!(value, Value::Bool(true)))),
    test(&["false"], &[], |_, value, _| Ok(matches!(value, Value::Bool(false)))),
    test(&["integer"], &[], |_, value, _| Ok(matches!(value, Value::Int(_)))),
    test(&["float"], &[], |_, value, _| Ok(matches!(value, Value::Float(_)))),
    test(&["number"], &[], |_, value, _| Ok(value.number().is_some())),
    test(&["string"], &[], |_, value, _| Ok(matches!(value, Value::Text(_)))),
    test(&["mapping"], &[], |_, value, _| Ok(matches!(value, Value::Map(_)))),
    test(&["sequence"], &[], |_, value, _| Ok(matches!(value, Value::List(_) | Value::Tuple(_) | Value::Map(_) | Value::Text(_)))),
    test(&["iterable"], &[], |_, value, _| Ok(matches!(value, Value::List(_) | Value::Tuple(_) | Value::Map(_) | Value::Text(_)))),
    test(&["callable"], &[], |_, value, _| Ok(value.as_str() == Some("<macro>"))),
    test(&["escaped"], &[], |_, _, _| Ok(false)),
    test(&["lower"], &[], |_, value, _| {
        text(&value).map(|text| text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))
    }),
    test(&["upper"], &[], |_, value, _| {
        text(&value).map(|text| text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))
    }),
    test(&["odd"], &[], |_, value, _| integer(&value).map(|number| number % 2 != 0)),
    test(&["even"], &[], |_, value, _| integer(&value).map(|number| number % 2 == 0)),
    test(&["divisibleby"], &["num!"], divisible),
    test(&["sameas"], &["other!"], |_, value, given| {
        let other = given.value(0, Value::Null);
        Ok(value.type_name() == other.type_name() && value == other)
    }),
    test(&["eq", "==", "equalto"], &["other!"], |_, value, given| operators::equals(&value, &given.value(0, Value::Null))),
    test(&["ne", "!="], &["other!"], |_, value, given| operators::equals(&value, &given.value(0, Value::Null)).map(|equal| !equal)),
    test(&["lt", "<", "lessthan"], &["other!"], |_, value, given| order("<", &value, &given).map(|order| order == Some(Ordering::Less))),
    test(&["le", "<="], &["other!"], |_, value, given| {
        order("<=", &value, &given).map(|order| matches!(order, Some(Ordering::Less | Ordering::Equal)))
    }),
    test(&["gt", ">", "greaterthan"], &["other!"], |_, value, given| {
        order(">", &value, &given).map(|order| order == Some(Ordering::Greater))
    }),
    test(&["ge", ">="], &["other!"], |_, value, given| {
        order(">=", &value, &given).map(|order| matches!(order, Some(Ordering::Greater | Ordering::Equal)))
    }),
    test(&["in"], &["seq!"], |_, value, given| operators::contains(&given.value(0, Value::Null), &value)),
    test(&["contains"], &["item!"], |_, value, given| operators::contains(&value, &given.value(0, Value::Null))),
    test(&["filter"], &[], |_, value, _| Ok(value.as_str().is_some_and(|name| filters::find(&short_name(name)).is_some()))),
    test(&["test"], &[], |_, value, _| Ok(value.as_str().is_some_and(|name| find(&short_name(name)).is_some()))),
    test(&["failed", "failure"], &[], |_, value, _| flag(&value, "failed")),
    test(&["succeeded", "success", "successful"], &[], |_, value, _| flag(&value, "failed").map(|failed| !failed)),
    test(&["unreachable"], &[], |_, value, _| flag(&value, "unreachable")),
    test(&["reachable"], &[], |_, value, _| flag(&value, "unreachable").map(|unreachable| !unreachable)),
    test(&["timedout"], &[], |_, value, _| {
        flag(&value, "timedout")
            .map(|timed_out| timed_out && value.get("timedout").and_then(|limit| limit.get("period")).is_some_and(Value::is_truthy))
    }),
    test(&["changed", "change"], &[], changed),
    test(&["skipped", "skip"], &[], |_, value, _| flag(&value, "skipped")),
    test(&["started"], &[], |_, value, _| Ok(!has(&value, "started")? || flag(&value, "started")?)),
    test(&["finished"], &[], |_, value, _| Ok(!has(&value, "finished")? || flag(&value, "finished")?)),
    test(&["match"], &["pattern", "ignorecase", "multiline"], |_, value, given| matches(&value, &given, "match")),
    test(&["search"], &["pattern", "ignorecase", "multiline"], |_, value, given| matches(&value, &given, "search")),
    test(&["regex"], &["pattern", "ignorecase", "multiline", "match_type"], |_, value, given| {
        let how = given.text(3, "search")?;
        matches(&value, &given, &how)
    }),
    test(&["version", "version_compare"], &["version!", "operator", "strict", "version_type"], version),
    test(&["any"], &[], |_, value, _| Ok(operators::items(&value)?.iter().any(Value::is_truthy))),
    test(&["all"], &[], |_, value, _| Ok(operators::items(&value)?.iter().all(Value::is_truthy))),
    test(&["truthy"], &["convert_bool"], truthy),
    test(&["falsy"], &["convert_bool"], |context, value, given| truthy(context, value, given).map(|truthy| !truthy)),
    // Vault values arrive decrypted and marked.
    test(&["vault_encrypted"], &[], |_, value, _| Ok(matches!(value, Value::Text(text) if text.is_secret()))),
    test(&["vaulted_file"], &[], |context, value, _| ask(context, "vaulted_file", &value)),
    test(&["subset", "issubset"], &["b!"], |_, value, given| subset(&value, &given.value(0, Value::Null))),
    test(&["superset", "issuperset"], &["b!"], |_, value, given| subset(&given.value(0, Value::Null), &value)),
    test(&["isnan", "nan"], &[], |_, value, _| match value {
        Value::Float(number) => Ok(number.is_nan()),
        other => super::methods::as_float(&other).map(f64::is_nan),
    }),
    test(&["abs", "is_abs"], &[], |_, value, _| Ok(strict_text(&value)?.starts_with('/'))),
    test(&["directory", "is_dir"], &[], |context, value, _| ask(context, "directory", &value)),
    test(&["file", "is_file"], &[], |context, value, _| ask(context, "file", &value)),
    test(&["link", "is_link"], &[], |context, value, _| ask(context, "link", &value)),
    test(&["exists"], &[], |context, value, _| ask(context, "exists", &value)),
    test(&["link_exists"], &[], |context, value, _| ask(context, "link_exists", &value)),
    test(&["mount", "is_mount"], &[], |context, value, _| ask(context, "mount", &value)),
    test(&["same_file", "is_same_file"], &["path!"], |context, value, given| {
        let other = given.value(0, Value::Null);
        context.evaluator.scope.path_test("same_file", &[strict_text(&value)?, strict_text(&other)?])
    }),
    test(&["uri"], &["schemes"], |_, value, given| uri(&value, given.some(0))),
    test(&["url"], &["schemes"], |_, value, given| url(&value, given.some(0))),
    test(&["urn"], &[], |_, value, _| uri(&value, Some(&Value::list(vec!["urn".into()])))),
];

/// The test of that name, with or without `ansible.builtin.`.
pub fn find(name: &str) -> Option<&'static Test> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Test>> = OnceLock::new();
    let index = INDEX.get_or_init(|| TESTS.iter().flat_map(|test| test.names.iter().map(move |name| (*name, test))).collect());
    index.get(name).copied()
}

/// All tests' names, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = TESTS.iter().flat_map(|test| test.names.iter().copied()).collect();
    names.sort_unstable();
    names
}

/// The error of a test that does not exist.
pub fn unknown(name: &str) -> Error {
    let error = Error::new(ErrorKind::Syntax, format!("no test named '{name}'"));
    match suggest::hint(&short_name(name), names().into_iter()) {
        Some(hint) => error.hint(hint),
        None if filters::find(&short_name(name)).is_some() => error.hint(format!("'{name}' is a filter: write `| {name}`")),
        None if name.contains('.') => error.hint("tests of collections other than ansible.builtin are not supported"),
        None => error,
    }
}

/// Asks a test: a boolean, or an undefined value where it was given one.
pub fn apply(context: &Context, name: &str, input: Value, mut arguments: Arguments) -> Result<Value> {
    let Some(test) = find(name) else { return Err(unknown(name)) };
    let evaluator = context.evaluator;
    let mut input = input;
    if test.accepts_undefined {
        let bound = arguments.bind(name, test.parameters)?;
        return (test.run)(context, input, bound).map(Value::Bool);
    }
    std::iter::once(&mut input).chain(arguments.values_mut()).filter(|value| is_nothing(value)).for_each(|value| *value = Value::text(""));
    if let Some(undefined) = std::iter::once(&input).chain(arguments.values()).find(|value| matches!(value, Value::Undefined(_))) {
        return Ok(undefined.clone());
    }
    for value in std::iter::once(&mut input).chain(arguments.values_mut()) {
        operators::known(value)?;
        // Results of tasks are asked for one member: the rest is not evaluated.
        let shallow = matches!(
            test.names[0],
            "failed" | "succeeded" | "changed" | "skipped" | "mapping" | "sequence" | "iterable" | "string" | "none"
        );
        let taken = std::mem::take(value);
        let resolved = if shallow { evaluator.resolve(taken) } else { evaluator.deep(taken) };
        *value = match resolved {
            Err(error) if error.is_undefined() => return Ok(Value::Undefined(error.message.into())),
            other => other?,
        };
        if shallow { evaluator.note(value) } else { evaluator.note_all(value) }
    }
    let what = format!("the test '{}'", test.names[0]);
    let bound = arguments.bind(&what, test.parameters)?;
    match (test.run)(context, input, bound) {
        Ok(truth) => Ok(Value::Bool(truth)),
        Err(error) if error.is_undefined() => Ok(Value::Undefined(error.message.into())),
        Err(mut error) => {
            if error.kind == ErrorKind::Failed {
                error.message = format!("{what} failed: {}", error.message);
            }
            Err(error)
        }
    }
}

fn ask(context: &Context, test: &str, value: &Value) -> Result<bool> {
    context.evaluator.scope.path_test(test, &[strict_text(value)?])
}

fn order(sign: &str, value: &Value, given: &Bound) -> Result<Option<Ordering>> {
    operators::compare(sign, value, &given.value(0, Value::Null))
}

fn divisible(_: &Context, value: Value, given: Bound) -> Result<bool> {
    match operators::remainder(&value, &given.value(0, Value::Null))? {
        Value::Int(rest) => Ok(rest == 0),
        Value::Float(rest) => Ok(rest == 0.0),
        _ => Ok(false),
    }
}

fn result(value: &Value) -> Result<&crate::program::Map> {
    value.as_map().ok_or_else(|| {
        Error::failed(format!("the test expects a dictionary, not '{}'", value.type_name())).hint("ask it of a registered result")
    })
}

fn flag(value: &Value, name: &str) -> Result<bool> {
    let Some(found) = result(value)?.get(name) else { return Ok(false) };
    operators::known(found)?;
    Ok(found.is_truthy())
}

fn has(value: &Value, name: &str) -> Result<bool> {
    Ok(result(value)?.contains_key(name))
}

fn changed(_: &Context, value: Value, _: Bound) -> Result<bool> {
    if has(&value, "changed")? {
        return flag(&value, "changed");
    }
    let results = value.get("results").and_then(Value::as_list).unwrap_or_default();
    results.iter().filter(|item| item.as_map().is_some()).try_fold(false, |changed, item| Ok(changed || flag(item, "changed")?))
}

fn matches(value: &Value, given: &Bound, how: &str) -> Result<bool> {
    regex::matches(&text(value)?, &given.text(0, "")?, given.truth(1, false)?, given.truth(2, false)?, how)
}

fn truthy(_: &Context, value: Value, given: Bound) -> Result<bool> {
    if given.truth(0, false)?
        && let Value::Text(text) = &value
    {
        match text.as_str().to_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => return Ok(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => return Ok(false),
            _ => {}
        }
    }
    Ok(value.is_truthy())
}

fn subset(inner: &Value, outer: &Value) -> Result<bool> {
    let outer = operators::items(outer)?;
    Ok(operators::items(inner)?.iter().all(|item| outer.contains(item)))
}

/// Scheme and host as Python's `urlsplit` finds them; `None`: it refuses the text.
fn address(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches(|letter: char| letter <= ' ');
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    };
    let (scheme, rest) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).unwrap_or(("", text));
    let host = rest.strip_prefix("//").map_or("", |rest| &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]);
    (host.contains('[') == host.contains(']')).then(|| (scheme.to_lowercase(), host))
}

/// Ansible's: nearly every text is a URI, unless schemes are given.
fn uri(value: &Value, schemes: Option<&Value>) -> Result<bool> {
    operators::known(value)?;
    let Some((scheme, _)) = value.as_str().and_then(address) else { return Ok(false) };
    schemes.filter(|schemes| schemes.is_truthy()).map_or(Ok(true), |schemes| operators::contains(schemes, &scheme.into()))
}

fn url(value: &Value, schemes: Option<&Value>) -> Result<bool> {
    let (scheme, host) = value.as_str().and_then(address).unwrap_or_default();
    Ok(uri(value, schemes)? && (!host.is_empty() || scheme == "file"))
}

fn version(_: &Context, value: Value, given: Bound) -> Result<bool> {
    let wanted = given.value(0, Value::Null);
    if !value.is_truthy() {
        return Err(Error::failed("Input version value cannot be empty"));
    }
    if !wanted.is_truthy() {
        return Err(Error::failed("Version parameter to compare against cannot be empty"));
    }
    if given.some(2).is_some() && given.some(3).is_some() {
        return Err(Error::failed("Cannot specify both 'strict' and 'version_type'"));
    }
    let kind = if given.truth(2, false)? { "strict".to_owned() } else { given.text(3, "loose")? };
    let order = versions::compare(&text(&value)?, &text(&wanted)?, &kind)?;
    let operator = given.text(1, "eq")?;
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        other => {
            return Err(Error::failed(format!("Invalid operator type ({other})")).hint("one of ==, <, <=, >, >=, !="));
        }
    })
}

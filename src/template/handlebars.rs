//! Handlebars for files that end in `.hbs`: strict, plain text, no surprises.
//!
//! Stricter than the library: a missing name is an error in `#if` too (say `#if (defined name)`), so is printing null, a
//! list or a mapping (say `toYaml`, `json` or `#each`); nothing is escaped for HTML; and a variable may be called as a helper
//! is (`raw`, `log`, `and`, …: the library prints nothing for those).
//!
//! Helpers besides the library's: `toYaml value [indent=N]`, `json value`, `default value other`, `defined value`.

pub mod reads;

use std::sync::Arc;

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, Path, PathAndJson, RenderContext, RenderError, RenderErrorReason,
    Renderable, ScopedJson, Template,
};
use serde_json::Value as Json;

use super::{Error, ErrorKind, Result};
use crate::program::{Map, Value};

/// A helper's name that no template can write.
const PRINT: &str = "\u{1}print";
/// Begins texts that stand for a value a plan cannot know; its cause follows.
const UNKNOWN: &str = "\u{1}unknown:";

/// Renders a template's text; `name` is what errors call it.
pub fn render(name: &str, text: &str, variables: &Map) -> Result<String> {
    let mut template = Template::compile(text).map_err(|error| {
        let place = error.pos().map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        Error::syntax(format!("{name}{place}: {}", error.reason()))
    })?;
    strict(&mut template);
    let mut registry = Handlebars::new();
    registry.register_escape_fn(handlebars::no_escape);
    registry.set_strict_mode(true);
    registry.register_helper(PRINT, Box::new(Print));
    registry.register_helper("if", Box::new(If { wanted: true }));
    registry.register_helper("unless", Box::new(If { wanted: false }));
    registry.register_helper("toYaml", Box::new(ToYaml));
    registry.register_helper("json", Box::new(ToJson));
    registry.register_helper("default", Box::new(Default));
    registry.register_helper("defined", Box::new(Defined));
    registry.register_template(name, template);
    let context = Context::wraps(json(variables)).map_err(|error| Error::failed(format!("{name}: {error}")))?;
    registry.render_with_context(name, &context).map_err(|error| failure(name, &error, variables))
}

fn json(variables: &Map) -> Json {
    fn of(value: &Value) -> Json {
        match value {
            Value::Unknown(cause) => Json::String(format!("{UNKNOWN}{cause}")),
            Value::List(items) | Value::Tuple(items) => Json::Array(items.iter().map(of).collect()),
            Value::Map(entries) => entries.iter().map(|(key, value)| (key.text().into_owned(), of(value))).collect(),
            other => other.to_json(true),
        }
    }
    variables.iter().map(|(key, value)| (key.text().into_owned(), of(value))).collect()
}

fn failure(name: &str, error: &RenderError, variables: &Map) -> Error {
    let reason = error.reason().to_string();
    if let Some((_, cause)) = reason.split_once(UNKNOWN) {
        return Error::unknown(Arc::<str>::from(cause));
    }
    // A member of what a plan cannot know is as little known.
    let path = match error.reason() {
        RenderErrorReason::MissingVariable(path) => path.as_deref(),
        _ => reason.split('`').nth(1),
    };
    if let Some(cause) = path.and_then(|path| unknown_on(path, variables)) {
        return Error::unknown(cause);
    }
    let place = match (error.line_no, error.column_no) {
        (Some(line), Some(column)) => format!(":{line}:{column}"),
        _ => String::new(),
    };
    let missing = matches!(error.reason(), RenderErrorReason::MissingVariable(_)) || reason.contains("is not defined");
    let kind = if missing { ErrorKind::Undefined } else { ErrorKind::Failed };
    Error::new(kind, format!("{name}{place}: {reason}"))
}

/// Why the value at a path such as `a.b.c`, or one that it is a member of, is not known.
fn unknown_on(path: &str, variables: &Map) -> Option<Arc<str>> {
    let mut map = variables;
    for part in path.split('.') {
        match map.get(part.trim_matches(['[', ']']))? {
            Value::Unknown(cause) => return Some(Arc::clone(cause)),
            Value::Map(inner) => map = inner,
            _ => return None,
        }
    }
    None
}

/// Every `{{name}}` and `{{{name}}}` prints a variable, whatever helpers there are.
fn strict(template: &mut Template) {
    for element in &mut template.elements {
        let made = match element {
            TemplateElement::Expression(expression) | TemplateElement::HtmlExpression(expression) => {
                print_variable(expression);
                Some(TemplateElement::Expression(expression.clone()))
            }
            TemplateElement::HelperBlock(block) => {
                for inner in [&mut block.template, &mut block.inverse].into_iter().flatten() {
                    strict(inner);
                }
                None
            }
            _ => None,
        };
        if let Some(made) = made {
            *element = made;
        }
    }
}

fn print_variable(expression: &mut HelperTemplate) {
    if expression.block || !expression.params.is_empty() || !expression.hash.is_empty() {
        return;
    }
    let variable = match &expression.name {
        Parameter::Name(name) => Path::parse(name).ok().map(Parameter::Path),
        other => Some(other.clone()),
    };
    if let Some(variable) = variable {
        expression.params.push(variable);
        expression.name = Parameter::Name(PRINT.to_owned());
    }
}

fn problem(message: impl Into<String>) -> RenderError {
    RenderErrorReason::Other(message.into()).into()
}

/// The parameter's value; missing and not known are errors.
fn value<'helper>(helper: &'helper Helper<'_>, index: usize) -> Result<&'helper Json, RenderError> {
    let parameter = helper.param(index).ok_or(RenderErrorReason::ParamNotFoundForIndex("helper", index))?;
    if parameter.is_value_missing() {
        return Err(problem(format!("`{}` is not defined", called(parameter))));
    }
    known(parameter.value())
}

fn known(value: &Json) -> Result<&Json, RenderError> {
    let unknown = match value {
        Json::String(text) => text.starts_with(UNKNOWN).then_some(text),
        _ => None,
    };
    unknown.map_or(Ok(value), |text| Err(problem(text.as_str())))
}

/// Whether anything inside is not known.
fn all_known(value: &Json) -> Result<(), RenderError> {
    match value {
        Json::Array(items) => items.iter().try_for_each(all_known),
        Json::Object(entries) => entries.values().try_for_each(all_known),
        other => known(other).map(drop),
    }
}

fn called(parameter: &PathAndJson<'_>) -> String {
    parameter.relative_path().cloned().unwrap_or_else(|| "the value".to_owned())
}

struct Print;

impl HelperDef for Print {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let name = || helper.param(0).map(called).unwrap_or_default();
        match value(helper, 0)? {
            Json::Null => Err(problem(format!("`{}` is null: nothing to print", name()))),
            Json::Array(_) => {
                Err(problem(format!("`{0}` is a list: write {{{{toYaml {0}}}}}, {{{{json {0}}}}} or {{{{#each {0}}}}}", name())))
            }
            Json::Object(_) => Err(problem(format!("`{0}` is a mapping: write {{{{toYaml {0}}}}} or {{{{json {0}}}}}", name()))),
            other => Ok(ScopedJson::Derived(other.clone())),
        }
    }
}

/// `if` and `unless`, for which a missing name is an error.
struct If {
    wanted: bool,
}

impl HelperDef for If {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        registry: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        use handlebars::JsonTruthy;
        let include_zero = helper.hash_get("includeZero").and_then(|given| given.value().as_bool()).unwrap_or(false);
        let truth = value(helper, 0)?.is_truthy(include_zero);
        let chosen = if truth == self.wanted { helper.template() } else { helper.inverse() };
        chosen.map_or(Ok(()), |template| template.render(registry, context, render, out))
    }
}

struct Defined;

impl HelperDef for Defined {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let given = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("defined", 0))?;
        Ok(ScopedJson::Derived(Json::Bool(!given.is_value_missing() && !given.value().is_null())))
    }
}

/// The first that is defined and not null.
struct Default;

impl HelperDef for Default {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let given = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("default", 0))?;
        let chosen = if given.is_value_missing() || given.value().is_null() { value(helper, 1)? } else { known(given.value())? };
        Ok(ScopedJson::Derived(chosen.clone()))
    }
}

struct ToJson;

impl HelperDef for ToJson {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let given = value(helper, 0)?;
        all_known(given)?;
        Ok(ScopedJson::Derived(Json::String(given.to_string())))
    }
}

struct ToYaml;

impl HelperDef for ToYaml {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let given = value(helper, 0)?;
        all_known(given)?;
        let indent = helper.hash_get("indent").and_then(|given| given.value().as_u64()).unwrap_or(0) as usize;
        Ok(ScopedJson::Derived(Json::String(yaml(given, indent))))
    }
}

/// Block style without a newline at the end; the first line is not indented (the template has its blanks). Every text that
/// YAML 1.1 or 1.2 could read as something else is quoted.
pub fn yaml(value: &Json, indent: usize) -> String {
    let mut text = String::new();
    block(value, indent, &mut text);
    text.trim_end_matches('\n').trim_start().to_owned()
}

fn block(value: &Json, indent: usize, text: &mut String) {
    let blanks = " ".repeat(indent);
    match value {
        Json::Object(entries) if !entries.is_empty() => {
            for (name, value) in entries {
                text.push_str(&blanks);
                text.push_str(&scalar(&Json::String(name.clone())));
                text.push(':');
                match value {
                    Json::Object(inner) if !inner.is_empty() => {
                        text.push('\n');
                        block(value, indent + 2, text);
                    }
                    Json::Array(inner) if !inner.is_empty() => {
                        text.push('\n');
                        block(value, indent, text);
                    }
                    other => {
                        text.push(' ');
                        text.push_str(&scalar(other));
                        text.push('\n');
                    }
                }
            }
        }
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                block(item, indent + 2, &mut inner);
                text.push_str(&blanks);
                text.push_str("- ");
                text.push_str(inner.trim_start_matches(' '));
            }
        }
        other => {
            text.push_str(&blanks);
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "_./-".contains(letter);
            let begins = text.chars().next().is_some_and(|letter| letter.is_ascii_alphabetic() || letter == '_' || letter == '/');
            let word = text.to_ascii_lowercase();
            let reserved = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&word.as_str());
            if begins && !reserved && text.chars().all(plain) { text.clone() } else { value.to_string() }
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Map {
        let json = serde_json::json!({
            "name": "a & <b>", "raw": "R", "log": "L", "and": "A", "nodes": ["x", "y"], "settings": {"on": "yes", "n": 1, "list": [{"a": 1, "b": [2]}, []]},
            "nothing": null, "zero": 0, "truth": false, "this_one": {"raw": "inner"},
        });
        Value::from(json).as_map().cloned().expect("is a mapping")
    }

    fn rendered(text: &str) -> Result<String, String> {
        render("x.hbs", text, &variables()).map_err(|error| error.message)
    }

    #[test]
    fn variables_print_as_they_are() {
        assert_eq!(rendered("{{name}} {{{name}}} {{zero}} {{truth}}").as_deref(), Ok("a & <b> a & <b> 0 false"));
    }

    #[test]
    fn variables_may_be_called_as_helpers_are() {
        assert_eq!(rendered("{{raw}}{{log}}{{and}}{{this_one.raw}}{{#with this_one}}{{raw}}{{/with}}").as_deref(), Ok("RLAinnerinner"));
    }

    #[test]
    fn what_is_missing_is_an_error_with_its_place() {
        assert_eq!(rendered("a\n{{missing}}"), Err("x.hbs:2:1: `missing` is not defined".to_owned()));
        assert_eq!(rendered("{{#if missing}}a{{/if}}"), Err("x.hbs:1:1: `missing` is not defined".to_owned()));
        assert!(rendered("{{#each missing}}a{{/each}}").is_err());
        assert!(rendered("{{#if (defined missing)}}a{{else}}b{{/if}}").as_deref() == Ok("b"));
        assert_eq!(rendered("{{default missing \"d\"}}{{default name \"d\"}}").as_deref(), Ok("da & <b>"));
        assert!(rendered("{{nosuch name}}").is_err());
        assert!(rendered("{{#if name}}a").is_err());
    }

    #[test]
    fn containers_and_null_are_not_printed() {
        assert_eq!(
            rendered("{{settings}}"),
            Err("x.hbs:1:1: `settings` is a mapping: write {{toYaml settings}} or {{json settings}}".to_owned())
        );
        assert!(rendered("{{nodes}}").is_err());
        assert!(rendered("{{nothing}}").is_err());
    }

    #[test]
    fn blocks_work_as_in_handlebars() {
        assert_eq!(rendered("{{#each nodes}}{{@index}}={{this}} {{/each}}{{#unless truth}}u{{/unless}}").as_deref(), Ok("0=x 1=y u"));
        assert_eq!(rendered("{{#each nodes as |node|}}{{node}}{{#unless @last}},{{/unless}}{{/each}}").as_deref(), Ok("x,y"));
        assert_eq!(rendered("{{#if zero}}a{{else if name}}b{{else}}c{{/if}}").as_deref(), Ok("b"));
    }

    #[test]
    fn yaml_and_json_are_safe_to_read_again() {
        let expected = "s:\n  \"on\": \"yes\"\n  \"n\": 1\n  list:\n  - a: 1\n    b:\n    - 2\n  - []";
        assert_eq!(rendered("s:\n  {{toYaml settings indent=2}}").as_deref(), Ok(expected));
        assert_eq!(rendered("{{json nodes}}").as_deref(), Ok("[\"x\",\"y\"]"));
    }

    #[test]
    fn what_a_plan_cannot_know_is_unknown_because_of_its_cause() {
        let mut variables = variables();
        variables.insert("token".into(), Value::unknown("run kubeadm token"));
        for text in
            ["{{token}}", "{{#if token}}a{{/if}}", "{{default token 1}}", "{{json token}}", "{{token.stdout}}", "{{#if token.a.b}}a{{/if}}"]
        {
            let error = render("x.hbs", text, &variables).expect_err("is not known");
            assert_eq!(error.unknown_cause().map(|cause| &**cause), Some("run kubeadm token"), "{text}");
        }
        assert_eq!(render("x.hbs", "{{name}}", &variables).ok().as_deref(), Some("a & <b>"));
    }
}

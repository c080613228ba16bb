//! `meta/argument_specs.yml`: a role's arguments, checked by an `assert` before its tasks.
//!
//! Ansible inserts a `validate_argument_spec` task; ours asserts that required options are defined, and that choices and
//! mappings are what they must be. Sub-options (`options` inside an option) are checked one level down for what is required.

use std::sync::Arc;

use super::loader::{Loader, digest};
use super::role::text_value;
use crate::program::{Argument, Arguments, Keywords, Step, Task, Template, Tree};
use crate::source::{Diagnostic, Node};

/// Types that an option may have.
const TYPES: &[&str] = &["str", "list", "dict", "bool", "int", "float", "path", "raw", "jsonarg", "json", "bytes", "bits"];

/// The task, or none where nothing is to be checked.
pub fn validation(loader: &mut Loader, specification: &Node, entry_point: &str) -> Option<Step> {
    let mut name = format!("Validating arguments against arg spec '{entry_point}'");
    if let Some(description) = specification.get("short_description").and_then(Node::text) {
        name = format!("{name} - {description}");
    }
    let mut conditions = Vec::new();
    if let Some(options) = specification.get("options") {
        if options.as_map().is_none() && !options.is_null() {
            loader.mistake(Diagnostic::at(options, format!("`options` must be a mapping, found {}", options.describe())));
        }
        for (key, option) in options.entries() {
            let Some(option_name) = key.text() else { continue };
            option_conditions(loader, option_name, key, option, &mut conditions);
        }
    }
    let that = conditions.into_iter().map(|(source, span)| Tree::Expression(Template { source: Arc::from(source), span })).collect();
    let argument = |name: &str, value| Argument { name: name.into(), value, span: specification.span };
    Some(Step::Task(Box::new(Task {
        name: Some(text_value(&name)),
        span: specification.span,
        keywords: Keywords { tags: vec![text_value("always")], ..Keywords::default() },
        module: "assert".into(),
        module_as_written: "ansible.builtin.validate_argument_spec".into(),
        arguments: Arguments {
            named: vec![
                argument("that", Tree::List(that)),
                argument("quiet", Tree::Literal(true.into())),
                argument("success_msg", text_value("The arg spec validation passed")),
            ],
            ..Arguments::default()
        },
        digest: digest(specification),
        ..Task::default()
    })))
}

fn option_conditions(loader: &mut Loader, name: &str, key: &Node, option: &Node, conditions: &mut Vec<(String, crate::program::Span)>) {
    let required = option.get("required").is_some_and(|node| node.text() == Some("true") || node.text() == Some("yes"));
    if required {
        conditions.push((format!("{name} is defined"), key.span));
    }
    let kind = option.get("type");
    if let Some(kind) = kind
        && let Some(text) = kind.text()
        && !TYPES.contains(&text)
    {
        loader.mistake(Diagnostic::at(kind, format!("unknown type `{text}` of the option `{name}`")).suggest(text, TYPES.iter().copied()));
    }
    if let Some(choices) = option.get("choices") {
        match choices.as_list() {
            Some(items) => {
                let words: Vec<String> =
                    items.iter().map(|item| crate::module::arguments::text(&item.value()).unwrap_or_default()).collect();
                let list = words
                    .iter()
                    .map(|word| format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'")))
                    .collect::<Vec<_>>()
                    .join(", ");
                let condition = if kind.and_then(Node::text) == Some("list") {
                    format!("{name} is undefined or {name} | map('string') | difference([{list}]) | length == 0")
                } else {
                    format!("{name} is undefined or {name} | string in [{list}]")
                };
                conditions.push((condition, choices.span));
            }
            None => loader.mistake(Diagnostic::at(choices, format!("`choices` must be a list, found {}", choices.describe()))),
        }
    }
    if kind.and_then(Node::text) == Some("dict") {
        conditions.push((format!("{name} is undefined or {name} is mapping"), option.span));
        for (inner, option) in option.get("options").into_iter().flat_map(Node::entries) {
            if let Some(inner_name) = inner.text()
                && option.get("required").is_some_and(|node| node.text() == Some("true") || node.text() == Some("yes"))
            {
                conditions.push((format!("{name} is undefined or '{inner_name}' in {name}"), inner.span));
            }
        }
    }
}

//! `-e`: extra variables from the command line.

use std::path::Path;
use std::sync::Arc;

use super::files::{Files, is_variable_name};
use crate::program::{Layer, Span, Template, Tree, Value, Variable};
use crate::source::{Diagnostic, NodeKind, free_form, has_template, yaml};

/// `key=value key="two words"`, a mapping as YAML or JSON, or `@file` (relative to `base`); later ones win.
pub fn extra_vars(files: &mut Files, base: &Path, given: &[String]) -> Layer {
    let mut layer = Layer { origin: "extra vars".into(), variables: Vec::new() };
    for (index, text) in given.iter().enumerate() {
        if let Some(name) = text.strip_prefix('@') {
            let path = files.resolve(base, name);
            if let Some(document) = files.yaml(&path) {
                layer.variables.extend(files.layer("extra vars", &document.node, document.secret).variables);
            }
        } else if text.trim_start().starts_with(['{', '[']) {
            let name = format!("-e (argument {})", index + 1);
            let file = files.sources.add(name.as_str(), Path::new(&name), text.as_str());
            let Some(node) = yaml::document(&files.sources, file, &mut files.diagnostics) else { continue };
            if matches!(node.kind, NodeKind::Map(_)) {
                layer.variables.extend(files.layer("extra vars", &node, false).variables);
            } else {
                files.diagnostics.push(Diagnostic::at(&node, format!("extra variables must be a mapping, found {}", node.describe())));
            }
        } else if text.starts_with(['/', '.']) {
            let name = format!("-e (argument {})", index + 1);
            let file = files.sources.add(name.as_str(), Path::new(&name), text.as_str());
            let place = Span { file, line: 1, column: 1 };
            let mistake = Diagnostic::error("a file of variables is given with `@`", place, text.chars().count() as u32);
            files.diagnostics.push(mistake.label(format!("write `-e @{text}`")));
        } else {
            pairs(files, &mut layer, text, index);
        }
    }
    layer
}

fn pairs(files: &mut Files, layer: &mut Layer, text: &str, index: usize) {
    let name = format!("-e (argument {})", index + 1);
    let file = files.sources.add(name.as_str(), Path::new(&name), text);
    let place = |offset: usize| Span { file, line: 1, column: text.get(..offset).map_or(1, |before| before.chars().count() as u32 + 1) };
    let width = text.chars().count() as u32;
    let Ok(parsed) = free_form::parse(text, false) else {
        files.diagnostics.push(Diagnostic::error("quotes do not close in extra variables", place(0), width));
        return;
    };
    if let Some(rest) = &parsed.rest {
        let mistake = Diagnostic::error(
            format!("extra variables are key=value, not `{}`", rest.trim()),
            place(parsed.rest_at),
            rest.trim().chars().count() as u32,
        );
        files.diagnostics.push(mistake.hint("write `-e name=value`, `-e '{\"name\": \"value\"}'` or `-e @file.yml`"));
    }
    for pair in parsed.pairs {
        if !is_variable_name(&pair.key) {
            let mistake =
                Diagnostic::error(format!("`{}` cannot be a variable's name", pair.key), place(pair.at), pair.key.chars().count() as u32);
            files.diagnostics.push(mistake);
            continue;
        }
        let span = place(pair.value_at);
        let value = if has_template(&pair.value) {
            Tree::Template(Template { source: pair.value.as_str().into(), span })
        } else {
            Tree::Literal(Value::text(pair.value))
        };
        layer.variables.push(Variable { name: pair.key.into(), value: Arc::new(value), span: place(pair.at) });
    }
}

//! What a Handlebars file reads and what is wrong with it, found without rendering it.

use std::collections::BTreeSet;
use std::sync::Arc;

use handlebars::template::{HelperTemplate, Parameter, Template, TemplateElement};
use handlebars::{Path, PathSeg};

use crate::template::reads::{Name, Problem, Reads};
use crate::template::suggest;

/// The library's helpers and ours.
const HELPERS: [&str; 21] = [
    "if", "unless", "each", "with", "lookup", "raw", "log", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len", "toYaml",
    "json", "default", "defined",
];

/// Reads the text; an error of its syntax is the problem.
pub fn of(text: &str) -> Result<Reads, Problem> {
    let template = Template::compile(text).map_err(|error| {
        let (line, column) = error.pos().unwrap_or((1, 1));
        unmatched(text).unwrap_or_else(|| Problem {
            message: match error.reason().to_string() {
                // The parser's list of the rules that it tried.
                reason if reason.contains(": expected ") => "syntax error: this is no Handlebars expression".to_owned(),
                reason => format!("syntax error: {reason}"),
            },
            hint: Some("write `{{name}}`, `{{helper name}}` or `{{#if name}}…{{/if}}`; `\\{{` is the braces themselves".to_owned()),
            at: offset(text, line, column),
            word: "".into(),
        })
    })?;
    let mut walk = Walk { text, reads: Reads::default(), tested: BTreeSet::new() };
    walk.template(&template, false);
    walk.reads.tested = walk.tested;
    Ok(walk.reads)
}

struct Walk<'text> {
    text: &'text str,
    reads: Reads,
    tested: BTreeSet<Arc<str>>,
}

impl Walk<'_> {
    /// `inside` of a block that has names of its own, a name may be one of those.
    fn template(&mut self, template: &Template, inside: bool) {
        for (index, element) in template.elements.iter().enumerate() {
            let place = template.mapping.get(index).map_or((1, 1), |place| (place.0, place.1));
            let at = offset(self.text, place.0, place.1);
            match element {
                TemplateElement::Expression(expression) | TemplateElement::HtmlExpression(expression) => {
                    self.expression(expression, at, inside);
                }
                TemplateElement::HelperBlock(block) => {
                    self.expression(block, at, inside);
                    let own_names = matches!(&block.name, Parameter::Name(name) if name == "each" || name == "with");
                    for inner in [&block.template, &block.inverse].into_iter().flatten() {
                        self.template(inner, inside || own_names);
                    }
                }
                _ => {}
            }
        }
    }

    fn expression(&mut self, expression: &HelperTemplate, at: u32, inside: bool) {
        let is_variable = !expression.block && expression.params.is_empty() && expression.hash.is_empty();
        let name = match &expression.name {
            Parameter::Name(name) => name.as_str(),
            other => return self.parameter(other, at, inside, false),
        };
        if is_variable {
            if let Ok(path) = Path::parse(name) {
                self.parameter(&Parameter::Path(path), at, inside, false);
            }
            return;
        }
        if !HELPERS.contains(&name) {
            self.reads.problems.push(Problem {
                message: format!("there is no helper `{name}`"),
                hint: suggest::hint(name, HELPERS.into_iter()).or_else(|| Some(format!("there are {}", HELPERS.join(", ")))),
                at,
                word: name.into(),
            });
        }
        for (index, parameter) in expression.params.iter().enumerate() {
            self.parameter(parameter, at, inside, name == "defined" || name == "default" && index == 0);
        }
        expression.hash.values().for_each(|parameter| self.parameter(parameter, at, inside, false));
    }

    fn parameter(&mut self, parameter: &Parameter, at: u32, inside: bool, guarded: bool) {
        match parameter {
            Parameter::Path(Path::Relative((segments, _))) => {
                let Some(PathSeg::Named(name)) = segments.first() else { return };
                let name: Arc<str> = name.as_str().into();
                if guarded {
                    self.tested.insert(Arc::clone(&name));
                }
                self.reads.names.push(Name { name, at, guarded: guarded || inside });
            }
            Parameter::Subexpression(inner) => {
                if let TemplateElement::Expression(expression) = &*inner.element {
                    self.expression(expression, at, inside);
                }
            }
            _ => {}
        }
    }
}

/// The block that is never closed, or the end that closes none.
fn unmatched(text: &str) -> Option<Problem> {
    let mut open: Vec<(&str, usize)> = Vec::new();
    for (start, _) in text.match_indices("{{") {
        let inside = text[start + 2..].trim_start_matches(['{', '~', ' ']);
        let word = |from: &'_ str| from.trim_start().find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(from.len());
        if let Some(rest) = inside.strip_prefix('#') {
            let rest = rest.trim_start();
            open.push((&rest[..word(rest).min(rest.len())], start));
        } else if let Some(rest) = inside.strip_prefix('/') {
            let rest = rest.trim_start();
            let name = &rest[..word(rest).min(rest.len())];
            match open.pop() {
                Some((opened, _)) if opened == name => {}
                Some((opened, _)) => return Some(block(format!("`{{{{/{name}}}}}` where `{{{{/{opened}}}}}` is expected"), start)),
                None => return Some(block(format!("`{{{{/{name}}}}}` closes no block"), start)),
            }
        }
    }
    open.pop().map(|(name, start)| block(format!("`{{{{#{name}}}}}` is never closed: no `{{{{/{name}}}}}` follows"), start))
}

fn block(message: String, at: usize) -> Problem {
    Problem { message, hint: None, at: at as u32, word: "{{".into() }
}

/// The byte of a line and column, both from 1.
fn offset(text: &str, line: usize, column: usize) -> u32 {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let rest = text.get(before..).unwrap_or_default();
    let within = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(index, _)| index);
    (before + within) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, bool)> {
        of(text).expect("its syntax is good").names.iter().map(|name| (name.name.to_string(), name.guarded)).collect()
    }

    #[test]
    fn names_that_must_be_defined_are_told_from_those_of_blocks_and_tests() {
        let name = |name: &str, guarded| (name.to_owned(), guarded);
        assert_eq!(names("{{a.b}} {{{c}}} {{json d}}"), [name("a", false), name("c", false), name("d", false)]);
        assert_eq!(names("{{#each list}}{{name}}{{/each}}"), [name("list", false), name("name", true)]);
        assert_eq!(names("{{#if (defined a)}}{{default b c}}{{/if}}"), [name("a", true), name("b", true), name("c", false)]);
        assert!(of("{{#if (defined a)}}{{a}}{{/if}}").expect("good").tested.contains("a"));
    }

    #[test]
    fn syntax_and_helpers_are_checked_with_their_places() {
        let problem = of("one\ntwo {{#if a}}\n").expect_err("never closed");
        assert_eq!((problem.message.as_str(), problem.at), ("`{{#if}}` is never closed: no `{{/if}}` follows", 8));
        assert_eq!(of("{{/if}}").expect_err("refused").message, "`{{/if}}` closes no block");
        assert_eq!(of("{{#if a}}{{/each}}").expect_err("refused").message, "`{{/each}}` where `{{/if}}` is expected");
        assert_eq!(of("a {{ 1 + 1 }}").expect_err("refused").message, "syntax error: this is no Handlebars expression");
        let reads = of("one\n  {{toYml a}}\n").expect("good");
        assert_eq!(reads.problems[0].hint.as_deref(), Some("did you mean `toYaml`?"));
        assert_eq!(reads.problems[0].at, 6);
    }
}

//! values.schema.json: the keywords that charts use. One that is not known here is refused when the chart is loaded.
//!
//! Source: JSON Schema 2020-12, validation and core vocabularies (and `definitions` of draft 7).

use serde_json::Value;

use crate::source::Diagnostic;

/// Keywords that hold no rule of their own.
const SILENT: [&str; 14] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "definitions",
    "$defs",
    "format",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$anchor",
];
const RULES: [&str; 23] = [
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "minProperties",
    "maxProperties",
    "items",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "$ref",
    "allOf",
];
const CHOICES: [&str; 5] = ["anyOf", "oneOf", "not", "if", "then"];

/// Keywords of a schema, and of those inside of it, that are not known.
pub fn unsupported(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(schema, &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect(schema: &Value, found: &mut Vec<String>) {
    let Value::Object(keywords) = schema else { return };
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "definitions" | "$defs", Value::Object(inner)) => {
                inner.values().for_each(|schema| collect(schema, found));
            }
            ("items" | "additionalProperties" | "not" | "if" | "then" | "else", inner) => collect(inner, found),
            ("allOf" | "anyOf" | "oneOf", Value::Array(inner)) => inner.iter().for_each(|schema| collect(schema, found)),
            (keyword, _) if SILENT.contains(&keyword) || RULES.contains(&keyword) || CHOICES.contains(&keyword) => {}
            (keyword, _) => found.push(keyword.to_owned()),
        }
    }
}

/// Every value that does not fit, by its path.
pub fn check(schema: &Value, values: &Value) -> Vec<Diagnostic> {
    let mut checker = Checker { root: schema, found: Vec::new() };
    checker.value(schema, values, "", 0);
    checker.found
}

struct Checker<'schema> {
    root: &'schema Value,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn fail(&mut self, path: &str, message: impl AsRef<str>) {
        let shown = if path.is_empty() { "the values".to_owned() } else { format!("the value `{path}`") };
        self.found.push(Diagnostic::nowhere(format!("{shown} {}", message.as_ref())));
    }

    fn fits(&self, schema: &Value, value: &Value, depth: usize) -> bool {
        let mut inner = Checker { root: self.root, found: Vec::new() };
        inner.value(schema, value, "", depth);
        inner.found.is_empty()
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str, depth: usize) {
        let Value::Object(keywords) = schema else {
            if schema == &Value::Bool(false) {
                self.fail(path, "must not be there");
            }
            return;
        };
        // A `$ref` to itself would go on for ever.
        if depth > 64 {
            return;
        }
        for (keyword, rule) in keywords {
            self.keyword(keyword, rule, keywords, value, path, depth);
        }
    }

    fn keyword(&mut self, keyword: &str, rule: &Value, schema: &serde_json::Map<String, Value>, value: &Value, path: &str, depth: usize) {
        let size = rule.as_u64().unwrap_or_default() as usize;
        let limit = rule.as_f64().unwrap_or_default();
        let number = value.as_f64();
        match (keyword, value) {
            ("type", _) => {
                let names: Vec<&str> = rule
                    .as_array()
                    .map_or_else(|| rule.as_str().into_iter().collect(), |names| names.iter().filter_map(Value::as_str).collect());
                if !names.iter().any(|name| is_type(name, value)) {
                    self.fail(path, format!("must be {}, not {}", names.join(" or "), type_name(value)));
                }
            }
            ("enum", _) if !rule.as_array().is_some_and(|all| all.iter().any(|one| same(one, value))) => {
                let all: Vec<String> =
                    rule.as_array().into_iter().flatten().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
                self.fail(path, format!("must be one of {}, not {value}", all.join(", ")));
                if let (Some(written), Some(diagnostic)) = (value.as_str(), self.found.pop()) {
                    self.found.push(diagnostic.suggest(written, all.iter().map(String::as_str)));
                }
            }
            ("const", _) if !same(rule, value) => self.fail(path, format!("must be {rule}, not {value}")),
            ("required", Value::Object(entries)) => {
                for name in rule.as_array().into_iter().flatten().filter_map(Value::as_str).filter(|name| !entries.contains_key(*name)) {
                    self.fail(path, format!("must have `{name}`"));
                }
            }
            ("properties", Value::Object(entries)) => {
                for (name, inner) in rule.as_object().into_iter().flatten() {
                    if let Some(value) = entries.get(name) {
                        self.value(inner, value, &below(path, name), depth + 1);
                    }
                }
            }
            ("patternProperties", Value::Object(entries)) => {
                for (pattern, inner) in rule.as_object().into_iter().flatten() {
                    for (name, value) in entries.iter().filter(|(name, _)| matches(pattern, name)) {
                        self.value(inner, value, &below(path, name), depth + 1);
                    }
                }
            }
            ("additionalProperties", Value::Object(entries)) => {
                let known: Vec<&str> =
                    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect();
                let patterns: Vec<&String> =
                    schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten().map(|(pattern, _)| pattern).collect();
                // `global` is every chart's.
                let is_known = |name: &str| {
                    known.contains(&name) || patterns.iter().any(|pattern| matches(pattern, name)) || (path.is_empty() && name == "global")
                };
                for (name, value) in entries.iter().filter(|(name, _)| !is_known(name)) {
                    if rule == &Value::Bool(false) {
                        self.found.push(
                            Diagnostic::nowhere(format!("the chart knows no value `{}`", below(path, name)))
                                .suggest(name, known.iter().copied()),
                        );
                    } else {
                        self.value(rule, value, &below(path, name), depth + 1);
                    }
                }
            }
            ("minProperties", Value::Object(entries)) if entries.len() < size => {
                self.fail(path, format!("must have {size} entries or more"));
            }
            ("maxProperties", Value::Object(entries)) if entries.len() > size => {
                self.fail(path, format!("must have {size} entries at most"));
            }
            ("items", Value::Array(items)) => {
                items.iter().enumerate().for_each(|(index, item)| self.value(rule, item, &format!("{path}[{index}]"), depth + 1));
            }
            ("minItems", Value::Array(items)) if items.len() < size => self.fail(path, format!("must have {size} items or more")),
            ("maxItems", Value::Array(items)) if items.len() > size => self.fail(path, format!("must have {size} items at most")),
            ("uniqueItems", Value::Array(items))
                if rule == &Value::Bool(true) && items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) =>
            {
                self.fail(path, "must not have an item twice");
            }
            ("minimum", _) if number.is_some_and(|number| number < limit) => {
                self.fail(path, format!("must be {rule} or more, not {value}"));
            }
            ("maximum", _) if number.is_some_and(|number| number > limit) => {
                self.fail(path, format!("must be {rule} at most, not {value}"));
            }
            ("exclusiveMinimum", _) if number.is_some_and(|number| number <= limit) => {
                self.fail(path, format!("must be more than {rule}, not {value}"));
            }
            ("exclusiveMaximum", _) if number.is_some_and(|number| number >= limit) => {
                self.fail(path, format!("must be less than {rule}, not {value}"));
            }
            ("multipleOf", _) if number.is_some_and(|number| (number / limit).fract() != 0.0) => {
                self.fail(path, format!("must be a multiple of {rule}, not {value}"));
            }
            ("minLength", Value::String(text)) if text.chars().count() < size => {
                self.fail(path, if size == 1 { "must not be empty".to_owned() } else { format!("must have {size} characters or more") });
            }
            ("maxLength", Value::String(text)) if text.chars().count() > size => {
                self.fail(path, format!("must have {size} characters at most"));
            }
            ("pattern", Value::String(text)) if !matches(rule.as_str().unwrap_or_default(), text) => {
                self.fail(path, format!("must match {}, not {value}", rule.as_str().unwrap_or_default()));
            }
            ("$ref", _) => {
                let pointer = rule.as_str().and_then(|reference| reference.strip_prefix('#')).unwrap_or("/");
                match self.root.pointer(pointer) {
                    Some(inner) => self.value(inner, value, path, depth + 1),
                    None => self.fail(path, format!("cannot be checked: the schema has no {rule}")),
                }
            }
            ("allOf", _) => rule.as_array().into_iter().flatten().for_each(|inner| self.value(inner, value, path, depth + 1)),
            ("anyOf", _) if !rule.as_array().is_some_and(|all| all.iter().any(|inner| self.fits(inner, value, depth + 1))) => {
                self.fail(path, "fits none of the forms that the schema allows");
            }
            ("oneOf", _) => {
                let count = rule.as_array().into_iter().flatten().filter(|inner| self.fits(inner, value, depth + 1)).count();
                if count != 1 {
                    self.fail(path, format!("must fit exactly one of the forms that the schema allows, and fits {count}"));
                }
            }
            ("not", _) if self.fits(rule, value, depth + 1) => self.fail(path, "has a form that the schema forbids"),
            ("if", _) => {
                let next = if self.fits(rule, value, depth + 1) { "then" } else { "else" };
                if let Some(inner) = schema.get(next) {
                    self.value(inner, value, path, depth + 1);
                }
            }
            _ => {}
        }
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn matches(pattern: &str, text: &str) -> bool {
    fancy_regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text).unwrap_or(false))
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.total_cmp(&b).is_eq())
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        other => other == type_name(value),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_that_do_not_fit_are_named_by_their_path() {
        let schema = json!({
            "type": "object", "required": ["image"], "additionalProperties": false,
            "properties": {
                "image": {"type": "object", "properties": {"tag": {"type": "string", "minLength": 1}}},
                "replicas": {"$ref": "#/$defs/count"},
                "policy": {"enum": ["Always", "IfNotPresent"]},
                "list": {"type": "array", "items": {"type": "integer"}},
                "either": {"anyOf": [{"type": "null"}, {"pattern": "^a"}]},
            },
            "$defs": {"count": {"type": "integer", "minimum": 1}},
        });
        let found = |values: Value| {
            let mut all: Vec<String> =
                check(&schema, &values).into_iter().map(|found| found.message + found.label.as_deref().unwrap_or_default()).collect();
            all.sort();
            all
        };
        assert_eq!(
            found(json!({"image": {"tag": 1}, "replicas": 0, "policy": "allways", "list": [1, 1.5], "imgae": 1, "either": "b"})),
            [
                "the chart knows no value `imgae`did you mean `image`?",
                "the value `either` fits none of the forms that the schema allows",
                "the value `image.tag` must be string, not number",
                "the value `list[1]` must be integer, not number",
                "the value `policy` must be one of Always, IfNotPresent, not \"allways\"did you mean `Always`?",
                "the value `replicas` must be 1 or more, not 0",
            ]
        );
        assert_eq!(found(json!({})), ["the values must have `image`"]);
        assert!(found(json!({"image": {"tag": "x"}, "replicas": 2, "either": null, "global": {}})).is_empty());
    }

    #[test]
    fn unknown_keywords_are_found_wherever_they_stand() {
        assert_eq!(unsupported(&json!({"properties": {"dependentRequired": {"contains": {}}}, "description": "x"})), ["contains"]);
    }
}

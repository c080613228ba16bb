//! Pages and the editor's schema, from the declarations that the checks of a playbook use.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::keyword::{self, Place, Support};
use super::modules::STATEMENTS;
use crate::module::{Entry, Field, Kind, MODULES, Rule};
use crate::template::lookups::table::{self as lookups, LOOKUPS};

/// Every name that a playbook may write for a module.
fn names(entry: &Entry) -> Vec<String> {
    let mut names: Vec<String> = entry.names.iter().map(|name| (*name).to_owned()).collect();
    for short in entry.names.iter().filter(|name| !name.contains('.')) {
        for collection in ["ansible.builtin", "ansible.legacy"] {
            names.push(format!("{collection}.{short}"));
        }
    }
    names.sort();
    names.dedup();
    names
}

fn kind(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Path => "path".into(),
        Kind::Bool => "bool".into(),
        Kind::Int => "int".into(),
        Kind::Float => "float".into(),
        Kind::List(of) => format!("list of {}", self::kind(of)),
        Kind::Dict => "dict".into(),
        Kind::Raw => "any".into(),
        Kind::Choice(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" \\| "),
    }
}

/// Words of a documentation comment as one line of a table.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn ticked(names: &[&str], between: &str) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(between)
}

fn rule(rule: &Rule) -> String {
    match rule {
        Rule::MutuallyExclusive(names) => format!("at most one of {}", ticked(names, ", ")),
        Rule::RequiredOneOf(names) => format!("at least one of {}", ticked(names, ", ")),
        Rule::RequiredTogether(names) => format!("{} go together", ticked(names, ", ")),
        Rule::RequiredIf { argument, value, names, any } => {
            format!("`{argument}: {value}` needs {}", ticked(names, if *any { " or " } else { ", " }))
        }
        Rule::RequiredBy { argument, names } => format!("`{argument}` needs {}", ticked(names, ", ")),
    }
}

/// `docs/modules.md`.
pub fn modules_page() -> String {
    let mut page = String::from(
        "# Modules\n\n\
         Each with all of its arguments, from the declarations in `src/module/`; a test keeps this page equal to them. Short names are\n\
         `ansible.builtin.` ones. [playbook.schema.json](playbook.schema.json) has the same for editors.\n",
    );
    for entry in MODULES {
        let spec = entry.spec();
        let _ = write!(page, "\n## {}\n\n{}\n", entry.name(), line(spec.documentation).replace("\\|", "|"));
        let collections: Vec<&str> =
            entry.names.iter().copied().filter(|name| name.contains('.') && !name.starts_with("ansible.builtin.")).collect();
        if !collections.is_empty() {
            let _ = write!(page, "\nAlso {}.\n", ticked(&collections, ", "));
        }
        if !spec.fields.is_empty() {
            page.push_str("\n| argument | kind | default | |\n|---|---|---|---|\n");
        }
        for field in &spec.fields {
            row(&mut page, field.name, field);
            for inner in field.inside.map(|inside| inside().fields).unwrap_or_default() {
                row(&mut page, &format!("{}.{}", field.name, inner.name), &inner);
            }
        }
        if !spec.rules.is_empty() {
            let rules: Vec<String> = spec.rules.iter().map(rule).collect();
            let _ = write!(page, "\nRules: {}.\n", rules.join("; "));
        }
        match spec.free_form {
            Some(name) if spec.open => {
                let _ = write!(page, "\nFree text is `{name}`; further names are taken too.\n");
            }
            Some(name) => {
                let _ = write!(page, "\nFree text is `{name}`.\n");
            }
            None if spec.open => page.push_str("\nFurther names are taken too.\n"),
            None => {}
        }
    }
    page
}

fn row(page: &mut String, name: &str, field: &Field) {
    let aliases = if field.aliases.is_empty() { String::new() } else { format!(" ({})", ticked(field.aliases, ", ")) };
    let default = match field.default {
        Some("") => "empty".to_owned(),
        Some(default) => format!("`{}`", default.replace('|', "\\|")),
        None if field.required => "**required**".to_owned(),
        None => String::new(),
    };
    let secret = if field.secret { " Never shown." } else { "" };
    let _ = writeln!(page, "| `{name}`{aliases} | {} | {default} | {}{secret} |", kind(&field.kind), line(field.documentation));
}

/// `docs/lookups.md`.
pub fn lookups_page() -> String {
    let mut page = String::from(
        "# Lookups\n\n\
         Every lookup of ansible-core 2.19, and two of `community.general`, from the table in `src/template/lookups/table.rs`; a test keeps\n\
         this page equal to it. `lookup('NAME', TERM, …)`, `query('NAME', TERM, …)` and `with_NAME` take them; what is not there is told\n\
         before a run, with its place. Files are the project's: relative names are searched for as in Ansible (the role's `files/`, the\n\
         playbook's).\n\n\
         | lookup | | options | |\n|---|---|---|---|\n",
    );
    for lookup in LOOKUPS {
        let collection = lookup.collection.map(|name| format!(" ({name})")).unwrap_or_default();
        let (word, more) = match lookup.support {
            lookups::Support::Yes => ("yes", String::new()),
            lookups::Support::No { reason, instead } => ("**no**", format!(" Refused: {reason}. Instead: {instead}.")),
        };
        let text = line(&format!("{}{more}", lookup.documentation));
        let _ = writeln!(page, "| `{}`{collection} | {word} | {} | {text} |", lookup.name, ticked(lookup.options, ", "));
    }
    page
}

/// A template may stand for every value.
fn value(field: &Field) -> Value {
    let mut schema = match &field.kind {
        Kind::Bool => json!({"type": ["boolean", "string", "integer", "null"]}),
        Kind::Int => json!({"type": ["integer", "string", "null"]}),
        Kind::Float => json!({"type": ["number", "string", "null"]}),
        Kind::Dict => json!({"type": ["object", "string", "null"]}),
        // Editors offer the words; another text may be a template, and `yes` of YAML is a boolean.
        Kind::Choice(words) => json!({"anyOf": [{"enum": words}, {"pattern": "\\{[{%]"}, {"type": ["boolean", "null"]}]}),
        Kind::Text | Kind::Path | Kind::List(_) | Kind::Raw => json!({}),
    };
    schema["description"] = json!(line(field.documentation).replace("\\|", "|"));
    if let Some(default) = field.default {
        schema["default"] = json!(default);
    }
    schema
}

fn arguments(entry: &Entry) -> Value {
    let spec = entry.spec();
    let properties: Map<String, Value> =
        spec.fields.iter().flat_map(|field| field.names().map(move |name| (name.to_owned(), value(field)))).collect();
    let object = json!({"type": "object", "properties": properties, "additionalProperties": spec.open});
    let text = json!({"type": ["string", "number", "boolean", "null"]});
    // Free text, `key=value` words, or what `args` gives.
    json!({"description": line(spec.documentation).replace("\\|", "|"), "anyOf": [object, text]})
}

/// The keywords of a place, each with what is done with it; what is refused is left out.
fn keywords(place: Place) -> Map<String, Value> {
    let supported = keyword::KEYWORDS.iter().filter(|keyword| keyword.places.contains(&place));
    let described = supported.filter_map(|keyword| {
        let mut schema = match keyword.name {
            "tasks" | "pre_tasks" | "post_tasks" | "block" | "rescue" | "always" => json!({"$ref": "#/$defs/tasks"}),
            "handlers" => json!({"type": ["array", "null"], "items": {"$ref": "#/$defs/handler"}}),
            "roles" => json!({"type": ["array", "null"]}),
            _ => json!({}),
        };
        match keyword.support {
            Support::Yes => {}
            Support::Partly(limit) => schema["description"] = json!(limit),
            Support::No(_) => return None,
        }
        Some((keyword.name.to_owned(), schema))
    });
    described.collect()
}

/// A task of this place: keywords, and one module.
fn task(place: Place) -> Value {
    let mut properties = keywords(place);
    for entry in MODULES {
        for name in names(entry) {
            properties.insert(name, json!({"$ref": format!("#/$defs/module.{}", entry.name())}));
        }
    }
    for statement in STATEMENTS {
        for name in [(*statement).to_owned(), format!("ansible.builtin.{statement}"), format!("ansible.legacy.{statement}")] {
            properties.insert(name, json!({}));
        }
    }
    json!({"type": "object", "properties": properties, "patternProperties": {"^with_": {}}, "additionalProperties": false})
}

/// `docs/playbook.schema.json`: JSON Schema 2020-12 of a playbook, with the modules' arguments.
pub fn schema() -> Value {
    let of = |place| json!({"type": "object", "properties": keywords(place), "additionalProperties": false});
    let mut import = of(Place::Import);
    for name in ["ansible.builtin.import_playbook", "ansible.legacy.import_playbook"] {
        import["properties"][name] = json!({});
    }
    let either = |keyword: &str, then: &str, otherwise: &str| {
        let reference = |name: &str| json!({"$ref": format!("#/$defs/{name}")});
        json!({"if": {"type": "object", "required": [keyword]}, "then": reference(then), "else": reference(otherwise)})
    };
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A playbook, as provision runs it",
        "type": "array",
        "items": either("hosts", "play", "import"),
        "$defs": {
            "play": of(Place::Play),
            "import": import,
            "tasks": {"type": ["array", "null"], "items": either("block", "block", "task")},
            "block": of(Place::Block),
            "task": task(Place::Task),
            "handler": either("block", "block", "handlerTask"),
            "handlerTask": task(Place::Handler),
        },
    });
    for entry in MODULES {
        schema["$defs"][format!("module.{}", entry.name())] = arguments(entry);
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_written(file: &str, wanted: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, wanted).expect("write the page");
        }
        let page = std::fs::read_to_string(&path).expect("it is there");
        assert!(page == wanted, "docs/{file} is not what the declarations say: run UPDATE_DOCS=1 cargo test --workspace --lib reference");
    }

    #[test]
    fn the_page_of_the_modules_is_their_declarations() {
        is_written("modules.md", &modules_page());
        for entry in MODULES {
            for field in &entry.spec().fields {
                assert!(!field.documentation.is_empty(), "{}: `{}` has no documentation", entry.name(), field.name);
            }
        }
    }

    #[test]
    fn the_page_of_the_lookups_is_their_table() {
        is_written("lookups.md", &lookups_page());
        let names: Vec<&str> = LOOKUPS.iter().map(|lookup| lookup.name).collect();
        assert!(names.is_sorted(), "{names:?}");
    }

    #[test]
    fn the_schema_is_the_declarations() {
        let text = serde_json::to_string_pretty(&schema()).expect("JSON") + "\n";
        is_written("playbook.schema.json", &text);
    }
}

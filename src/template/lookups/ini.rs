//! `ini`: values of keys in INI and properties files, which are read as Python's `configparser` reads them.

use super::super::arguments::strict_text;
use super::super::{Error, Result, filters};
use super::options::Options;
use crate::program::{Map, Value};
use indexmap::IndexMap;

/// Values that are made of values that are made of values, at most this deep.
const DEPTH: usize = 10;

/// The section that a properties file is, which has none.
const PROPERTIES: &str = "java_properties";

/// What all sections have besides their own.
const DEFAULT: &str = "DEFAULT";

const OPTIONS: &[&str] =
    &["type", "file", "section", "re", "encoding", "default", "case_sensitive", "allow_no_value", "interpolation", "allow_none"];

/// Names and values; `None`: a name without one.
type Section = IndexMap<String, Option<String>>;

/// Terms are keys, or `KEY section=NAME file=NAME`; `read` gives the text of a file of the project in an encoding.
pub fn run(terms: &[Value], given: &Map, read: &mut dyn FnMut(&str, &str) -> Result<String>) -> Result<Vec<Value>> {
    let mut options = Options::new("ini", OPTIONS, given);
    let no_value = if given.get("allow_no_value").is_some() { "allow_no_value" } else { "allow_none" };
    let mut parser = Parser {
        sections: IndexMap::new(),
        allow_no_value: options.truth(no_value, false)?,
        interpolates: options.truth("interpolation", true)?,
        case_sensitive: options.get("case_sensitive").is_some_and(Value::is_truthy),
    };
    let mut found = Vec::new();
    for term in terms {
        let term = strict_text(term)?;
        let mut key = term.to_owned();
        if term.contains('=') || term.trim().contains(' ') {
            key = inline(term, &mut options)?;
        }
        let file = options.text("file", "ansible.ini")?;
        let content = read(&file, &options.text("encoding", "utf-8")?)?;
        let (section, start) = match options.text("type", "ini")?.as_str() {
            "ini" => (options.text("section", "global")?, None),
            "properties" => (PROPERTIES.to_owned(), Some(PROPERTIES)),
            other => {
                let error = Error::failed(format!("the 'ini' lookup has no type '{other}'"));
                return Err(error.hint("'ini' and 'properties' are there"));
            }
        };
        parser.read(&content, &file, start)?;
        let entries = parser.section(&section, &file)?;
        if options.truth("re", false)? {
            let pattern = filters::regex::compile(&format!("^(?:{key})"), false, false)?;
            for (name, value) in &entries {
                if pattern.is_match(name).unwrap_or(false) {
                    found.push(match value {
                        None if parser.interpolates => Value::text(""),
                        None => Value::Null,
                        Some(value) => Value::text(parser.filled(&section, value, &entries)?),
                    });
                }
            }
            continue;
        }
        match entries.get(&parser.name(&key)) {
            Some(Some(value)) => found.push(Value::text(parser.filled(&section, value, &entries)?)),
            Some(None) => {}
            None => match options.get("default") {
                None | Some(Value::Null) => found.push(Value::text("")),
                Some(Value::List(items)) => found.extend(items.iter().cloned()),
                Some(other) => found.push(other.clone()),
            },
        }
    }
    Ok(found)
}

/// The key of `KEY name=value name=value`, whose values may have blanks.
fn inline(term: &str, options: &mut Options) -> Result<String> {
    let mut current = "key";
    let mut phrases: IndexMap<&str, String> = IndexMap::new();
    for phrase in term.split_whitespace() {
        if phrase.contains('=')
            && let Some(name) = OPTIONS.iter().rev().find(|name| phrase.contains(&format!("{name}=")))
        {
            current = name;
        }
        let whole = phrases.entry(current).or_default();
        if !whole.is_empty() {
            whole.push(' ');
        }
        whole.push_str(phrase);
    }
    let mut key = None;
    for phrase in phrases.values() {
        match phrase.split('=').collect::<Vec<_>>()[..] {
            [whole] => {
                key.get_or_insert_with(|| whole.to_owned());
            }
            [name, value] => options.set(name, value.into())?,
            _ => {
                let error = Error::failed(format!("'{phrase}' in the 'ini' lookup has more than one `=`"));
                return Err(error.hint("write options beside the key: `lookup('ini', 'key', section='name')`"));
            }
        }
    }
    key.ok_or_else(|| Error::failed(format!("'{term}' in the 'ini' lookup begins with no key")))
}

struct Parser {
    sections: IndexMap<String, Section>,
    allow_no_value: bool,
    interpolates: bool,
    case_sensitive: bool,
}

impl Parser {
    fn name(&self, written: &str) -> String {
        if self.case_sensitive { written.to_owned() } else { written.to_lowercase() }
    }

    /// Adds a file's sections to those that are there; `start`: the section that it begins in.
    fn read(&mut self, content: &str, file: &str, start: Option<&str>) -> Result<()> {
        let mut added: Vec<(String, Option<String>)> = Vec::new();
        let mut values: IndexMap<(String, String), Option<Vec<String>>> = IndexMap::new();
        let mut section = start.map(str::to_owned);
        let mut option: Option<String> = None;
        let mut indent = 0;
        for (index, line) in content.split('\n').enumerate() {
            let wrong = |what: String| Error::failed(format!("{file}, line {}: {what}", index + 1));
            let trimmed = line.trim();
            let is_comment = trimmed.starts_with(['#', ';']);
            let open = section.clone().zip(option.clone());
            if trimmed.is_empty() || is_comment {
                // An empty line may be one of a value.
                if !is_comment && let Some(Some(lines)) = open.and_then(|key| values.get_mut(&key)) {
                    lines.push(String::new());
                }
                continue;
            }
            let depth = line.chars().take_while(|letter| letter.is_whitespace()).count();
            if let Some(key) = open.filter(|_| depth > indent) {
                match values.get_mut(&key) {
                    Some(Some(lines)) => lines.push(trimmed.to_owned()),
                    _ => return Err(wrong(format!("'{}' has no value that this line could go on with", key.1))),
                }
                continue;
            }
            indent = depth;
            if let Some(header) =
                trimmed.strip_prefix('[').and_then(|rest| rest.rfind(']').map(|end| &rest[..end])).filter(|header| !header.is_empty())
            {
                if header != DEFAULT {
                    if added.contains(&(header.to_owned(), None)) {
                        return Err(wrong(format!("the section '{header}' is there twice")));
                    }
                    added.push((header.to_owned(), None));
                }
                self.sections.entry(header.to_owned()).or_default();
                (section, option) = (Some(header.to_owned()), None);
                continue;
            }
            let Some(section) = &section else { return Err(wrong("no section begins before this line".to_owned())) };
            let (written, value) = match trimmed.split_once(['=', ':']) {
                Some((name, value)) => (name, Some(value.trim().to_owned())),
                None if self.allow_no_value => (trimmed, None),
                None => {
                    return Err(wrong(format!("'{trimmed}' has no `=`")).hint("allow_no_value=true allows keys without a value"));
                }
            };
            let name = self.name(written.trim_end());
            if name.is_empty() {
                return Err(wrong("nothing stands before the `=`".to_owned()));
            }
            let element = (section.clone(), Some(name.clone()));
            if added.contains(&element) {
                let hint = "case_sensitive=true tells keys apart that differ in case";
                return Err(wrong(format!("'{name}' is there twice in the section '{section}'")).hint(hint));
            }
            added.push(element);
            values.insert((section.clone(), name.clone()), value.map(|value| vec![value]));
            option = Some(name);
        }
        if let Some(start) = start {
            self.sections.entry(start.to_owned()).or_default();
        }
        for ((section, name), lines) in values {
            let value = lines.map(|lines| lines.join("\n").trim_end().to_owned());
            self.sections.entry(section).or_default().insert(name, value);
        }
        Ok(())
    }

    /// A section with what all have.
    fn section(&self, name: &str, file: &str) -> Result<Section> {
        let mut all = self.sections.get(DEFAULT).cloned().unwrap_or_default();
        match self.sections.get(name) {
            Some(own) => all.extend(own.iter().map(|(name, value)| (name.clone(), value.clone()))),
            None if name == DEFAULT => {}
            None => {
                let known: Vec<&str> = self.sections.keys().map(String::as_str).filter(|name| *name != DEFAULT).collect();
                let error = Error::failed(format!("no section '{name}' in '{file}'"));
                return Err(if known.is_empty() { error } else { error.hint(format!("it has {}", known.join(", "))) });
            }
        }
        Ok(all)
    }

    /// A value with those that it names: `%(name)s`.
    fn filled(&self, section: &str, value: &str, entries: &Section) -> Result<String> {
        let mut output = String::new();
        if self.interpolates {
            self.fill(section, value, entries, 1, &mut output)?;
        } else {
            output.push_str(value);
        }
        Ok(output)
    }

    fn fill(&self, section: &str, value: &str, entries: &Section, depth: usize, output: &mut String) -> Result<()> {
        if depth > DEPTH {
            return Err(Error::failed(format!("values in the section '{section}' name each other in a circle: {value}")));
        }
        let mut rest = value;
        while let Some(at) = rest.find('%') {
            output.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(after) = after.strip_prefix('%') {
                output.push('%');
                rest = after;
                continue;
            }
            let inner = after.strip_prefix('(').and_then(|inner| inner.split_once(')')).filter(|(name, _)| !name.is_empty());
            let Some((name, after)) = inner.and_then(|(name, after)| Some((name, after.strip_prefix('s')?))) else {
                return Err(Error::failed(format!("'%' must be '%%' or begin '%(name)s', unlike in '{value}'"))
                    .hint("interpolation=false takes values as they are"));
            };
            match entries.get(&self.name(name)) {
                Some(Some(value)) if value.contains('%') => self.fill(section, value, entries, depth + 1, output)?,
                Some(Some(value)) => output.push_str(value),
                _ => return Err(Error::failed(format!("'{value}' names '{name}', which the section '{section}' has not"))),
            }
            rest = after;
        }
        output.push_str(rest);
        Ok(())
    }
}

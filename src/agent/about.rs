//! What a template may say of itself: `template_uid`, `template_mtime`, … and `ansible_managed`, as `generate_ansible_template_vars` of
//! ansible-core 2.19 gives them. What only the controller knows is asked where a template reads it, so that a program is the same
//! from run to run.

use super::frame::{Answer, Question, TemplateFile};
use super::scope::TaskScope;
use crate::program::{Clock, Map, Span, Template, Tree, Value};
use crate::template::{self, Error, Result};

/// Names that the controller answers for.
pub const ASKED: [&str; 4] = ["template_host", "template_uid", "template_mtime", "template_run_date"];

/// What is known here; a lookup has no destination.
pub fn known(src: &str, path: &str, destination: Option<&str>) -> Map {
    let destination = destination.map_or(Value::Null, Value::text);
    crate::map! { "template_path" => src, "template_fullpath" => path, "template_destpath" => destination }
}

impl TaskScope<'_> {
    /// One of [`ASKED`]; `None`: another name, or no template file is being rendered.
    pub fn of_template(&self, name: &str) -> Result<Option<Value>> {
        if self.template.is_none() || !ASKED.contains(&name) {
            return Ok(None);
        }
        Ok(Some(match name {
            "template_run_date" => template::local_time(&self.executor.clock()?),
            "template_mtime" => template::local_time(&self.about()?.modified),
            "template_uid" => self.about()?.owner,
            _ => Value::text(self.about()?.host),
        }))
    }

    /// `ansible_managed` where the user gives the variable no value: what ansible.cfg says, else Ansible's own.
    pub fn managed(&self) -> Result<Tree> {
        let Some(pattern) = &self.executor.program.settings.managed else { return Ok(Tree::Literal(MANAGED.into())) };
        let mut text = filled_in(pattern)?;
        if text.contains('%') {
            text = template::strftime(&self.about()?.modified, &text)?;
        }
        Ok(Tree::Template(Template { source: text.into(), span: Span::default() }))
    }

    fn about(&self) -> Result<TemplateFile> {
        if let Some(about) = self.about.get() {
            return Ok(about.clone());
        }
        let Some(path) = self.template else { return Err(Error::failed("no template file is being rendered")) };
        match self.ask(Question::Template { path: path.into() })? {
            Answer::Template(about) => Ok(self.about.get_or_init(|| *about).clone()),
            _ => Err(Error::failed(format!("look at the template {path}: the controller did not tell what it is"))),
        }
    }
}

/// Ansible's own word.
const MANAGED: &str = "Ansible managed";

/// Python's `str.format` with the fields that Ansible gives.
fn filled_in(pattern: &str) -> Result<String> {
    let wrong = |what: &str| {
        Err(Error::failed(format!("`ansible_managed` of ansible.cfg, {pattern:?}: {what}")).hint("it may hold {file}, {host} and {uid}"))
    };
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            text.push_str(brace);
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else { return wrong("a brace stands alone") };
        text.push_str(match name {
            "file" => "{{ template_path }}",
            "host" => "{{ template_host }}",
            "uid" => "{{ template_uid }}",
            other => return wrong(&format!("there is no {{{other}}}")),
        });
        rest = after;
    }
    Ok(text + rest)
}

impl TemplateFile {
    /// A file's owner by name, by number where it has none, and when it was changed, by this machine's clock.
    pub fn new(host: &str, owner: Option<&str>, uid: u32, seconds: i64, nanoseconds: i64, clock: &Clock) -> Self {
        // As Python's `fromtimestamp` of a `st_mtime`, which is a float.
        let time = seconds as f64 + nanoseconds as f64 * 1e-9;
        let microseconds = (time.fract() * 1e6).round_ties_even() as i64;
        Self {
            host: host.into(),
            owner: owner.map_or(Value::Int(i64::from(uid)), Value::text),
            modified: Clock {
                seconds: time.floor() as i64 + microseconds / 1_000_000,
                microseconds: (microseconds % 1_000_000) as u32,
                zone: std::sync::Arc::clone(&clock.zone),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_ansible_managed_are_filled_in_as_python_formats() {
        let shown = |pattern: &str| filled_in(pattern).map_err(|error| error.message);
        assert_eq!(
            shown("{file} of {uid} on {host} %Y").as_deref(),
            Ok("{{ template_path }} of {{ template_uid }} on {{ template_host }} %Y")
        );
        assert_eq!(shown("{{{{ who }}}} {{x}}").as_deref(), Ok("{{ who }} {x}"));
        assert!(shown("{who}").is_err_and(|message| message.contains("there is no {who}")));
        assert!(shown("a { b").is_err() && shown("a } b").is_err());
    }

    #[test]
    fn an_owner_without_a_name_is_a_number() {
        let clock = Clock::default();
        assert_eq!(TemplateFile::new("here", None, 12_345, 0, 0, &clock).owner, Value::Int(12_345));
        let about = TemplateFile::new("here", Some("jo"), 7, 1_700_000_000, 123_456_000, &clock);
        assert_eq!((about.owner, about.modified.microseconds), (Value::text("jo"), 123_456));
    }
}

//! A plan, as text and as JSON lines.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::json;

use super::{Format, data, entry, json as story, live, text};
use crate::agent::frame::{Event, ItemResult, Status};
use crate::run::Happening;
use crate::run::plan::{HostPlan, Word};
use crate::up::Planned;

/// What is said while it is made: who is waited for, and what an agent warns of.
pub fn planning(format: Format, happening: &Happening) {
    if let (Format::Text, Happening::Connecting { host } | Happening::Connected { host, .. }) = (format, happening) {
        live::show("plan", &format!("looking at {host}"));
    }
    match (format, happening) {
        // Results are the plan's own lines; the end of a host is in its last one.
        (
            _,
            Happening::Event { event: Event::Item(_) | Event::Play { .. } | Event::Started { .. } | Event::Included { .. }, .. }
            | Happening::Finished { .. },
        ) => {}
        (Format::Json, happening) => story::line(happening),
        (Format::Text, Happening::Waiting { host, holder, doing }) => text::waiting(host, holder, doing),
        (Format::Text, Happening::Event { host, event: Event::Warning { message } }) => text::warning(host, message),
        (Format::Text, _) => {}
    }
}

/// The whole plan: JSON lines on stdout, or `line` by line for a reader.
pub fn told(format: Format, name: &str, planned: &Planned, line: &mut dyn FnMut(&str)) {
    live::clear();
    match format {
        Format::Json => json(planned),
        Format::Text => text(name, planned).iter().for_each(|text| line(text)),
    }
}

/// An entry a line, then one line on all.
fn json(planned: &Planned) {
    let plan = &planned.hosts;
    for (host, of_host) in &plan.hosts {
        for item in &of_host.items {
            data(&entry::task(host, item).to_string());
        }
    }
    if let Some(delivery) = &planned.delivery {
        super::delivery::plan_json(delivery).iter().for_each(|line| data(&line.to_string()));
    }
    let hosts: serde_json::Map<String, serde_json::Value> =
        plan.hosts.iter().map(|(host, of_host)| (host.to_string(), counts(of_host))).collect();
    let objects = planned.delivery.as_ref().map(crate::delivery::Planned::objects);
    data(&json!({"event": "plan", "hosts": hosts, "objects": objects, "proves_no_change": planned.proves_no_change(), "seconds": plan.elapsed.as_secs_f64()}).to_string());
}

/// The items of a plan that is a section of another's.
pub fn items(format: Format, planned: &Planned, line: &mut dyn FnMut(&str)) {
    live::clear();
    for (host, of_host) in &planned.hosts.hosts {
        for item in &of_host.items {
            match format {
                Format::Json => data(&entry::task(host, item).to_string()),
                Format::Text => line(&format!("{:15}{}", "", shown(item, &planned.sources))),
            }
        }
        let unreachable = of_host.result.unreachable.as_ref().map(|failure| &*failure.message);
        for reason in unreachable.into_iter().chain(of_host.result.summary.reason.as_deref()).filter(|_| format == Format::Text) {
            line(&format!("{:15}! {reason}", ""));
        }
    }
}

fn because(item: &ItemResult) -> Option<&str> {
    match &item.status {
        Status::Unknown(cause) => Some(cause),
        _ => None,
    }
}

fn counts(host: &HostPlan) -> serde_json::Value {
    json!({
        "change": host.count(Word::Change), "unknown": host.count(Word::Unknown), "failure": host.count(Word::Failure),
        "of_the_run": host.count(Word::OfTheRun), "ran": host.count(Word::Ran), "tasks": host.result.summary.tasks,
        "unreachable": host.result.unreachable.as_ref().map(|failure| &failure.message),
        "reason": host.result.summary.reason,
    })
}

/// For a reader, line by line.
fn text(name: &str, planned: &Planned) -> Vec<String> {
    let plan = &planned.hosts;
    let objects = planned.delivery.as_ref().map_or(0, crate::delivery::Planned::objects);
    let (tasks, hosts, seconds) = (plan.tasks(), plan.hosts.len(), plan.elapsed.as_secs_f64());
    let all = format!(
        "{tasks} {} on {hosts} {}{}",
        many(tasks as usize, "task"),
        many(hosts, "host"),
        if objects > 0 { format!(", {objects} {}", many(objects, "object")) } else { String::new() }
    );
    if planned.proves_no_change() {
        return vec![format!("No changes: {all} checked in {seconds:.1} s.")];
    }
    let mut lines =
        vec![format!("Plan: {name}, {tasks} {} on {hosts} {}", many(tasks as usize, "task"), many(hosts, "host")), String::new()];
    for (host, of_host) in &plan.hosts {
        match &of_host.result.unreachable {
            Some(failure) => {
                lines.push(format!("  {host}  unreachable: {}", failure.message));
                lines.extend(failure.hint.iter().map(|hint| format!("    hint: {hint}")));
                continue;
            }
            None if of_host.items.iter().all(|item| matches!(Word::of(item), Word::Ran | Word::OfTheRun)) && of_host.is_good() => {
                lines.push(format!("  {host}  no changes"));
                continue;
            }
            None => lines.push(format!("  {host}")),
        }
        for item in &of_host.items {
            lines.push(format!("    {}", shown(item, &planned.sources)));
            lines.extend(text::reads(item).map(|read| format!("    {read}")));
        }
        lines.extend(of_host.items.iter().flat_map(differences));
        lines.extend(of_host.result.summary.reason.iter().map(|reason| format!("    ended early: {reason}")));
    }
    lines.extend(planned.delivery.iter().flat_map(super::delivery::plan_text));
    lines.push(String::new());
    let mut counts = format!("{} to change", plan.count(Word::Change));
    for (word, what) in [(Word::Unknown, "known only on the way"), (Word::Failure, "failing")] {
        let count = plan.count(word);
        if count > 0 {
            let _ = write!(counts, ", {count} {what}");
        }
    }
    lines.push(format!("{counts}; {all} checked in {seconds:.1} s."));
    lines
}

/// `~ nginx : configure (item=a): write /etc/nginx/nginx.conf`.
fn shown(item: &ItemResult, sources: &[Arc<str>]) -> String {
    let word = Word::of(item);
    let sign = match word {
        Word::Change => '~',
        Word::Unknown => '?',
        Word::Failure => '!',
        Word::OfTheRun | Word::Ran | Word::Unchanged => '=',
    };
    let role = item.role.as_ref().map(|role| format!("{role} : ")).unwrap_or_default();
    let handler = if item.handler { "handler " } else { "" };
    let mut line = format!("{sign} {handler}{role}{}", item.name.as_deref().unwrap_or(""));
    if let Some(label) = &item.label {
        let _ = write!(line, " (item={})", text::shown(label));
    }
    if let Some(host) = &item.delegated_to {
        let _ = write!(line, " -> {host}");
    }
    if let Some(cause) = because(item) {
        let _ = write!(line, " (because of {cause})");
    }
    if word == Word::Failure {
        let message = item.result.as_ref().and_then(|result| result.get("msg").map(text::shown)).unwrap_or_default();
        let _ = write!(line, ": {message}");
        if let Some(span) = item.span.filter(|span| span.line > 0)
            && let Some(name) = sources.get(span.file as usize)
        {
            let _ = write!(line, "  {name}:{}:{}", span.line, span.column);
        }
    } else if !item.actions.is_empty() {
        let _ = write!(line, ": {}", item.actions.join(", "));
    }
    line
}

fn differences(item: &ItemResult) -> Vec<String> {
    let shown = item.diff.iter().filter_map(|(before, after, from, to)| text::difference_text(before, after, from, to));
    shown.flat_map(|diff| diff.lines().map(|line| format!("      {line}")).collect::<Vec<_>>()).collect()
}

/// `host`, or `hosts` where there are not exactly one.
pub fn many(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

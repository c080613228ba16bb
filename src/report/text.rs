//! The story as lines, in the form that readers of Ansible's output know.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use similar::DiffTag;
use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;

use super::line;
use crate::agent::frame::{ItemResult, RunIdentity, Status};
use crate::program::Value;
use crate::run::HostResult;

const WIDTH: usize = 79;

fn banner(text: &str) {
    let stars = WIDTH.saturating_sub(text.chars().count() + 1).max(3);
    line(&format!("\n{text} {}", "*".repeat(stars)));
}

pub fn play(name: &str) {
    banner(&format!("PLAY [{name}]"));
}

pub fn no_hosts() {
    line("skipping: no hosts matched");
}

pub fn task(result: &ItemResult) {
    let name = result.name.as_deref().unwrap_or("");
    let role = result.role.as_ref().map(|role| format!("{role} : ")).unwrap_or_default();
    let word = if result.handler { "RUNNING HANDLER" } else { "TASK" };
    banner(&format!("{word} [{role}{name}]"));
}

/// A task that changed something, with its hosts; nothing for one that did not.
pub fn changed(results: &[(Arc<str>, ItemResult)]) {
    let mut hosts: Vec<&str> = Vec::new();
    for (host, _) in results.iter().filter(|(_, result)| result.status == Status::Changed) {
        if !hosts.contains(&&**host) {
            hosts.push(host);
        }
    }
    let Some((_, first)) = results.first().filter(|_| !hosts.is_empty()) else { return };
    hosts.sort_unstable();
    let role = first.role.as_ref().map(|role| format!("{role} : ")).unwrap_or_default();
    super::line(&format!("    {:<34} {role}{}", hosts.join(", "), first.name.as_deref().unwrap_or("")));
}

pub fn included(host: &str, name: &str) {
    line(&format!("included: {name} for {host}"));
}

pub fn warning(host: &str, message: &str) {
    line(&format!("[WARNING]: {host}: {message}"));
}

pub fn doing(host: &str, doing: &str) {
    line(&format!("… {host}: {doing}"));
}

pub fn output(host: &str, output: &str) {
    line(&format!("  {host} │ {output}"));
}

pub fn note(host: &str, note: &str) {
    line(&format!("{host}: {note}"));
}

pub fn waiting(host: &str, holder: &RunIdentity, doing: &str) {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |now| now.as_secs()).saturating_sub(holder.since);
    let doing = if doing.is_empty() { String::new() } else { format!(", {doing}") };
    let who = if holder.who.is_empty() { "somebody who does not say who" } else { &holder.who };
    line(&format!("{host}: waiting for another run: {who}{doing}, since {since} s"));
}

/// One host's line for an item.
pub fn result(host: &str, result: &ItemResult, verbosity: u8, sources: &[Arc<str>]) {
    let (word, is_bad) = match &result.status {
        Status::Ok => ("ok", false),
        Status::Changed => ("changed", false),
        Status::Skipped => ("skipping", false),
        Status::Failed if result.item.is_some() => ("failed", true),
        Status::Failed => ("fatal", true),
        Status::Unreachable => ("fatal", true),
        Status::Unknown(_) => ("unknown", false),
    };
    for (before, after, before_header, after_header) in &result.diff {
        difference(before, after, before_header, after_header);
    }
    let mut text = format!("{word}: [{host}{}]", result.delegated_to.as_ref().map(|on| format!(" -> {on}")).unwrap_or_default());
    match &result.status {
        Status::Failed => text.push_str(": FAILED!"),
        Status::Unreachable => text.push_str(": UNREACHABLE!"),
        Status::Unknown(cause) => {
            let _ = write!(text, " (because of {cause})");
        }
        _ => {}
    }
    if let Some(label) = &result.label {
        let _ = write!(text, " => (item={})", shown(label));
    }
    // An unchanged task's result is sent only where it is to be seen: `debug`, or with -v.
    let is_debug = result.status == Status::Ok && verbosity == 0 && result.diff.is_empty();
    if (is_bad || verbosity > 0 || is_debug)
        && let Some(value) = &result.result
    {
        let json = value.to_json(false);
        let json = if verbosity == 0 { brief(json, is_debug) } else { json };
        let _ = write!(text, " => {}", serde_json::to_string_pretty(&json).unwrap_or_default());
    }
    line(&text);
    reads(result).for_each(|read| line(&read));
    if is_bad {
        if let Some(span) = result.span.filter(|span| span.line > 0)
            && let Some(name) = sources.get(span.file as usize)
        {
            line(&format!("  {name}:{}:{}", span.line, span.column));
        }
        if result.ignored {
            line("...ignoring");
        }
    }
}

/// With `-vv`: which variables it read, and what gave each.
pub fn reads(result: &ItemResult) -> impl Iterator<Item = String> {
    result.reads.iter().map(|(name, origin)| format!("  {name}: from {origin}"))
}

/// A result without what repeats itself.
fn brief(json: serde_json::Value, is_debug: bool) -> serde_json::Value {
    match json {
        serde_json::Value::Object(mut entries) => {
            for name in ["stdout_lines", "stderr_lines", "invocation", "failed"] {
                entries.shift_remove(name);
            }
            if is_debug {
                entries.shift_remove("changed");
                // The loop's own: its label stands before.
                for name in ["ansible_loop_var", "ansible_index_var"] {
                    let variable = entries.shift_remove(name);
                    variable.as_ref().and_then(serde_json::Value::as_str).and_then(|variable| entries.shift_remove(variable));
                }
                entries.shift_remove("ansible_loop");
            }
            serde_json::Value::Object(entries)
        }
        other => other,
    }
}

pub fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) if text.is_secret() => "***".to_owned(),
        Value::Text(text) => text.as_str().to_owned(),
        other => other.to_json(false).to_string(),
    }
}

fn difference(before: &str, after: &str, before_header: &str, after_header: &str) {
    if let Some(text) = difference_text(before, after, before_header, after_header) {
        line(&text);
        line("");
    }
}

/// As `diff -u` shows it; `None` where there is none.
pub fn difference_text(before: &str, after: &str, before_header: &str, after_header: &str) -> Option<String> {
    if before == after {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    // `similar::TextDiff` is the same for every algorithm of that crate at once: 600 KB of this program.
    let mut operations = Compact::new(Replace::new(Capture::new()), &old[..], &new[..]);
    let Ok(()) = myers::diff(&mut operations, &old[..], 0..old.len(), &new[..], 0..new.len());
    let mut text = format!("--- before: {before_header}\n+++ after: {after_header}\n");
    for hunk in operations.into_inner().into_inner().into_grouped_ops(CONTEXT) {
        text.push_str(&format!("{}\n", UnifiedHunkHeader::new(&hunk)));
        for operation in hunk {
            let mut put = |sign: char, lines: &[&str]| {
                for line in lines {
                    text.push(sign);
                    text.push_str(line);
                    if !line.ends_with('\n') {
                        text.push_str("\n\\ No newline at end of file\n");
                    }
                }
            };
            match operation.tag() {
                DiffTag::Equal => put(' ', &old[operation.old_range()]),
                DiffTag::Delete | DiffTag::Insert | DiffTag::Replace => {
                    put('-', &old[operation.old_range()]);
                    put('+', &new[operation.new_range()]);
                }
            }
        }
    }
    Some(text.trim_end().to_owned())
}

/// Lines around a change.
const CONTEXT: usize = 3;

pub fn finished(host: &str, result: &HostResult) {
    if let Some(failure) = &result.unreachable {
        line(&format!("fatal: [{host}]: UNREACHABLE! => {}", failure.message));
        if let Some(hint) = &failure.hint {
            line(&format!("  hint: {hint}"));
        }
    } else if let Some(reason) = &result.summary.reason {
        line(&format!("{host}: ended early: {reason}"));
    }
}

pub fn recap(hosts: &[Arc<str>], results: &BTreeMap<Arc<str>, HostResult>) {
    banner("PLAY RECAP");
    let mut names: Vec<&Arc<str>> = hosts.iter().collect();
    names.extend(results.keys().filter(|name| !hosts.contains(name)));
    for name in names {
        let Some(result) = results.get(name) else { continue };
        let recap = &result.summary.recap;
        line(
            format!(
                "{name:<26} : ok={:<4} changed={:<4} unreachable={:<4} failed={:<4} skipped={:<4} rescued={:<4} ignored={:<4}",
                recap.ok, recap.changed, recap.unreachable, recap.failed, recap.skipped, recap.rescued, recap.ignored
            )
            .trim_end(),
        );
    }
    line("");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_one_that_diff_shows() {
        let numbers = |wanted: &dyn Fn(u32) -> Option<String>| (0..40).filter_map(wanted).collect::<String>();
        let before = numbers(&|number| Some(format!("line {}\n", number % 7)));
        for after in [
            numbers(&|number| Some(format!("line {}\n", if number == 20 { 99 } else { number % 7 }))),
            numbers(&|number| (number % 13 != 4).then(|| format!("line {}\n", number % 7))),
            format!("first\n{before}last, without an end"),
            String::new(),
            "line 0".to_owned(),
        ] {
            for (before, after) in [(&before, &after), (&after, &before)] {
                let text = similar::TextDiff::from_lines(before, after);
                let wanted = text.unified_diff().header("before: a", "after: b").to_string();
                assert_eq!(difference_text(before, after, "a", "b").as_deref(), Some(wanted.trim_end()));
            }
        }
    }
}

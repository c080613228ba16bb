//! Host patterns: `web*:&prod:!web3`, `group[0]`, `~regex`, as `hosts:` and `--limit` have them.

use std::path::Path;
use std::sync::Arc;

use fancy_regex::Regex;
use indexmap::IndexSet;

use super::{Inventory, LOCALHOST, address};
use crate::program::glob::glob;
use crate::source::{Diagnostic, Diagnostics, suggest};

/// The hosts of a pattern, and its parts that name nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    pub hosts: Vec<Arc<str>>,
    pub misses: Vec<Miss>,
}

/// A part of a pattern that matches neither host nor group, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// As written, without `&` and `!`.
    pub part: String,
    /// A lowercase phrase.
    pub message: String,
    /// A host or group that is near.
    pub near: Option<Arc<str>>,
    /// It only takes hosts away: nothing is lost.
    pub excludes: bool,
    /// It can be read, and nothing has that name.
    pub is_unknown: bool,
}

impl Inventory {
    /// Hosts that match the pattern, in Ansible's order: `all`, `a:b` or `a,b`, `:&both`, `:!not`, `web*`, `~web\d`, `group[0]`, `group[1:3]`.
    pub fn select(&self, pattern: &str) -> Selection {
        self.select_parts(&split(pattern))
    }

    /// As [`Inventory::select`] for a list of patterns (`hosts:` may be a list).
    pub fn select_all<'text>(&self, patterns: impl IntoIterator<Item = &'text str>) -> Selection {
        let parts: Vec<String> = patterns.into_iter().flat_map(split).collect();
        self.select_parts(&parts)
    }

    /// The hosts that `--limit` leaves: patterns as above, `@file` reads a pattern from each line.
    pub fn limit(&self, base: &Path, written: &str) -> Result<Selection, String> {
        let mut parts = Vec::new();
        for part in split(written) {
            match part.strip_prefix('@') {
                None => parts.push(part),
                Some(file) => {
                    let path = base.join(file);
                    let text = std::fs::read_to_string(&path)
                        .map_err(|error| format!("read the limit file `{file}`: {}", crate::project::vault::plain(&error)))?;
                    parts.extend(text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()));
                }
            }
        }
        Ok(self.select_parts(&parts))
    }

    /// As [`Inventory::limit`]; what cannot be read is a mistake, and so is a limit that leaves no host. As in ansible-core a name that
    /// nothing has is passed over with a warning where others are left: a limit's file may name hosts that are gone.
    pub fn limited(&self, diagnostics: &mut Diagnostics, base: &Path, written: &str) -> Vec<Arc<str>> {
        let selection = match self.limit(base, written) {
            Ok(selection) => selection,
            Err(phrase) => {
                diagnostics.push(Diagnostic::nowhere(format!("--limit {written}: {phrase}")));
                return Vec::new();
            }
        };
        for miss in &selection.misses {
            let mut mistake = Diagnostic::nowhere(format!("--limit {written}: {}", miss.message));
            mistake.hint = miss.near.as_ref().map(|near| format!("did you mean `{near}`?"));
            let others_run = miss.is_unknown && !selection.hosts.is_empty();
            diagnostics.push(if others_run { mistake.as_warning() } else { mistake });
        }
        if selection.hosts.is_empty() && selection.misses.is_empty() {
            diagnostics.push(Diagnostic::nowhere(format!("--limit {written} leaves no host")));
        }
        selection.hosts
    }

    fn select_parts(&self, parts: &[String]) -> Selection {
        let kind = |part: &&String, letter: char| part.starts_with(letter);
        let mut regular: Vec<&str> = parts.iter().filter(|part| !kind(part, '!') && !kind(part, '&')).map(String::as_str).collect();
        if regular.is_empty() {
            regular.push("all");
        }
        let mut misses = Vec::new();
        let mut hosts: IndexSet<Arc<str>> = IndexSet::new();
        for part in regular {
            hosts.extend(self.part(part, false, &mut misses));
        }
        for part in parts.iter().filter(|part| kind(part, '&')) {
            let both: IndexSet<Arc<str>> = self.part(&part[1..], false, &mut misses).into_iter().collect();
            hosts.retain(|host| both.contains(host));
        }
        for part in parts.iter().filter(|part| kind(part, '!')) {
            let not: IndexSet<Arc<str>> = self.part(&part[1..], true, &mut misses).into_iter().collect();
            hosts.retain(|host| !not.contains(host));
        }
        Selection { hosts: hosts.into_iter().collect(), misses }
    }

    fn part(&self, part: &str, excludes: bool, misses: &mut Vec<Miss>) -> Vec<Arc<str>> {
        if let Some((name, _)) = self.hosts.get_key_value(part) {
            return vec![Arc::clone(name)];
        }
        let (name, subscript) = subscript(part);
        let miss = |message: String, near| Miss { part: part.to_owned(), message, near, excludes, is_unknown: false };
        let matcher = match Matcher::new(name) {
            Ok(matcher) => matcher,
            Err(message) => {
                misses.push(miss(message, None));
                return Vec::new();
            }
        };
        let groups: Vec<_> = self.groups.values().filter(|group| matcher.matches(&group.name)).collect();
        let mut hosts: IndexSet<Arc<str>> = groups.iter().flat_map(|group| &group.hosts).cloned().collect();
        if groups.is_empty() || name.starts_with('~') || name.contains(['.', '?', '*', '[']) {
            hosts.extend(self.hosts.keys().filter(|host| matcher.matches(host)).cloned());
        }
        if hosts.is_empty() && LOCALHOST.contains(&name) {
            hosts.insert(name.into());
        }
        if hosts.is_empty() && groups.is_empty() && name != "all" {
            let near = suggest(name, self.groups.keys().chain(self.hosts.keys()).map(|name| &**name)).map(Arc::from);
            misses.push(Miss { is_unknown: true, ..miss(format!("no host or group is called `{name}`"), near) });
        }
        let hosts: Vec<Arc<str>> = hosts.into_iter().collect();
        match subscript {
            None => hosts,
            Some(_) if hosts.is_empty() => hosts,
            Some(Subscript::One(index)) => {
                let place = if index < 0 { hosts.len().checked_sub(index.unsigned_abs() as usize) } else { Some(index as usize) };
                if let Some(host) = place.and_then(|place| hosts.get(place)) {
                    return vec![Arc::clone(host)];
                }
                misses.push(miss(format!("`{name}` has {} hosts: there is no number {index}", hosts.len()), None));
                Vec::new()
            }
            Some(Subscript::Range(start, end)) => {
                let end = end.map_or(hosts.len(), |end| end.saturating_add(1)).min(hosts.len());
                hosts.get(start..end).map(<[_]>::to_vec).unwrap_or_default()
            }
        }
    }
}

/// A list of patterns: cut at commas, or at colons where it is no single address.
fn split(pattern: &str) -> Vec<String> {
    let parts: Vec<&str> = if pattern.contains(',') {
        pattern.split(',').collect()
    } else if address::parse(pattern.trim()).is_some() {
        vec![pattern]
    } else {
        // Colons and blanks outside of brackets separate.
        let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
        for (index, letter) in pattern.char_indices() {
            match letter {
                '[' => depth += 1,
                ']' if depth > 0 => depth -= 1,
                ':' if depth == 0 => {
                    parts.push(&pattern[start..index]);
                    start = index + 1;
                }
                letter if letter.is_whitespace() && depth == 0 => {
                    parts.push(&pattern[start..index]);
                    start = index + letter.len_utf8();
                }
                _ => {}
            }
        }
        parts.push(&pattern[start..]);
        parts
    };
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

enum Subscript {
    One(i64),
    /// First and last, both counted in; to the end where there is no last.
    Range(usize, Option<usize>),
}

/// `web[0]`, `web[-1]`, `web[1:3]`, `web[2:]`; a regex has none.
fn subscript(part: &str) -> (&str, Option<Subscript>) {
    let none = (part, None);
    if part.starts_with('~') {
        return none;
    }
    let Some((name, inner)) = part.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')) else { return none };
    if name.is_empty() {
        return none;
    }
    if let Ok(index) = inner.parse::<i64>() {
        return (name, Some(Subscript::One(index)));
    }
    let Some((start, end)) = inner.split_once([':', '-']) else { return none };
    let Ok(start) = start.parse() else { return none };
    match (end, end.parse()) {
        ("", _) => (name, Some(Subscript::Range(start, None))),
        (_, Ok(end)) => (name, Some(Subscript::Range(start, Some(end)))),
        _ => none,
    }
}

enum Matcher {
    Exact(String),
    Glob(String),
    Regex(Regex),
}

impl Matcher {
    fn new(pattern: &str) -> Result<Self, String> {
        let regex =
            |pattern: &str| Regex::new(pattern).map(Self::Regex).map_err(|error| format!("`{pattern}` is no regular expression: {error}"));
        match pattern.strip_prefix('~') {
            // Python's `match`: from the start.
            Some(inner) => regex(&format!("^(?:{inner})")),
            None if pattern.contains(['*', '?', '[']) => Ok(Self::Glob(pattern.to_owned())),
            None => Ok(Self::Exact(pattern.to_owned())),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(pattern) => pattern == name,
            Self::Glob(pattern) => glob(pattern, name),
            Self::Regex(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

//! `known_hosts`: the key of a host in a known_hosts file.

use std::path::Path;

use super::expand::expand;
use super::file_arguments::{Draft, followed, fresh};
use super::{Choice, Context, Entry, Mode, Module, Outcome, PathText, Plan, State};
use crate::program::Value;
use crate::program::host_names::{hash, names};
use crate::system::{Action, Digest, Error, FileKind, Ownership, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<KnownHosts>(&["known_hosts", "ansible.builtin.known_hosts"]);

arguments! {
    /// Keep the key of a host in a known_hosts file. Arguments and results as in `ansible.builtin.known_hosts`. The salt of a hashed name
    /// is made from the line, so that a plan says the very line that is written.
    pub struct KnownHosts {
        /// The host: a name, an address, or `[host]:port`.
        name: String [required, aliases(&["host"])],
        /// The line: `host ssh-ed25519 AAAA…`. Without it (`absent`) every key of the host goes.
        key: Option<String>,
        /// The file; its folder must be there.
        path: PathText [default("~/.ssh/known_hosts")],
        /// Write the host's name as a hash.
        hash_host: bool [default("no")],
        /// Whether it is there.
        state: State [default("present")],
    }
}

/// What a line says: an optional marker, names, type, key.
#[derive(Clone, PartialEq, Eq)]
struct Line<'text> {
    marker: Option<&'text str>,
    names: &'text str,
    kind: &'text str,
    key: &'text str,
}

impl<'text> Line<'text> {
    /// Comments and what ssh cannot read are none.
    fn read(text: &'text str) -> Option<Self> {
        let mut words = text.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let (names, kind, key) = (words.next()?, words.next()?, words.next()?);
        let is_known = marker.is_none_or(|marker| matches!(marker, "@cert-authority" | "@revoked"));
        (is_known && !names.starts_with('#')).then_some(Self { marker, names, kind, key })
    }

    fn is_hashed(&self) -> bool {
        self.names.starts_with("|1|")
    }

    /// The same, whatever the salt of a hashed name is.
    fn is(&self, other: &Self) -> bool {
        let named = self.names == other.names || other.marker.is_none() && self.is_hashed() && other.is_hashed();
        named && (self.marker, self.kind, self.key) == (other.marker, other.kind, other.key)
    }
}

/// What is there of a host's key.
enum Found {
    /// This very one, in the line of that index.
    Same(usize),
    /// Another of its type.
    Other(usize),
    None,
}

impl Module for KnownHosts {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let host = self.name.to_lowercase();
        let shown = expand(&self.path.0, system, context.environment)?;
        let path = Path::new(&shown);
        let key = self.line(&host, &shown)?;
        let former = match followed(path, system)? {
            Some(_) => system.read(path)?,
            None => None,
        };
        let text = String::from_utf8_lossy(former.as_deref().unwrap_or_default()).into_owned();
        let mut lines: Vec<&str> = text.lines().collect();
        match (&key, self.state) {
            (None, _) => lines.retain(|line| Line::read(line).is_none_or(|line| line.marker.is_some() || !names(line.names, &host))),
            (Some(key), state) => match (found(&lines, key, &host)?, state) {
                (Found::Same(index) | Found::Other(index), State::Absent) => drop(lines.remove(index)),
                (Found::Other(index), State::Present) => {
                    lines.remove(index);
                    lines.extend(key.lines());
                }
                (Found::None, State::Present) => lines.extend(key.lines()),
                (Found::Same(_), State::Present) | (Found::None, State::Absent) => {}
            },
        }
        let mut after = lines.join("\n");
        if !after.is_empty() {
            after.push('\n');
        }
        let changed = lines != text.lines().collect::<Vec<_>>();
        let outcome = Outcome::ok()
            .with("name", self.name.as_str())
            .with("key", self.key.as_deref().map_or(Value::Null, Value::text))
            .with("path", shown.as_str())
            .with("hash_host", self.hash_host)
            .with("state", self.state.word());
        let mut draft = Draft::new(system);
        if changed {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if let Some(folder) = folder.filter(|_| former.is_none())
                && followed(folder, system)?.is_none()
            {
                let hint = format!("make the folder first: `file: {{path: {}, state: directory}}`", folder.display());
                return Err(Error::failed(format!("Failed to write to file '{shown}'.")).hint(hint));
            }
            let ownership = if former.is_none() { Ownership::mode(fresh(FileKind::File).mode) } else { Ownership::default() };
            draft.push(Action::write(system.canonical(path)?, after.into(), ownership));
        }
        draft.finish(outcome, path.to_owned(), context.mode == Mode::Check)
    }
}

impl KnownHosts {
    /// The line as it is to be there.
    fn line(&self, host: &str, path: &str) -> Result<Option<String>> {
        let Some(key) = self.key.as_ref().filter(|key| !key.is_empty()) else {
            return match self.state {
                State::Absent => Ok(None),
                State::Present => Err(Error::failed("No key specified when adding a host").hint("`key` is the whole line: `host ssh-ed25519 AAAA…`")),
            };
        };
        if host.trim_start().find(',').is_some_and(|place| place > 0) {
            let message = "Comma separated list of names is not supported. Please pass a single name to lookup in the known_hosts file.";
            return Err(Error::failed(message).hint("one name a task: `loop` over them"));
        }
        let key = if self.hash_host { hashed(key, host, path)? } else { key.clone() };
        if !key.lines().filter_map(Line::read).any(|line| names(line.names, host)) {
            return Err(Error::failed("Host parameter does not match hashed host field in supplied key")
                .hint(format!("the line begins with the host: `{host} ssh-ed25519 AAAA…`")));
        }
        Ok(Some(key))
    }
}

/// The line with a hash for its names, and a salt that every plan of it has.
fn hashed(key: &str, host: &str, path: &str) -> Result<String> {
    let salt = hex::decode(Digest::Sha1.of(format!("{path} {key}").as_bytes())).map_err(|error| Error::failed(error.to_string()))?;
    let mut words: Vec<String> = key.split_whitespace().map(str::to_owned).collect();
    let place = usize::from(words.first().is_some_and(|word| word.starts_with('@')));
    if let Some(names) = words.get_mut(place) {
        *names = hash(&salt, host);
    }
    Ok(words.join(" "))
}

/// Where the key is among the lines that name the host.
fn found(lines: &[&str], key: &str, host: &str) -> Result<Found> {
    let unreadable = || Error::failed("the key is no line of known_hosts").hint("it is `host ssh-ed25519 AAAA…`");
    let wanted = key.lines().find_map(Line::read).ok_or_else(unreadable)?;
    let of_host = lines.iter().enumerate().filter_map(|(index, text)| Some((index, Line::read(text)?)));
    for (index, line) in of_host.filter(|(_, line)| names(line.names, host)) {
        if wanted.is(&line) {
            return Ok(Found::Same(index));
        }
        if line.marker.is_none() && line.kind == wanted.kind {
            return Ok(Found::Other(index));
        }
    }
    Ok(Found::None)
}

//! `apt_key`: keys that apt trusts for every source.
//!
//! Neither apt-key nor gpg is needed (Debian 13 has no apt-key): keyrings are read and written here. A new key gets a file of its own in
//! /etc/apt/trusted.gpg.d, where apt looks for keys everywhere; apt-key put them into /etc/apt/trusted.gpg, of which apt warns.

mod openpgp;

use std::path::{Path, PathBuf};

use super::curl::{fetched, mask};
use super::{Context, Entry, Mode, Module, Outcome, PathText, Plan, State};
use crate::program::Value;
use crate::system::{Action, Effect, Error, Ownership, Result, System};
use openpgp::Key;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<AptKey>(&["apt_key", "ansible.builtin.apt_key"]);

const OLD: &str = "/etc/apt/trusted.gpg";
const PARTS: &str = "/etc/apt/trusted.gpg.d";

arguments! {
    /// Keep keys among those that apt trusts. Arguments and results as in `ansible.builtin.apt_key`.
    pub struct AptKey {
        /// Its fingerprint, or the last 16 or 8 digits of it.
        id: Option<String>,
        /// The key itself.
        data: Option<String>,
        /// A file of the node with the key.
        file: Option<PathText>,
        /// This keyring alone.
        keyring: Option<PathText>,
        /// Where the key is downloaded.
        url: Option<String>,
        /// The server that is asked for the key of this `id`.
        keyserver: Option<String>,
        /// Whether the key is there.
        state: State [default("present")],
        /// Whether the certificate of a URL's server must be right.
        validate_certs: bool [default("yes")],
    }
    rules { mutually_exclusive(&["data", "file", "keyserver", "url"]) }
}

/// An id in the forms that results have.
struct Id {
    given: String,
    /// All digits that were given, upper case.
    whole: String,
}

impl Id {
    fn of(given: &str) -> Result<Self> {
        let upper = given.to_uppercase();
        let whole = upper.strip_prefix("0X").unwrap_or(&upper).to_owned();
        let is_right = whole.chars().all(|digit| digit.is_ascii_hexdigit()) && (whole.len() == 8 || whole.len() >= 16);
        if !is_right {
            return Err(Error::failed("Invalid key_id").detail("id", given).hint("give the fingerprint: 40 hexadecimal digits"));
        }
        Ok(Self { given: given.to_owned(), whole })
    }

    fn last(&self, digits: usize) -> &str {
        &self.whole[self.whole.len().saturating_sub(digits)..]
    }

    /// Whether it is a key's or a subkey's.
    fn is_of(&self, key: &Key) -> bool {
        key.ids.iter().any(|id| id.ends_with(&self.whole))
    }

    fn outcome(&self) -> Outcome {
        let outcome = Outcome::ok().with("id", self.given.as_str()).with("short_id", self.last(8));
        outcome.with("fp", self.last(16)).with("key_id", self.whole.as_str())
    }
}

/// A file of keys.
struct Keyring {
    path: PathBuf,
    keys: Vec<Key>,
}

impl Module for AptKey {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let id = self.id.as_deref().map(Id::of).transpose()?;
        if self.state == State::Absent {
            let id = id.ok_or_else(|| Error::failed("key is required to remove a key").hint("say which: `id`"))?;
            return self.remove(&id, system);
        }
        if self.keyserver.is_some() && id.is_none() {
            return Err(Error::failed("Missing key_id, required with keyserver.").hint("`id` is the key's fingerprint: 40 hexadecimal digits"));
        }
        if let Some(id) = &id {
            let rings = self.keyrings(system)?;
            if rings.iter().flat_map(|ring| &ring.keys).any(|key| id.is_of(key)) {
                return Ok(Plan::done(id.outcome().with("before", ids(&rings, id))));
            }
        }
        let url = match (&self.data, &self.file, &self.url, &self.keyserver) {
            (Some(data), ..) => return self.add(data.as_bytes(), "inline data", id, system),
            (_, Some(file), ..) => {
                let shown = file.path().to_string_lossy();
                let missing = || Error::failed(format!("Unable to extract key from '{shown}'")).hint("it is not there: `copy` it to the node first");
                let content = system.read(file.path())?.ok_or_else(missing)?;
                return self.add(&content, &shown, id, system);
            }
            (_, _, Some(url), _) => url.clone(),
            (.., Some(server)) => lookup(server, id.as_ref().map_or("", |id| &id.whole)),
            _ => return Err(Error::failed("No key to add").hint("say where it is: `url`, `data`, `file` or `keyserver`")),
        };
        self.fetch(&url, id, context)
    }
}

impl AptKey {
    fn fetch(&self, url: &str, id: Option<Id>, context: &Context<'_>) -> Result<Plan> {
        let unknown = || Value::unknown("the key that the server gives");
        // That a key of this id is not there is known.
        let predicted = match &id {
            Some(id) => Outcome { changed: true, ..id.outcome() }.with("before", ids(&self.keyrings(context.system)?, id)),
            None => ["changed", "id", "short_id", "fp", "key_id", "before"].into_iter().fold(Outcome::changed(), |outcome, name| outcome.with(name, unknown())),
        };
        if context.mode == Mode::Check && id.is_some() {
            return Ok(Plan::done(predicted));
        }
        let (module, shown) = (self.clone(), mask(url));
        fetched(url, self.validate_certs, context, (Effect::None, predicted), move |answer, sent, system| {
            if answer.status == 200 {
                return module.add(&sent, "inline data", id, system);
            }
            let what = match (&module.keyserver, &id) {
                (Some(server), Some(id)) if answer.status == 404 => format!("Key {} not found on keyserver {server}", id.whole),
                (Some(server), Some(id)) => format!("Error fetching key {} from keyserver: {server}", id.whole),
                _ => format!("Failed to download key at {shown}: {}", answer.message()),
            };
            let hint = format!("`curl -v {shown}` on the node shows why; `data: \"{{{{ lookup('file', 'key.asc') }}}}\"` needs no server");
            Err(Error::failed(what).detail("response", answer.message()).hint(hint))
        })
    }

    fn add(&self, content: &[u8], place: &str, id: Option<Id>, system: &dyn System) -> Result<Plan> {
        let given = openpgp::keys(content, now(system)).ok_or_else(|| {
            let hint = "what came is no public key of OpenPGP: look at it with `gpg --show-keys`";
            Error::failed(format!("Unable to extract key from '{place}'")).hint(hint)
        })?;
        let id = match (id, given.first()) {
            (Some(id), _) => id,
            // gpg's listing has the id of the first.
            (None, first) => Id::of(first.map_or("", |key| &key.fingerprint[24..]))?,
        };
        let rings = self.keyrings(system)?;
        let outcome = id.outcome().with("before", ids(&rings, &id));
        if rings.iter().flat_map(|ring| &ring.keys).any(|key| id.is_of(key)) {
            return Ok(Plan::done(outcome));
        }
        if !given.iter().any(|key| id.is_of(key)) {
            let message = "apt-key did not return an error, but failed to add the key (check that the id is correct and *not* a subkey)";
            let there: Vec<&str> = given.iter().map(|key| key.fingerprint.as_str()).collect();
            return Err(Error::failed(message).hint(format!("what came has {}, some of it may have expired", there.join(", "))));
        }
        // A copy that has expired, or has no such subkey yet, comes anew; what else is trusted already stays where it is.
        let (mut actions, mut rings) = without(rings, |key| given.iter().any(|new| new.fingerprint == key.fingerprint && id.is_of(new)));
        let is_there = |new: &Key| rings.iter().flat_map(|ring| &ring.keys).any(|key| key.fingerprint == new.fingerprint);
        let missing: Vec<Key> = given.iter().filter(|new| !is_there(new)).cloned().collect();
        let own = || Path::new(PARTS).join(format!("{}.gpg", missing.first().unwrap_or(&given[0]).fingerprint));
        let path = self.keyring.as_ref().map_or_else(own, |ring| ring.path().to_owned());
        actions.retain(|action| !matches!(action, Action::WriteFile { path: changed, .. } | Action::Remove { path: changed } if *changed == path));
        let known = rings.iter().position(|ring| ring.path == path);
        let index = known.unwrap_or_else(|| {
            rings.push(Keyring { path, keys: Vec::new() });
            rings.len() - 1
        });
        let ring = &mut rings[index];
        ring.keys.extend(missing);
        actions.push(write(ring, system.metadata(&ring.path)?.is_none()));
        let after = ids(&rings, &id);
        Ok(Plan::act(actions, Outcome { changed: true, ..outcome }.with("after", after)))
    }

    fn remove(&self, id: &Id, system: &dyn System) -> Result<Plan> {
        let rings = self.keyrings(system)?;
        let outcome = id.outcome().with("before", ids(&rings, id));
        let (actions, rings) = without(rings, |key| id.is_of(key));
        if actions.is_empty() {
            return Ok(Plan::done(outcome));
        }
        Ok(Plan::act(actions, Outcome { changed: true, ..outcome }.with("after", ids(&rings, id))))
    }

    /// Those that count; what is no keyring is passed over, as apt does.
    fn keyrings(&self, system: &dyn System) -> Result<Vec<Keyring>> {
        let paths = match &self.keyring {
            Some(ring) => vec![ring.path().to_owned()],
            None => {
                let mut parts = system.list(Path::new(PARTS))?.unwrap_or_default();
                parts.retain(|name| [".gpg", ".asc"].iter().any(|end| name.ends_with(end)));
                parts.sort();
                [PathBuf::from(OLD)].into_iter().chain(parts.iter().map(|name| Path::new(PARTS).join(name))).collect()
            }
        };
        let now = now(system);
        let mut rings = Vec::new();
        for path in paths {
            if let Some(keys) = system.read(&path)?.and_then(|content| openpgp::keys(&content, now)) {
                rings.push(Keyring { path, keys });
            }
        }
        Ok(rings)
    }
}

/// What to do that no keyring has these keys; and the keyrings then.
fn without(rings: Vec<Keyring>, goes: impl Fn(&Key) -> bool) -> (Vec<Action>, Vec<Keyring>) {
    let mut actions = Vec::new();
    let mut left = Vec::new();
    for mut ring in rings {
        let many = ring.keys.len();
        ring.keys.retain(|key| !goes(key));
        if ring.keys.is_empty() {
            actions.push(Action::Remove { path: ring.path });
            continue;
        }
        if ring.keys.len() < many {
            actions.push(write(&ring, false));
        }
        left.push(ring);
    }
    (actions, left)
}

/// `.asc` is armoured: apt tells the forms by the name.
fn write(ring: &Keyring, is_new: bool) -> Action {
    let packets: Vec<u8> = ring.keys.iter().flat_map(|key| key.packets.iter().copied()).collect();
    let is_text = ring.path.extension().is_some_and(|extension| extension == "asc");
    let content = if is_text { openpgp::armoured(&packets).into() } else { packets.into() };
    Action::write(&ring.path, content, if is_new { Ownership::mode(0o644) } else { Ownership::default() })
}

/// As results list them: of the digits that the id has.
fn ids(rings: &[Keyring], id: &Id) -> Value {
    let digits = if id.whole.len() == 8 { 8 } else { 16 };
    let all = rings.iter().flat_map(|ring| &ring.keys).flat_map(|key| &key.ids);
    all.map(|id| Value::text(&id[id.len() - digits..])).collect::<Vec<_>>().into()
}

/// A key server's address for a key (draft-gallagher-openpgp-hkp).
fn lookup(server: &str, id: &str) -> String {
    let (scheme, host) = server.split_once("://").unwrap_or(("hkps", server));
    let host = host.trim_end_matches('/');
    let place = match scheme {
        "hkp" if host.contains(':') => format!("http://{host}"),
        "hkp" => format!("http://{host}:11371"),
        "hkps" => format!("https://{host}"),
        other => format!("{other}://{host}"),
    };
    format!("{place}/pks/lookup?op=get&options=mr&search=0x{id}")
}

fn now(system: &dyn System) -> u64 {
    system.now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

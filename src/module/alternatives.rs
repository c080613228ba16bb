//! `alternatives`: which of several programs a common name leads to, by update-alternatives(1).
//!
//! What holds is read where dpkg's update-alternatives keeps it (its "administrative directory"), so that a plan knows it.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::file_arguments::followed;
use super::{Context, Diff, Entry, Module, Outcome, PathText, Plan};
use crate::system::{Action, Command, Effect, Error, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Alternatives>(&["alternatives", "community.general.alternatives"]);

/// A file for each name.
const KEPT: &str = "/var/lib/dpkg/alternatives";
/// A link for each name.
const LINKS: &str = "/etc/alternatives";
/// Of an alternative that nothing says a priority of.
const PRIORITY: i64 = 50;

arguments! {
    /// Choose between alternative programs. Arguments and results as in `community.general.alternatives`, for the update-alternatives of
    /// dpkg.
    pub struct Alternatives {
        /// The common name: `editor`.
        name: String [required],
        /// The program that it is to lead to.
        path: Option<PathText>,
        /// Of Red Hat's tool, which groups alternatives; dpkg's refuses it.
        family: Option<String>,
        /// Where the link of the name is; needed for a name that is not known yet.
        link: Option<PathText>,
        /// Of several alternatives `auto` takes that with the greatest; 50 for a new one.
        priority: Option<i64>,
        /// What is wanted.
        state: Wanted [default("selected")],
        /// Further links that go with it.
        subcommands: Option<Vec<Subcommand>> [aliases(&["slaves"]), inside(<Subcommand as super::Arguments>::spec)],
    }
    rules { required_one_of(&["path", "family"]) }
}

arguments! {
    /// A link that goes with another.
    pub struct Subcommand {
        /// Its common name.
        name: String [required],
        /// What it leads to.
        path: PathText [required],
        /// Where it is.
        link: PathText [required],
    }
}

choices! {
    /// What is wanted of an alternative.
    pub enum Wanted {
        /// It is known, whichever is chosen.
        Present = "present",
        /// It is known, and the name leads to it.
        Selected = "selected",
        /// It is known, and the name leads to that with the greatest priority.
        Auto = "auto",
        /// It is not known.
        Absent = "absent",
    }
}

impl Module for Alternatives {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let Some(program) = system.executable("update-alternatives")? else {
            return Err(Error::failed("Failed to find required executable \"update-alternatives\"").hint("it is dpkg's"));
        };
        let known = Known::read(&self.name, system)?;
        let path = self.path.as_ref().map(|path| path.0.as_str());
        let own = path.and_then(|path| known.alternatives.iter().find(|alternative| alternative.path == path));
        let mut work = Work { program: program.to_string_lossy().into_owned(), module: self, actions: Vec::new(), messages: Vec::new() };
        let mut after = json!({});
        if self.state == Wanted::Absent {
            if let Some(path) = own.map(|own| own.path.as_str()) {
                work.run(
                    format!("Remove alternative '{path}' from '{}'.", self.name),
                    &["--remove", &self.name, path],
                    known.link.as_deref(),
                );
                after = json!({"state": "absent"});
            }
        } else {
            if let Some(path) = path.filter(|_| own.is_none_or(|own| self.differs(own))) {
                after = self.install(path, own, &known, &mut work, system)?;
            }
            if self.state == Wanted::Selected && (path.is_none() || known.current.as_deref() != path) {
                let wanted = path.or(self.family.as_deref()).unwrap_or_default();
                work.run(format!("Set alternative '{wanted}' for '{}'.", self.name), &["--set", &self.name, wanted], None);
                after["state"] = json!("selected");
            }
            if self.state == Wanted::Auto && known.mode.as_deref() == Some("manual") {
                work.run(format!("Set alternative to auto for '{}'.", self.name), &["--auto", &self.name], None);
                after["state"] = json!("present");
            }
        }
        let mut outcome = Outcome { changed: !work.actions.is_empty(), ..Outcome::ok() }.with("msg", work.messages.join(" "));
        if outcome.changed && context.diff {
            outcome.diff.push(Diff::of_values(&known.shown(path, own), &after));
        }
        Ok(Plan::act(work.actions, outcome))
    }
}

impl Alternatives {
    /// Whether it is to be told anew what it is.
    fn differs(&self, own: &Alternative) -> bool {
        let is_same = |wanted: &Subcommand, (name, link, path): &(String, String, String)| {
            wanted.name == *name && wanted.link.0 == *link && wanted.path.0 == *path
        };
        self.priority.is_some_and(|priority| priority != own.priority)
            || self.subcommands.as_ref().is_some_and(|wanted| {
                let known = &own.subcommands;
                !known.iter().all(|known| wanted.iter().any(|wanted| is_same(wanted, known)))
                    || !wanted.iter().all(|wanted| known.iter().any(|known| is_same(wanted, known)))
            })
    }

    fn install(&self, path: &str, own: Option<&Alternative>, known: &Known, work: &mut Work, system: &dyn System) -> Result<Json> {
        if followed(Path::new(path), system)?.is_none() {
            return Err(Error::failed(format!("Specified path {path} does not exist")));
        }
        let Some(link) = self.link.as_ref().map(|link| link.0.as_str()).or(known.link.as_deref()) else {
            return Err(Error::failed("Needed to install the alternative, but unable to do so as we are missing the link")
                .hint(format!("`link:` says where the link of `{}` is to be", self.name)));
        };
        let priority = self.priority.or_else(|| own.map(|own| own.priority)).unwrap_or(PRIORITY);
        let number = priority.to_string();
        let mut words = vec!["--install", link, &self.name, path, &number];
        if let Some(family) = &self.family {
            words.extend(["--family", family]);
        }
        for subcommand in self.subcommands.iter().flatten() {
            words.extend(["--slave", &subcommand.link.0, &subcommand.name, &subcommand.path.0]);
        }
        work.run(format!("Install alternative '{path}' for '{}'.", self.name), &words, Some(link));
        let mut after = json!({"state": "present", "path": path, "family": self.family, "priority": priority, "link": link});
        let given = self
            .subcommands
            .as_ref()
            .map(|given| given.iter().map(|one| (one.name.clone(), one.link.0.clone(), one.path.0.clone())).collect::<Vec<_>>());
        let subcommands = given.or_else(|| own.map(|own| own.subcommands.clone())).unwrap_or_default();
        if !subcommands.is_empty() {
            after["subcommands"] = shown(&subcommands);
        }
        Ok(after)
    }
}

/// The commands, and what Ansible says of them.
struct Work<'module> {
    program: String,
    module: &'module Alternatives,
    actions: Vec<Action>,
    messages: Vec<String>,
}

impl Work<'_> {
    fn run(&mut self, message: String, words: &[&str], link: Option<&str>) {
        let name = &self.module.name;
        let places = [Path::new(KEPT).join(name), Path::new(LINKS).join(name)];
        let places = places.into_iter().chain(link.map(Into::into)).collect();
        let words = std::iter::once(self.program.as_str()).chain(words.iter().copied());
        let label = lower(message.trim_end_matches('.'));
        self.actions.push(Action::Run(Command::new(label, words).effect(Effect::Unsure(places))));
        self.messages.push(message);
    }
}

/// A sentence as the rest of another.
fn lower(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// What dpkg knows of a name.
#[derive(Default)]
struct Known {
    /// `auto`, `manual`; `None`: it knows not the name.
    mode: Option<String>,
    link: Option<String>,
    /// What the name leads to.
    current: Option<String>,
    alternatives: Vec<Alternative>,
}

struct Alternative {
    path: String,
    priority: i64,
    /// Name, link, path.
    subcommands: Vec<(String, String, String)>,
}

impl Known {
    fn read(name: &str, system: &dyn System) -> Result<Self> {
        let path = Path::new(KEPT).join(name);
        let Some(bytes) = system.read(&path)? else { return Ok(Self::default()) };
        let text = String::from_utf8_lossy(&bytes);
        let mut known = Self::parse(&text)
            .ok_or_else(|| Error::failed(format!("read {}: it is not as update-alternatives writes it", path.display())))?;
        known.current = system.read_link(&Path::new(LINKS).join(name))?.map(|target| target.to_string_lossy().into_owned());
        Ok(known)
    }

    /// Mode and link; names and links of what goes with it; an empty line; for each alternative its path, its priority, and what those
    /// lead to, an empty line where they lead nowhere.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::to_owned);
        let (mode, link) = (lines.next()?, lines.next()?);
        let mut names = Vec::new();
        while let Some(name) = lines.next().filter(|name| !name.is_empty()) {
            names.push((name, lines.next()?));
        }
        let mut alternatives = Vec::new();
        while let Some(path) = lines.next().filter(|path| !path.is_empty()) {
            let priority = lines.next()?.parse().ok()?;
            let mut subcommands = Vec::new();
            for (name, link) in &names {
                let path = lines.next()?;
                if !path.is_empty() {
                    subcommands.push((name.clone(), link.clone(), path));
                }
            }
            alternatives.push(Alternative { path, priority, subcommands });
        }
        Some(Self { mode: Some(mode), link: Some(link), current: None, alternatives })
    }

    /// Of a difference.
    fn shown(&self, path: Option<&str>, own: Option<&Alternative>) -> Json {
        let Some(own) = own else { return json!({"state": "absent"}) };
        let is_other = self.mode.as_deref() == Some("manual") && self.current.as_deref() != path;
        let state = if is_other { "selected" } else { "present" };
        let mut before = json!({"state": state, "path": own.path, "priority": own.priority, "link": self.link});
        if !own.subcommands.is_empty() {
            before["subcommands"] = shown(&own.subcommands);
        }
        before
    }
}

fn shown(subcommands: &[(String, String, String)]) -> Json {
    subcommands.iter().map(|(name, link, path)| json!({"name": name, "link": link, "path": path})).collect()
}

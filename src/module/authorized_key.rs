//! `authorized_key`: public keys that may log in as a user.
//!
//! Lines that are not meant stay as they are written; Ansible's module writes the whole file anew in a form of its own.

mod keys;

use std::path::{Path, PathBuf};

use super::curl::{fetched, mask};
use super::file_arguments::{Draft, FileArguments, followed};
use super::{Context, Entry, Mode, Module, Outcome, PathText, Plan, State};
use crate::program::Value;
use crate::system::{Action, Effect, Error, Ownership, Result, System, User};
use keys::{Key, Lines};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<AuthorizedKey>(&["authorized_key", "ansible.posix.authorized_key"]);

arguments! {
    /// Keep keys in a user's authorized_keys. Arguments and results as in `ansible.posix.authorized_key`.
    pub struct AuthorizedKey {
        /// Whose.
        user: String [required],
        /// The keys, one a line, or a URL that gives them.
        key: String [required],
        /// Another file than ~/.ssh/authorized_keys.
        path: Option<PathText>,
        /// Make the file's folder, and give it to the user alone.
        manage_dir: bool [default("yes")],
        /// Whether the keys are there.
        state: State [default("present")],
        /// Options of sshd(8) before the keys, instead of those in `key`.
        key_options: Option<String>,
        /// Nothing else is in the file.
        exclusive: bool [default("no")],
        /// Whether the certificate of a URL's server must be right.
        validate_certs: bool [default("yes")],
        /// Comment behind the keys, instead of the one in `key`.
        comment: Option<String>,
        /// Where the file is a link, change what it points to.
        follow: bool [default("no")],
    }
}

impl Module for AuthorizedKey {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if !self.key.starts_with("http") {
            return self.decide(&self.key, context.mode, context.system);
        }
        let unknown = || Value::unknown("the keys that the server gives");
        let predicted = Outcome::changed().with("changed", unknown()).with("keyfile", unknown());
        let (module, mode) = (self.clone(), context.mode);
        fetched(&self.key, self.validate_certs, context, (Effect::None, predicted), move |answer, sent, system| {
            if answer.status != 200 {
                let why = answer.message();
                return Err(Error::failed(format!("Error getting key from: {}", mask(&module.key))).detail("response", why));
            }
            module.decide(&String::from_utf8_lossy(&sent), mode, system)
        })
    }
}

impl AuthorizedKey {
    fn decide(&self, given: &str, mode: Mode, system: &dyn System) -> Result<Plan> {
        let wanted = self.wanted(given)?;
        let check = mode == Mode::Check;
        let (user, path) = match &self.path {
            // Ansible's check mode does not ask for whom.
            Some(path) if check => (None, path.path().to_owned()),
            Some(path) => (Some(self.account(check, system)?), path.path().to_owned()),
            None => {
                let user = self.account(check, system)?;
                let path = user.home.join(".ssh/authorized_keys");
                (Some(user), path)
            }
        };
        let written = if self.follow { system.canonical(&path)? } else { path.clone() };
        let former = if followed(&path, system)?.is_some() { system.read(&path)? } else { None };
        let mut lines = Lines::read(&String::from_utf8_lossy(former.as_deref().unwrap_or_default()));
        let changed = match self.state {
            State::Present => lines.with(&wanted, self.exclusive),
            State::Absent => lines.without(&wanted),
        };
        let outcome = Outcome { changed, ..self.outcome(&path) };
        let mut draft = Draft::new(system);
        if !changed {
            return self.finish(draft, outcome, path, check);
        }
        let mut ownership = Ownership::mode(0o600);
        if let Some(user) = &user {
            let group = draft.system.group(&user.gid.to_string())?.map_or_else(|| user.gid.to_string(), |group| group.name);
            (ownership.owner, ownership.group) = (Some(user.name.clone()), Some(group));
            self.make_folder(&written, &path, &ownership, &mut draft)?;
        }
        draft.push(Action::write(written, lines.text().into(), ownership));
        self.finish(draft, outcome, path, check)
    }

    /// Ansible's results say more of a file that `path` names.
    fn finish(&self, draft: Draft<'_>, outcome: Outcome, path: PathBuf, check: bool) -> Result<Plan> {
        match (&self.path, draft.actions.is_empty()) {
            (Some(_), _) => draft.finish(outcome, path, check),
            (None, true) => Ok(Plan::done(outcome)),
            (None, false) => Ok(Plan::act(draft.actions, outcome)),
        }
    }

    /// What the keys are to be.
    fn wanted(&self, given: &str) -> Result<Vec<Key>> {
        let mut keys = Vec::new();
        for line in given.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let invalid = || Error::failed(format!("invalid key specified: {line}")).hint("a key is `ssh-ed25519 AAAA… comment`, options before it");
            let mut key = Key::parse(line).ok_or_else(invalid)?;
            if let Some(options) = &self.key_options {
                key.options = keys::options(options);
            }
            if let Some(comment) = &self.comment {
                key.comment.clone_from(comment);
            }
            keys.push(key);
        }
        Ok(keys)
    }

    fn account(&self, check: bool, system: &dyn System) -> Result<User> {
        let missing = || {
            let message = if check {
                "Either user must exist or you must provide full path to key file in check mode".to_owned()
            } else {
                format!("Failed to lookup user {0}: \"getpwnam(): name not found: '{0}'\"", self.user)
            };
            Error::failed(message).hint("make it first: `user: {name: …}`")
        };
        system.user(&self.user)?.ok_or_else(missing)
    }

    /// The folder of the file, the user's alone where it is ours to manage.
    fn make_folder(&self, written: &Path, path: &Path, ownership: &Ownership, draft: &mut Draft<'_>) -> Result<()> {
        let folder = |path: &Path| path.parent().filter(|folder| !folder.as_os_str().is_empty()).map(PathBuf::from);
        if let Some(folder) = folder(path).filter(|_| self.manage_dir) {
            let owned = FileArguments { owner: ownership.owner.clone(), group: ownership.group.clone(), ..FileArguments::none() };
            let owned = owned.with_mode(Some(Value::text("0700")));
            if followed(&folder, &draft.system)?.is_some() {
                let folder = draft.system.canonical(&folder)?;
                draft.own(&folder, &owned)?;
            } else {
                let above = folder.parent().filter(|above| !above.as_os_str().is_empty());
                if let Some(above) = above.filter(|above| draft.system.metadata(above).is_ok_and(|found| found.is_none())) {
                    let why = format!("[Errno 2] No such file or directory: '{}'", folder.display());
                    return Err(Error::failed(format!("Failed to create directory {} : {why}", folder.display()))
                        .hint(format!("{} is not there", above.display())));
                }
                draft.make_directories(&folder, &owned)?;
            }
        }
        match folder(written) {
            Some(folder) => draft.make_directories(&folder, &FileArguments::none()),
            None => Ok(()),
        }
    }

    /// Ansible's result is its arguments, and where the file is.
    fn outcome(&self, path: &Path) -> Outcome {
        let text = |text: Option<&str>| text.map_or(Value::Null, Value::text);
        Outcome::ok()
            .with("user", self.user.as_str())
            .with("key", self.key.as_str())
            .with("path", text(self.path.as_ref().map(|path| path.0.as_str())))
            .with("manage_dir", self.manage_dir)
            .with("state", super::Choice::word(self.state))
            .with("key_options", text(self.key_options.as_deref()))
            .with("exclusive", self.exclusive)
            .with("comment", text(self.comment.as_deref()))
            .with("validate_certs", self.validate_certs)
            .with("follow", self.follow)
            .with("keyfile", Value::text(path.to_string_lossy()))
    }
}

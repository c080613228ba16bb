//! `user`: users, their groups, homes, passwords and SSH keys.

mod account;
mod defaults;
mod home;
mod ssh_key;

use super::file_arguments::Draft;
use super::group::{number, said};
use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan, State};
use crate::system::{Action, ActionOutcome, Error, Result, System};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<User>(&["user", "ansible.builtin.user"]);

arguments! {
    /// Add, change and remove users. Arguments and results as in `ansible.builtin.user`. A password's hash goes to chpasswd(8) on
    /// its standard input, so that no list of processes shows it. Source: useradd(8), usermod(8), userdel(8), chage(1), shadow(5).
    pub struct User {
        /// The user.
        name: String [required, aliases(&["user"])],
        /// Whether it is there.
        state: State [default("present")],
        /// Its number; without it the machine chooses.
        uid: Option<i64>,
        /// The number may be another user's too.
        non_unique: bool [default("no")],
        /// Primary group: name or number.
        group: Option<String>,
        /// The other groups; an empty list is none.
        groups: Option<Vec<String>>,
        /// Add to the groups that it is in, instead of setting them.
        append: bool [default("no")],
        /// Full name and the like (GECOS).
        comment: Option<String>,
        /// Home folder.
        home: Option<PathText>,
        /// Login shell.
        shell: Option<PathText>,
        /// The password's hash, as crypt(5) has it; `!` or `*`: none.
        password: Option<String> [secret],
        /// Whether the password is set each time or only for a new user.
        update_password: UpdatePassword [default("always")],
        /// Whether the password is locked; without it, it stays as it is.
        password_lock: Option<bool>,
        /// Days after which the password must be changed.
        password_expire_max: Option<i64>,
        /// Days before which it cannot be.
        password_expire_min: Option<i64>,
        /// Days before the end of `password_expire_max` from which on the user is warned.
        password_expire_warn: Option<i64>,
        /// Days after that end until the account is disabled.
        password_expire_account_disable: Option<i64>,
        /// When the account ends: seconds since the epoch; negative: never.
        expires: Option<f64>,
        /// Remove a user who is logged in, replace a key that is there.
        force: bool [default("no")],
        /// Remove the home folder and the mail with the user.
        remove: bool [default("no")],
        /// Make the home folder where it is missing.
        create_home: bool [default("yes"), aliases(&["createhome"])],
        /// Move the old home folder to the new place.
        move_home: bool [default("no")],
        /// What a new home folder is a copy of.
        skeleton: Option<String>,
        /// Mode of a new home folder, as a mask.
        umask: Option<String>,
        /// A system user: the machine chooses among their numbers.
        system: bool [default("no")],
        /// Only /etc/passwd and /etc/group count, changed by the tools of libuser (`luseradd`).
        local: Option<bool>,
        /// Smallest number to choose.
        uid_min: Option<i64>,
        /// Greatest number to choose.
        uid_max: Option<i64>,
        /// SELinux user.
        seuser: Option<String>,
        /// Make an SSH key where there is none.
        generate_ssh_key: Option<bool>,
        /// Its bits; 0: as ssh-keygen has it.
        ssh_key_bits: i64 [default("0")],
        /// `rsa`, `ed25519`, `ecdsa`.
        ssh_key_type: String [default("rsa")],
        /// Its file; a relative path is below the home folder. Default `.ssh/id_TYPE`.
        ssh_key_file: Option<PathText>,
        /// Its comment; default `ansible-generated on HOST`.
        ssh_key_comment: Option<String>,
        /// Its passphrase.
        ssh_key_passphrase: Option<String> [secret],
        /// Of BSD; not used on Linux.
        login_class: Option<String>,
        /// Of macOS; not used on Linux.
        hidden: Option<bool>,
        /// Of Solaris; not used on Linux.
        profile: Option<String>,
        /// Of Solaris; not used on Linux.
        authorization: Option<String>,
        /// Of Solaris; not used on Linux.
        role: Option<String>,
    }
}

choices! {
    /// When the password is set.
    pub enum UpdatePassword {
        /// Each time that it differs.
        Always = "always",
        /// For a new user only.
        OnCreate = "on_create",
    }
}

/// What was found, and which of the actions are the account's own.
struct Report {
    user: User,
    existed: bool,
    account_actions: std::ops::Range<usize>,
    warnings: Vec<String>,
}

impl Module for User {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let mut report = Report { user: self.clone(), existed: false, account_actions: 0..0, warnings: self.check()? };
        let found = self.find(context.system)?;
        report.existed = found.is_some();
        let mut draft = Draft::new(context.system);
        match (self.state, found) {
            (State::Absent, None) => {}
            (State::Absent, Some(user)) => {
                let removal = self.removal(&user, context.system)?;
                draft.push(Action::Run(removal));
                report.account_actions = 0..1;
            }
            (State::Present, found) => {
                if let Some(user) = found {
                    self.change(&user, &mut draft, &mut report.warnings)?;
                    report.account_actions = 0..draft.actions.len();
                } else {
                    self.parents_of_home(&mut draft)?;
                    let first = draft.actions.len();
                    self.addition(&mut draft, context.mode)?;
                    report.account_actions = first..draft.actions.len();
                }
                let user = self.find(&draft.system)?.ok_or_else(|| Error::failed(format!("failed to look up user name: {}", self.name)))?;
                self.missing_home(&user, &mut draft)?;
                if self.generate_ssh_key == Some(true) {
                    self.ssh_key(&user, context.mode, &mut draft, &mut report.warnings)?;
                }
                self.password_ages(&mut draft)?;
            }
        }
        let changed = !draft.actions.is_empty();
        // In check mode Ansible shows the user as it is.
        let seen: &dyn System = if context.mode == Mode::Check { context.system } else { &draft.system };
        let predicted = report.of(changed, &[], seen)?;
        let actions = draft.actions;
        if !changed {
            return Ok(Plan::done(predicted));
        }
        Ok(Plan::act(actions, predicted).then(move |outcomes, system| Ok(Next::Done(report.of(true, outcomes, system)?))))
    }
}

impl User {
    /// What is wrong whatever the machine has; warnings otherwise.
    fn check(&self) -> Result<Vec<String>> {
        let local = self.local == Some(true);
        for (name, given) in [("umask", self.umask.is_some()), ("uid_min", self.uid_min.is_some()), ("uid_max", self.uid_max.is_some())] {
            if local && given {
                return Err(Error::failed(format!("'{name}' can not be used with 'local'")));
            }
        }
        if let Some(uid) = self.uid
            && u32::try_from(uid).is_err()
        {
            return Err(Error::failed(format!("argument `uid`: {uid} is no number of a user")));
        }
        let mut warnings = Vec::new();
        if self.groups.is_none() && self.append {
            warnings.push(
                "'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups.This will change to an error in Ansible 2.14."
                    .to_owned(),
            );
        }
        if self.password.as_deref().is_some_and(|password| !password.is_empty() && !looks_hashed(password)) {
            warnings.push(
                "The input password appears not to have been hashed. The 'password' argument must be encrypted for this module to work properly."
                    .to_owned(),
            );
        }
        Ok(warnings)
    }

    /// The user of this name; a number is no name here.
    fn find(&self, system: &dyn System) -> Result<Option<crate::system::User>> {
        if self.local == Some(true) {
            return Ok(system.users()?.into_iter().find(|user| user.name == self.name));
        }
        Ok(system.user(&self.name)?.filter(|user| user.name == self.name))
    }
}

impl Report {
    /// The result, as the user is on this machine.
    fn of(&self, changed: bool, outcomes: &[ActionOutcome], system: &dyn System) -> Result<Outcome> {
        let user = &self.user;
        let word = super::Choice::word(user.state);
        let mut outcome = Outcome { changed, warnings: self.warnings.clone(), ..Outcome::ok() };
        outcome = outcome.with("name", user.name.as_str()).with("state", word);
        outcome = said(outcome, outcomes.get(self.account_actions.clone()).unwrap_or_default());
        if user.state == State::Absent {
            return Ok(if self.existed { outcome.with("force", user.force).with("remove", user.remove) } else { outcome });
        }
        outcome = if self.existed {
            outcome.with("append", user.append).with("move_home", user.move_home)
        } else {
            outcome.with("system", user.system).with("create_home", user.create_home)
        };
        if user.password.is_some() {
            outcome = outcome.with("password", "NOT_LOGGING_PASSWORD");
        }
        let Some(found) = user.find(system)? else { return Ok(outcome) };
        outcome = outcome
            .with("uid", number(found.uid, "user"))
            .with("group", number(found.gid, "group"))
            .with("comment", found.gecos.as_str())
            .with("home", found.home.to_string_lossy().as_ref())
            .with("shell", found.shell.to_string_lossy().as_ref());
        if let Some(groups) = &user.groups {
            outcome = outcome.with("groups", groups.join(","));
        }
        if user.generate_ssh_key == Some(true) { user.with_ssh_key(outcome, &found, system) } else { Ok(outcome) }
    }
}

/// Ansible's test of a hash: the method's length, crypt's letters.
fn looks_hashed(password: &str) -> bool {
    if matches!(password, "*" | "!" | "*************") {
        return true;
    }
    let fields: Vec<&str> = password.split('$').collect();
    if password.contains([':', '*', '!']) || fields.len() < 3 {
        return false;
    }
    let last = fields.last().copied().unwrap_or_default();
    let length = match fields[1] {
        "1" => Some(22),
        "5" | "y" => Some(43),
        "6" => Some(86),
        _ => None,
    };
    let letters = last.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '/' | '='));
    letters && length.is_none_or(|length| last.len() == length)
}

//! The account itself: calls of useradd, usermod, userdel, chpasswd and chage, from parts.

use super::defaults::Defaults;
use super::home::Owner;
use super::{Mode, UpdatePassword, User};
use crate::module::file_arguments::{Draft, followed};
use crate::program::Bytes;
use crate::system::overlay::FIRST_UNKNOWN_ID;
use crate::system::{Account, Action, Command, Effect, Error, Group, Memberships, Ownership, Result, Shadow, System, User as Found};

/// The hash comes on standard input; the account is not left without it where the agent is killed in between.
const WITH_PASSWORD: &str = "\"$@\" && exec chpasswd -e";

impl User {
    fn local(&self) -> bool {
        self.local == Some(true)
    }

    fn words(&self, program: &str) -> Vec<String> {
        vec![if self.local() { format!("l{program}") } else { program.to_owned() }]
    }

    /// A new user.
    pub(super) fn addition(&self, draft: &mut Draft<'_>, mode: Mode) -> Result<()> {
        let system = &draft.system;
        let defaults = Defaults::read(system)?;
        let mut words = self.words("useradd");
        if mode != Mode::Check {
            self.need_free("useradd", |uid| format!("UID {uid} is not unique"), system)?;
        }
        words.extend(self.number());
        words.extend(option("-Z", self.seuser.as_ref()));
        let mut effects = Vec::new();
        let group = if let Some(group) = &self.group {
            words.extend(option("-g", Some(group)));
            match find_group(group, system) {
                // An earlier task may make it.
                Err(_) if mode == Mode::Check => defaults.group().to_owned(),
                found => found?.name,
            }
        } else if find_group(&self.name, system).is_ok() {
            // Or it would try to make a group of the user's own.
            words.push(if self.local() { "-n" } else { "-N" }.to_owned());
            defaults.group().to_owned()
        } else if defaults.own_groups() {
            effects.push(Effect::Group { name: self.name.clone(), present: true, gid: None });
            self.name.clone()
        } else {
            defaults.group().to_owned()
        };
        let groups = match self.wanted_groups(system) {
            Err(_) if mode == Mode::Check => Vec::new(),
            groups => groups?.unwrap_or_default(),
        };
        if !groups.is_empty() && !self.local() {
            words.extend(["-G".to_owned(), groups.join(",")]);
        }
        words.extend(option("-c", self.comment.as_ref()));
        words.extend(option("-d", self.home.as_ref().map(|home| &home.0)));
        words.extend(option("-s", self.shell.as_ref().map(|shell| &shell.0)));
        let mut shadow = defaults.shadow(self.system);
        if let Some(expires) = self.expires {
            shadow.expires = days(expires);
            if !self.local() {
                words.extend(["-e".to_owned(), date(expires)]);
            }
        }
        if let Some(days) = self.password_expire_account_disable {
            shadow.inactive = days;
            words.extend(["-f".to_owned(), days.to_string()]);
        }
        let home = self.home.as_ref().map_or_else(|| defaults.home(&self.name), |home| home.path().to_owned());
        let account = Account {
            uid: self.uid.and_then(|uid| u32::try_from(uid).ok()),
            group: group.clone(),
            gecos: self.comment.clone().unwrap_or_default(),
            home: home.clone(),
            shell: self.shell.as_ref().map_or_else(|| defaults.shell(), |shell| shell.path().to_owned()),
            groups: Memberships::Set(groups.clone()),
            shadow: Shadow { password: self.new_password().unwrap_or(shadow.password), ..shadow },
        };
        effects.push(Effect::User { name: self.name.clone(), account: Some(Box::new(account)) });
        if self.create_home {
            if !self.local() {
                words.push("-m".to_owned());
            }
            words.extend(option("-k", self.skeleton.as_ref()));
            if let Some(umask) = &self.umask {
                words.extend(["-K".to_owned(), format!("UMASK={umask}")]);
            }
            if followed(&home, system)?.is_none() {
                let owner = Owner { user: self.name.clone(), group };
                effects.push(Effect::Leaves(self.new_home(&home, &owner, &defaults, system)?));
            }
        } else {
            words.push("-M".to_owned());
        }
        if self.system {
            words.push("-r".to_owned());
        }
        for (name, limit) in [("UID_MIN", self.uid_min), ("UID_MAX", self.uid_max)] {
            if let Some(limit) = limit {
                words.extend(["-K".to_owned(), format!("{name}={limit}")]);
            }
        }
        words.push(self.name.clone());
        let label = format!("add user {}", self.name);
        let command = match self.new_password() {
            Some(hash) => {
                let script = ["/bin/sh", "-c", WITH_PASSWORD, "sh"].map(str::to_owned);
                self.with_hash(Command::new(label, script.into_iter().chain(words)), &hash)?
            }
            None => Command::new(label, words),
        };
        draft.push(Action::Run(command.effect(Effect::All(effects))));
        if self.local() {
            for command in self.local_rest(self.expires.map(days), &groups, &[]) {
                draft.push(Action::Run(command.effect(Effect::None)));
            }
        }
        Ok(())
    }

    /// What is otherwise than wanted.
    pub(super) fn change(&self, user: &Found, draft: &mut Draft<'_>, warnings: &mut Vec<String>) -> Result<()> {
        let system = &draft.system;
        let mut account = self.account(user, system)?;
        let mut words = self.words("usermod");
        let (mut effects, mut end) = (Vec::new(), None);
        let shadow = system.shadow(&self.name)?.unwrap_or_else(|| Shadow { password: String::new(), ..Shadow::default() });
        if let Some(uid) = self.uid.and_then(|uid| u32::try_from(uid).ok()).filter(|uid| *uid != user.uid) {
            self.need_free("usermod", |uid| format!("UID '{uid}' already exists"), system)?;
            words.extend(self.number());
            account.uid = Some(uid);
            // It changes the owner of the home and of what is in it.
            let ownership = Ownership { owner: Some(self.name.clone()), ..Ownership::default() };
            if followed(&user.home, system)?.is_some_and(|home| home.uid == user.uid) {
                effects.push(Effect::Leaves(vec![Action::SetOwnership { path: user.home.clone(), ownership, follow: false }]));
            }
        }
        if let Some(group) = &self.group {
            let found = find_group(group, system)?;
            if found.gid != user.gid {
                words.extend(option("-g", Some(group)));
                account.group = found.name;
            }
        }
        let (mut joins, mut leaves) = (Vec::new(), Vec::new());
        if let Some(wanted) = self.wanted_groups(system)? {
            (joins, leaves) = self.moves(&wanted, system)?;
            if !joins.is_empty() || !leaves.is_empty() {
                if !self.local() {
                    words.extend(self.append.then(|| "-a".to_owned()));
                    words.extend(["-G".to_owned(), wanted.join(",")]);
                }
                account.groups = if self.append { Memberships::Added(wanted) } else { Memberships::Set(wanted) };
            }
        }
        if let Some(comment) = self.comment.as_ref().filter(|comment| **comment != user.gecos) {
            words.extend(option("-c", Some(comment)));
            account.gecos.clone_from(comment);
        }
        if let Some(home) = self.home.as_ref().filter(|home| home.path() != user.home) {
            words.extend(option("-d", Some(&home.0)));
            home.path().clone_into(&mut account.home);
            if self.move_home {
                words.push("-m".to_owned());
                effects.extend(super::home::moved(&user.home, home.path(), system)?);
            }
        }
        if let Some(shell) = self.shell.as_ref().filter(|shell| shell.path() != user.shell) {
            words.extend(option("-s", Some(&shell.0)));
            shell.path().clone_into(&mut account.shell);
        }
        if let Some(expires) = self.expires {
            let differs = if expires < 0.0 { shadow.expires >= 0 } else { shadow.expires != days(expires) };
            if differs {
                account.shadow.expires = days(expires);
                if self.local() {
                    end = Some(days(expires));
                } else {
                    words.extend(["-e".to_owned(), date(expires)]);
                }
            }
        }
        if let Some(days) = self.password_expire_account_disable.filter(|days| *days != shadow.inactive) {
            account.shadow.inactive = days;
            words.extend(["-f".to_owned(), days.to_string()]);
        }
        let differs = |hash: &&String| hash.trim_start_matches('!') != shadow.password.trim_start_matches('!');
        let password = self.password.as_ref().filter(|_| self.update_password == UpdatePassword::Always).filter(differs);
        if password.is_some() {
            account.shadow.password = self.new_password().unwrap_or_default();
        } else {
            words.extend(self.lock(&shadow.password, &mut account.shadow.password, warnings));
        }
        effects.insert(0, Effect::User { name: self.name.clone(), account: Some(Box::new(account)) });
        let mut commands = Vec::new();
        if words.len() > 1 {
            words.push(self.name.clone());
            commands.push(Command::new(format!("change user {}", self.name), words));
        }
        if self.local() {
            commands.extend(self.local_rest(end, &joins, &leaves));
        }
        if password.is_some() {
            let command = Command::new(format!("set the password of user {}", self.name), ["chpasswd", "-e"]);
            commands.push(self.with_hash(command, &self.new_password().unwrap_or_default())?);
        }
        // What all of them leave.
        let mut effect = Effect::All(effects);
        for command in commands {
            draft.push(Action::Run(command.effect(std::mem::replace(&mut effect, Effect::None))));
        }
        Ok(())
    }

    /// `-L`, `-U`, or nothing.
    fn lock(&self, before: &str, after: &mut String, warnings: &mut Vec<String>) -> Option<String> {
        match (self.password_lock, before.strip_prefix('!')) {
            (Some(true), None) => {
                *after = format!("!{before}");
                Some("-L".to_owned())
            }
            (Some(false), Some("")) => {
                warnings.push(format!("user {} has no password: there is nothing to unlock", self.name));
                None
            }
            (Some(false), Some(hash)) => {
                hash.clone_into(after);
                Some("-U".to_owned())
            }
            _ => None,
        }
    }

    pub(super) fn removal(&self, user: &Found, system: &dyn System) -> Result<Command> {
        let mut words = self.words("userdel");
        if self.force && !self.local() {
            words.push("-f".to_owned());
        }
        let mut effects = vec![Effect::User { name: self.name.clone(), account: None }];
        if self.remove {
            words.push("-r".to_owned());
            let mail = std::path::Path::new("/var/mail").join(&self.name);
            let mine = |path: &std::path::Path| -> Result<bool> { Ok(system.metadata(path)?.is_some_and(|found| found.uid == user.uid)) };
            for path in [user.home.clone(), mail] {
                if mine(&path)? {
                    effects.push(Effect::Leaves(vec![Action::Remove { path }]));
                }
            }
        }
        // Its own group goes with it, where nobody else is in it.
        let own = system.group(&self.name)?.filter(|group| group.name == self.name);
        if let Some(own) = own.filter(|group| group.members.iter().all(|member| *member == self.name))
            && Defaults::read(system)?.own_groups()
            && !system.users()?.iter().any(|other| other.name != self.name && other.gid == own.gid)
        {
            effects.push(Effect::Group { name: own.name, present: false, gid: None });
        }
        words.push(self.name.clone());
        Ok(Command::new(format!("remove user {}", self.name), words).effect(Effect::All(effects)))
    }

    /// `chage`, where the password's ages differ.
    pub(super) fn password_ages(&self, draft: &mut Draft<'_>) -> Result<()> {
        let Some(shadow) = draft.system.shadow(&self.name)? else { return Ok(()) };
        let Some(user) = self.find(&draft.system)? else { return Ok(()) };
        let mut account = self.account(&user, &draft.system)?;
        let mut words = vec!["chage".to_owned()];
        for (letter, wanted, found, place) in [
            ("-m", self.password_expire_min, shadow.min, &mut account.shadow.min),
            ("-M", self.password_expire_max, shadow.max, &mut account.shadow.max),
            ("-W", self.password_expire_warn, shadow.warn, &mut account.shadow.warn),
        ] {
            if let Some(days) = wanted.filter(|days| *days != found) {
                words.extend([letter.to_owned(), days.to_string()]);
                *place = days;
            }
        }
        if words.len() > 1 {
            words.push(self.name.clone());
            let effect = Effect::User { name: self.name.clone(), account: Some(Box::new(account)) };
            draft.push(Action::Run(Command::new(format!("set the password's ages of user {}", self.name), words).effect(effect)));
        }
        Ok(())
    }

    /// The user as it is, by names.
    fn account(&self, user: &Found, system: &dyn System) -> Result<Account> {
        let group = system.group(&user.gid.to_string())?.filter(|group| group.gid == user.gid);
        Ok(Account {
            uid: Some(user.uid).filter(|uid| *uid < FIRST_UNKNOWN_ID),
            group: group.map_or_else(|| user.gid.to_string(), |group| group.name),
            gecos: user.gecos.clone(),
            home: user.home.clone(),
            shell: user.shell.clone(),
            groups: Memberships::Kept,
            shadow: system.shadow(&self.name)?.unwrap_or_default(),
        })
    }

    /// What useradd and usermod would fail with is said beforehand.
    fn need_free(&self, program: &str, told: impl Fn(i64) -> String, system: &dyn System) -> Result<()> {
        let Some(uid) = self.uid.filter(|_| !self.non_unique) else { return Ok(()) };
        match system.user(&uid.to_string())?.filter(|user| i64::from(user.uid) == uid && user.name != self.name) {
            Some(other) => Err(Error::failed(format!("{program}: {}\n", told(uid)))
                .hint(format!("user {} has it; `non_unique: true` shares it", other.name))
                .detail("name", self.name.as_str())
                .detail("rc", 4_i64)),
            None => Ok(()),
        }
    }

    fn number(&self) -> Vec<String> {
        let Some(uid) = self.uid else { return Vec::new() };
        let mut words = vec!["-u".to_owned(), uid.to_string()];
        if self.non_unique {
            words.push("-o".to_owned());
        }
        words
    }

    /// The hash as it goes to /etc/shadow.
    fn new_password(&self) -> Option<String> {
        let hash = self.password.as_ref()?;
        Some(if self.password_lock == Some(true) { format!("!{hash}") } else { hash.clone() })
    }

    fn with_hash(&self, mut command: Command, hash: &str) -> Result<Command> {
        if hash.contains('\n') {
            return Err(Error::failed("argument `password`: a hash has one line"));
        }
        command.stdin = Some(Bytes(format!("{}:{hash}\n", self.name).into_bytes().into()));
        Ok(command)
    }

    /// The names of `groups`, each once; `None`: not given.
    fn wanted_groups(&self, system: &dyn System) -> Result<Option<Vec<String>>> {
        let Some(given) = &self.groups else { return Ok(None) };
        let mut names: Vec<String> = Vec::new();
        for group in given.iter().map(|group| group.trim()).filter(|group| !group.is_empty()) {
            let name = find_group(group, system)?.name;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Ok(Some(names))
    }

    /// Groups that the user is not in yet, and those to leave.
    fn moves(&self, wanted: &[String], system: &dyn System) -> Result<(Vec<String>, Vec<String>)> {
        let is_in = |group: &Group| group.members.contains(&self.name);
        let mut joins = Vec::new();
        for name in wanted {
            if !find_group(name, system).is_ok_and(|group| is_in(&group)) {
                joins.push(name.clone());
            }
        }
        if self.append {
            return Ok((joins, Vec::new()));
        }
        let current = system.groups()?.into_iter().filter(is_in).map(|group| group.name);
        Ok((joins, current.filter(|name| !wanted.contains(name)).collect()))
    }

    /// What libuser's tools do one by one.
    fn local_rest(&self, end: Option<i64>, joins: &[String], leaves: &[String]) -> Vec<Command> {
        let name = &self.name;
        let mut commands = Vec::new();
        if let Some(end) = end {
            commands.push(Command::new(format!("set the end of user {name}"), ["lchage", "-E", &end.to_string(), name]));
        }
        for group in joins {
            commands.push(Command::new(format!("add user {name} to group {group}"), ["lgroupmod", "-M", name, group]));
        }
        for group in leaves {
            commands.push(Command::new(format!("remove user {name} from group {group}"), ["lgroupmod", "-m", name, group]));
        }
        commands
    }
}

fn option(letter: &str, value: Option<&String>) -> Vec<String> {
    value.map(|value| vec![letter.to_owned(), value.clone()]).unwrap_or_default()
}

/// A group by number, else by name.
fn find_group(name: &str, system: &dyn System) -> Result<Group> {
    system.group(name)?.ok_or_else(|| Error::failed(format!("Group {name} does not exist")))
}

/// Days since the epoch; -1: never.
fn days(seconds: f64) -> i64 {
    if seconds < 0.0 { -1 } else { (seconds / 86_400.0).floor() as i64 }
}

/// `2030-01-31` in UTC; nothing: never.
fn date(seconds: f64) -> String {
    if seconds < 0.0 {
        return String::new();
    }
    let (year, month, day) = crate::system::clock::civil(days(seconds));
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_ends_on_a_day_of_the_calendar() {
        for (seconds, day) in [(0.0, "1970-01-01"), (951_782_400.5, "2000-02-29"), (1_893_456_000.0, "2030-01-01"), (-1.0, "")] {
            assert_eq!(date(seconds), day);
        }
    }
}

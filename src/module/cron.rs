//! `cron`: a job or a variable in a user's crontab or in a file of /etc/cron.d.

mod crontab;

use std::path::{Path, PathBuf};

use super::file_arguments::fresh;
use super::{Context, Diff, Entry, Mode, Module, Next, Outcome, PathText, Plan, State};
use crate::program::{Bytes, Value};
use crate::system::{Accept, Action, Command, Effect, Error, FileKind, Ownership, Result, System};
use crontab::Crontab;

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Cron>(&["cron", "ansible.builtin.cron"]);

/// Where crontab(1) keeps what users give it: Debian, SUSE, Red Hat.
const SPOOLS: [&str; 3] = ["/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron"];

arguments! {
    /// Keep a job or a variable of cron. Arguments and results as in `ansible.builtin.cron`.
    pub struct Cron {
        /// The job's name, in the comment above it; or the variable's.
        name: String [required],
        /// Whose crontab; with `cron_file`, who runs the job.
        user: Option<String>,
        /// The command, or the variable's value.
        job: Option<String> [aliases(&["value"])],
        /// A file instead of a user's crontab: a name in /etc/cron.d, or a path.
        cron_file: Option<PathText>,
        /// Whether it is there.
        state: State [default("present")],
        /// Keep what the crontab held before a change in a file of /tmp.
        backup: bool [default("no")],
        /// 0–59, `*`, `*/5`.
        minute: String [default("*")],
        /// 0–23, `*`, `*/2`.
        hour: String [default("*")],
        /// Day of the month: 1–31, `*`, `*/2`.
        day: String [default("*"), aliases(&["dom"])],
        /// 1–12, `JAN`–`DEC`, `*`.
        month: String [default("*")],
        /// Day of the week: 0–6 from Sunday, `SUN`–`SAT`, `*`.
        weekday: String [default("*"), aliases(&["dow"])],
        /// A word instead of the five.
        special_time: Option<Special>,
        /// The job stands there as a comment.
        disabled: bool [default("no")],
        /// It is a variable, not a job.
        env: bool [default("no")],
        /// The variable behind which a new one goes.
        insertafter: Option<String>,
        /// The variable before which a new one goes.
        insertbefore: Option<String>,
    }
    rules { mutually_exclusive(&["insertafter", "insertbefore"]) }
}

choices! {
    /// crontab(5)'s words for times.
    pub enum Special {
        /// The same as `yearly`.
        Annually = "annually",
        /// At midnight.
        Daily = "daily",
        /// At minute 0.
        Hourly = "hourly",
        /// On the first of a month, at midnight.
        Monthly = "monthly",
        /// When cron starts.
        Reboot = "reboot",
        /// On Sunday, at midnight.
        Weekly = "weekly",
        /// On 1 January, at midnight.
        Yearly = "yearly",
    }
}

/// Whose jobs, and where they are.
enum Place {
    File(PathBuf),
    /// A user's; read where crontab(1) keeps it.
    Spool { user: Option<String>, file: PathBuf },
    /// The acting user's own, which only crontab(1) may read.
    Own,
}

impl Module for Cron {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        if self.cron_file.as_ref().is_some_and(|file| file.0 == "/etc/crontab") {
            return Err(Error::failed("Will not manage /etc/crontab via cron_file, see documentation."));
        }
        self.check()?;
        let place = self.place(context.mode, system)?;
        let file = match &place {
            Place::File(file) | Place::Spool { file, .. } => file,
            Place::Own => return Ok(self.asked(context)),
        };
        let former = system.read(file)?;
        let is_file = matches!(place, Place::File(_));
        let crontab = Crontab::read(&String::from_utf8_lossy(former.as_deref().unwrap_or_default()), !is_file);
        self.decide(crontab, &place, context.mode, context.diff, system)
    }
}

impl Cron {
    /// What the arguments' own rules cannot say, in Ansible's order.
    fn check(&self) -> Result<()> {
        let has_times = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].into_iter().any(|time| time != "*");
        if self.special_time.is_some() && has_times {
            return Err(Error::failed("You cannot combine special_time with any of the time or day/date parameters."));
        }
        if self.state == State::Present {
            if self.cron_file.is_some() && self.user.is_none() {
                return Err(Error::failed("To use cron_file=... parameter you must specify user=... as well"));
            }
            if self.job.is_none() {
                return Err(Error::failed("You must specify 'job' to install a new cron job or variable"));
            }
            if !self.env && (self.insertafter.is_some() || self.insertbefore.is_some()) {
                return Err(Error::failed("Insertafter and insertbefore parameters are valid only with env=yes"));
            }
        }
        if self.env && self.name.contains(' ') {
            return Err(Error::failed("Invalid name for environment variable"));
        }
        Ok(())
    }

    fn place(&self, mode: Mode, system: &dyn System) -> Result<Place> {
        if let Some(file) = &self.cron_file {
            return Ok(Place::File(Path::new("/etc/cron.d").join(&file.0)));
        }
        if system.executable("crontab")?.is_none() {
            return Err(Error::failed("Failed to find required executable \"crontab\"").hint("install it: `package: {name: cron}`"));
        }
        let me = system.whoami()?;
        let other = self.user.as_ref().filter(|user| **user != me.name).cloned();
        if me.uid != 0 {
            return match other {
                None => Ok(Place::Own),
                Some(user) => Err(Error::failed(format!("the crontab of {user} is not {}'s", me.name)).hint("`become: true`")),
            };
        }
        // In check mode an earlier task may make it.
        if let Some(user) = &other
            && mode != Mode::Check
            && system.user(user)?.is_none()
        {
            return Err(Error::failed(format!("crontab: user `{user}' unknown")).hint("make it first: `user: {name: …}`"));
        }
        let mut spool = SPOOLS[0];
        for place in SPOOLS {
            if system.metadata(Path::new(place))?.is_some() {
                spool = place;
                break;
            }
        }
        Ok(Place::Spool { file: Path::new(spool).join(other.as_ref().unwrap_or(&me.name)), user: other })
    }

    /// Asks crontab(1) first.
    fn asked(&self, context: &Context<'_>) -> Plan {
        let mut ask = Command::new("read the crontab", ["crontab", "-l"]).effect(Effect::None);
        // Without jobs it says so and ends with 1.
        ask.accept = Accept::Codes(vec![0, 1]);
        let unknown = || Value::unknown("what crontab says");
        let predicted = Outcome::changed().with("changed", unknown()).with("jobs", unknown()).with("envs", unknown());
        let (cron, mode, diff) = (self.clone(), context.mode, context.diff);
        let mut plan = Plan::act(vec![Action::Run(ask)], predicted).then(move |outcomes, system| {
            let said = outcomes.first().filter(|outcome| outcome.rc == Some(0)).map(|outcome| outcome.stdout.0.to_vec()).unwrap_or_default();
            let crontab = Crontab::read(&String::from_utf8_lossy(&said), true);
            let plan = cron.decide(crontab, &Place::Own, mode, diff, system)?;
            Ok(if plan.actions.is_empty() { Next::Done(plan.predicted) } else { Next::Again(plan) })
        });
        plan.always = true;
        plan
    }

    fn decide(&self, mut crontab: Crontab, place: &Place, mode: Mode, diff: bool, system: &dyn System) -> Result<Plan> {
        let before = crontab.text.clone();
        let former = crontab.render();
        let mut outcome = Outcome::ok();
        let is_file = matches!(place, Place::File(_));
        if let Some(name) = self.cron_file.as_ref().and_then(|file| file.0.rsplit('/').next())
            && (name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')))
        {
            outcome.warnings.push(format!(
                "Filename portion of cron_file (\"{name}\") should consist solely of upper- and lower-case letters, digits, underscores, \
                 and hyphens"
            ));
        }
        let changed = match (self.env, self.state) {
            (true, State::Present) => {
                let declaration = format!("{}=\"{}\"", self.name, self.job.as_deref().unwrap_or_default());
                crontab.set_variable(&self.name, declaration, self.insertafter.as_deref(), self.insertbefore.as_deref())?
            }
            (true, State::Absent) => crontab.remove_variable(&self.name),
            (false, State::Present) => {
                let job = self.job.as_deref().unwrap_or_default().trim_matches(['\r', '\n']);
                if job.contains(['\r', '\n']) {
                    outcome.warnings.push("Job should not contain line breaks".to_owned());
                }
                crontab.set_job(&self.name, self.line(job, is_file))
            }
            (false, State::Absent) => {
                let removed = crontab.remove_job(&self.name);
                if let Place::File(file) = place
                    && removed
                    && crontab.is_empty()
                {
                    let outcome = Outcome { changed: true, ..outcome }.with("cron_file", self.shown_file()).with("state", self.state_word());
                    return Ok(Plan::act(vec![Action::Remove { path: file.clone() }], outcome));
                }
                removed
            }
        };
        // A last line without its end is not run by cron.
        let changed = changed || (!before.is_empty() && !before.ends_with(['\r', '\n']));
        outcome.changed = changed;
        outcome = outcome.with("jobs", crontab.job_names()).with("envs", crontab.variable_names());
        if is_file {
            outcome = outcome.with("cron_file", self.shown_file());
        }
        if !changed {
            return Ok(Plan::done(outcome));
        }
        let content = crontab.render();
        if diff && !is_file {
            let header = self.user.as_ref().map_or("crontab".to_owned(), |user| format!("crontab for user \"{user}\""));
            outcome.diff.push(Diff { before, after: content.clone(), before_header: header.clone(), after_header: header });
        }
        let mut actions = Vec::new();
        if self.backup && mode != Mode::Check {
            // Named by what it holds: the apply keeps the very file that its plan said.
            let path = format!("/tmp/crontab{}", &crate::system::describe::sha256(former.as_bytes())[..12]);
            outcome = outcome.with("backup_file", path.as_str());
            actions.push(Action::write(path, former.into(), Ownership::mode(0o600)));
        }
        actions.push(match place {
            Place::File(file) => {
                let is_new = system.metadata(file)?.is_none();
                let ownership = if is_new { Ownership::mode(fresh(FileKind::File).mode) } else { Ownership::default() };
                Action::write(system.canonical(file)?, content.into(), ownership)
            }
            Place::Spool { user, file } => {
                let effect = Effect::Leaves(vec![Action::write(file, content.clone().into(), Ownership::mode(0o600))]);
                Action::Run(install(user.as_deref(), content).effect(effect))
            }
            Place::Own => Action::Run(install(None, content).effect(Effect::None)),
        });
        Ok(Plan::act(actions, outcome))
    }

    /// The job's line.
    fn line(&self, job: &str, is_file: bool) -> String {
        let prefix = if self.disabled { "#" } else { "" };
        let times = match self.special_time {
            Some(special) => format!("@{}", super::Choice::word(special)),
            None => [&self.minute, &self.hour, &self.day, &self.month, &self.weekday].map(String::as_str).join(" "),
        };
        // Files of /etc/cron.d name who runs it.
        let user = if is_file { format!(" {}", self.user.as_deref().unwrap_or_default()) } else { String::new() };
        format!("{prefix}{times}{user} {job}")
    }

    fn shown_file(&self) -> Value {
        self.cron_file.as_ref().map_or(Value::Null, |file| Value::text(file.0.as_str()))
    }

    fn state_word(&self) -> &'static str {
        super::Choice::word(self.state)
    }
}

fn install(user: Option<&str>, content: String) -> Command {
    let mut words = vec!["crontab".to_owned()];
    words.extend(user.into_iter().flat_map(|user| ["-u".to_owned(), user.to_owned()]));
    words.push("-".to_owned());
    let mut command = Command::new(user.map_or("write the crontab".to_owned(), |user| format!("write the crontab of {user}")), words);
    command.stdin = Some(Bytes(content.into_bytes().into()));
    command
}

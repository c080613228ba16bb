//! `pip`: Python's packages, in the machine's own Python or in a virtual environment.

mod requirement;
mod site;

use std::path::{Path, PathBuf};

use super::{Context, Entry, Mode, Module, Next, Outcome, PathText, Plan};
use crate::program::{Bytes, Value};
use crate::system::{Accept, Action, ActionOutcome, Command, Effect, Error, Result, System, words};
use requirement::{Requirement, canonical, joined};
use site::{Site, There};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Pip>(&["pip", "ansible.builtin.pip"]);

arguments! {
    /// Keep Python's packages by the node's pip. Arguments and results as in `ansible.builtin.pip`.
    pub struct Pip {
        /// Packages, with versions (`django>=4,<5`), paths or addresses.
        name: Option<Vec<String>>,
        /// The version of the one package.
        version: Option<String>,
        /// A file of requirements.
        requirements: Option<String>,
        /// The virtual environment; it is made if it is not there.
        virtualenv: Option<PathText>,
        /// Whether the new environment sees the machine's own packages.
        virtualenv_site_packages: bool [default("no")],
        /// What makes it: `virtualenv`, `python3 -m venv`.
        virtualenv_command: PathText [default("virtualenv")],
        /// The Python for `virtualenv`.
        virtualenv_python: Option<String>,
        /// Whether the packages are there.
        state: Wanted [default("present")],
        /// More arguments of pip.
        extra_args: Option<String>,
        /// Install for development: `-e`.
        editable: bool [default("no")],
        /// The folder that pip runs in; default /tmp.
        chdir: Option<PathText>,
        /// Another pip than python3's.
        executable: Option<PathText>,
        /// The umask for what is installed, in octal digits.
        umask: Option<String>,
        /// Change a Python that the distribution manages (PEP 668).
        break_system_packages: bool [default("no")],
    }
    rules {
        required_one_of(&["name", "requirements"]),
        mutually_exclusive(&["name", "requirements"]),
        mutually_exclusive(&["executable", "virtualenv"]),
    }
}

choices! {
    /// What is wanted of packages.
    pub enum Wanted {
        /// There, in a version that is asked for.
        Present = "present",
        /// Not there.
        Absent = "absent",
        /// In the newest version, asked for each time.
        Latest = "latest",
        /// Installed again, each time.
        ForceReinstall = "forcereinstall",
    }
}

/// pip's options that do not alter what is wanted, and whether a value follows.
const HARMLESS: [(&str, bool); 26] = [
    ("--no-index", false),
    ("--find-links", true),
    ("-f", true),
    ("--index-url", true),
    ("-i", true),
    ("--extra-index-url", true),
    ("--trusted-host", true),
    ("--proxy", true),
    ("--cert", true),
    ("--client-cert", true),
    ("--timeout", true),
    ("--retries", true),
    ("--no-cache-dir", false),
    ("--cache-dir", true),
    ("--disable-pip-version-check", false),
    ("--no-input", false),
    ("--no-warn-script-location", false),
    ("--no-build-isolation", false),
    ("--prefer-binary", false),
    ("--only-binary", true),
    ("--no-binary", true),
    ("--root-user-action", true),
    ("--break-system-packages", false),
    ("--progress-bar", true),
    ("-q", false),
    ("--quiet", false),
];

/// One that is asked for.
enum Package {
    Named(Requirement),
    /// By path or address: what it is, only pip knows.
    Other(String),
}

/// What is to be done, made once.
struct Work {
    pip: Vec<String>,
    /// The Python it is for.
    python: Option<PathBuf>,
    /// `virtualenv`, as a path.
    environment: Option<PathBuf>,
    words: Vec<String>,
    packages: Vec<Package>,
    umask: Option<u32>,
    path: Option<String>,
}

impl Module for Pip {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let system = context.system;
        let umask = match &self.umask {
            Some(umask) => Some(u32::from_str_radix(umask, 8).map_err(|_| Error::failed("umask must be an octal integer").hint("as in `umask: \"0022\"`"))?),
            None => None,
        };
        if self.state == Wanted::Latest && self.version.is_some() {
            return Err(Error::failed("version is incompatible with state=latest").hint("leave one of the two out"));
        }
        let environment = self.virtualenv.as_ref().map(|environment| self.folder().join(environment.path()));
        let is_new = match &environment {
            Some(environment) => system.metadata(&system.canonical(&environment.join("bin/activate"))?)?.is_none(),
            None => false,
        };
        if is_new && context.mode == Mode::Check {
            return Ok(Plan::act(vec![Action::Run(self.make_environment(environment.as_deref(), system)?)], Outcome::changed()));
        }
        let (pip, python) = self.pip(environment.as_deref(), is_new, system)?;
        let packages = self.packages()?;
        let mut words = pip.clone();
        words.extend(self.verb().iter().map(ToString::to_string));
        words.extend(self.extra_words()?);
        match (&self.name, &self.requirements) {
            (Some(names), _) if !names.is_empty() => words.extend(packages.iter().map(Package::shown)),
            (_, Some(file)) if !file.is_empty() => words.extend(["-r".to_owned(), file.clone()]),
            _ => {
                let warnings = vec!["No valid name or requirements file found.".to_owned()];
                return Ok(Plan::done(Outcome { warnings, ..Outcome::ok() }));
            }
        }
        let given = context.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
        let path = environment.as_ref().map(|environment| {
            let rest = given.or_else(|| system.environment("PATH")).unwrap_or_default();
            format!("{}/bin:{rest}", environment.display())
        });
        let work = Work { pip, python, environment, words, packages, umask, path };
        if context.mode == Mode::Check {
            return Ok(self.check(work));
        }
        let is_sure = match if is_new { There::No } else { self.is_done(&work, context)? } {
            There::Yes => return Ok(Plan::done(self.outcome(&work, "", ""))),
            There::No => true,
            There::NotSure => false,
        };
        self.act(work, is_new, is_sure, system)
    }
}

impl Pip {
    fn folder(&self) -> &Path {
        self.chdir.as_ref().map_or(Path::new("/tmp"), PathText::path)
    }

    fn verb(&self) -> &'static [&'static str] {
        match self.state {
            Wanted::Present => &["install"],
            Wanted::Absent => &["uninstall", "-y"],
            Wanted::Latest => &["install", "-U"],
            Wanted::ForceReinstall => &["install", "-U", "--force-reinstall"],
        }
    }

    fn extra_words(&self) -> Result<Vec<String>> {
        let mut extra = self.extra_args.clone().unwrap_or_default();
        if self.editable && !extra.split(' ').any(|word| word == "-e") {
            extra = format!("{extra} -e");
        }
        words::split(&extra).map_err(Error::failed)
    }

    fn packages(&self) -> Result<Vec<Package>> {
        let Some(names) = self.name.as_ref().filter(|names| !names.is_empty()) else { return Ok(Vec::new()) };
        let mut packages: Vec<Package> = joined(names).iter().map(|name| Package::of(name)).collect();
        let Some(version) = &self.version else { return Ok(packages) };
        if packages.len() > 1 {
            return Err(Error::failed(
                "'version' argument is ambiguous when installing multiple package distributions. \
                 Please specify version restrictions next to each package in 'name' argument.",
            ));
        }
        let package = &mut packages[0];
        if matches!(package, Package::Named(named) if named.has_specifiers()) {
            return Err(Error::failed(
                "The 'version' argument conflicts with any version specifier provided along with a package name. \
                 Please keep the version specifier, but remove the 'version' argument.",
            ));
        }
        let separator = if version.trim_start().starts_with(|letter: char| letter.is_ascii_digit()) { "==" } else { " " };
        *package = Package::of(&format!("{}{separator}{}", package.shown(), version.trim_start()));
        Ok(packages)
    }

    /// How pip is called, and the Python that it is of.
    fn pip(&self, environment: Option<&Path>, is_new: bool, system: &dyn System) -> Result<(Vec<String>, Option<PathBuf>)> {
        if let Some(environment) = environment {
            let python = Some(environment.join("bin/python"));
            for name in ["pip3", "pip"] {
                let path = environment.join("bin").join(name);
                if is_new || (system.metadata(&system.canonical(&path)?)?.is_some() && system.access(&path)?.execute) {
                    return Ok((vec![path.to_string_lossy().into_owned()], python));
                }
            }
            return Err(Error::failed(format!(
                "Unable to find pip in the virtualenv, {}, under any of these names: pip3, pip. Make sure pip is present in the virtualenv.",
                environment.display()
            ))
            .hint("`python3 -m ensurepip` in it makes one; an empty folder would be made anew"));
        }
        let name = self.executable.as_ref().map_or("pip3", |executable| executable.0.as_str());
        if self.executable.is_none()
            && let Some(python) = system.executable("python3")?
            && has_pip(&python, system)?
        {
            return Ok((vec![python.to_string_lossy().into_owned(), "-m".to_owned(), "pip".to_owned()], Some(python)));
        }
        let found = if name.starts_with('/') { Some(PathBuf::from(name)) } else { system.executable(name)? };
        let Some(found) = found else {
            return Err(Error::failed(format!("Unable to find any of {name} to use.  pip needs to be installed."))
                .hint("install it: `package: {name: python3-pip}`"));
        };
        let python = interpreter(&found, system)?;
        Ok((vec![found.to_string_lossy().into_owned()], python))
    }

    fn make_environment(&self, environment: Option<&Path>, system: &dyn System) -> Result<Command> {
        let environment = environment.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
        let mut words = words::split(&self.virtualenv_command.0).map_err(Error::failed)?;
        let Some(program) = words.first_mut() else { return Err(Error::failed("virtualenv_command is empty").hint("`python3 -m venv` makes environments too")) };
        if !program.contains('/') {
            let Some(found) = system.executable(program)? else {
                return Err(Error::failed(format!("Failed to find required executable \"{program}\""))
                    .hint("install it, or make the environment by `virtualenv_command: python3 -m venv`"));
            };
            *program = found.to_string_lossy().into_owned();
        }
        let is_venv = program.ends_with("pyvenv") || words.windows(2).any(|pair| pair == ["-m", "venv"]) || words.iter().any(|word| word == "-mvenv");
        if self.virtualenv_site_packages {
            words.push("--system-site-packages".to_owned());
        }
        match (&self.virtualenv_python, is_venv) {
            (Some(_), true) => {
                return Err(Error::failed(
                    "virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command",
                )
                .hint("say it there: `virtualenv_command: python3.11 -m venv`"));
            }
            (Some(python), false) => words.push(format!("-p{python}")),
            (None, true) => {}
            (None, false) => {
                if let Some(python) = system.executable("python3")? {
                    words.push(format!("-p{}", python.display()));
                }
            }
        }
        words.push(environment.clone());
        let mut command = Command::new(format!("make the virtual environment {environment}"), words);
        command.directory = Some(self.folder().to_owned());
        command.accept = Accept::Any;
        Ok(command.effect(Effect::Unsure(vec![environment.into()])))
    }

    /// Whether there is nothing to do.
    fn is_done(&self, work: &Work, context: &Context<'_>) -> Result<There> {
        let system = context.system;
        let variables = context.environment.iter().filter_map(|(name, _)| name.strip_prefix("PIP_"));
        let of_variables = variables.map(|name| format!("--{}", name.to_lowercase().replace('_', "-")));
        let knows = |words: &[String]| are_harmless(words);
        if !matches!(self.state, Wanted::Present | Wanted::Absent)
            || !knows(&self.extra_words()?)
            || !of_variables.into_iter().all(|option| HARMLESS.iter().any(|(known, _)| *known == option))
        {
            return Ok(There::NotSure);
        }
        let Some(python) = &work.python else { return Ok(There::NotSure) };
        let mut wanted = Vec::new();
        if let Some(file) = self.requirements.as_ref().filter(|_| work.packages.is_empty())
            && !requirements(&self.folder().join(file), &mut wanted, system)?
        {
            return Ok(There::NotSure);
        }
        for package in &work.packages {
            let Package::Named(named) = package else { return Ok(There::NotSure) };
            wanted.push(named.clone());
        }
        let site = Site::of(python, system)?;
        if self.state == Wanted::Absent {
            let gone = wanted.iter().all(|wanted| site.version(&wanted.name).is_none());
            return Ok(match (gone, site.is_closed) {
                (true, true) => There::Yes,
                (false, true) => There::No,
                // Elsewhere may be more, and what the distribution installed pip leaves alone.
                (_, false) => There::NotSure,
            });
        }
        let mut answer = There::Yes;
        for wanted in &wanted {
            match site.has(wanted, system)? {
                There::Yes => {}
                There::No if self.requirements.is_none() => return Ok(There::No),
                There::No | There::NotSure => answer = There::NotSure,
            }
        }
        Ok(answer)
    }

    /// In check mode Ansible asks pip what is there, or says that something changes.
    fn check(&self, work: Work) -> Plan {
        let has_extra = self.editable || self.extra_args.as_ref().is_some_and(|extra| !extra.is_empty());
        if has_extra || self.state == Wanted::Latest || work.packages.is_empty() {
            return Plan::act(vec![Action::Run(self.install(&work))], Outcome::changed());
        }
        let list = self.list(&work);
        let shown = list.argv.join(" ");
        let is_wanted = match self.state {
            Wanted::Present => Some(false),
            Wanted::Absent => Some(true),
            _ => None,
        };
        let unknown = Value::unknown("what pip lists");
        let mut plan = Plan::act(vec![Action::Run(list)], Outcome::changed().with("changed", unknown)).reporting(move |outcomes| {
            let (stdout, stderr) = texts(outcomes.first());
            let has = |requirement: &Requirement| {
                let mut pairs = stdout.lines().filter_map(|line| line.split_once("=="));
                pairs.any(|(name, version)| canonical(name) == canonical(&requirement.name) && requirement.is_met_by(version))
            };
            let is_there = |package: &Package| matches!(package, Package::Named(named) if has(named));
            let changed = is_wanted.is_some_and(|wanted| work.packages.iter().any(|package| is_there(package) == wanted));
            let outcome = Outcome { changed, ..Outcome::ok() };
            Ok(outcome.with("cmd", shown).with("stdout", stdout).with("stderr", stderr))
        });
        plan.always = true;
        plan
    }

    fn list(&self, work: &Work) -> Command {
        let words = work.pip.iter().cloned().chain(["list".to_owned(), "--format=freeze".to_owned()]);
        let mut command = Command::new("list what pip knows", words).effect(Effect::None);
        command.directory = Some(self.folder().to_owned());
        command.environment = ["LANG", "LC_ALL", "LC_MESSAGES"].map(|name| (name.to_owned(), "C.UTF-8".to_owned())).to_vec();
        command
    }

    fn install(&self, work: &Work) -> Command {
        let what = match &self.requirements {
            Some(file) if work.packages.is_empty() => format!("what {file} names"),
            _ => work.packages.iter().map(Package::shown).collect::<Vec<_>>().join(", "),
        };
        let place = work.environment.as_ref().map(|path| path.display().to_string());
        let label = match (self.state, place) {
            (Wanted::Absent, Some(place)) => format!("uninstall {what} from {place}"),
            (Wanted::Absent, None) => format!("uninstall {what} by pip"),
            (_, Some(place)) => format!("install {what} into {place}"),
            (_, None) => format!("install {what} by pip"),
        };
        let mut command = Command::new(label, work.words.clone());
        command.directory = Some(self.folder().to_owned());
        command.accept = Accept::Any;
        command.umask = work.umask;
        if self.break_system_packages {
            command.environment.push(("PIP_BREAK_SYSTEM_PACKAGES".to_owned(), "1".to_owned()));
        }
        if let Some(path) = &work.path {
            command.environment.push(("PATH".to_owned(), path.clone()));
        }
        let effect = match &work.environment {
            Some(environment) => Effect::All(vec![Effect::Below(environment.join("lib")), Effect::Named(environment.join("bin"))]),
            None => Effect::Opaque,
        };
        command.effect(effect)
    }

    fn act(&self, work: Work, is_new: bool, is_sure: bool, system: &dyn System) -> Result<Plan> {
        let mut actions = Vec::new();
        if is_new {
            actions.push(Action::Run(self.make_environment(work.environment.as_deref(), system)?));
        }
        // What is installed says whether anything changed, where pip's own words do not.
        let compares = self.state != Wanted::Absent && (work.packages.is_empty() || work.packages.iter().any(Package::is_repository));
        if compares {
            actions.push(Action::Run(self.list(&work)));
        }
        actions.push(Action::Run(self.install(&work)));
        if compares {
            actions.push(Action::Run(self.list(&work)));
        }
        let by = actions.last().map(Action::describe).unwrap_or_default();
        let mut predicted = self.outcome(&work, "", "").with("stdout", Value::unknown(by.as_str())).with("stderr", Value::unknown(by.as_str()));
        predicted.changed = true;
        if !is_sure {
            predicted = predicted.with("changed", Value::unknown("what pip finds to do"));
        }
        let pip = self.clone();
        Ok(Plan::act(actions, predicted).then(move |outcomes, _| Ok(Next::Done(pip.report(&work, is_new, compares, outcomes)))))
    }

    fn report(&self, work: &Work, is_new: bool, compares: bool, outcomes: &[ActionOutcome]) -> Outcome {
        let made = outcomes.first().filter(|_| is_new);
        let done = outcomes.get(usize::from(is_new) + usize::from(compares));
        let (stdout, stderr) = texts(done);
        let (made_out, made_err) = texts(made);
        let (all_out, all_err) = (made_out + &stdout, made_err + &stderr);
        let rc = |outcome: Option<&ActionOutcome>| outcome.and_then(|outcome| outcome.rc).unwrap_or_default();
        let not_there = self.state == Wanted::Absent && rc(done) == 1 && [&stdout, &stderr].iter().any(|text| text.contains("not installed"));
        if rc(made) != 0 || (rc(done) != 0 && !not_there) {
            let mut message = if all_out.is_empty() { String::new() } else { format!("stdout: {all_out}") };
            if !all_err.is_empty() {
                message = format!("{message}\n:stderr: {all_err}");
            }
            return Outcome::failed(message).with("cmd", work.words.clone());
        }
        let changed = match self.state {
            Wanted::Absent => stdout.contains("Successfully uninstalled"),
            _ if compares => texts(outcomes.get(usize::from(is_new))).0 != texts(outcomes.last()).0,
            _ => stdout.contains("Successfully installed"),
        };
        Outcome { changed: changed || is_new, ..self.outcome(work, &all_out, &all_err) }
    }

    fn outcome(&self, work: &Work, stdout: &str, stderr: &str) -> Outcome {
        let text = |text: Option<&String>| text.map_or(Value::Null, |text| Value::text(text.as_str()));
        let environment = work.environment.as_ref().map(|path| path.to_string_lossy().into_owned());
        Outcome::ok()
            .with("cmd", work.words.clone())
            .with("name", self.name.clone().map_or(Value::Null, Value::from))
            .with("version", text(self.version.as_ref()))
            .with("state", super::Choice::word(self.state))
            .with("requirements", text(self.requirements.as_ref()))
            .with("virtualenv", text(environment.as_ref()))
            .with("stdout", stdout)
            .with("stderr", stderr)
    }
}

impl Package {
    fn of(text: &str) -> Self {
        Requirement::parse(text).map_or_else(|| Self::Other(text.to_owned()), Self::Named)
    }

    fn shown(&self) -> String {
        match self {
            Self::Named(named) => named.to_string(),
            Self::Other(text) => text.clone(),
        }
    }

    fn is_repository(&self) -> bool {
        matches!(self, Self::Other(text) if ["svn+", "git+", "hg+", "bzr+"].iter().any(|kind| text.starts_with(kind)))
    }
}

fn texts(outcome: Option<&ActionOutcome>) -> (String, String) {
    let text = |bytes: &Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
    outcome.map(|outcome| (text(&outcome.stdout), text(&outcome.stderr))).unwrap_or_default()
}

fn are_harmless(words: &[String]) -> bool {
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or(word);
        let Some((_, has_value)) = HARMLESS.iter().find(|(known, _)| *known == name) else { return false };
        if *has_value && !word.contains('=') {
            words.next();
        }
    }
    true
}

/// The Python that a script's first line names.
fn interpreter(script: &Path, system: &dyn System) -> Result<Option<PathBuf>> {
    let bytes = system.read(script)?.unwrap_or_default();
    let first = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
    let Some(last) = first.strip_prefix("#!").and_then(|line| line.split_whitespace().last()) else { return Ok(None) };
    let is_python = last.rsplit('/').next().is_some_and(|name| name.starts_with("python"));
    match (is_python, last.starts_with('/')) {
        (true, true) => Ok(Some(last.into())),
        (true, false) => system.executable(last),
        (false, _) => Ok(None),
    }
}

/// Whether `python -m pip` would find it.
fn has_pip(python: &Path, system: &dyn System) -> Result<bool> {
    Site::of(python, system).map(|site| site.version("pip").is_some())
}

/// What a file of requirements names; `false`: not all of it can be read here.
fn requirements(file: &Path, wanted: &mut Vec<Requirement>, system: &dyn System) -> Result<bool> {
    let Some(bytes) = system.read(file)? else { return Ok(false) };
    let text = String::from_utf8_lossy(&bytes).replace("\\\n", " ");
    for line in text.lines() {
        let line = line.split(" #").next().unwrap_or_default().split(" --hash").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with('-') {
            let Ok(words) = words::split(&line.replacen('=', " ", 1)) else { return Ok(false) };
            match words.as_slice() {
                [option, other] if option == "-r" || option == "--requirement" => {
                    let folder = file.parent().unwrap_or(Path::new("/"));
                    if !requirements(&folder.join(other), wanted, system)? {
                        return Ok(false);
                    }
                }
                words if are_harmless(words) => {}
                _ => return Ok(false),
            }
            continue;
        }
        let Some(requirement) = Requirement::parse(line) else { return Ok(false) };
        wanted.push(requirement);
    }
    Ok(true)
}

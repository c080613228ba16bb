//! `command`: run a program, without a shell.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::expand::{any_match, expand};
use super::{Context, Entry, Mode, Module, Outcome, PathText, Plan};
use crate::program::{Bytes, Map, Value};
use crate::system::words::lines;
use crate::system::{Accept, Action, ActionOutcome, Command as Run, Error, FileKind, Result, clock, words};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Command>(&["command", "ansible.builtin.command"]);

arguments! {
    /// Run a program, from its path and words; nothing of a shell is interpreted. Arguments and results as in
    /// `ansible.builtin.command`.
    pub struct Command [free_form("_raw_params")] {
        /// The command line as free text.
        raw_params as "_raw_params": Option<String>,
        /// Run it with a shell: what `shell` is.
        uses_shell as "_uses_shell": bool [default("no")],
        /// The command line.
        cmd: Option<String>,
        /// The program and its words, one a list item.
        argv: Option<Vec<String>>,
        /// Folder to run in.
        chdir: Option<PathText>,
        /// The shell to use; only with `shell`.
        executable: Option<String>,
        /// Expand `~` and `$VARIABLE` in the words.
        expand_argument_vars: bool [default("yes")],
        /// Do not run if a path of this pattern exists.
        creates: Option<PathText>,
        /// Do not run if no path of this pattern exists.
        removes: Option<PathText>,
        /// What it reads on standard input.
        stdin: Option<String>,
        /// End standard input with a newline.
        stdin_add_newline: bool [default("yes")],
        /// Take newlines off the end of stdout and stderr.
        strip_empty_ends: bool [default("yes")],
    }
    rules { required_one_of(&["_raw_params", "cmd", "argv"]), mutually_exclusive(&["_raw_params", "cmd", "argv"]) }
}

impl Module for Command {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let mut result = Report::new(self.shown()?, self.strip_empty_ends);
        if self.executable.is_some() && !self.uses_shell {
            let executable = self.executable.as_deref().unwrap_or_default();
            result.warnings.push(format!(
                "As of Ansible 2.4, the parameter 'executable' is no longer supported with the 'command' module. Not using '{executable}'."
            ));
        }
        let folder = self.folder(context, &result)?;
        if let Some(reason) = self.reason_not_to(context, folder.as_deref())? {
            let would = if context.mode == Mode::Check { "Would" } else { "Did" };
            let skipped = format!("skipped, since {reason}");
            let message = format!("{would} not run command since {}", quoted(&reason));
            return Ok(Plan::done(result.outcome(Some(0), &skipped, "", &message, None)));
        }
        let action = Action::Run(self.run(context, folder)?);
        if context.mode == Mode::Check {
            let mut predicted = result.outcome(Some(0), "", "", "Command would have run if not in check mode", None);
            predicted.skipped = self.creates.is_none() && self.removes.is_none();
            predicted.changed = !predicted.skipped;
            return Ok(Plan::act(vec![action], predicted));
        }
        let predicted = result.unknown(&action.describe());
        Ok(Plan::act(vec![action], predicted).reporting(move |outcomes| Ok(result.of(outcomes.first()))))
    }
}

impl Command {
    /// What the result's `cmd` holds: the words, or a shell's line.
    fn shown(&self) -> Result<Value> {
        let line = self.raw_params.as_ref().or(self.cmd.as_ref()).filter(|line| !line.is_empty());
        Ok(match line {
            Some(line) if self.uses_shell => line.as_str().into(),
            Some(line) => words::split(line).map_err(Error::failed)?.into(),
            None => self.argv.clone().unwrap_or_default().into(),
        })
    }

    fn folder(&self, context: &Context<'_>, result: &Report) -> Result<Option<PathBuf>> {
        let Some(folder) = &self.chdir else { return Ok(None) };
        let there = context.system.metadata(&context.system.canonical(folder.path())?)?;
        if there.is_some_and(|found| found.kind == FileKind::Directory) {
            return Ok(Some(folder.path().to_owned()));
        }
        let mut error = Error::failed("Unable to change directory before execution.").hint(format!("{} is no directory on the node", folder.0));
        error.details = Box::new(result.outcome(None, "", "", "", None).result);
        error.details.shift_remove("msg");
        Err(error)
    }

    /// `PATH exists`, `PATH does not exist`.
    fn reason_not_to(&self, context: &Context<'_>, folder: Option<&Path>) -> Result<Option<String>> {
        let matches = |pattern: &PathText| {
            let path = folder.map_or_else(|| pattern.path().to_owned(), |folder| folder.join(pattern.path()));
            any_match(&path, context.system)
        };
        if let Some(pattern) = self.creates.as_ref().filter(|pattern| !pattern.0.is_empty())
            && matches(pattern)?
        {
            return Ok(Some(format!("{} exists", pattern.0)));
        }
        if let Some(pattern) = self.removes.as_ref().filter(|pattern| !pattern.0.is_empty())
            && !matches(pattern)?
        {
            return Ok(Some(format!("{} does not exist", pattern.0)));
        }
        Ok(None)
    }

    fn run(&self, context: &Context<'_>, folder: Option<PathBuf>) -> Result<Run> {
        let shown = self.shown()?;
        let (argv, line) = if self.uses_shell {
            let line = shown.as_str().map_or_else(|| words::join(&self.argv.clone().unwrap_or_default()), str::to_owned);
            let shell = self.executable.as_deref().unwrap_or("/bin/sh");
            (vec![shell.to_owned(), "-c".to_owned(), line.clone()], line)
        } else {
            let given: Vec<String> = shown.as_list().unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned).collect();
            let line = words::join(&given);
            let expanded = given.into_iter().map(|word| {
                if self.expand_argument_vars { expand(&word, context.system, context.environment) } else { Ok(word) }
            });
            (expanded.collect::<Result<Vec<String>>>()?, line)
        };
        let first = line.trim().lines().next().unwrap_or_default().to_owned();
        let label = if line.trim().contains('\n') { format!("run {first} …") } else { format!("run {first}") };
        let mut run = Run::new(label, argv);
        run.directory = folder;
        run.accept = Accept::Any;
        run.stdin = self.stdin.as_ref().filter(|stdin| !stdin.is_empty()).map(|stdin| {
            let end = if self.stdin_add_newline { "\n" } else { "" };
            Bytes(format!("{stdin}{end}").into_bytes().into())
        });
        Ok(run)
    }
}

/// `'PATH' exists`.
fn quoted(reason: &str) -> String {
    match reason.strip_suffix(" does not exist") {
        Some(path) => format!("'{path}' does not exist"),
        None => format!("'{}' exists", reason.strip_suffix(" exists").unwrap_or(reason)),
    }
}

/// Makes results of one command.
struct Report {
    cmd: Value,
    strip: bool,
    warnings: Vec<String>,
}

impl Report {
    fn new(cmd: Value, strip: bool) -> Self {
        Self { cmd, strip, warnings: Vec::new() }
    }

    fn outcome(&self, rc: Option<i32>, stdout: &str, stderr: &str, message: &str, times: Option<(f64, f64)>) -> Outcome {
        let strip = |text: &str| if self.strip { text.trim_end_matches(['\r', '\n']).to_owned() } else { text.to_owned() };
        let (stdout, stderr) = (strip(stdout), strip(stderr));
        let mut result = Map::new();
        result.insert("stdout".into(), stdout.as_str().into());
        result.insert("stderr".into(), stderr.as_str().into());
        result.insert("rc".into(), rc.map(i64::from).into());
        result.insert("cmd".into(), self.cmd.clone());
        result.insert("start".into(), times.map(|(start, _)| clock::local(start)).into());
        result.insert("end".into(), times.map(|(_, end)| clock::local(end)).into());
        result.insert("delta".into(), times.map(|(start, end)| clock::duration(end - start)).into());
        result.insert("msg".into(), message.into());
        result.insert("stdout_lines".into(), lines(&stdout).into());
        result.insert("stderr_lines".into(), lines(&stderr).into());
        Outcome { result, warnings: self.warnings.clone(), ..Outcome::default() }
    }

    /// Before it ran.
    fn unknown(&self, because: &str) -> Outcome {
        let mut outcome = self.outcome(None, "", "", "", None);
        let cause: Arc<str> = because.into();
        for name in ["stdout", "stderr", "rc", "start", "end", "delta", "msg", "stdout_lines", "stderr_lines"] {
            outcome.result.insert(name.into(), Value::Unknown(Arc::clone(&cause)));
        }
        outcome.changed = true;
        outcome
    }

    fn of(&self, done: Option<&ActionOutcome>) -> Outcome {
        let done = done.cloned().unwrap_or_default();
        let text = |bytes: &Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
        let failed = done.rc != Some(0);
        let message = if failed { "non-zero return code" } else { "" };
        let outcome = self.outcome(done.rc, &text(&done.stdout), &text(&done.stderr), message, Some((done.started, done.ended)));
        Outcome { changed: true, failed, ..outcome }
    }
}

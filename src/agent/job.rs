//! Background jobs (`async` with `poll: 0`): a process of its own applies one call and leaves its result in a file, where
//! `async_status` finds it, as with Ansible's async_wrapper.
//!
//! A job outlives the run, as long as its task allows. The call comes through a pipe and secrets in the result are masked: none of
//! them is in an argument list or on the disk.

use std::io::BufReader;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use super::frame::{self, Background, Call, Perform, PerformReply};
use super::machine::Machine;
use super::mask::Masker;
use crate::module::Outcome;
use crate::module::async_status::folder;
use crate::program::Value;
use crate::system::apply::Quiet;
use crate::system::{Action, Applier, Cancel, NoContent, Ownership, Real, System as _};

/// What the new process says when it is on its own: the job's id and the result's file.
type Begun = Result<(String, PathBuf), String>;

/// What `register` holds of a job that goes on.
pub fn begun(id: impl Into<Value>, file: impl Into<Value>) -> Outcome {
    Outcome::changed().with("started", true).with("finished", false).with("ansible_job_id", id).with("results_file", file)
}

/// Begins the call's job as this process's user. The error is a sentence.
pub fn begin(call: &Call) -> Result<Outcome, String> {
    let failed = |error: &dyn std::fmt::Display| format!("begin a background job: {error}");
    let agent = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut child = Command::new(agent)
        .args(["agent", "job"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else { return Err(failed(&"it has no pipes")) };
    frame::write(&mut stdin, call).map_err(|error| failed(&error))?;
    drop(stdin);
    let answer: Begun = frame::read(&mut BufReader::new(stdout)).map_err(|error| failed(&error))?;
    // Whoever ends first: a job is no zombie while this process lives, and init's afterwards.
    std::thread::spawn(move || child.wait());
    let (id, file) = answer?;
    Ok(begun(id, file.to_string_lossy().into_owned()))
}

/// The job's process.
pub fn run() -> Result<(), String> {
    let mut call: Call = frame::read(&mut BufReader::new(std::io::stdin())).map_err(|error| error.to_string())?;
    let prepared = prepare(&call);
    frame::write(&mut std::io::stdout(), &prepared).map_err(|error| error.to_string())?;
    let (id, file) = prepared?;
    forget_pipes().map_err(|error| error.to_string())?;
    let Background { limit, secrets } = call.background.take().unwrap_or_default();
    call.timeout = Some(limit);
    let masker = Masker::default();
    secrets.iter().for_each(|secret| masker.add(secret));
    let begun = Instant::now();
    let mut outcome = done(call);
    if outcome.failed && begun.elapsed() >= limit {
        outcome = Outcome::failed("Timeout exceeded").with("child_pid", i64::from(std::process::id()));
    }
    let mut result = masker.mask_value(&outcome.value());
    if let Value::Map(entries) = &mut result {
        std::sync::Arc::make_mut(entries).insert("ansible_job_id".into(), id.into());
    }
    leave(&file, &result)
}

fn done(call: Call) -> Outcome {
    let mut machine = Machine::new(Cancel::default(), Box::new(NoContent), Box::new(Quiet));
    let reply = match machine.perform(Perform::Plan(Box::new(call))) {
        PerformReply::Planned(planned) => match planned.handle {
            Some(handle) => machine.perform(Perform::Apply { handle }),
            None => return planned.outcome,
        },
        other => other,
    };
    match reply {
        PerformReply::Applied { outcome, .. } | PerformReply::Failed { outcome, .. } => outcome,
        _ => Outcome::failed("the job's module answered out of turn"),
    }
}

/// A session of its own, and the result's file with "it began".
fn prepare(call: &Call) -> Begun {
    nix::unistd::setsid().map_err(|error| format!("make a session: {error}"))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let home = Real::new(Cancel::default()).whoami().map_err(|error| error.to_string())?.home;
    let folder = folder(&call.environment, &home);
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| format!("could not create directory: {} - {error}", folder.display()))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let id = format!("j{}.{}", now.as_nanos() % 1_000_000_000_000, std::process::id());
    let file = folder.join(&id);
    let first = crate::map! { "started" => true, "finished" => false, "ansible_job_id" => id.as_str() };
    leave(&file, &Value::map(first))?;
    Ok((id, file))
}

/// Who began it does not wait for what holds its pipes.
fn forget_pipes() -> std::io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// Readers find the whole of it or what was there before.
fn leave(file: &Path, result: &Value) -> Result<(), String> {
    let text = serde_json::to_vec(&result.to_json(false)).map_err(|error| error.to_string())?;
    let mut applier = Applier { source: &mut NoContent, watch: &mut Quiet, cancel: Cancel::default(), environment: Vec::new() };
    let written = applier.apply(&[Action::write(file, text.into(), Ownership::mode(0o600))]);
    written.map(drop).map_err(|failure| failure.error.message)
}

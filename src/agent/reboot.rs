//! The restart of the machine in the middle of a play: the run's state goes up to the controller, which brings it back.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::executor::Executor;
use super::frame::{Reboot, Snapshot};
use super::item::{Item, Stop};
use super::resume::Resume;
use super::state::State;
use crate::program::{Bytes, Value};
use crate::template::Error;

/// What the controller needs of the module's wishes.
#[derive(Clone, Debug)]
pub struct Request {
    /// Must succeed before the machine counts as back.
    pub test_command: Option<String>,
    /// For the way back, and again for the test.
    pub timeout: Duration,
    /// For one attempt to connect.
    pub connect_timeout: Option<Duration>,
    /// Before it goes down.
    pub delay: Duration,
    /// After it is back, before the test.
    pub settle: Duration,
}

/// All that a run needs to go on after the restart.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Suspended {
    pub resume: Resume,
    pub state: State,
    pub predictions: super::predictions::Predictions,
    pub public_roles: Vec<crate::program::IncludedRole>,
    pub play: Option<std::sync::Arc<crate::program::Play>>,
    pub ran_roles: std::collections::BTreeSet<String>,
}

/// The run as it stands, at a task that restarts the machine.
pub fn snapshot(executor: &Executor, item: &Item<'_>, request: &Request, results: &[Value]) -> Result<Snapshot, Stop> {
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Ok(Snapshot {
        position: item.at.clone(),
        item: item.index,
        needed: false,
        reboot: Reboot {
            delay: request.delay.max(GOODBYE).as_secs_f64(),
            timeout: request.timeout.as_secs_f64(),
            connect_timeout: request.connect_timeout.map(|limit| limit.as_secs_f64()),
            post_delay: request.settle.as_secs_f64(),
            test_command: request.test_command.clone(),
            boot_id: boot_id.trim().into(),
            given_up: None,
        },
        state: state(executor, item, results, false)?,
    })
}

/// The run as it stands, at a task that needs the machine that this agent stands in for.
pub fn needing(executor: &Executor, item: &Item<'_>, results: &[Value]) -> Result<Snapshot, Stop> {
    let (position, state) = (item.at.clone(), state(executor, item, results, true)?);
    Ok(Snapshot { position, item: item.index, needed: true, reboot: Reboot::default(), state })
}

fn state(executor: &Executor, item: &Item<'_>, results: &[Value], needed: bool) -> Result<Bytes, Stop> {
    let suspended = Suspended {
        resume: Resume { position: item.at.clone(), item: item.index, results: results.to_vec(), since: super::journal::now(), needed },
        ran_roles: executor.ran_roles.clone(),
        state: executor.state.clone(),
        predictions: executor.predictions.clone(),
        public_roles: executor.public_roles.clone(),
        play: executor.play.clone(),
    };
    let state = rmp_serde::to_vec(&suspended).map_err(|error| Error::failed(format!("pack the run's state: {error}")))?;
    Ok(Bytes(state.into()))
}

/// Between the last word of this agent and the restart: enough for the word to be on its way.
const GOODBYE: Duration = Duration::from_secs(1);

/// Starts the restart, detached: it must come after this agent said goodbye. Called where the task's user acts.
pub fn restart(delay: Duration, message: &str, command: Option<&str>) -> Result<(), String> {
    // Nothing of it is put into a shell's line but what the user wrote as one.
    if command.is_none() && !nix::unistd::geteuid().is_root() {
        // It is hardly allowed: that is told at once, where a detached one would be waited for in vain.
        let output = Command::new("systemctl").args(["reboot", "--no-ask-password"]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("restart the machine: systemctl: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        return if output.status.success() { Ok(()) } else { Err(format!("restart the machine without become: {}", said.trim())) };
    }
    let mut words = vec!["sh".to_owned(), "-c".to_owned()];
    let seconds = delay.max(GOODBYE).as_secs();
    match command {
        Some(command) => words.push(format!("sleep {seconds}; {command}")),
        None => {
            let systemd = std::path::Path::new("/run/systemd/system").exists();
            let default = if systemd { "exec systemctl reboot --message=\"$1\"" } else { "exec shutdown -r now \"$1\"" };
            words.extend([format!("sleep {seconds}; {default}"), "provision".to_owned(), message.to_owned()]);
        }
    }
    // Its own session, so that the end of ours does not take it along.
    let status = Command::new("setsid")
        .arg("-f")
        .args(&words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| format!("restart the machine: setsid: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("restart the machine: setsid: {status}")) }
}

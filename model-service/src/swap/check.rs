//! `model-service check` as a process of its own: a graph that makes tract panic or abort ends that one.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde_json::Value;

use crate::model::Wanted;

/// A check takes some 10 ms on an idle processor.
const LIMIT: Duration = Duration::from_secs(30);

/// Blocks until the check has ended: inside what it said of the model, or how it ended; outside that it could not be run.
pub(super) fn in_a_process(file: &[u8], wanted: Wanted) -> Result<Result<()>> {
    // The program that runs, also when its file was replaced.
    let program = if cfg!(target_os = "linux") { PathBuf::from("/proc/self/exe") } else { std::env::current_exe()? };
    let mut process = Command::new(program)
        .args(["check", "--runtime", wanted.name(), "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("start the check")?;
    let mut input = process.stdin.take().context("start the check")?;
    let mut errors = process.stderr.take().context("start the check")?;
    std::thread::scope(|scope| {
        // A check that ends before it has read all has said why.
        scope.spawn(move || input.write_all(file));
        let said = scope.spawn(move || {
            let mut said = String::new();
            errors.read_to_string(&mut said).map(|_| said)
        });
        let started = Instant::now();
        let status = loop {
            if let Some(status) = process.try_wait().context("wait for the check")? {
                break status;
            }
            if started.elapsed() > LIMIT {
                process.kill().context("end the check")?;
                process.wait().context("end the check")?;
                bail!("the check did not end within {LIMIT:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        if status.success() {
            return Ok(Ok(()));
        }
        let said = said.join().ok().and_then(Result::ok).unwrap_or_default();
        Ok(Err(anyhow!("{}", last_message(&said).unwrap_or_else(|| format!("the check ended with {status}")))))
    })
}

/// The log is JSON lines; a panic is text.
fn last_message(said: &str) -> Option<String> {
    let line = said.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with("note: "))?;
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    Some(value["message"].as_str().unwrap_or(line).to_owned())
}

//! Processes of this machine: run a command with its error kept, and know a process by pid and start time.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid};
use serde::{Deserialize, Serialize};

/// A process that cannot be confused with a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since the machine's boot: field 22 of /proc/PID/stat, proc(5).
    pub start_time: u64,
}

impl Process {
    /// The process of that number now, if there is one that is not a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid)?;
        (stat.state != 'Z' && stat.state != 'X').then_some(Self { pid, start_time: stat.start_time })
    }

    pub fn this() -> Result<Self> {
        Self::of(std::process::id().cast_signed()).context("reading /proc/self/stat")
    }

    pub fn alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Send a signal, unless it is gone already.
    pub fn signal(&self, signal: Signal) {
        if self.alive() {
            _ = kill(Pid::from_raw(self.pid), signal);
        }
    }

    /// Wait for its end; false when it outlives `limit`.
    pub fn wait_gone(&self, limit: Duration) -> bool {
        wait_until(limit, Duration::from_millis(10), || !self.alive())
    }
}

/// The fields of /proc/PID/stat that we use.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    pub state: char,
    pub parent: i32,
    pub start_time: u64,
}

impl Stat {
    pub fn of(pid: i32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold spaces and parentheses itself.
        let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }
}

/// A child of ours that is a copy of us: another program's start, and anew of this one too, costs as much as a tenth of a node's boot.
#[derive(Debug)]
pub struct Fork {
    pid: Pid,
    ended: Option<ExitStatus>,
}

impl Fork {
    /// The child's side is `None`. Only for a process of one thread.
    pub fn new() -> Result<Option<Self>> {
        #[expect(unsafe_code, reason = "a process of one thread may go on in a copy of itself")]
        let forked = unsafe { nix::unistd::fork() }.context("forking")?;
        Ok(match forked {
            ForkResult::Parent { child } => Some(Self { pid: child, ended: None }),
            ForkResult::Child => None,
        })
    }

    /// The child's side does its work, and ends with it; an error is the last line of its log.
    pub fn become_child(work: impl FnOnce() -> Result<()>) -> ! {
        let result = work();
        if let Err(error) = &result {
            super::supervisor::say(&format!("{error:#}"));
        }
        std::process::exit(i32::from(result.is_err()))
    }

    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended, if it did.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.reap(Some(WaitPidFlag::WNOHANG))
    }

    pub fn wait(&mut self) -> Result<Option<ExitStatus>> {
        self.reap(None)
    }

    pub fn kill(&self) {
        if self.ended.is_none() {
            _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    fn reap(&mut self, flags: Option<WaitPidFlag>) -> Result<Option<ExitStatus>> {
        while self.ended.is_none() {
            self.ended = match waitpid(self.pid, flags) {
                Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw((code & 0xff) << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
                Ok(_) => break,
                Err(nix::errno::Errno::EINTR) => None,
                Err(error) => return Err(error).context("waiting for a child"),
            };
        }
        Ok(self.ended)
    }
}

/// Every process number there is.
pub fn all() -> Vec<i32> {
    std::fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Ask `done` every `interval` until it says yes; false at the limit.
pub fn wait_until(limit: Duration, interval: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(interval);
    }
}

/// Run a command to its end; its standard output, or an error with command, exit code and standard error.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String> {
    run_with(program, arguments, None)
}

/// The same with text on standard input.
pub fn run_with<S: AsRef<OsStr>>(program: &str, arguments: &[S], input: Option<&str>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let line = || {
        let words = arguments.iter().map(|argument| argument.as_ref().to_string_lossy().into_owned());
        std::iter::once(program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    };
    let mut child = command.spawn().with_context(|| format!("running `{}`", line()))?;
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // A command that ends early closes its end: its exit status tells more than our broken pipe.
        _ = pipe.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().with_context(|| format!("waiting for `{}`", line()))?;
    if !output.status.success() {
        bail!("`{}` ended with {}: {}", line(), output.status, last_lines(&String::from_utf8_lossy(&output.stderr), 12));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last `count` lines of a text, trimmed.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// This boot of this machine; a record of another boot says nothing about processes.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Whether a program is on the path, or in the system's folders that an ordinary user's path lacks.
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(Into::into))
        .any(|folder| Path::new(&folder).join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_command_says_what_it_was_and_what_it_said() {
        let error = run("sh", &["-c", "echo no such thing >&2; exit 3"]).unwrap_err().to_string();
        assert_eq!(error, "`sh -c echo no such thing >&2; exit 3` ended with exit status: 3: no such thing");
    }

    #[test]
    fn a_process_is_known_by_pid_and_start_time() {
        let me = Process::this().unwrap();
        assert!(me.alive());
        assert!(!Process { start_time: me.start_time + 1, ..me }.alive());
    }
}

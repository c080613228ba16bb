//! A build as a child process: nice, in a process group of its own that a cancelled run ends, each line of stderr told.

use std::collections::VecDeque;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use super::home;
use super::progress::Cancel;

/// After this a build that was asked to end is killed.
const PATIENCE: Duration = Duration::from_millis(1500);
/// Lines of stderr that an error shows.
const LINES: usize = 12;

/// A failed build: one phrase, and the tool's last words. `None` for a cancelled one.
pub(super) type Failed = Option<String>;

/// A child that ended by itself.
pub(super) struct Ended {
    pub status: ExitStatus,
    /// The whole of stdout.
    pub out: String,
    /// The last lines of stderr that were worth keeping.
    pub last: String,
}

impl Ended {
    /// The error of a child that failed; `what` is its name and first word: `go build`.
    pub fn failed(&self, what: &str) -> Failed {
        Some(format!("`{what}` ended with {}:\n    {}", self.status, self.last))
    }
}

/// A program that may keep something in the home of who runs it.
pub(super) fn at_home(program: &str) -> Command {
    let mut command = Command::new(program);
    if let Some(home) = home::other_home() {
        command.env("HOME", home);
        command.env_remove("XDG_CACHE_HOME").env_remove("XDG_CONFIG_HOME");
    }
    command
}

/// `nice PROGRAM`: a build leaves the machine to others.
pub(super) fn nice(program: &str) -> Command {
    let mut command = at_home("nice");
    command.args(["-n", "10", program]);
    command
}

/// Runs the command to its end. `told` gets each line of stderr and says whether an error should show it.
pub(super) async fn run(mut command: Command, cancel: &Cancel, told: &mut (dyn FnMut(&str) -> bool + Send)) -> Result<Ended, Failed> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let words = command.as_std();
    let what =
        [words.get_program()].into_iter().chain(words.get_args().take(3)).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let child = command.spawn().map_err(|error| Some(format!("start `{what}`: {error}")))?;
    let mut group = Group::new(child);
    let mut stdout = group.child.stdout.take().expect("it is piped");
    let stderr = group.child.stderr.take().expect("it is piped");
    let mut last = VecDeque::new();
    let mut out = String::new();
    let read = async {
        let mut lines = BufReader::new(stderr).lines();
        let lines = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if told(&line) {
                    if last.len() == LINES {
                        last.pop_front();
                    }
                    last.push_back(line);
                }
            }
        };
        let ((), read) = tokio::join!(lines, stdout.read_to_string(&mut out));
        read
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {
            group.end().await;
            return Err(None);
        }
        read = read => read.map_err(|error| Some(format!("read what `{what}` says: {error}")))?,
    };
    let status = group.wait().await.map_err(|error| Some(format!("wait for `{what}`: {error}")))?;
    Ok(Ended { status, out, last: Vec::from(last).join("\n    ") })
}

/// A child and all processes that it started, which share its group; killed when this is dropped before they ended.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn new(child: Child) -> Self {
        let id = child.id().map(|id| Pid::from_raw(id.cast_signed()));
        Self { child, id }
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.id = None;
        status
    }

    /// Asks the group to end, and kills what is left of it.
    async fn end(&mut self) {
        let Some(id) = self.id else { return };
        let _ = killpg(id, Signal::SIGTERM);
        let _ = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let _ = killpg(id, Signal::SIGKILL);
        let _ = self.child.wait().await;
        self.id = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let _ = killpg(id, Signal::SIGKILL);
        }
    }
}

//! The process beside each node: it starts the node, starts it anew when it reboots or dies, and ends it when asked to.
//!
//! `provision supervise run FILE` is that process, `provision supervise launch FILE` becomes the node's systemd-nspawn,
//! `provision supervise request` does one [`Request`] as root. Call [`main`] before any thread or runtime is there.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::cgroup::Limits;
use super::node::{self, Config, Running};
use super::process::{Process, boot_id};
use super::request::{Request, STOP_LIMIT};
use super::state::{self, Lock};

/// Do what the words after `supervise` say.
pub fn main(words: &[OsString]) -> ExitCode {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let result = match words[..] {
        ["request"] => request(),
        ["run", path] => read_config(path).and_then(|config| run(&config)),
        ["launch", path] => read_config(path).and_then(|config| node::launch(&config).map(drop)),
        _ => Err(anyhow::anyhow!("`supervise` is for provision itself")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn read_config(path: &str) -> Result<Config> {
    state::read(Path::new(path)).with_context(|| format!("reading {path}"))
}

fn request() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let request: Request = serde_json::from_str(&text).context("reading the request")?;
    let answer = serde_json::to_vec(&request.perform())?;
    std::io::stdout().write_all(&answer)?;
    Ok(())
}

/// One line to the log, with the time: seconds since 1970.
fn say(line: &str) {
    _ = writeln!(std::io::stderr(), "{} supervisor: {line}", now());
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Supervise a node until it powers off, or until SIGTERM ends it in order. A node that runs already is adopted.
pub fn run(config: &Config) -> Result<()> {
    detach()?;
    let Some(lock) = take_lock(config)? else {
        say("another supervisor has this node");
        return Ok(());
    };
    lock.sign(Process::this()?)?;
    let mut signals = Signals::new()?;
    let adopted = config
        .running()
        .filter(|running| running.init.is_some_and(|init| init.alive()));
    let mut running = Running {
        supervisor: Process::this()?,
        failure: None,
        ..adopted.unwrap_or_else(nothing_runs)
    };
    config.write_running(&running)?;
    let mut quick = 0;
    loop {
        let begun = Instant::now();
        // Its size may have changed since the last start.
        let config = &Config::read(&config.names, &config.name).unwrap_or_else(|| config.clone());
        let mut child = None;
        if let Some(init) = running.init {
            say(&format!("adopted the node, init {}", init.pid));
        } else {
            match node::start(config) {
                Ok((nspawn, init, limits)) => {
                    running.nspawn = Process::of(nspawn.id().cast_signed());
                    running.init = Some(init);
                    running.limits = limits;
                    running.starts += 1;
                    running.started = now();
                    child = Some(nspawn);
                    say(&format!("started the node, init {}", init.pid));
                }
                Err(error) => {
                    return give_up(config, running, &format!("starting the node: {error:#}"));
                }
            }
            config.write_running(&running)?;
        }
        let end = match running.init {
            Some(init) => watch(init, &mut child, &mut signals)?,
            None => bail!("no init to watch"),
        };
        say(&format!("the node ended: {end:?}"));
        if end == End::Asked(Ending::InOrder) {
            node::shut_down(config, STOP_LIMIT)?;
        }
        node::clear(config)?;
        // Nothing of ours is to stay behind as a zombie.
        if let Some(mut child) = child {
            _ = child.wait();
        }
        running.init = None;
        running.nspawn = None;
        config.write_running(&running)?;
        if matches!(end, End::Asked(_) | End::PoweredOff) {
            return Ok(());
        }
        quick = if begun.elapsed() < Duration::from_secs(3) {
            quick + 1
        } else {
            0
        };
        if quick == 3 {
            return give_up(
                config,
                running,
                &format!(
                    "the node ended three times within 3 s of its start, the last time with {end:?}"
                ),
            );
        }
    }
}

fn give_up(config: &Config, running: Running, why: &str) -> Result<()> {
    node::clear(config)?;
    config.write_running(&Running {
        init: None,
        nspawn: None,
        failure: Some(why.to_owned()),
        ..running
    })?;
    bail!("{why}")
}

fn nothing_runs() -> Running {
    Running {
        boot_id: boot_id(),
        supervisor: Process {
            pid: 0,
            start_time: 0,
        },
        init: None,
        nspawn: None,
        starts: 0,
        started: 0,
        limits: Limits::none("the node was not started yet"),
        failure: None,
    }
}

/// Leave the session, the terminal and every open file of who started us, but for the log.
fn detach() -> Result<()> {
    // We were started as /proc/self/exe: in a process list that would be "exe".
    _ = nix::sys::prctl::set_name(c"provision");
    nix::unistd::setsid().context("leaving the terminal's session")?;
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

/// The node's lock. Whoever asks whether it is held holds it for a moment: so try for a while.
fn take_lock(config: &Config) -> Result<Option<Lock>> {
    for _ in 0..50 {
        if let Some(lock) = Lock::try_take(&config.lock())? {
            return Ok(Some(lock));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(None)
}

/// How a node came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// We were asked to end it: it still runs.
    Asked(Ending),
    /// `poweroff` in the node.
    PoweredOff,
    /// systemd-nspawn's exit status 133, or init gone any other way: start it anew.
    Gone(Option<i32>),
}

/// How we were asked to end a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// SIGTERM: shut it down.
    InOrder,
    /// SIGINT: it is to be destroyed.
    AtOnce,
}

impl End {
    fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::PoweredOff,
            code => Self::Gone(code),
        }
    }
}

/// Wait for the node's end or for SIGTERM. A killed systemd-nspawn does not end the node.
fn watch(init: Process, child: &mut Option<Child>, signals: &mut Signals) -> Result<End> {
    loop {
        // Without a child there is no SIGCHLD: look often.
        if let Some(ending) = signals.wait(Duration::from_millis(if child.is_some() {
            5000
        } else {
            200
        }))? {
            return Ok(End::Asked(ending));
        }
        match child.as_mut().map(Child::try_wait).transpose()?.flatten() {
            Some(status) if init.alive() => {
                say(&format!(
                    "systemd-nspawn ended with {status}; the node runs on"
                ));
                *child = None;
            }
            Some(status) => return Ok(End::of(status)),
            None if child.is_none() && !init.alive() => return Ok(End::Gone(None)),
            None => {}
        }
    }
}

/// SIGTERM, SIGINT and SIGCHLD as something to wait for.
struct Signals {
    descriptor: SignalFd,
}

impl Signals {
    fn new() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGCHLD,
        ] {
            set.add(signal);
        }
        set.thread_block()?;
        let descriptor =
            SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { descriptor })
    }

    /// Wait for a signal; how one asks us to end.
    fn wait(&mut self, limit: Duration) -> Result<Option<Ending>> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(
            &mut [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)],
            timeout,
        ) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("waiting for a signal"),
        }
        let mut ending = None;
        while let Some(signal) = self.descriptor.read_signal()? {
            match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGINT)) => ending = Some(Ending::AtOnce),
                Ok(Ok(Signal::SIGTERM)) => ending = ending.or(Some(Ending::InOrder)),
                _ => {}
            }
        }
        Ok(ending)
    }
}

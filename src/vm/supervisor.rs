//! The process beside each node: it starts the node, starts it anew when it reboots or dies, and ends it when asked to.
//!
//! `provision supervise run FILE…` begins that process for each node and waits for them to have begun; a copy of it becomes the node's
//! systemd-nspawn. `provision supervise request` does one [`Request`] as root. Call [`main`] before any thread or runtime is there.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::cgroup::Limits;
use super::node::{self, Config, Running};
use super::process::{Fork, Process, boot_id, wait_until};
use super::request::{Request, STOP_LIMIT};
use super::state::{self, Lock};

/// Do what the words after `supervise` say.
pub fn main(words: &[OsString]) -> ExitCode {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let result = match words[..] {
        ["request"] => request(),
        ["run", ref paths @ ..] => begin(paths),
        _ => Err(anyhow::anyhow!("`supervise` is for provision itself")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Who asked has it as the cause of an error of its own.
            _ = writeln!(std::io::stderr(), "{error:#}");
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

/// Goes on as the supervisor of each node in a copy of this process.
fn begin(paths: &[&str]) -> Result<()> {
    let mut begun = Vec::new();
    for path in paths {
        let config = read_config(path)?;
        match Fork::new()? {
            Some(child) => begun.push((config, child)),
            None => Fork::become_child(|| write_to_log(&config).and_then(|()| run(&config))),
        }
    }
    let errors: Vec<String> =
        begun.into_iter().filter_map(|(config, child)| has_begun(&config, child).err()).map(|error| error.to_string()).collect();
    if errors.is_empty() { Ok(()) } else { bail!(errors.join("; ")) }
}

/// Waits until a supervisor has its node, or had nothing to do.
fn has_begun(config: &Config, mut child: Fork) -> Result<()> {
    let mut status = None;
    let begun = wait_until(Duration::from_secs(5), Duration::from_millis(2), || {
        status = child.try_wait().ok().flatten();
        config.supervised() || status.is_some()
    });
    match status {
        Some(status) if !status.success() => {
            bail!("the supervisor of {} ended with {status}: see {}", config.name, config.log.display())
        }
        _ if !begun => bail!("the supervisor of {} did not begin within 5 s: see {}", config.name, config.log.display()),
        _ => Ok(()),
    }
}

/// From here on the log has what we and the node's console say.
fn write_to_log(config: &Config) -> Result<()> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(&config.log)
        .with_context(|| format!("opening {}", config.log.display()))?;
    nix::unistd::dup2_stdout(&log)?;
    nix::unistd::dup2_stderr(&log)?;
    Ok(())
}

/// One line to the log, with the time: seconds since 1970.
pub(super) fn say(line: &str) {
    _ = writeln!(std::io::stderr(), "{} supervisor: {line}", now());
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
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
    let adopted = config.running().filter(|running| running.init.is_some_and(|init| init.alive()));
    let mut running = Running { supervisor: Process::this()?, failure: None, ..adopted.unwrap_or_else(nothing_runs) };
    config.write_running(&running)?;
    let mut pace = Pace::default();
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
                    running.nspawn = Process::of(nspawn.id());
                    running.init = Some(init);
                    running.limits = limits;
                    running.starts += 1;
                    running.started = now();
                    child = Some(nspawn);
                    say(&format!("started the node, init {}", init.pid));
                }
                Err(error) => {
                    let why = format!("starting the node: {error:#}");
                    // Whoever asked for the first start waits for its error; a node that ran before is tried again.
                    let pause = (running.starts > 0).then(|| pace.after_failed_start());
                    let Some(pause) = pause.flatten() else {
                        return give_up(config, running, &why);
                    };
                    say(&format!("{why}; again in {pause:?}"));
                    if signals.pause(pause)? {
                        return node::clear(config);
                    }
                    continue;
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
        let cleared = node::clear(config);
        // Nothing of ours is to stay behind as a zombie.
        if let Some(mut child) = child {
            _ = child.wait();
        }
        running.init = None;
        running.nspawn = None;
        config.write_running(&running)?;
        if matches!(end, End::Asked(_) | End::PoweredOff) {
            return cleared;
        }
        if let Err(error) = cleared {
            // The next start clears too, and tells.
            say(&format!("clearing up: {error:#}"));
        }
        match pace.after_end(&end, begun.elapsed()) {
            None => {
                let why = format!("the node ended {DEATHS} times within {EARLY:?} of its start, the last time with {end:?}");
                return give_up(config, running, &why);
            }
            Some(pause) if !pause.is_zero() => {
                say(&format!("it reboots again and again: the next start is in {pause:?}"));
                if signals.pause(pause)? {
                    return Ok(());
                }
            }
            Some(_) => {}
        }
    }
}

/// Leave the reason where `status` and `up` find it, then end with it.
fn give_up(config: &Config, running: Running, why: &str) -> Result<()> {
    config.write_running(&Running { init: None, nspawn: None, failure: Some(why.to_owned()), ..running })?;
    if let Err(error) = node::clear(config) {
        say(&format!("clearing up: {error:#}"));
    }
    bail!("{why}")
}

/// A node that ends so soon after its start has hardly booted.
const EARLY: Duration = Duration::from_secs(3);
/// So many deaths in a row, each early: it cannot boot.
const DEATHS: u32 = 3;
/// So many reboots in a row, each early, are done at once: a play may well want several.
const REBOOTS: u32 = 10;
/// Between the starts of a node that goes on rebooting itself early.
const REBOOT_PAUSE: Duration = Duration::from_secs(5);
/// How often a node that ran before is tried again when its start fails, as it may on a crowded workstation.
const FAILED_STARTS: u32 = 5;

/// When to start a node again that ended, and when to leave it.
#[derive(Debug, Default)]
struct Pace {
    deaths: u32,
    reboots: u32,
    failed_starts: u32,
}

impl Pace {
    /// The pause before the next start; none when there is to be no next one. A reboot is what somebody in the node asked
    /// for: however many there are and however soon, it is never the end, as it is none on a real machine.
    fn after_end(&mut self, end: &End, ran: Duration) -> Option<Duration> {
        self.failed_starts = 0;
        if ran >= EARLY {
            *self = Self::default();
        } else if *end == End::Rebooted {
            self.deaths = 0;
            self.reboots += 1;
        } else {
            self.deaths += 1;
        }
        let pause = if self.reboots > REBOOTS { REBOOT_PAUSE } else { Duration::ZERO };
        (self.deaths < DEATHS).then_some(pause)
    }

    /// The same after a start that failed: 1 s, 2 s, 4 s, …
    fn after_failed_start(&mut self) -> Option<Duration> {
        self.failed_starts += 1;
        (self.failed_starts <= FAILED_STARTS).then(|| Duration::from_secs(1 << (self.failed_starts - 1)))
    }
}

fn nothing_runs() -> Running {
    Running {
        boot_id: boot_id(),
        supervisor: Process { pid: 0, start_time: 0 },
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
    let open: Vec<i32> = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
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
    /// `reboot` in the node: start it anew.
    Rebooted,
    /// Init is gone any other way: start it anew, unless that happens again and again.
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

/// What systemd-nspawn with `--keep-unit` ends with when the node rebooted: `EXIT_FORCE_RESTART`, systemd's
/// src/shared/exit-status.h; its own units have `RestartForceExitStatus=133`.
const REBOOTED: i32 = 133;

impl End {
    fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::PoweredOff,
            Some(REBOOTED) => Self::Rebooted,
            code => Self::Gone(code),
        }
    }
}

/// Wait for the node's end or for SIGTERM. A killed systemd-nspawn does not end the node.
fn watch(init: Process, child: &mut Option<Fork>, signals: &mut Signals) -> Result<End> {
    loop {
        // Without a child there is no SIGCHLD: look often.
        if let Some(ending) = signals.wait(Duration::from_millis(if child.is_some() { 5000 } else { 200 }))? {
            return Ok(End::Asked(ending));
        }
        match child.as_mut().map(Fork::try_wait).transpose()?.flatten() {
            Some(status) if init.alive() => {
                say(&format!("systemd-nspawn ended with {status}; the node runs on"));
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
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
            set.add(signal);
        }
        set.thread_block()?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { descriptor })
    }

    /// Let time pass; true as soon as somebody asks us to end.
    fn pause(&mut self, limit: Duration) -> Result<bool> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.wait(left)?.is_some() {
                return Ok(true);
            }
            // Poll counts whole milliseconds: the last part of one is no time.
            if left < Duration::from_millis(1) {
                return Ok(false);
            }
        }
    }

    /// Wait for a signal; how one asks us to end.
    fn wait(&mut self, limit: Duration) -> Result<Option<Ending>> {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN)], timeout) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(2);
    const LATE: Duration = Duration::from_secs(4);

    #[test]
    fn early_reboots_are_never_the_end_and_slow_down_at_last() {
        let mut pace = Pace::default();
        for _ in 0..REBOOTS {
            assert_eq!(pace.after_end(&End::Rebooted, SOON), Some(Duration::ZERO));
        }
        for _ in 0..50 {
            assert_eq!(pace.after_end(&End::Rebooted, SOON), Some(REBOOT_PAUSE));
        }
        assert_eq!(pace.after_end(&End::Rebooted, LATE), Some(Duration::ZERO));
    }

    #[test]
    fn early_deaths_in_a_row_are_the_end() {
        let mut pace = Pace::default();
        let died = End::Gone(Some(1));
        for ran in [SOON, SOON, LATE, SOON, SOON] {
            assert_eq!(pace.after_end(&died, ran), Some(Duration::ZERO));
        }
        // A reboot between them shows that it can boot.
        assert!(pace.after_end(&End::Rebooted, SOON).is_some());
        assert!(pace.after_end(&died, SOON).is_some() && pace.after_end(&died, SOON).is_some());
        assert_eq!(pace.after_end(&died, SOON), None);
    }

    #[test]
    fn a_failing_start_is_tried_for_half_a_minute() {
        let mut pace = Pace::default();
        let pauses: Vec<u64> = std::iter::from_fn(|| pace.after_failed_start()).map(|pause| pause.as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16]);
    }
}

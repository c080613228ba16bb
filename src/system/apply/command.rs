//! Runs a command in a process group of its own, which can be found and ended again.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child as Process, Command as Program, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::{Applier, Child, Stream, now};
use crate::program::Bytes;
use crate::system::{Accept, ActionOutcome, Command, Error, Result};

/// Between TERM and KILL (DESIGN, decision 11).
const GRACE: Duration = Duration::from_millis(1500);
/// How often cancellation, timeout and exit are looked at.
const TICK: Duration = Duration::from_millis(20);
/// After the command has ended, a child it left behind may hold its output open: this long without a byte is enough.
const QUIET: Duration = Duration::from_millis(200);

impl Applier<'_> {
    /// Runs it to its end. An exit status that `accept` does not name is an error with the output as details.
    pub(super) fn run(&mut self, command: &Command) -> Result<ActionOutcome> {
        let started = now();
        let mut process = self.start(command)?;
        let group = process.id() as i32;
        let (sender, receiver) = channel();
        follow(Stream::Stdout, process.stdout.take(), &sender);
        follow(Stream::Stderr, process.stderr.take(), &sender);
        drop(sender);
        if let (Some(mut stdin), Some(bytes)) = (process.stdin.take(), command.stdin.clone()) {
            // On its own: a command that writes before it reads must not wait for us. A closed pipe is its right.
            std::thread::spawn(move || drop(stdin.write_all(&bytes.0)));
        }
        let mut output = Output { stdout: Vec::new(), stderr: Vec::new(), shown: [0, 0] };
        let deadline = command.timeout.map(|timeout| Instant::now() + timeout);
        let ended = self.wait(command, &mut process, &receiver, &mut output, deadline);
        let status = match ended {
            Ok(status) => status,
            Err(error) => {
                end_group(group, &mut || matches!(process.try_wait(), Ok(Some(_))));
                let _ = process.wait();
                output.drain(&receiver, self.watch);
                let (stdout, stderr) = (output.text(Stream::Stdout), output.text(Stream::Stderr));
                return Err(error.output(&stdout, &stderr));
            }
        };
        output.drain(&receiver, self.watch);
        output.finish(self.watch);
        let rc = status.code().unwrap_or_else(|| -status.signal().unwrap_or_default());
        let outcome = ActionOutcome {
            rc: Some(rc),
            stdout: Bytes(output.stdout.into()),
            stderr: Bytes(output.stderr.into()),
            started,
            ended: now(),
            backup: None,
        };
        let accepted = match &command.accept {
            Accept::Zero => rc == 0,
            Accept::Any => true,
            Accept::Codes(codes) => codes.contains(&rc),
        };
        if accepted { Ok(outcome) } else { Err(Error::command(command, &outcome)) }
    }

    /// Forks, has the child's identity recorded while it waits, lets it become the program.
    fn start(&mut self, command: &Command) -> Result<Process> {
        let failed = |error: &std::io::Error| {
            Error::io(&command.label, error)
                .detail("cmd", crate::system::words::join(&command.argv))
                .detail("rc", i64::from(error.raw_os_error().unwrap_or(1)))
                .output("", "")
        };
        let Some((program, arguments)) = command.argv.split_first() else {
            return Err(Error::failed(format!("{}: there is no program to run", command.label)));
        };
        let mut prepared = Program::new(program);
        prepared
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(command.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if command.stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        if let Some(directory) = &command.directory {
            prepared.current_dir(directory);
        }
        let (mut ready, tell_ready) = std::io::pipe().map_err(|error| failed(&error))?;
        let (wait_go, go) = std::io::pipe().map_err(|error| failed(&error))?;
        hold(&mut prepared, command.umask, &tell_ready, &wait_go, &go);
        // `spawn` returns only after exec: a thread waits for it while this one records the child.
        let spawning = std::thread::spawn(move || {
            let process = prepared.spawn();
            drop((tell_ready, wait_go));
            process
        });
        let mut id = [0; 4];
        let mut recorded = Ok(());
        if ready.read_exact(&mut id).is_ok() {
            let group = i32::from_ne_bytes(id);
            recorded = identify(group).and_then(|child| self.watch.starting(command, &child));
            if recorded.is_ok() {
                let _ = (&go).write_all(b"g");
            }
        }
        // Without a byte the child sees the end of the pipe and gives up.
        drop(go);
        let process = spawning.join().map_err(|_| Error::failed(format!("{}: the thread that starts it panicked", command.label)))?;
        match (recorded, process) {
            (Ok(()), process) => process.map_err(|error| failed(&error)),
            (Err(error), Ok(mut process)) => {
                end_group(process.id() as i32, &mut || matches!(process.try_wait(), Ok(Some(_))));
                let _ = process.wait();
                Err(error)
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    fn wait(
        &mut self,
        command: &Command,
        process: &mut Process,
        receiver: &Receiver<(Stream, Vec<u8>)>,
        output: &mut Output,
        deadline: Option<Instant>,
    ) -> Result<ExitStatus> {
        let mut open = true;
        loop {
            if open {
                match receiver.recv_timeout(TICK) {
                    Ok((stream, bytes)) => output.add(stream, &bytes, self.watch),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => open = false,
                }
            }
            match process.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) => {}
                Err(error) => return Err(Error::io(format_args!("wait for {}", command.label), &error)),
            }
            self.cancel.check(&command.label)?;
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let seconds = command.timeout.unwrap_or_default().as_secs_f64();
                return Err(Error::failed(format!("{}: still running after {seconds} s", command.label)));
            }
            if !open {
                std::thread::sleep(TICK);
            }
        }
    }
}

/// Makes the child say its id and wait for one byte before it becomes the program.
#[expect(unsafe_code, reason = "between fork and exec only system calls are made: no allocation, no lock")]
fn hold(program: &mut Program, umask: Option<u32>, tell_ready: &PipeWriter, wait_go: &PipeReader, go: &PipeWriter) {
    let (ready, wait, go) = (tell_ready.as_raw_fd(), wait_go.as_raw_fd(), go.as_raw_fd());
    let held = move || {
        if let Some(mask) = umask {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(mask));
        }
        // SAFETY: the three descriptors are open in the parent until `spawn` has returned, so they are in the child.
        let (ready, wait) = unsafe { (std::os::fd::BorrowedFd::borrow_raw(ready), std::os::fd::BorrowedFd::borrow_raw(wait)) };
        // The child's own copy of the writing end would keep the pipe open for ever. It is gone after exec anyway.
        nix::unistd::close(go)?;
        nix::unistd::write(ready, &std::process::id().to_ne_bytes())?;
        let mut byte = [0];
        match nix::unistd::read(wait, &mut byte)? {
            1 => Ok(()),
            _ => Err(std::io::Error::from(std::io::ErrorKind::Interrupted)),
        }
    };
    // SAFETY: `held` only makes system calls.
    unsafe { program.pre_exec(held) };
}

fn identify(group: i32) -> Result<Child> {
    let start_time = start_time(group).map_err(|error| Error::io(format_args!("read /proc/{group}/stat"), &error))?;
    Ok(Child { group, start_time, boot_id: crate::system::real::boot_id()? })
}

/// Field 22 of /proc/ID/stat; the name in field 2 may hold spaces and parentheses. A zombie has ended.
pub(super) fn start_time(id: i32) -> std::io::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidData);
    let mut fields = text.rsplit_once(')').ok_or_else(invalid)?.1.split_whitespace();
    if fields.next() == Some("Z") {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    fields.nth(18).and_then(|field| field.parse().ok()).ok_or_else(invalid)
}

/// TERM to the group and to all that its leader started, in whatever session (apt runs dpkg in one of its own); KILL after the
/// grace to whatever is left of them. Daemons, which have left their parents, stay.
pub(super) fn end_group(leader: i32, leader_ended: &mut dyn FnMut() -> bool) {
    let group = Pid::from_raw(leader);
    let mut others = Tree::default();
    others.grow(leader);
    let _ = killpg(group, Signal::SIGTERM);
    others.signal(Signal::SIGTERM);
    let until = Instant::now() + GRACE;
    loop {
        let ended = leader_ended();
        others.grow(leader);
        // No process of the group is left, and none of the others.
        let empty = ended && killpg(group, None).is_err() && others.is_empty();
        if empty {
            return;
        }
        if Instant::now() >= until {
            break;
        }
        std::thread::sleep(TICK);
    }
    let _ = killpg(group, Signal::SIGKILL);
    others.signal(Signal::SIGKILL);
}

/// Processes below another, each known by id and start time: ids are reused.
#[derive(Default)]
struct Tree(Vec<(i32, u64)>);

impl Tree {
    /// Adds what `root` and those known have started by now.
    fn grow(&mut self, root: i32) {
        let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let id = entry.file_name().to_str()?.parse().ok()?;
                let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                let parent = text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
                Some((id, parent))
            })
            .collect();
        let mut from: Vec<i32> = std::iter::once(root).chain(self.alive()).collect();
        while let Some(parent) = from.pop() {
            for (id, _) in parents.iter().filter(|(_, of)| *of == parent) {
                let Ok(start) = start_time(*id) else { continue };
                if !self.0.contains(&(*id, start)) {
                    self.0.push((*id, start));
                    from.push(*id);
                }
            }
        }
    }

    fn alive(&self) -> impl Iterator<Item = i32> {
        self.0.iter().filter(|(id, start)| start_time(*id).is_ok_and(|now| now == *start)).map(|(id, _)| *id)
    }

    fn is_empty(&self) -> bool {
        self.alive().next().is_none()
    }

    fn signal(&self, signal: Signal) {
        for id in self.alive() {
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}

/// Sends what comes out of a pipe, until its end.
fn follow<R: Read + Send + 'static>(stream: Stream, pipe: Option<R>, sender: &Sender<(Stream, Vec<u8>)>) {
    let Some(mut pipe) = pipe else { return };
    let sender = sender.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send((stream, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
}

/// What came out so far, and how much of it was shown as lines.
struct Output {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    shown: [usize; 2],
}

impl Output {
    fn add(&mut self, stream: Stream, bytes: &[u8], watch: &mut dyn super::Watch) {
        let (all, shown) = self.of(stream);
        all.extend_from_slice(bytes);
        while let Some(length) = all[*shown..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&all[*shown..*shown + length]);
            watch.line(stream, line.strip_suffix('\r').unwrap_or(&line));
            *shown += length + 1;
        }
    }

    /// What is still in the pipes.
    fn drain(&mut self, receiver: &Receiver<(Stream, Vec<u8>)>, watch: &mut dyn super::Watch) {
        while let Ok((stream, bytes)) = receiver.recv_timeout(QUIET) {
            self.add(stream, &bytes, watch);
        }
    }

    /// Last lines without an end.
    fn finish(&mut self, watch: &mut dyn super::Watch) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let (all, shown) = self.of(stream);
            if all.len() > *shown {
                watch.line(stream, &String::from_utf8_lossy(&all[*shown..]));
                *shown = all.len();
            }
        }
    }

    fn of(&mut self, stream: Stream) -> (&mut Vec<u8>, &mut usize) {
        let [stdout, stderr] = &mut self.shown;
        match stream {
            Stream::Stdout => (&mut self.stdout, stdout),
            Stream::Stderr => (&mut self.stderr, stderr),
        }
    }

    fn text(&mut self, stream: Stream) -> String {
        String::from_utf8_lossy(self.of(stream).0).into_owned()
    }
}

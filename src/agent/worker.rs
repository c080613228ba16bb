//! A worker: this binary run as another user, planning and applying over a pipe.

use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::{self, Become, CHUNK, Event, Perform, PerformReply};
use super::machine::Machine;
use super::mask::Masker;
use super::port::{Ended, Port};
use crate::program::{Bytes, Position, Value};
use crate::system::{Cancel, Child as Program, Command as Started, ContentSource, Error, Result, Stream, Watch};

/// What sudo is told to ask with, so that its question is told from anything else on stderr.
const PROMPT: &str = "provision-become-password:";

/// How long a login as another user may take.
const START_LIMIT: Duration = Duration::from_secs(30);

/// To the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    Perform(Perform),
    Content(Bytes),
    NoContent(String),
    /// The program that was told of is in the journal: it may begin.
    Noted,
    /// End the work in hand now.
    Cancel,
    /// End waits: the link to the controller is lost.
    EndWaits,
}

/// From the worker.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    Ready,
    Reply(PerformReply),
    NeedContent(Arc<str>),
    /// A program that waits to begin; of it only the label and the repair.
    Child {
        child: Program,
        command: Box<Started>,
    },
    Output {
        line: String,
        is_error: bool,
    },
}

/// The agent's end.
pub struct Worker {
    child: Child,
    stdin: Option<Pipe>,
    stdout: BufReader<ChildStdout>,
    user: Arc<str>,
}

/// The worker's stdin, shared with who watches for a cancel.
type Pipe = Arc<Mutex<BufWriter<ChildStdin>>>;

fn send_to<T: Serialize>(pipe: Option<&Pipe>, frame: &T) -> std::result::Result<(), frame::WireError> {
    let mut stdin = pipe.ok_or(frame::WireError::Closed)?.lock().map_err(|_| frame::WireError::Closed)?;
    frame::write(&mut *stdin, frame)
}

impl Worker {
    /// Becomes the user by sudo or su, and waits until the worker answers. The password goes to stdin only when it is asked for.
    pub fn start(user: &Become, password: Option<&Value>, cancel: Cancel, has_lock: bool) -> std::result::Result<Self, String> {
        let kind = if has_lock { "locked" } else { "free" };
        let agent = std::env::current_exe().map_err(|error| format!("find the agent's own file: {error}"))?;
        let agent = agent.to_string_lossy().into_owned();
        let mut argv: Vec<String> = Vec::new();
        match &*user.method {
            "sudo" => {
                argv.push(user.exe.as_deref().unwrap_or("sudo").to_owned());
                match user.flags.as_deref() {
                    Some(flags) => argv.extend(flags.split_whitespace().filter(|flag| *flag != "-n").map(str::to_owned)),
                    None => argv.push("-H".to_owned()),
                }
                if password.is_some() {
                    argv.extend(["-S".to_owned(), "-p".to_owned(), PROMPT.to_owned()]);
                } else {
                    argv.push("-n".to_owned());
                }
                argv.extend([
                    "-u".to_owned(),
                    user.user.to_string(),
                    "--".to_owned(),
                    agent,
                    "agent".to_owned(),
                    "worker".to_owned(),
                    kind.to_owned(),
                ]);
            }
            "su" => {
                argv.push(user.exe.as_deref().unwrap_or("su").to_owned());
                argv.extend(user.flags.as_deref().unwrap_or_default().split_whitespace().map(str::to_owned));
                argv.extend([
                    "-s".to_owned(),
                    "/bin/sh".to_owned(),
                    user.user.to_string(),
                    "-c".to_owned(),
                    format!("exec '{agent}' agent worker {kind}"),
                ]);
            }
            other => return Err(format!("become_method {other} is not supported: sudo and su are")),
        }
        let program = argv[0].clone();
        let mut child = Command::new(&program)
            .args(&argv[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("become {}: {program}: {error}", user.user))?;
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take()) else {
            return Err("the worker has no pipes".to_owned());
        };
        let stdin: Pipe = Arc::new(Mutex::new(BufWriter::new(stdin)));
        let watched = Arc::downgrade(&stdin);
        std::thread::spawn(move || {
            // A worker of another user cannot be signalled: it is told through its pipe.
            let mut told = false;
            while let Some(pipe) = watched.upgrade() {
                if cancel.waits_are_over() && !told {
                    told = true;
                    let _ = send_to(Some(&pipe), &ToWorker::EndWaits);
                }
                if cancel.is_set() {
                    let _ = send_to(Some(&pipe), &ToWorker::Cancel);
                    return;
                }
                drop(pipe);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut worker = Self { child, stdin: Some(stdin), stdout: BufReader::new(stdout), user: Arc::clone(&user.user) };
        worker.greet(stderr, password).map_err(|message| {
            let hint = if message.contains("password is required") || message.contains("a password") {
                " (hint: give it with -K, or allow this user to use sudo without one)"
            } else {
                ""
            };
            format!("become {} by {}: {message}{hint}", user.user, user.method)
        })?;
        Ok(worker)
    }

    fn greet(&mut self, stderr: std::process::ChildStderr, password: Option<&Value>) -> std::result::Result<(), String> {
        // stderr is watched beside: for the question, and for the reason if it ends.
        let (tell, told) = mpsc::channel::<String>();
        std::thread::spawn(move || {
            let mut stderr = stderr;
            let mut buffer = [0; 4096];
            while let Ok(count) = stderr.read(&mut buffer) {
                if count == 0 || tell.send(String::from_utf8_lossy(&buffer[..count]).into_owned()).is_err() {
                    break;
                }
            }
        });
        let (ready, is_ready) = mpsc::channel();
        // The first frame is waited for beside the question: whichever comes first.
        std::thread::scope(|scope| {
            let stdout = &mut self.stdout;
            scope.spawn(move || {
                let first = frame::read::<FromWorker>(stdout);
                let _ = ready.send(matches!(first, Ok(FromWorker::Ready)));
            });
            let mut said = String::new();
            let mut asked = false;
            let until = std::time::Instant::now() + START_LIMIT;
            let outcome = loop {
                if let Ok(ready) = is_ready.recv_timeout(Duration::from_millis(5)) {
                    if ready {
                        break Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(20));
                    said.extend(told.try_iter());
                    let said = said.replace(PROMPT, "");
                    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it ended without a word").to_owned();
                    break Err(if asked { format!("the password was refused, or {last}") } else { last });
                }
                said.extend(told.try_iter());
                if let Some(at) = said.find(PROMPT) {
                    if asked {
                        break Err("the become password was refused".to_owned());
                    }
                    said.replace_range(..at + PROMPT.len(), "");
                    asked = true;
                    let line = format!("{}\n", password.and_then(Value::as_str).unwrap_or_default());
                    let written = self
                        .stdin
                        .as_ref()
                        .and_then(|pipe| pipe.lock().ok())
                        .map(|mut stdin| stdin.write_all(line.as_bytes()).and_then(|()| stdin.flush()));
                    if !matches!(written, Some(Ok(()))) {
                        break Err("its standard input is closed".to_owned());
                    }
                }
                if std::time::Instant::now() > until {
                    break Err(format!("no answer within {} s: {}", START_LIMIT.as_secs(), said.trim()));
                }
            };
            if outcome.is_err() {
                // Ends the reader above.
                let _ = self.child.kill();
            }
            outcome
        })
    }

    /// Sends a request and serves the worker until it replies.
    pub fn perform(
        &mut self,
        request: Perform,
        port: &Arc<dyn Port>,
        masker: &Masker,
        watch: &dyn Fn(&Program, &Started),
    ) -> std::result::Result<PerformReply, Ended> {
        let broken = |user: &str, error: &dyn std::fmt::Display| Ended::Refused(format!("the worker of {user} ended: {error}"));
        let user = Arc::clone(&self.user);
        send_to(self.stdin.as_ref(), &ToWorker::Perform(request)).map_err(|error| broken(&user, &error))?;
        loop {
            match frame::read::<FromWorker>(&mut self.stdout).map_err(|error| broken(&user, &error))? {
                FromWorker::Ready => {}
                FromWorker::Reply(reply) => return Ok(reply),
                FromWorker::NeedContent(sha256) => {
                    let mut sink = Chunks { pipe: self.stdin.as_ref(), buffer: Vec::new() };
                    let fetched = port.content(&sha256, &mut sink);
                    let sent = match fetched {
                        Ok(()) => sink.finish(),
                        Err(error) => send_to(self.stdin.as_ref(), &ToWorker::NoContent(error.to_string())),
                    };
                    sent.map_err(|error| broken(&user, &error))?;
                }
                FromWorker::Child { child, command } => {
                    watch(&child, &command);
                    send_to(self.stdin.as_ref(), &ToWorker::Noted).map_err(|error| broken(&user, &error))?;
                }
                FromWorker::Output { line, is_error } => {
                    if let Some(line) = masker.line(&line) {
                        port.event(Event::Output { position: Position::default(), line: line.into(), error: is_error });
                    }
                }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // End of its stdin ends it.
        drop(self.stdin.take());
        let until = std::time::Instant::now() + Duration::from_secs(2);
        while std::time::Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Content on its way to the worker.
struct Chunks<'pipe> {
    pipe: Option<&'pipe Pipe>,
    buffer: Vec<u8>,
}

impl Chunks<'_> {
    fn send(&mut self) -> std::result::Result<(), frame::WireError> {
        let chunk = std::mem::take(&mut self.buffer);
        send_to(self.pipe, &ToWorker::Content(Bytes(chunk.into())))
    }

    fn finish(mut self) -> std::result::Result<(), frame::WireError> {
        if !self.buffer.is_empty() {
            self.send()?;
        }
        self.send()
    }
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.send().map_err(|error| std::io::Error::other(error.to_string()))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The worker's end: frames on stdin and stdout until stdin ends.
pub fn run(has_lock: bool) -> std::result::Result<(), frame::WireError> {
    let user = has_lock.then(|| {
        nix::unistd::User::from_uid(nix::unistd::geteuid())
            .ok()
            .flatten()
            .map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name)
    });
    let _mark = user.and_then(|user| super::lock::mark_worker(&user));
    let output = Arc::new(Mutex::new(std::io::stdout()));
    let cancel = Cancel::default();
    let (pass, requests) = mpsc::channel::<ToWorker>();
    let cancelled = cancel.clone();
    std::thread::spawn(move || {
        let mut input = BufReader::new(std::io::stdin());
        // The end of the stream ends the channel; the work in hand is finished first.
        while let Ok(frame) = frame::read::<ToWorker>(&mut input) {
            match frame {
                ToWorker::Cancel => cancelled.set(),
                ToWorker::EndWaits => cancelled.end_waits(),
                frame => {
                    if pass.send(frame).is_err() {
                        return;
                    }
                }
            }
        }
        cancelled.end_waits();
    });
    let requests = Arc::new(Mutex::new(requests));
    let send = move |frame: &FromWorker| -> std::result::Result<(), frame::WireError> {
        let mut output = output.lock().map_err(|_| frame::WireError::Closed)?;
        frame::write(&mut *output, frame)
    };
    send(&FromWorker::Ready)?;
    let content = PipeContent { requests: Arc::clone(&requests), send: Box::new(send.clone()) };
    let watcher = PipeWatcher { requests: Arc::clone(&requests), send: Box::new(send.clone()) };
    let mut machine = Machine::new(cancel, Box::new(content), Box::new(watcher));
    loop {
        let request = requests.lock().map_err(|_| frame::WireError::Closed)?.recv();
        match request {
            Ok(ToWorker::Perform(request)) => send(&FromWorker::Reply(machine.perform(request)))?,
            Ok(_) => {}
            Err(_) => return Ok(()),
        }
    }
}

type Tell = Box<dyn Fn(&FromWorker) -> std::result::Result<(), frame::WireError> + Send>;

struct PipeContent {
    requests: Arc<Mutex<mpsc::Receiver<ToWorker>>>,
    send: Tell,
}

impl ContentSource for PipeContent {
    fn fetch(&mut self, sha256: &str, sink: &mut dyn Write) -> Result<()> {
        let broken = |error: &dyn std::fmt::Display| Error::failed(format!("fetch content {sha256}: {error}"));
        (self.send)(&FromWorker::NeedContent(sha256.into())).map_err(|error| broken(&error))?;
        let requests = self.requests.lock().map_err(|_| broken(&"the pipe is gone"))?;
        loop {
            match requests.recv().map_err(|_| broken(&"the agent is gone"))? {
                ToWorker::Content(chunk) if chunk.0.is_empty() => return Ok(()),
                ToWorker::Content(chunk) => sink.write_all(&chunk.0).map_err(|error| broken(&error))?,
                ToWorker::NoContent(message) => return Err(broken(&message)),
                ToWorker::Perform(_) | ToWorker::Noted | ToWorker::Cancel | ToWorker::EndWaits => {
                    return Err(broken(&"a request came in between"));
                }
            }
        }
    }
}

struct PipeWatcher {
    requests: Arc<Mutex<mpsc::Receiver<ToWorker>>>,
    send: Tell,
}

impl Watch for PipeWatcher {
    fn starting(&mut self, command: &Started, child: &Program) -> Result<()> {
        let told_of = Started { repair: command.repair.clone(), ..Started::new(command.label.clone(), Vec::<String>::new()) };
        let told = (self.send)(&FromWorker::Child { child: child.clone(), command: Box::new(told_of) });
        told.map_err(|error| Error::failed(format!("tell the agent of a command: {error}")))?;
        // The journal has it first: whoever comes after a crash finds it.
        let requests = self.requests.lock().map_err(|_| Error::failed("the pipe to the agent is gone"))?;
        match requests.recv() {
            Ok(ToWorker::Noted) => Ok(()),
            _ => Err(Error::failed(format!("{}: the agent is gone", command.label))),
        }
    }

    fn line(&mut self, stream: Stream, line: &str) {
        let _ = (self.send)(&FromWorker::Output { line: line.to_owned(), is_error: stream == Stream::Stderr });
    }
}

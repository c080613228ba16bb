//! A command on a host: its streams, its end; and the byte stream to an agent.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelWriteHalf, Sig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::Connection;
use super::error::{Error, ErrorKind, Result};

/// What to run.
#[derive(Clone, Debug)]
pub struct Command {
    /// As the login shell gets it.
    pub line: String,
    pub stdin: Vec<u8>,
}

impl Command {
    /// A program and its arguments, each passed on as it is by any shell.
    pub fn new<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        let words: Vec<String> = words.into_iter().map(|word| quote(word.as_ref())).collect();
        Self { line: words.join(" "), stdin: Vec::new() }
    }

    /// A line for the user's login shell.
    pub fn line(line: impl Into<String>) -> Self {
        Self { line: line.into(), stdin: Vec::new() }
    }

    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }
}

impl From<&str> for Command {
    fn from(line: &str) -> Self {
        Self::line(line)
    }
}

/// One word that sh, bash, dash, zsh, fish, csh and tcsh read as `text`. Outside of plain characters it stands in single
/// quotes; what those cannot hold everywhere (`'`, `\` in fish, `!` in csh) stands behind a backslash between them.
pub fn quote(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:,@%+=".contains(letter);
    // `=` first is zsh's path of a command.
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('=') {
        return text.to_owned();
    }
    let mut result = String::from("'");
    for letter in text.chars() {
        match letter {
            '\'' | '\\' | '!' => result.extend(['\'', '\\', letter, '\'']),
            letter => result.push(letter),
        }
    }
    result.push('\'');
    result
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    Exited(u32),
    /// Name without `SIG`.
    Signalled(String),
    /// The connection or the channel ended without a word on the command; why, if known.
    Lost(Option<String>),
}

impl Status {
    pub fn success(&self) -> bool {
        *self == Self::Exited(0)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exited with {code}"),
            Self::Signalled(name) => write!(f, "ended by SIG{name}"),
            Self::Lost(Some(cause)) => write!(f, "lost: {cause}"),
            Self::Lost(None) => write!(f, "lost"),
        }
    }
}

/// A finished command.
#[derive(Clone, Debug)]
pub struct Output {
    pub status: Status,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A running command. Dropping all of its parts closes the session: sshd hangs up on the command.
pub struct Process {
    pub stdin: Writer,
    pub stdout: Reader,
    /// Must be read, or dropped, for the command to go on.
    pub stderr: Reader,
    pub control: Control,
    pub ending: Ending,
}

/// Tells how a command ended, once it has.
pub struct Ending {
    receiver: oneshot::Receiver<Status>,
    end: Option<Status>,
    _guard: Guard,
}

impl Ending {
    pub async fn wait(&mut self) -> Status {
        if self.end.is_none() {
            self.end = Some((&mut self.receiver).await.unwrap_or(Status::Lost(None)));
        }
        self.end.clone().expect("set above")
    }
}

/// Signals and the window of a running command.
#[derive(Clone)]
pub struct Control {
    kind: ControlKind,
}

#[derive(Clone)]
enum ControlKind {
    Channel(Arc<ChannelWriteHalf<Msg>>),
    Child(Option<nix::unistd::Pid>),
}

impl Control {
    /// Sends a signal, `TERM` or `INT` for example; servers before OpenSSH 7.9 ignore it.
    pub async fn signal(&self, name: &str) -> Result<()> {
        match &self.kind {
            ControlKind::Channel(channel) => {
                let signal = match name {
                    "HUP" => Sig::HUP,
                    "INT" => Sig::INT,
                    "KILL" => Sig::KILL,
                    "QUIT" => Sig::QUIT,
                    "TERM" => Sig::TERM,
                    "USR1" => Sig::USR1,
                    other => Sig::Custom(other.to_owned()),
                };
                Ok(channel.signal(signal).await?)
            }
            ControlKind::Child(process) => {
                let signal = format!("SIG{name}").parse::<nix::sys::signal::Signal>();
                if let (Some(process), Ok(signal)) = (process, signal) {
                    let _ = nix::sys::signal::kill(*process, signal);
                }
                Ok(())
            }
        }
    }

    /// Tells the command's terminal that the window is now of so many columns and rows.
    pub async fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        match &self.kind {
            ControlKind::Channel(channel) => Ok(channel.window_change(u32::from(columns), u32::from(rows), 0, 0).await?),
            ControlKind::Child(_) => Ok(()),
        }
    }
}

/// While one of these lives the session stays open.
type Guard = Arc<oneshot::Sender<()>>;

/// A terminal for a command.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// `TERM`.
    pub kind: String,
    pub columns: u16,
    pub rows: u16,
    /// RFC 4254 §8.
    pub modes: Vec<(russh::Pty, u32)>,
    /// Asked for; sshd takes what its `AcceptEnv` names.
    pub environment: Vec<(String, String)>,
}

impl Connection {
    /// Starts a command line in the login shell; an empty one with a terminal is the login shell itself.
    pub async fn start(&self, line: Option<&str>, terminal: Option<&Terminal>) -> Result<Process> {
        let channel = self.session().await?;
        let begin = async {
            if let Some(Terminal { kind, columns, rows, modes, environment }) = terminal {
                channel.request_pty(false, kind, u32::from(*columns), u32::from(*rows), 0, 0, modes).await?;
                for (name, value) in environment {
                    channel.set_env(false, name, value).await?;
                }
            }
            match line {
                // Nobody waits for the answer: a refusal ends the channel, and a turn on the wire is saved.
                Some(line) => channel.exec(true, line).await,
                None => channel.request_shell(true).await,
            }
        };
        begin.await.map_err(|error| self.end().unwrap_or_else(|| Error::from(error)))?;
        Ok(process(channel, self.clone()))
    }

    /// Runs a command to its end, at most four at once on a connection. A command that fails is not an error here.
    pub async fn run(&self, command: Command) -> Result<Output> {
        let _turn = self.commands().acquire().await.expect("the semaphore is never closed");
        self.start(Some(&command.line), None).await?.finish(&command.stdin).await
    }
}

fn process(channel: Channel<Msg>, connection: Connection) -> Process {
    let (mut read, write) = channel.split();
    let (alive, mut death) = watch::channel(());
    // Nothing is ever sent: the sender's end is the message.
    let ended = async move { while death.changed().await.is_ok() {} };
    let stdin = ChannelWriter { writer: Box::pin(write.make_writer()), ended: Box::pin(ended) };
    let write = Arc::new(write);
    let (out, stdout) = mpsc::channel::<Bytes>(16);
    let (err, stderr) = mpsc::channel::<Bytes>(16);
    let (ended, receiver) = oneshot::channel();
    let (guard, mut dropped) = oneshot::channel::<()>();
    let guard = Arc::new(guard);
    let closing = Arc::clone(&write);
    tokio::spawn(async move {
        let mut status = None;
        let (mut out, mut err) = (Some(out), Some(err));
        loop {
            let message = tokio::select! {
                message = read.wait() => message,
                _ = &mut dropped => {
                    let _ = closing.close().await;
                    break;
                }
            };
            match message {
                // Nobody reads a stream any more: what comes is thrown away, so that the other goes on.
                Some(ChannelMsg::Data { data }) => send(&mut out, data).await,
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => send(&mut err, data).await,
                Some(ChannelMsg::Eof) => (out, err) = (None, None),
                Some(ChannelMsg::ExitStatus { exit_status }) => status = Some(Status::Exited(exit_status)),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => status = Some(Status::Signalled(signal(&signal_name))),
                Some(ChannelMsg::Failure) => status = Some(Status::Lost(Some("the server refused to start it".to_owned()))),
                Some(ChannelMsg::Close) | None => break,
                Some(_) => {}
            }
            if matches!(status, Some(Status::Lost(_))) {
                let _ = closing.close().await;
                break;
            }
        }
        let status = status.unwrap_or_else(|| Status::Lost(connection.end().map(|error| error.message)));
        // First the status, then the end of the streams: who reads to the end finds it there.
        let _ = ended.send(status);
        drop((out, err, alive));
    });
    Process {
        stdin: Box::new(stdin),
        stdout: Box::new(ChannelReader::new(stdout, &guard)),
        stderr: Box::new(ChannelReader::new(stderr, &guard)),
        control: Control { kind: ControlKind::Channel(write) },
        ending: Ending { receiver, end: None, _guard: guard },
    }
}

async fn send(stream: &mut Option<mpsc::Sender<Bytes>>, data: Bytes) {
    if let Some(sender) = stream
        && sender.send(data).await.is_err()
    {
        *stream = None;
    }
}

fn signal(name: &Sig) -> String {
    match name {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    }
}

/// What the session's task passes on.
struct ChannelReader {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
    _guard: Guard,
}

impl ChannelReader {
    fn new(receiver: mpsc::Receiver<Bytes>, guard: &Guard) -> Self {
        Self { receiver, current: Bytes::new(), _guard: Arc::clone(guard) }
    }
}

impl AsyncRead for ChannelReader {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.current.is_empty() {
            match std::task::ready!(self.receiver.poll_recv(context)) {
                Some(bytes) => self.current = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.current.len().min(buffer.remaining());
        buffer.put_slice(&self.current[..count]);
        self.current.advance(count);
        Poll::Ready(Ok(()))
    }
}

/// russh's writer waits for the channel's window for ever if the connection ends meanwhile; this one does not.
struct ChannelWriter {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl ChannelWriter {
    fn or_ended<T>(&mut self, context: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if result.is_pending() && self.ended.as_mut().poll(context).is_ready() {
            // A finished future is not polled again.
            self.ended = Box::pin(std::future::ready(()));
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        result
    }
}

impl AsyncWrite for ChannelWriter {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.writer.as_mut().poll_write(context, bytes);
        self.or_ended(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.writer.as_mut().poll_flush(context);
        self.or_ended(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.writer.as_mut().poll_shutdown(context);
        self.or_ended(context, result)
    }
}

impl Process {
    /// A child of ours as a process, its three streams piped. When its `ending` is dropped it is killed if `kill` says
    /// so; else the end of its standard input is all it gets.
    pub(super) fn of_child(mut command: tokio::process::Command, kill: bool) -> Result<Self> {
        use std::process::Stdio;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = command
            .spawn()
            .map_err(|error| Error::new(ErrorKind::Configuration, format!("run `{name}`: {}", super::error::plain(&error))))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let control = Control { kind: ControlKind::Child(child.id().map(|id| nix::unistd::Pid::from_raw(id.cast_signed()))) };
        let (ended, receiver) = oneshot::channel();
        let (guard, dropped) = oneshot::channel::<()>();
        tokio::spawn(async move {
            let status = tokio::select! {
                status = child.wait() => status,
                _ = dropped => {
                    if kill {
                        let _ = child.start_kill();
                    }
                    child.wait().await
                }
            };
            use std::os::unix::process::ExitStatusExt;
            let status = match status {
                Ok(status) => match (status.code(), status.signal()) {
                    (Some(code), _) => Status::Exited(code.cast_unsigned()),
                    (None, Some(number)) => Status::Signalled(
                        nix::sys::signal::Signal::try_from(number)
                            .map_or_else(|_| number.to_string(), |signal| signal.as_str().trim_start_matches("SIG").to_owned()),
                    ),
                    (None, None) => Status::Lost(None),
                },
                Err(error) => Status::Lost(Some(super::error::plain(&error))),
            };
            let _ = ended.send(status);
        });
        Ok(Self {
            stdin: Box::new(ClosedByShutdown(stdin)),
            stdout: Box::new(stdout.expect("piped")),
            stderr: Box::new(stderr.expect("piped")),
            control,
            ending: Ending { receiver, end: None, _guard: Arc::new(guard) },
        })
    }

    /// Feeds it, reads it to the end, waits for it.
    pub async fn finish(self, input: &[u8]) -> Result<Output> {
        let Self { mut stdin, mut stdout, mut stderr, mut ending, control: _control } = self;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let feed = async {
            // A command that does not read its input is no failure of ours.
            let _ = stdin.write_all(input).await;
            let _ = stdin.shutdown().await;
            drop(stdin);
        };
        let ((), read, read_err) = tokio::join!(feed, stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        read.and(read_err).map_err(|error| Error::io(&error))?;
        match ending.wait().await {
            Status::Lost(cause) => Err(Error::new(ErrorKind::Lost, cause.unwrap_or_else(|| "the connection is closed".to_owned()))),
            status => Ok(Output { status, stdout: out, stderr: err }),
        }
    }
}

/// A pipe's `shutdown` does nothing in tokio; here it ends the child's input, as it does over SSH.
struct ClosedByShutdown(Option<tokio::process::ChildStdin>);

impl AsyncWrite for ClosedByShutdown {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(pipe) => Pin::new(pipe).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().map_or(Poll::Ready(Ok(())), |pipe| Pin::new(pipe).poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = std::task::ready!(self.as_mut().poll_flush(context));
        self.0 = None;
        Poll::Ready(flushed)
    }
}

/// The bytes to and from an agent. `AsyncRead` gives what it writes to its standard output, `AsyncWrite` feeds its
/// standard input; `shutdown` closes that. What it says on standard error is kept for the error sentence.
pub struct Transport {
    reader: Reader,
    writer: Writer,
    ending: TransportEnding,
}

/// How an agent ended, and its last words.
pub struct TransportEnding {
    pub ending: Ending,
    pub control: Control,
    words: Arc<Mutex<Vec<u8>>>,
}

/// Bytes of standard error that are kept: the last.
const LAST_WORDS: usize = 8 * 1024;

impl TransportEnding {
    pub async fn wait(&mut self) -> Status {
        self.ending.wait().await
    }

    /// The end of its standard error so far.
    pub fn last_words(&self) -> String {
        String::from_utf8_lossy(&self.words.lock().unwrap_or_else(PoisonError::into_inner)).trim().to_owned()
    }
}

impl Transport {
    pub fn new(process: Process) -> Self {
        let Process { stdin, stdout, mut stderr, control, ending } = process;
        let words = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&words);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let excess = kept.len().saturating_sub(LAST_WORDS);
                kept.drain(..excess);
            }
        });
        Self { reader: stdout, writer: stdin, ending: TransportEnding { ending, control, words } }
    }

    /// [`Transport::split`] undone.
    pub fn join(reader: Reader, writer: Writer, ending: TransportEnding) -> Self {
        Self { reader, writer, ending }
    }

    /// The two directions, and the end: all three must be dropped for the session to close.
    pub fn split(self) -> (Reader, Writer, TransportEnding) {
        (self.reader, self.writer, self.ending)
    }

    pub fn ending(&mut self) -> &mut TransportEnding {
        &mut self.ending
    }
}

impl AsyncRead for Transport {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words_pass_through_the_shells_that_are_here() {
        let words = ["", "plain", "two words", "it's", "$HOME `id` \\ \"q\"", "a!b", "new\nline", "~", "*", "=ls", "-n", "{a,b}", "\\\\"];
        for shell in ["/bin/sh", "/bin/bash", "/bin/dash", "/bin/zsh", "/usr/bin/fish"] {
            if !std::path::Path::new(shell).exists() {
                continue;
            }
            let line = Command::new(["printf", "[%s]"].into_iter().chain(words)).line;
            let output = std::process::Command::new(shell).args(["-c", &line]).output().expect("a shell runs");
            let expected = words.map(|word| format!("[{word}]")).concat();
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{shell}: {line}");
        }
    }
}

//! Starting the agent on a host: one session, and no turn on the wire beyond it when the agent is there already.
//!
//! A small script runs as `exec /bin/sh -c '…'`, whatever the login shell is. It looks for a file named by the agent's
//! SHA-256 in `/var/tmp/.provision-UID` (mode 0711: workers of other users run the agent from there, none can write),
//! or in `~/.cache/provision` where the first is noexec, full or someone else's; checks its digest, says so in a line with
//! a marker, and becomes the agent. If it is missing, the controller sends it through the same session. What a login
//! shell's start-up files print comes before the marker and is thrown away.
//!
//! Nothing secret is in arguments or environment: those are readable by every user of the host.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::agent::AgentBinaries;
use super::error::{Error, ErrorKind, Result};
use super::link::Link;
use super::process::{Reader, Status, Transport, TransportEnding, Writer};

/// What the agent is started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct AgentStart<'a> {
    /// Arguments, readable by every user of the host.
    pub arguments: &'a [&'a str],
    /// The first bytes of its standard input: sent at once, without waiting to hear that the agent is there.
    pub first: &'a [u8],
}

/// An agent that runs, with `first` sent and nothing of what it says read yet.
pub struct Started {
    pub transport: Transport,
    /// `uname -m`.
    pub machine: String,
    /// Of the user who logged in.
    pub uid: u32,
    /// Where the agent's file is.
    pub folder: String,
    /// Bytes sent because the agent was missing; 0 when it was there.
    pub uploaded: u64,
    /// A file with the agent's name was there, but not its contents: it was replaced.
    pub was_damaged: bool,
}

/// Login shells with slow start-up files (0.7 s were measured) on a host under load.
const ANSWER: Duration = Duration::from_mins(1);
/// For the binary of some megabytes to arrive over a slow link; a dead one is found by the connection itself.
const UPLOAD: Duration = Duration::from_mins(10);
/// Noise before the marker that is not worth reading on.
const MOST_NOISE: usize = 1 << 20;

/// Starts the agent, sending its binary first if the host lacks it.
pub async fn bootstrap(link: &Link, agents: &AgentBinaries, start: &AgentStart<'_>) -> Result<Started> {
    let marker = format!("provision-{:016x}", rand_marker());
    let process = link.start(&command(&marker, agents, start)).await?;
    let (reader, mut writer, ending) = Transport::new(process).split();
    let mut answers = Answers { reader, ending, marker, pending: Vec::new(), link };

    let send = async { writer.write_all(start.first).await.and(writer.flush().await) };
    let (sent, answer) = tokio::join!(send, timeout(ANSWER, answers.next()));
    let answer = answer.map_err(|_| silent("start the agent", ANSWER))??;
    let (answer, uploaded, was_damaged) = match answer {
        Answer::Missing { machine, form, was_damaged } => {
            let bytes = contents(agents, machine, form).await?;
            let upload = upload(&mut writer, &bytes);
            let (_, answer) = tokio::join!(upload, timeout(UPLOAD, answers.next()));
            let answer = answer.map_err(|_| silent("send the agent", UPLOAD))??;
            if matches!(answer, Answer::Started { .. }) {
                // An agent that ended meanwhile is found by who reads it.
                let _ = writer.write_all(start.first).await.and(writer.flush().await);
            }
            (answer, bytes.len() as u64, was_damaged)
        }
        answer => {
            drop(sent);
            (answer, 0, false)
        }
    };
    match answer {
        Answer::Started { machine, uid, folder } => {
            let Answers { reader, ending, pending, .. } = answers;
            let reader: Reader = Box::new(std::io::Cursor::new(pending).chain(reader));
            Ok(Started { transport: Transport::join(reader, writer, ending), machine, uid, folder, uploaded, was_damaged })
        }
        Answer::Unsupported { machine } => {
            Err(agents.for_machine(&machine).err().unwrap_or_else(|| Error::new(ErrorKind::Agent, "the host knows no agent for itself")))
        }
        Answer::Unusable { why } => {
            Err(Error::new(ErrorKind::Agent, format!("the host has no folder for the agent: {}", why.trim().trim_end_matches(';')))
                .hint("make room in /var/tmp, or a home folder that programs may run from"))
        }
        Answer::Damaged { count } => {
            Err(Error::new(ErrorKind::Agent, format!("the agent arrived damaged ({count} bytes): its SHA-256 is another")))
        }
        Answer::Missing { .. } => Err(Error::new(ErrorKind::Agent, "the host asks for the agent twice")),
    }
}

/// The script and its arguments as words.
fn command(marker: &str, agents: &AgentBinaries, start: &AgentStart) -> Vec<String> {
    let mut words: Vec<String> = ["/bin/sh", "-c", &script(), "provision", marker].map(String::from).into();
    words.push(start.first.len().to_string());
    words.extend(agents.iter().map(|agent| format!("{}={}={}", agent.architecture, agent.digest, agent.size)));
    words.push("--".to_owned());
    words.extend(start.arguments.iter().map(|word| (*word).to_owned()));
    words
}

/// The script on one line: csh takes no line break inside of quotes.
fn script() -> String {
    let lines = include_str!("bootstrap.sh").lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).fold(String::new(), |mut script, line| {
        let _ = write!(script, "{}{line}", if script.is_empty() { "" } else { " " });
        script
    })
}

/// Not a secret: it only must not occur in what a shell prints at its start.
fn rand_marker() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// What is sent to a machine, from a thread where others need not wait for it to be made.
async fn contents(agents: &AgentBinaries, machine: String, form: Form) -> Result<Bytes> {
    let agents = agents.clone();
    let made = tokio::task::spawn_blocking(move || {
        let binary = agents.for_machine(&machine)?;
        Ok(match form {
            Form::Gzip => binary.gzip(),
            Form::Plain => binary.unpacked(),
        })
    });
    made.await.expect("memory takes what our own build packed")
}

async fn upload(writer: &mut Writer, bytes: &[u8]) -> std::io::Result<()> {
    writer.write_all(format!("{}\n", bytes.len()).as_bytes()).await?;
    writer.write_all(bytes).await?;
    writer.flush().await
}

fn silent(doing: &str, time: Duration) -> Error {
    Error::new(ErrorKind::Agent, format!("{doing}: the host's shell says nothing for {} s", time.as_secs()))
        .hint("does a start-up file of the login shell wait for input?")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Gzip,
    Plain,
}

/// A line of the script.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Started { machine: String, uid: u32, folder: String },
    Missing { machine: String, form: Form, was_damaged: bool },
    Unsupported { machine: String },
    Unusable { why: String },
    Damaged { count: String },
}

impl Answer {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut fields = rest.split(' ').map(str::to_owned);
        Some(match word {
            "started" => {
                let (machine, uid) = (fields.next()?, fields.next()?.parse().ok()?);
                // A home folder may have spaces in its name.
                Self::Started { machine, uid, folder: rest.splitn(3, ' ').nth(2)?.to_owned() }
            }
            "missing" => {
                let machine = fields.next()?;
                let form = if fields.next()? == "gzip" { Form::Gzip } else { Form::Plain };
                Self::Missing { machine, form, was_damaged: fields.next().is_some_and(|word| word == "damaged") }
            }
            "unsupported" => Self::Unsupported { machine: fields.next()? },
            "unusable" => Self::Unusable { why: rest.to_owned() },
            "damaged" => Self::Damaged { count: rest.trim().to_owned() },
            _ => return None,
        })
    }
}

/// What the script says, line by line, out of what else comes on its standard output.
struct Answers<'a> {
    reader: Reader,
    ending: TransportEnding,
    marker: String,
    /// Read and not yet used.
    pending: Vec<u8>,
    link: &'a Link,
}

impl Answers<'_> {
    async fn next(&mut self) -> Result<Answer> {
        loop {
            while let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if let Some(text) = line.trim_end().strip_prefix(&*self.marker) {
                    return Answer::parse(text.trim_start())
                        .ok_or_else(|| Error::new(ErrorKind::Agent, format!("the host answers `{}`", text.trim())));
                }
            }
            let mut buffer = vec![0; 16 * 1024];
            let count = self.reader.read(&mut buffer).await.map_err(|error| Error::io(&error))?;
            if count == 0 {
                return Err(self.ended().await);
            }
            self.pending.extend_from_slice(&buffer[..count]);
            if self.pending.len() > MOST_NOISE {
                return Err(Error::new(ErrorKind::Agent, "the host's shell prints without end"));
            }
        }
    }

    async fn ended(&mut self) -> Error {
        let status = timeout(Duration::from_secs(5), self.ending.wait()).await.unwrap_or(Status::Lost(None));
        // Standard error comes on its own way and may be a moment behind.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let words = self.ending.last_words();
        if let Some(error) = self.link.explain(&status, &words) {
            return error.while_doing("start the agent");
        }
        let words = if words.is_empty() { String::new() } else { format!(": {words}") };
        let error = Error::new(ErrorKind::Agent, format!("start the agent: the shell {status}{words}"));
        if words.contains("/bin/sh") { error.hint("the host needs a POSIX shell at /bin/sh") } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_line_that_every_posix_shell_parses() {
        let script = script();
        assert!(!script.contains('\n'));
        for shell in ["/bin/sh", "/bin/bash", "/bin/dash"] {
            if std::path::Path::new(shell).exists() {
                let output = std::process::Command::new(shell).args(["-n", "-c", &script]).output().expect("a shell runs");
                assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
            }
        }
    }

    #[test]
    fn answers_are_read_whatever_the_folder_s_name() {
        let answer = Answer::parse("started x86_64 1000 /home/my user/.cache/provision");
        assert_eq!(answer, Some(Answer::Started { machine: "x86_64".into(), uid: 1000, folder: "/home/my user/.cache/provision".into() }));
        assert_eq!(
            Answer::parse("missing x86_64 gzip damaged"),
            Some(Answer::Missing { machine: "x86_64".into(), form: Form::Gzip, was_damaged: true })
        );
        assert_eq!(Answer::parse("hello"), None);
    }
}

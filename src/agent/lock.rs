//! One run at a time on a node; who comes second is told who works, on what, since when.
//!
//! The lock is an abstract Unix socket (unix(7)): it writes nothing to a disk, is gone with its process however that
//! ends, and answers questions.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::frame::RunIdentity;

/// What the holder says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    pub run: RunIdentity,
    pub doing: Arc<str>,
}

/// Held until dropped.
pub struct Lock {
    doing: Arc<Mutex<Holding>>,
    shared: bool,
}

/// The socket's name: one a root file system, so that containers in one network namespace do not meet.
fn name() -> std::io::Result<String> {
    use std::os::unix::fs::MetadataExt;
    let root = std::fs::metadata("/")?;
    Ok(format!("provision-agent-{:x}-{:x}", root.dev(), root.ino()))
}

fn address() -> std::io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name()?)
}

/// Held by a worker for as long as it lives: its agent may be killed while it still acts.
pub fn mark_worker(user: &str) -> Option<UnixListener> {
    let name = format!("{}-worker-{user}-{}", name().ok()?, std::process::id());
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).ok()?).ok()
}

/// Workers of this machine's lock holders that still live, as `USER-PROCESS`. Source: proc(5), /proc/net/unix.
pub fn workers() -> Vec<String> {
    let (Ok(name), Ok(table)) = (name(), std::fs::read_to_string("/proc/net/unix")) else { return Vec::new() };
    let prefix = format!("@{name}-worker-");
    table.lines().filter_map(|line| line.split_whitespace().next_back()?.strip_prefix(&*prefix).map(str::to_owned)).collect()
}

impl Lock {
    /// Takes the lock, or answers who holds it, where that can be learnt. Another agent of the same run (two names of one
    /// machine) is no obstacle.
    pub fn take(run: &RunIdentity) -> std::io::Result<Result<Self, Option<Holding>>> {
        let address = address()?;
        match UnixListener::bind_addr(&address) {
            Ok(listener) => {
                let doing = Arc::new(Mutex::new(Holding { run: run.clone(), doing: "".into() }));
                let told = Arc::clone(&doing);
                std::thread::spawn(move || {
                    for stream in listener.incoming() {
                        let Ok(mut stream) = stream else {
                            std::thread::sleep(Duration::from_millis(100));
                            continue;
                        };
                        let line = told.lock().ok().and_then(|doing| serde_json::to_string(&*doing).ok());
                        // Who asked and went away asks again.
                        let _ = stream
                            .set_write_timeout(Some(Duration::from_secs(1)))
                            .and_then(|()| writeln!(stream, "{}", line.unwrap_or_default()));
                    }
                });
                Ok(Ok(Self { doing, shared: false }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let holding = ask(&address);
                if !run.id.is_empty() && holding.as_ref().is_some_and(|holding| holding.run.id == run.id) {
                    return Ok(Ok(Self { doing: Arc::default(), shared: true }));
                }
                Ok(Err(holding))
            }
            Err(error) => Err(error),
        }
    }

    /// Another agent of this run has it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// For the one who comes second; every user of the machine can read it.
    pub fn doing(&self, what: &str) {
        if !self.shared
            && let Ok(mut doing) = self.doing.lock()
        {
            doing.doing = what.into();
        }
    }
}

fn ask(address: &SocketAddr) -> Option<Holding> {
    let mut stream = UnixStream::connect_addr(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).ok()? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    serde_json::from_slice(&line).ok()
}

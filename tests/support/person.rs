//! A person at a terminal: a program of ours on a pseudo-terminal that is its controlling one, keys typed, the screen read.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

pub struct Person {
    keys: File,
    screen: Receiver<Vec<u8>>,
    /// All that was shown so far.
    pub shown: String,
    /// How far [`Person::sees`] has looked.
    seen: usize,
    child: Child,
}

/// Longer than any wait of a run on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

impl Person {
    /// Starts what `wanted` describes, with a terminal for its three streams.
    pub fn starts(wanted: &Command) -> Self {
        let window = Winsize { ws_row: 40, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&window, None).expect("a pseudo-terminal");
        let stream = || pair.slave.try_clone().expect("a descriptor");
        // A session of its own, so that ^C is a signal to it as at any terminal.
        let mut command = Command::new("setsid");
        // Whoever runs the tests in the background has them ignore ^C: a person's shell does not.
        command.args(["--ctty", "/usr/bin/env", "--default-signal=INT"]).arg(wanted.get_program()).args(wanted.get_args()).env_clear();
        command.envs(wanted.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(folder) = wanted.get_current_dir() {
            command.current_dir(folder);
        }
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().expect("util-linux is installed");
        drop((command, pair.slave));
        let keys = File::from(pair.master);
        let mut output = keys.try_clone().expect("a descriptor");
        let (sender, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The end is EIO: nobody has the terminal open any more.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keys, screen, shown: String::new(), seen: 0, child }
    }

    /// Waits until the screen shows a text that was not seen before.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> &mut Self {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(position) = self.shown[self.seen..].find(text) {
                self.seen += position + text.len();
                return self;
            }
            match self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("no {text:?} on the screen ({error}):\n{}", self.shown),
            }
        }
    }

    pub fn types(&mut self, keys: &str) -> &mut Self {
        self.keys.write_all(keys.as_bytes()).expect("typed");
        self
    }

    /// Whether typed keys are shown, as the terminal is set now.
    pub fn echoes(&self) -> bool {
        tcgetattr(self.keys.as_fd()).expect("a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for the end; what the screen showed is in `shown`.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let until = Instant::now() + LIMIT;
        loop {
            match self.screen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("our own child"),
                Err(RecvTimeoutError::Timeout) => panic!("it did not end:\n{}", self.shown),
            }
        }
    }

    /// Waits for the end, which must have this exit code.
    #[track_caller]
    pub fn leaves_with(&mut self, code: i32) -> &mut Self {
        let status = self.ends();
        assert_eq!(status.code(), Some(code), "{status}; the screen:\n{}", self.shown);
        self
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

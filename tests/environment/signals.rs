//! Signals to `provision ssh` where there is no terminal: the remote command has them.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use provision::vm::process::wait_until;

use super::Folder;

/// Says each signal that it gets, also where nobody listens any more; it ends by itself.
/// Nothing but a sleep runs once it is ready: a signal goes to all of its group.
const SCRIPT: &str = "for name in INT TERM HUP QUIT; do trap \"echo $name >> /run/signals; echo $name\" $name; done; \
                      set -- $(seq 300); echo ready; for time; do sleep 0.1; done";

/// The command, ready.
fn command(folder: &Folder) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = folder.command(&["ssh", "worker-1", "--", SCRIPT]).stdout(Stdio::piped()).spawn().expect("provision runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("ready"));
    (child, lines)
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("our own child");
}

pub fn reach_the_remote_command(folder: &Folder) {
    let (mut child, mut lines) = command(folder);
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGINT] {
        send(&child, signal);
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), signal.as_str().strip_prefix("SIG"));
        assert!(child.try_wait().expect("our own child").is_none(), "the command goes on, and so do we");
    }
    // The person has waited enough.
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("our own child").code(), Some(130));

    // The person has gone: nobody waits for the command, which hears of it.
    let (mut child, lines) = command(folder);
    drop(lines);
    send(&child, Signal::SIGHUP);
    assert_eq!(child.wait().expect("our own child").code(), Some(129));
    let heard = || folder.expect(0, &["ssh", "worker-1", "--", "cat /run/signals"]).0;
    let all = wait_until(Duration::from_secs(10), Duration::from_millis(200), || heard().ends_with("HUP\n"));
    assert!(all && heard().starts_with("TERM\nQUIT\nINT\nINT\n"), "{}", heard());
}

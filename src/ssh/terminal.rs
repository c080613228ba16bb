//! A person at a host: the local terminal made raw and mended again, its window, keys and signals passed on.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::termios::{self, ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios};
use russh::Pty;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::connection::Connection;
use super::error::{Error, ErrorKind, Result};
use super::process::{Command, Control, Reader, Status, Terminal, Writer};

/// Where the person is: descriptors of a terminal, pipes or files.
pub struct Local {
    pub input: File,
    pub output: File,
    pub error: File,
}

impl Local {
    /// This process's standard streams.
    pub fn standard() -> std::io::Result<Self> {
        let copy = |descriptor: std::os::fd::BorrowedFd| descriptor.try_clone_to_owned().map(File::from);
        Ok(Self {
            input: copy(std::io::stdin().as_fd())?,
            output: copy(std::io::stdout().as_fd())?,
            error: copy(std::io::stderr().as_fd())?,
        })
    }
}

/// Runs a line, or the login shell, with the local streams; gives the code to exit with: the remote one, and 128 plus the
/// number for a signal. A terminal is asked for only where input and output are one. Without one INT, TERM, HUP and QUIT
/// go to the remote command; the second INT ends us.
pub async fn session(connection: &Connection, line: Option<&str>, local: Local) -> Result<u8> {
    let raw = if local.input.is_terminal() && local.output.is_terminal() { Some(RawMode::set(&local.input)?) } else { None };
    let terminal = raw.as_ref().map(|raw| {
        let (columns, rows) = window(&local.output);
        Terminal {
            kind: std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned()),
            columns,
            rows,
            modes: modes(&raw.before),
            environment: locale(),
        }
    });
    let process = connection.start(line, terminal.as_ref()).await?;
    let (keys, _stop) = read_input(local.input.try_clone().map_err(|error| Error::io(&error))?)?;

    let output = local.output.try_clone().map_err(|error| Error::io(&error))?;
    let copying = async { tokio::join!(copy(process.stdout, local.output), copy(process.stderr, local.error)) };
    let mut ending = process.ending;
    let status = tokio::select! {
        status = async {
            copying.await;
            ending.wait().await
        } => status,
        // Ends with the input; the command goes on.
        () = feed(keys, process.stdin) => unreachable!("feed waits for ever after the input's end"),
        status = pass_signals(connection, &process.control, raw.is_some().then_some(&output)) => status,
    };
    drop(raw);
    match status {
        Status::Exited(code) => Ok(u8::try_from(code & 0xff).expect("masked")),
        Status::Signalled(name) => Ok(format!("SIG{name}").parse::<Signal>().map_or(255, |signal| 128 + signal as u8)),
        Status::Lost(cause) => Err(connection
            .end()
            .unwrap_or_else(|| Error::new(ErrorKind::Lost, cause.unwrap_or_else(|| "the connection is closed".to_owned())))),
    }
}

async fn copy(mut from: Reader, to: File) {
    let mut to = tokio::fs::File::from_std(to);
    let mut buffer = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // A closed pipe (`| head`) ends the copy; dropping the stream lets the command feel it.
        if to.write_all(&buffer[..count]).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

async fn feed(mut keys: mpsc::Receiver<Vec<u8>>, mut to: Writer) {
    while let Some(bytes) = keys.recv().await {
        if to.write_all(&bytes).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
    std::future::pending::<()>().await;
}

/// Reads the input on a thread of its own, until the returned pipe end is dropped: a read that goes on would swallow the
/// next key that the person types into the shell.
fn read_input(mut input: File) -> Result<(mpsc::Receiver<Vec<u8>>, OwnedFd)> {
    let (stop, stopped) = nix::unistd::pipe().map_err(|error| Error::io(&error.into()))?;
    let (sender, receiver) = mpsc::channel(4);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let mut waiting = [PollFd::new(input.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::empty())];
            match poll(&mut waiting, PollTimeout::NONE) {
                Err(nix::errno::Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) if waiting[1].revents().is_some_and(|events| !events.is_empty()) => return,
                Ok(_) => {}
            }
            match input.read(&mut buffer) {
                Ok(count @ 1..) if sender.blocking_send(buffer[..count].to_vec()).is_ok() => {}
                _ => return,
            }
        }
    });
    Ok((receiver, stopped))
}

/// Passes signals on for ever, or until the person insists. `terminal` is where the window's size is read.
async fn pass_signals(connection: &Connection, control: &Control, terminal: Option<&File>) -> Status {
    let listen = |kind| signal(kind).expect("these signals can be handled");
    let (mut interrupt, mut terminate, mut hang_up, mut quit) =
        (listen(SignalKind::interrupt()), listen(SignalKind::terminate()), listen(SignalKind::hangup()), listen(SignalKind::quit()));
    let mut resized = listen(SignalKind::window_change());
    let mut interrupts = 0;
    loop {
        let name = tokio::select! {
            _ = resized.recv() => {
                if let Some(terminal) = terminal {
                    let (columns, rows) = window(terminal);
                    let _ = control.resize(columns, rows).await;
                }
                continue;
            }
            _ = interrupt.recv() => {
                interrupts += 1;
                "INT"
            }
            _ = terminate.recv() => "TERM",
            _ = hang_up.recv() => "HUP",
            _ = quit.recv() => "QUIT",
        };
        let _ = timeout(SIGNALLED, send(connection, control, name)).await;
        // Our terminal is gone, or the person has had enough of waiting.
        if name == "HUP" || interrupts == 2 {
            return Status::Signalled(name.to_owned());
        }
    }
}

/// A signal is on its way for so long at most: the person may insist.
const SIGNALLED: Duration = Duration::from_secs(2);

/// Sends a signal to what the connection runs. OpenSSH's server refuses that for root ("session signalling requires privilege
/// separation"), so a session beside it does it: what has the same parent is the command, first of a group of its own.
async fn send(connection: &Connection, control: &Control, name: &str) {
    let line = format!("for pid in $(cat /proc/$PPID/task/$PPID/children); do [ $pid = $$ ] || kill -{name} -- -$pid; done");
    let sent = connection.run(Command::line(line)).await;
    if !sent.is_ok_and(|output| output.status == Status::Exited(0)) {
        let _ = control.signal(name).await;
    }
}

/// The terminal as it was, put back on drop.
struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    fn set(terminal: &File) -> Result<Self> {
        let failed = |error: nix::Error| Error::new(ErrorKind::Configuration, format!("switch the terminal to raw mode: {error}"));
        let before = termios::tcgetattr(terminal).map_err(failed)?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        let copy = terminal.as_fd().try_clone_to_owned().map_err(|error| Error::io(&error))?;
        termios::tcsetattr(terminal, SetArg::TCSADRAIN, &raw).map_err(failed)?;
        Ok(Self { terminal: copy, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

/// Columns and rows; 80 × 24 where there is no window.
#[expect(unsafe_code, reason = "TIOCGWINSZ has no safe wrapper in nix")]
fn window(terminal: &File) -> (u16, u16) {
    use std::os::fd::AsRawFd;
    mod call {
        nix::ioctl_read_bad!(window_size, nix::libc::TIOCGWINSZ, nix::libc::winsize);
    }
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the kernel writes one `winsize` to the place that is given for it.
    let read = unsafe { call::window_size(terminal.as_raw_fd(), &raw mut size) };
    if read.is_ok() && size.ws_col > 0 && size.ws_row > 0 { (size.ws_col, size.ws_row) } else { (80, 24) }
}

/// `LANG` and `LC_*`, which sshd takes where `AcceptEnv` says so (Debian, Fedora).
fn locale() -> Vec<(String, String)> {
    std::env::vars().filter(|(name, _)| name == "LANG" || name.starts_with("LC_")).collect()
}

/// The terminal's modes as RFC 4254 §8 encodes them: the keys that erase and interrupt, and how lines are treated.
fn modes(terminal: &Termios) -> Vec<(Pty, u32)> {
    use SpecialCharacterIndices as Key;
    let keys = [
        (Pty::VINTR, Key::VINTR),
        (Pty::VQUIT, Key::VQUIT),
        (Pty::VERASE, Key::VERASE),
        (Pty::VKILL, Key::VKILL),
        (Pty::VEOF, Key::VEOF),
        (Pty::VEOL, Key::VEOL),
        (Pty::VSTART, Key::VSTART),
        (Pty::VSTOP, Key::VSTOP),
        (Pty::VSUSP, Key::VSUSP),
        (Pty::VREPRINT, Key::VREPRINT),
        (Pty::VWERASE, Key::VWERASE),
        (Pty::VLNEXT, Key::VLNEXT),
    ];
    // 255 stands for a key that is switched off, 0 in Linux.
    let key = |index: Key| match terminal.control_chars[index as usize] {
        0 => 255,
        key => u32::from(key),
    };
    let mut modes: Vec<(Pty, u32)> = keys.into_iter().map(|(name, index)| (name, key(index))).collect();
    let (input, local, output) = (terminal.input_flags, terminal.local_flags, terminal.output_flags);
    let flags = [
        (Pty::ICRNL, input.contains(InputFlags::ICRNL)),
        (Pty::INLCR, input.contains(InputFlags::INLCR)),
        (Pty::IGNCR, input.contains(InputFlags::IGNCR)),
        (Pty::IXON, input.contains(InputFlags::IXON)),
        (Pty::IXANY, input.contains(InputFlags::IXANY)),
        (Pty::IXOFF, input.contains(InputFlags::IXOFF)),
        (Pty::IMAXBEL, input.contains(InputFlags::IMAXBEL)),
        (Pty::ISIG, local.contains(LocalFlags::ISIG)),
        (Pty::ICANON, local.contains(LocalFlags::ICANON)),
        (Pty::ECHO, local.contains(LocalFlags::ECHO)),
        (Pty::ECHOE, local.contains(LocalFlags::ECHOE)),
        (Pty::ECHOK, local.contains(LocalFlags::ECHOK)),
        (Pty::ECHONL, local.contains(LocalFlags::ECHONL)),
        (Pty::ECHOCTL, local.contains(LocalFlags::ECHOCTL)),
        (Pty::ECHOKE, local.contains(LocalFlags::ECHOKE)),
        (Pty::IEXTEN, local.contains(LocalFlags::IEXTEN)),
        (Pty::OPOST, output.contains(OutputFlags::OPOST)),
        (Pty::ONLCR, output.contains(OutputFlags::ONLCR)),
        (Pty::CS8, terminal.control_flags.contains(ControlFlags::CS8)),
    ];
    modes.extend(flags.into_iter().map(|(name, on)| (name, u32::from(on))));
    #[cfg(target_os = "linux")]
    modes.push((Pty::IUTF8, u32::from(input.contains(InputFlags::IUTF8))));
    modes.extend([(Pty::TTY_OP_ISPEED, 38400), (Pty::TTY_OP_OSPEED, 38400)]);
    modes
}

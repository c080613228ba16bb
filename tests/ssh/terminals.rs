//! A person's terminal at a host: a pseudo-terminal here in the person's place.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use provision::cli::ssh::{known_hosts_line, ssh_config};
use provision::ssh::terminal::{Local, session};

use super::{connect, target};
use crate::support::sshd::Sshd;

/// The person's side of a terminal, and the side that the program sees.
fn terminal() -> (File, OwnedFd) {
    let pair = openpty(&Winsize { ws_row: 31, ws_col: 97, ws_xpixel: 0, ws_ypixel: 0 }, None).expect("a pseudo-terminal");
    (File::from(pair.master), pair.slave)
}

fn at(slave: &OwnedFd) -> Local {
    let copy = || File::from(slave.try_clone().expect("a descriptor"));
    Local { input: copy(), output: copy(), error: copy() }
}

/// Reads what the screen shows until it contains a text.
fn read_until(screen: &mut File, text: &str) -> String {
    let start = Instant::now();
    let mut shown = String::new();
    while !shown.contains(text) {
        assert!(start.elapsed() < Duration::from_secs(20), "no {text:?} in {shown:?}");
        let mut buffer = [0; 1024];
        let count = screen.read(&mut buffer).expect("the terminal is open");
        shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_has_the_window_passes_keys_and_gives_its_exit_status() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let (mut person, slave) = terminal();
    let before = tcgetattr(&slave).expect("a terminal");
    let local = at(&slave);
    let running = tokio::spawn(async move { session(&connection, Some("stty size; echo ready; exec sh"), local).await });
    let (mut person, raw) = tokio::task::spawn_blocking(move || {
        let shown = read_until(&mut person, "ready");
        assert!(shown.contains("31 97"), "{shown}");
        let raw = tcgetattr(&person).expect("a terminal").local_flags;
        (person, raw)
    })
    .await
    .expect("no panic");
    assert!(!raw.contains(LocalFlags::ICANON) && !raw.contains(LocalFlags::ECHO));
    // ^C reaches the remote terminal and does not end us.
    person.write_all(b"sleep 100\r").expect("typed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    person.write_all(b"\x03").expect("typed");
    tokio::time::sleep(Duration::from_millis(300)).await;
    person.write_all(b"exit $((6 * 7))\r").expect("typed");
    assert_eq!(running.await.expect("no panic").expect("it ends"), 42);
    assert_eq!(tcgetattr(&slave).expect("a terminal").local_flags, before.local_flags);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resized_window_is_told() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let (mut person, slave) = terminal();
    let local = at(&slave);
    let running = tokio::spawn(async move { session(&connection, Some("echo ready; read line; stty size"), local).await });
    tokio::task::spawn_blocking(move || {
        read_until(&mut person, "ready");
        resize(&person, 132, 50);
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGWINCH).expect("to ourselves");
        std::thread::sleep(Duration::from_millis(300));
        person.write_all(b"\r").expect("typed");
        read_until(&mut person, "50 132");
    })
    .await
    .expect("the new size");
    assert_eq!(running.await.expect("no panic").expect("it ends"), 0);
}

#[expect(unsafe_code, reason = "TIOCSWINSZ has no safe wrapper in nix")]
fn resize(terminal: &File, columns: u16, rows: u16) {
    mod call {
        nix::ioctl_write_ptr_bad!(set_window_size, nix::libc::TIOCSWINSZ, nix::libc::winsize);
    }
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the kernel reads one `winsize`.
    unsafe { call::set_window_size(terminal.as_raw_fd(), &raw const size) }.expect("a terminal");
}

/// Pipes are no terminal: nothing is echoed or translated, and the input's end is the command's.
#[tokio::test]
async fn without_a_terminal_bytes_pass_unchanged() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let file = |name: &str| File::create_new(server.folder().join(name)).expect("a new file");
    std::fs::write(server.folder().join("input"), b"a\r\n\x03\x04\0z").expect("write");
    let input = File::open(server.folder().join("input")).expect("written");
    let local = Local { input, output: file("output"), error: file("error") };
    let code = session(&connection, Some("test -t 0 && echo terminal; cat; echo problem >&2; exit 3"), local).await.expect("it ends");
    assert_eq!(code, 3);
    assert_eq!(std::fs::read(server.folder().join("output")).expect("written"), b"a\r\n\x03\x04\0z");
    assert_eq!(std::fs::read(server.folder().join("error")).expect("written"), b"problem\n");
}

#[tokio::test]
async fn a_signal_s_end_is_a_shell_s_number() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let null = || File::options().read(true).write(true).open("/dev/null").expect("there");
    let local = Local { input: null(), output: null(), error: null() };
    assert_eq!(session(&connection, Some("kill -TERM $$"), local).await.expect("it ends"), 128 + 15);
}

/// ssh(1) itself reads the section that we write, and the host's key from the file beside it.
#[test]
fn openssh_reaches_a_host_by_our_section_of_its_configuration() {
    let server = Sshd::start();
    let target = target(&server);
    let (config, known_hosts) = (server.folder().join("our config"), server.folder().join("our known hosts"));
    std::fs::write(&known_hosts, known_hosts_line(&target)).expect("write");
    std::fs::write(&config, ssh_config(&target, Some(&known_hosts))).expect("write");
    let output = std::process::Command::new("ssh")
        .arg("-F")
        .arg(&config)
        .args(["-oBatchMode=yes", "node", "echo there"])
        .output()
        .expect("openssh-client");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "there\n", "{}", String::from_utf8_lossy(&output.stderr));
}

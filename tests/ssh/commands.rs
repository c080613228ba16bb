//! Commands over a connection.

use provision::ssh::{Command, Status};

use super::{connect, target};
use crate::support::sshd::Sshd;

#[tokio::test]
async fn a_command_s_streams_and_exit_code_come_back() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let output = connection.run(Command::line("cat; echo problem >&2; exit 7").stdin("input")).await.expect("it runs");
    assert_eq!(output.status, Status::Exited(7));
    assert_eq!((output.stdout, output.stderr), (b"input".to_vec(), b"problem\n".to_vec()));
}

#[tokio::test]
async fn a_signal_that_ends_a_command_is_named() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let output = connection.run("kill -USR1 $$".into()).await.expect("it runs");
    assert_eq!(output.status, Status::Signalled("USR1".to_owned()));
}

#[tokio::test]
async fn arguments_arrive_as_they_were_given() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let words = ["two words", "it's", "$HOME", "a\\b", "!", "", "new\nline"];
    let output = connection.run(Command::new(["printf", "%s|"].into_iter().chain(words))).await.expect("it runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), words.map(|word| format!("{word}|")).concat());
}

#[tokio::test]
async fn a_hundred_megabytes_arrive_whole() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let bytes: Vec<u8> = (0..100_u32 << 20).map(|index| (index.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let expected = std::process::Command::new("sha256sum").stdin(file(&bytes)).output().expect("coreutils").stdout;
    let output = connection.run(Command::line("sha256sum").stdin(bytes)).await.expect("it runs");
    assert_eq!(output.stdout, expected);
}

fn file(bytes: &[u8]) -> std::fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("room for it");
    file
}

/// sshd allows 10 sessions and frees them late; 30 commands at once are still all run.
#[tokio::test]
async fn more_commands_at_once_than_the_server_allows_sessions_are_all_run() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let runs = (0..30).map(|index| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.run(Command::line(format!("echo {index}"))).await.expect("it runs").stdout })
    });
    for (index, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(run.await.expect("no panic"), format!("{index}\n").into_bytes());
    }
}

#[tokio::test]
async fn a_server_without_free_sessions_says_how_to_raise_them() {
    let server = Sshd::with(&crate::support::sshd::Options { settings: &["MaxSessions 1"], ..Default::default() });
    let connection = connect(&target(&server)).await.expect("the server runs");
    let _busy = connection.start(Some("sleep 60"), None).await.expect("the first session");
    let error = connection.run("true".into()).await.expect_err("no second one");
    assert_eq!(error.kind, provision::ssh::ErrorKind::Denied);
    assert!(error.hint.expect("a way out").contains("MaxSessions"));
}

/// The processes of a session end with it.
#[tokio::test]
async fn dropping_a_process_ends_its_session() {
    let server = Sshd::start();
    let connection = connect(&target(&server)).await.expect("the server runs");
    let marker = server.folder().join("marker");
    let process = connection.start(Some(&format!("cat; touch {}", marker.display())), None).await.expect("it starts");
    drop(process);
    for _ in 0..500 {
        if marker.exists() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the command still waits for input");
}

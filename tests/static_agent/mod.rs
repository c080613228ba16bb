//! The agent on a root file system without any libc: only itself.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use provision::agent::frame::{self, Down, PROTOCOL, RunIdentity, RunMode, Start, Up};
use provision::program::Bytes;

use crate::support::nodes::root_or_skip;

/// Builds the static agent as the release build does, without its optimisation.
fn build() -> PathBuf {
    let listed =
        Command::new("rustc").args(["--print", "target-libdir", "--target", "x86_64-unknown-linux-musl"]).output().expect("rustc runs");
    let libraries = fs::read_dir(String::from_utf8_lossy(&listed.stdout).trim()).into_iter().flatten().flatten();
    let has_musl = libraries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-"));
    // Where musl is not to be had, glibc is linked statically; the target is named, or proc-macros break.
    let (target, flags) =
        if has_musl { ("x86_64-unknown-linux-musl", "") } else { ("x86_64-unknown-linux-gnu", "-C target-feature=+crt-static") };
    let folder = Path::new(env!("CARGO_BIN_EXE_provision")).parent().and_then(Path::parent).expect("the target folder").join("static");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "--no-default-features", "--bin", "provision-agent", "--target", target])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "building the static agent for {target}: {}\n{said}", output.status);
    folder.join(target).join("debug/provision-agent")
}

#[test]
fn the_agent_needs_nothing_of_the_node() {
    if !root_or_skip() {
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    // Copied by another process: while we have the file open for writing, a child that another test's thread forks has it
    // too until it becomes another program, and nobody can start it meanwhile (execve(2), ETXTBSY).
    let copied = Command::new("cp").arg(build()).arg(root.path().join("agent")).status().expect("cp runs");
    assert!(copied.success(), "the agent is copied");
    for folder in ["proc", "tmp", "root"] {
        fs::create_dir(root.path().join(folder)).expect("made");
    }
    let mut agent = Command::new("chroot")
        .arg(root.path())
        .args(["/agent", "agent", "run"])
        .env_clear()
        .env("PATH", "/usr/bin:/usr/sbin:/bin:/sbin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("chroot runs");
    let start = Start {
        protocol: PROTOCOL,
        program: None,
        mode: RunMode::Serve,
        environment: "static".into(),
        run: RunIdentity::default(),
        journal_key: Bytes::default(),
        ordered: false,
        grows: false,
        clears: false,
        resume: None,
        stands_in: None,
        become_password: None,
    };
    let mut stdin = agent.stdin.take().expect("piped");
    // An agent that could not start does not read: its own words, below, tell more than our broken pipe.
    let sent =
        [Down::Start(Box::new(start)), Down::End].iter().try_for_each(|frame| stdin.write_all(&frame::encode(frame).expect("packed")));
    drop(stdin);
    let output = agent.wait_with_output().expect("ended");
    assert!(output.status.success() && sent.is_ok(), "the agent: {}, {sent:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    match frame::read::<Up>(&mut output.stdout.as_slice()).expect("a frame") {
        Up::Hello(hello) => assert_eq!((hello.protocol, hello.uid), (PROTOCOL, 0)),
        other => panic!("expected a greeting, not {other:?}"),
    }
}

//! The agent on a root file system without any libc: only itself.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use provision::agent::frame::{self, Down, PROTOCOL, RunIdentity, RunMode, Start, Up};
use provision::program::Bytes;

use crate::support::nodes::root_or_skip;

/// Builds the static agent as the release build does, without its optimisation.
fn build() -> PathBuf {
    let installed = Command::new("rustc").args(["--print", "target-libdir", "--target", "x86_64-unknown-linux-musl"]).output().expect("rustc runs");
    let libraries = PathBuf::from(String::from_utf8_lossy(&installed.stdout).trim());
    // Where musl is not to be had, glibc is linked statically; the target is named, or proc-macros break.
    let (target, flags) = if libraries.exists() { ("x86_64-unknown-linux-musl", "") } else { ("x86_64-unknown-linux-gnu", "-C target-feature=+crt-static") };
    let folder = Path::new(env!("CARGO_BIN_EXE_provision")).parent().and_then(Path::parent).expect("the target folder").join("static");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--no-default-features", "--bin", "provision-agent", "--target", target])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", flags)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the static agent is built");
    folder.join(target).join("debug/provision-agent")
}

#[test]
fn the_agent_needs_nothing_of_the_node() {
    if !root_or_skip() {
        return;
    }
    let root = tempfile::tempdir().expect("a folder");
    fs::copy(build(), root.path().join("agent")).expect("copied");
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
        resume: None,
        become_password: None,
    };
    let mut stdin = agent.stdin.take().expect("piped");
    stdin.write_all(&frame::encode(&Down::Start(Box::new(start))).expect("packed")).expect("written");
    stdin.write_all(&frame::encode(&Down::End).expect("packed")).expect("written");
    drop(stdin);
    let mut said = Vec::new();
    agent.stdout.take().expect("piped").read_to_end(&mut said).expect("read");
    assert!(agent.wait().expect("ended").success());
    match frame::read::<Up>(&mut said.as_slice()).expect("a frame") {
        Up::Hello(hello) => assert_eq!((hello.protocol, hello.uid), (PROTOCOL, 0)),
        other => panic!("expected a greeting, not {other:?}"),
    }
}

//! Whose key a host shows, against files that OpenSSH's own tools wrote.

use std::path::{Path, PathBuf};
use std::process::Command;

use provision::ssh::{ErrorKind, HostKeyPolicy, Result};

use super::{connect, target};
use crate::support::sshd::{Options, Sshd, generate_key};

/// Connects with one known_hosts file of the given text; gives the file's text afterwards.
async fn with_file(server: &Sshd, text: &str, accept_new: bool) -> (Result<()>, String) {
    let file = server.folder().join("known_hosts");
    std::fs::write(&file, text).expect("write");
    let mut target = target(server);
    target.host_keys = HostKeyPolicy::KnownHosts { files: vec![file.clone()], accept_new };
    let result = connect(&target).await.map(drop);
    (result, std::fs::read_to_string(file).expect("still there"))
}

fn name(server: &Sshd) -> String {
    format!("[127.0.0.1]:{}", server.port())
}

async fn accepts(server: &Sshd, text: &str) {
    with_file(server, text, false).await.0.unwrap_or_else(|error| panic!("{error}\n{text}"));
}

async fn refuses(server: &Sshd, text: &str, kind: ErrorKind) {
    let error = with_file(server, text, false).await.0.expect_err(text);
    assert_eq!(error.kind, kind, "{error}\n{text}");
    assert!(error.hint.is_some() || kind == ErrorKind::HostKeyUnknown, "{error:?}");
}

fn another_key(server: &Sshd, kind: &str) -> String {
    let path = generate_key(server.folder(), &format!("other_{kind}_{}", rand()), kind, "");
    public(&path)
}

fn rand() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::SeqCst)
}

fn public(path: &Path) -> String {
    let text = std::fs::read_to_string(format!("{}.pub", path.display())).expect("ssh-keygen wrote it");
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn keys_are_found_in_every_form_of_line() {
    let server = Sshd::start();
    let (name, key) = (name(&server), server.host_key("ed25519"));
    let port = server.port();
    accepts(&server, &format!("{name} {key}\n")).await;
    accepts(&server, &format!("# comment\n\nother,{name} {key} comment\n")).await;
    accepts(&server, &format!("  {name}\t{key}\n")).await;
    accepts(&server, &format!("[127.0.0.?]:{port} {key}\n")).await;
    accepts(&server, &format!("* {key}\n")).await;
    accepts(&server, &format!("127.0.0.1 {key}\n")).await;
    let other = another_key(&server, "ed25519");
    accepts(&server, &format!("{name} {other}\n{name} {key}\n")).await;
    accepts(&server, &format!("garbage\n{name} ssh-ed25519 notbase64\n{name} {key}\n")).await;
}

#[tokio::test]
async fn hashed_names_as_ssh_keygen_writes_them_are_found() {
    let server = Sshd::start();
    let file = server.folder().join("hashed");
    std::fs::write(&file, format!("{} {}\n", name(&server), server.host_key("ed25519"))).expect("write");
    assert!(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(&file).output().expect("ssh-keygen").status.success());
    let text = std::fs::read_to_string(&file).expect("hashed");
    assert!(text.starts_with("|1|"), "{text}");
    accepts(&server, &text).await;
}

#[tokio::test]
async fn an_unknown_key_is_refused_and_nothing_is_written() {
    let server = Sshd::start();
    let other = another_key(&server, "ed25519");
    for text in [
        String::new(),
        format!("other.example.org {}\n", server.host_key("ed25519")),
        format!("*,!127.0.0.1,!{} {}\n", name(&server), server.host_key("ed25519")),
        format!("127.0.0.1 {other}\n"),
    ] {
        let (result, after) = with_file(&server, &text, false).await;
        assert_eq!(result.expect_err("unknown").kind, ErrorKind::HostKeyUnknown);
        assert_eq!(after, text);
    }
}

#[tokio::test]
async fn a_changed_key_is_refused_with_the_way_out() {
    let server = Sshd::start();
    let text = format!("{} {}\n", name(&server), another_key(&server, "ed25519"));
    for accept_new in [false, true] {
        let (result, after) = with_file(&server, &text, accept_new).await;
        let error = result.expect_err("changed");
        assert_eq!(error.kind, ErrorKind::HostKeyChanged);
        assert!(error.message.contains("known_hosts:1"), "{error}");
        assert!(error.hint.expect("a way out").contains(&format!("ssh-keygen -R '{}'", name(&server))));
        assert_eq!(after, text);
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_though_another_line_allows_it() {
    let server = Sshd::start();
    let (name, key) = (name(&server), server.host_key("ed25519"));
    refuses(&server, &format!("{name} {key}\n@revoked * {key}\n"), ErrorKind::HostKeyRevoked).await;
    refuses(&server, &format!("{name} {key}\n@revoked {name} ssh-ed25519 unreadable\n"), ErrorKind::HostKeyRevoked).await;
    accepts(&server, &format!("{name} {key}\n@revoked * {}\n", another_key(&server, "ed25519"))).await;
}

#[tokio::test]
async fn a_new_key_is_remembered_when_that_is_allowed() {
    let server = Sshd::start();
    let (result, after) = with_file(&server, "unfinished line", true).await;
    result.expect("accepted");
    assert_eq!(after, format!("unfinished line\n{} {}\n", name(&server), server.host_key("ed25519")));
    accepts(&server, &after).await;
}

/// A server with several types of keys shows the one that is known, as it does to ssh(1).
#[tokio::test]
async fn the_known_type_of_key_is_asked_for() {
    let server = Sshd::with(&Options { host_keys: &["ed25519", "ecdsa", "rsa"], ..Default::default() });
    for kind in ["ed25519", "ecdsa", "rsa"] {
        accepts(&server, &format!("{} {}\n", name(&server), server.host_key(kind))).await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_an_error() {
    let server = Sshd::start();
    let mut target = target(&server);
    target.host_keys = HostKeyPolicy::KnownHosts { files: vec![server.folder().to_owned()], accept_new: true };
    assert_eq!(connect(&target).await.map(drop).expect_err("a folder").kind, ErrorKind::Configuration);
}

#[tokio::test]
async fn only_the_pinned_key_is_believed() {
    let server = Sshd::start();
    let mut target = target(&server);
    connect(&target).await.expect("its own key");
    target.host_keys = HostKeyPolicy::Pinned(vec![another_key(&server, "ed25519").parse().expect("a key")]);
    let error = connect(&target).await.map(drop).expect_err("another");
    assert_eq!(error.kind, ErrorKind::HostKeyChanged);
    assert!(!error.may_pass());
}

#[tokio::test]
async fn without_checking_any_key_will_do_and_it_is_told() {
    let server = Sshd::start();
    let file = server.folder().join("known_hosts");
    std::fs::write(&file, format!("{} {}\n", name(&server), another_key(&server, "ed25519"))).expect("write");
    let mut target = target(&server);
    target.host_keys = HostKeyPolicy::Unchecked { files: vec![file] };
    assert!(connect(&target).await.expect("accepted").has_changed_key());
    std::fs::write(server.folder().join("known_hosts"), "").expect("write");
    let connection = connect(&target).await.expect("accepted");
    assert!(connection.is_new_host() && !connection.has_changed_key());
    assert!(!connect(&target).await.expect("remembered").is_new_host());
}

/// A certificate of a host: its authority, its name, its time, and what it is for.
#[tokio::test]
async fn certificates_are_believed_only_from_their_authority_for_this_host_and_time() {
    let authority = tempfile::tempdir().expect("a temporary folder");
    let ca = generate_key(authority.path(), "ca", "ed25519", "");
    let cases: [(&str, &[&str], bool); 4] = [
        ("good", &["-h", "-n", "127.0.0.1,other", "-V", "-1d:+1d"], true),
        ("for another host", &["-h", "-n", "other", "-V", "-1d:+1d"], false),
        ("out of date", &["-h", "-n", "127.0.0.1", "-V", "-2d:-1d"], false),
        ("without a name", &["-h", "-V", "-1d:+1d"], false),
    ];
    for (case, options, accepted) in cases {
        let certificate = authority.path().join("host-cert.pub");
        let key = generate_key(authority.path(), "host", "ed25519", "");
        sign(&ca, &key, options);
        let settings = [format!("HostKey {}", key.display()), format!("HostCertificate {}", certificate.display())];
        let server = Sshd::with(&Options { settings: &[&settings[0], &settings[1]], ..Default::default() });
        let line = format!("@cert-authority * {}\n", public(&ca));
        let result = with_file(&server, &line, false).await.0;
        assert_eq!(result.is_ok(), accepted, "{case}: {result:?}");
        if accepted {
            refuses(&server, &format!("{line}@revoked * {}\n", public(&ca)), ErrorKind::HostKeyRevoked).await;
            let stranger = generate_key(authority.path(), "stranger", "ed25519", "");
            refuses(&server, &format!("@cert-authority * {}\n", public(&stranger)), ErrorKind::HostKeyUnknown).await;
        }
        for file in ["host", "host.pub", "host-cert.pub"] {
            std::fs::remove_file(authority.path().join(file)).expect("it was written");
        }
    }
}

fn sign(ca: &Path, key: &Path, options: &[&str]) {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(ca)
        .args(["-I", "id"])
        .args(options)
        .arg(PathBuf::from(format!("{}.pub", key.display())))
        .output()
        .expect("ssh-keygen");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

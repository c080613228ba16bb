//! Logging in: keys of all types, passphrases, the agent, certificates; and what is said when it fails.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use provision::program::Text;
use provision::ssh::{Connector, ErrorKind, Keyring, Patience, Target};

use super::{connect, target};
use crate::support::sshd::{Options, Sshd, generate_key};

fn public(key: &Path) -> String {
    std::fs::read_to_string(format!("{}.pub", key.display())).expect("ssh-keygen wrote it").trim().to_owned()
}

fn with_key(server: &Sshd, key: &Path) -> Target {
    let mut target = target(server);
    target.credentials.keys = vec![key.to_owned()];
    target.credentials.required_key = Some(key.to_owned());
    target
}

#[tokio::test]
async fn keys_of_every_type_log_in() {
    let server = Sshd::start();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let key = server.new_key(&format!("key_{kind}"), kind, "");
        server.authorize(&public(&key));
        connect(&with_key(&server, &key)).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_for_all_hosts() {
    let server = Sshd::start();
    let key = server.new_key("locked", "ed25519", "secret words");
    server.authorize(&public(&key));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let keyring = Keyring::new(Some(Arc::new(move |question| {
        assert!(question.prompt.contains("locked") && !question.echo);
        // The first answer is wrong.
        Some(Text::secret(if count.fetch_add(1, Ordering::SeqCst) == 0 { "wrong" } else { "secret words" }))
    })));
    let connector = Connector::new(keyring);
    let target = with_key(&server, &key);
    let (first, second) = tokio::join!(connector.connect(&target, Patience::NONE), connector.connect(&target, Patience::NONE));
    first.and(second).expect("both log in");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// Longer than a silent connection lives.
#[tokio::test]
async fn a_person_may_take_time_to_find_a_passphrase() {
    let server = Sshd::start();
    let key = server.new_key("locked", "ed25519", "secret words");
    server.authorize(&public(&key));
    let keyring = Keyring::new(Some(Arc::new(|_| {
        std::thread::sleep(std::time::Duration::from_secs(25));
        Some(Text::secret("secret words"))
    })));
    Connector::new(keyring).connect(&with_key(&server, &key), Patience::NONE).await.expect("the server still waits");
}

#[tokio::test]
async fn the_passphrase_of_an_unwanted_key_is_not_asked_for() {
    let server = Sshd::start();
    let locked = server.new_key("locked", "ed25519", "secret words");
    let connector = Connector::new(Keyring::new(Some(Arc::new(|question| panic!("asked: {}", question.prompt)))));
    let mut target = with_key(&server, &locked);
    target.credentials.keys.push(server.user_key());
    connector.connect(&target, Patience::NONE).await.expect("the second key");
}

#[tokio::test]
async fn a_locked_key_and_nobody_to_ask_is_told_with_the_way_out() {
    let server = Sshd::start();
    let key = server.new_key("locked", "ed25519", "secret words");
    server.authorize(&public(&key));
    let mut target = with_key(&server, &key);
    target.credentials.required_key = None;
    let error = connect(&target).await.map(drop).expect_err("locked");
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert!(error.message.contains("it is encrypted and there is no terminal to ask"), "{error}");
    assert_eq!(error.hint, Some(format!("run `ssh-add {}` first", key.display())));
}

/// An `ssh-agent` of our own, ended with the value.
struct Agent {
    process: Child,
    socket: std::path::PathBuf,
}

impl Agent {
    fn with(folder: &Path, keys: &[&Path]) -> Self {
        let socket = folder.join("agent.socket");
        let process = Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket).stdout(Stdio::null()).spawn().expect("openssh-client");
        while !socket.exists() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for key in keys {
            let output = Command::new("ssh-add").arg(key).env("SSH_AUTH_SOCK", &socket).output().expect("openssh-client");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Self { process, socket }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn the_agent_s_keys_log_in() {
    let server = Sshd::start();
    for kind in ["ed25519", "rsa"] {
        let key = server.new_key(&format!("held_{kind}"), kind, "");
        server.authorize(&public(&key));
        let agent = Agent::with(server.folder(), &[&key]);
        let mut target = target(&server);
        target.credentials.keys.clear();
        target.credentials.agent = Some(agent.socket.clone());
        connect(&target).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
        let _ = std::fs::remove_file(&agent.socket);
    }
}

/// The agent signs for a named key whose file is locked, and its other keys are left alone.
#[tokio::test]
async fn with_identities_only_the_agent_signs_for_named_keys_alone() {
    let server = Sshd::start();
    let (named, other) = (server.new_key("named", "ed25519", ""), server.new_key("other", "ed25519", ""));
    server.authorize(&public(&other));
    let agent = Agent::with(server.folder(), &[&named, &other]);
    // From here on only the agent can sign with it.
    assert!(
        Command::new("ssh-keygen")
            .args(["-q", "-p", "-N", "secret words", "-f"])
            .arg(&named)
            .output()
            .expect("ssh-keygen")
            .status
            .success()
    );
    let mut target = with_key(&server, &named);
    target.credentials.agent = Some(agent.socket.clone());
    target.credentials.identities_only = true;
    let error = connect(&target).await.map(drop).expect_err("the named key is not authorised");
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert!(!server.log().contains("Accepted publickey"), "{}", server.log());
    server.authorize(&public(&named));
    connect(&target).await.expect("the agent signs");
}

#[tokio::test]
async fn a_user_s_certificate_logs_in() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = generate_key(folder.path(), "ca", "ed25519", "");
    let settings = format!("TrustedUserCAKeys {}.pub", ca.display());
    let server = Sshd::with(&Options { settings: &[&settings], ..Default::default() });
    let key = server.new_key("certified", "ed25519", "");
    let user = target(&server).user;
    let output = Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(&ca)
        .args(["-I", "id", "-n", &user])
        .arg(format!("{}.pub", key.display()))
        .output()
        .expect("ssh-keygen");
    assert!(output.status.success());
    connect(&with_key(&server, &key)).await.expect("the certificate");
}

#[tokio::test]
async fn a_refused_login_says_what_was_tried() {
    let server = Sshd::start();
    let key = server.new_key("stranger", "ed25519", "");
    let error = connect(&with_key(&server, &key)).await.map(drop).expect_err("not authorised");
    assert_eq!(error.kind, ErrorKind::Authentication);
    let expected = format!(
        "connect to `node` (root@127.0.0.1:{}): the server refused the key {}; the server accepts publickey",
        server.port(),
        key.display()
    );
    assert_eq!(error.message.replace(&target(&server).user, "root"), expected);
    assert!(error.is_unreachable() && !error.may_pass());
}

#[tokio::test]
async fn too_many_keys_are_told_from_wrong_ones() {
    let server = Sshd::with(&Options { settings: &["MaxAuthTries 2"], ..Default::default() });
    let keys: Vec<_> = (0..4).map(|index| server.new_key(&format!("k{index}"), "ed25519", "")).collect();
    let mut target = target(&server);
    target.credentials.keys = keys;
    let error = connect(&target).await.map(drop).expect_err("too many");
    assert_eq!(error.kind, ErrorKind::Authentication, "{error}");
    assert!(error.hint.expect("a way out").contains("IdentitiesOnly"));
}

#[tokio::test]
async fn an_absent_named_key_is_told_before_anything_is_asked() {
    let server = Sshd::start();
    let mut target = with_key(&server, Path::new("/nonexistent/key"));
    target.credentials.keys.push(server.user_key());
    let error = connect(&target).await.map(drop).expect_err("absent");
    assert_eq!(error.kind, ErrorKind::Configuration);
    assert!(error.message.ends_with("read the key /nonexistent/key: no such file or directory"), "{error}");
}

/// As ssh(1) passes over an `IdentityFile` that is not there.
#[tokio::test]
async fn an_absent_key_of_the_configuration_is_passed_over() {
    let server = Sshd::start();
    let mut target = with_key(&server, Path::new("/nonexistent/key"));
    target.credentials.required_key = None;
    target.credentials.keys.push(server.user_key());
    connect(&target).await.expect("the second key");
}

/// A server where `someone` with the password `secret words` exists, in a namespace of its own. Needs root.
fn with_password(settings: &[&str]) -> (Sshd, Target) {
    let hash = Command::new("openssl").args(["passwd", "-6", "secret words"]).output().expect("openssl").stdout;
    let hash = String::from_utf8(hash).expect("ASCII");
    let mounts = format!(
        "mount -t tmpfs tmpfs /root
        for file in passwd shadow; do cp /etc/$file /root/$file; done
        echo 'someone:x:4242:4242::/:/bin/sh' >>/root/passwd; echo 'someone:{}:19000::::::' >>/root/shadow
        for file in passwd shadow; do mount --bind /root/$file /etc/$file; done",
        hash.trim()
    );
    let server = Sshd::with(&Options { settings, mounts: Some(&mounts), ..Default::default() });
    std::fs::set_permissions(server.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    let mut target = target(&server);
    "someone".clone_into(&mut target.user);
    target.credentials.keys.clear();
    (server, target)
}

#[tokio::test]
async fn a_password_logs_in() {
    let (_server, mut target) = with_password(&["PasswordAuthentication yes"]);
    target.credentials.password = Some(Text::secret("secret words"));
    connect(&target).await.expect("the password");
    target.credentials.password = Some(Text::secret("wrong words"));
    let error = connect(&target).await.map(drop).expect_err("wrong");
    assert_eq!(error.kind, ErrorKind::Authentication);
    assert!(error.message.contains("refused the password") && !error.message.contains("wrong words"), "{error}");
}

/// PAM's question for the password is answered with it; other words come from the person.
#[tokio::test]
async fn the_server_s_questions_are_answered() {
    let (_server, mut target) = with_password(&["UsePAM yes", "KbdInteractiveAuthentication yes"]);
    target.credentials.password = Some(Text::secret("secret words"));
    connect(&target).await.expect("answered with the password");
    target.credentials.password = None;
    let keyring = Keyring::new(Some(Arc::new(|question| {
        assert!(question.prompt.starts_with("node: ") && question.prompt.contains("Password") && !question.echo, "{question:?}");
        Some(Text::secret("secret words"))
    })));
    Connector::new(keyring).connect(&target, Patience::NONE).await.expect("answered by the person");
}

#[tokio::test]
async fn a_key_and_a_password_are_given_where_both_are_asked() {
    let (server, mut target) = with_password(&["PasswordAuthentication yes", "AuthenticationMethods publickey,password"]);
    target.credentials.password = Some(Text::secret("secret words"));
    connect(&target).await.map(drop).expect_err("the key is missing");
    target.credentials.keys = vec![server.user_key()];
    connect(&target).await.expect("both");
}

/// As ssh(1) does: whoever answers at a known host's address with another key does not get the password.
#[tokio::test]
async fn no_password_goes_to_a_host_whose_key_has_changed() {
    let (server, mut target) = with_password(&["PasswordAuthentication yes"]);
    target.credentials.password = Some(Text::secret("secret words"));
    let file = server.folder().join("known_hosts");
    let other = public(&server.new_key("another", "ed25519", ""));
    std::fs::write(&file, format!("[127.0.0.1]:{} {other}\n", server.port())).expect("write");
    target.host_keys = provision::ssh::HostKeyPolicy::Unchecked { files: vec![file.clone()] };
    connect(&target).await.map(drop).expect_err("not sent");
    assert!(!server.log().contains("password"), "{}", server.log());
    std::fs::write(&file, "").expect("write");
    connect(&target).await.expect("a new host gets it");
}

//! The agent's start on a host: warm, cold, damaged, and where nothing fits. The real script runs over a real sshd,
//! with a shell script in the agent's place where a test wants an agent that talks.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use provision::ssh::{AgentBinaries, AgentStart, ErrorKind, Link, Started, bootstrap};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{connect, target};
use crate::support::proxy::Proxy;
use crate::support::sshd::Sshd;

/// An agent of our own: an ELF file that copies its input to its output, padded to be new to the host.
struct Fake {
    _folder: tempfile::TempDir,
    binaries: AgentBinaries,
}

/// Agents of tests that run: the last one takes the folder with it.
static ALIVE: std::sync::Mutex<u32> = std::sync::Mutex::new(0);

impl Fake {
    fn new() -> Self {
        *ALIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner) += 1;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("agent");
        // `cat` is an ELF program; bytes after its end change its digest, not what it does.
        let mut bytes = std::fs::read("/bin/cat").expect("coreutils");
        bytes.extend_from_slice(folder.path().as_os_str().as_encoded_bytes());
        std::fs::write(&path, bytes).expect("write");
        let binaries = AgentBinaries::from_file(&path).expect("an ELF file");
        Self { _folder: folder, binaries }
    }

    fn digest(&self) -> String {
        self.binaries.iter().next().expect("one").digest.to_string()
    }

    /// Where the host has it.
    fn installed(&self) -> PathBuf {
        near().join(self.digest())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.installed());
        let mut alive = ALIVE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *alive -= 1;
        if *alive == 0 {
            let _ = std::fs::remove_dir(near());
        }
    }
}

fn near() -> PathBuf {
    PathBuf::from(format!("/var/tmp/.provision-{}", nix::unistd::getuid()))
}

async fn link(server: &Sshd) -> Link {
    Link::Ssh(connect(&target(server)).await.expect("the server runs"))
}

async fn start(link: &Link, fake: &Fake, first: &[u8]) -> Started {
    bootstrap(link, &fake.binaries, &AgentStart { arguments: &["-"], first }).await.expect("it starts")
}

/// Sends more, closes, and reads all that came back.
async fn echo(started: Started, more: &[u8]) -> Vec<u8> {
    let mut transport = started.transport;
    transport.write_all(more).await.expect("it reads");
    transport.shutdown().await.expect("it is open");
    let mut output = Vec::new();
    transport.read_to_end(&mut output).await.expect("it writes");
    assert!(transport.ending().wait().await.success());
    output
}

#[tokio::test]
async fn a_missing_agent_is_sent_once_and_found_the_next_time() {
    let (server, fake) = (Sshd::start(), Fake::new());
    let link = link(&server).await;
    let cold = start(&link, &fake, b"first ").await;
    assert!(cold.uploaded > 0 && !cold.was_damaged);
    assert_eq!(cold.machine, std::env::consts::ARCH);
    assert_eq!(echo(cold, b"more").await, b"first more");
    let warm = start(&link, &fake, b"first ").await;
    assert_eq!(warm.uploaded, 0);
    assert_eq!(echo(warm, b"more").await, b"first more");
}

#[tokio::test]
async fn the_agent_s_folder_is_ours_and_closed_to_writers() {
    let (server, fake) = (Sshd::start(), Fake::new());
    start(&link(&server).await, &fake, b"").await;
    let folder = std::fs::symlink_metadata(near()).expect("it was made");
    assert!(folder.is_dir());
    assert_eq!((folder.permissions().mode() & 0o7777, folder.uid()), (0o711, nix::unistd::getuid().as_raw()));
    let file = std::fs::symlink_metadata(fake.installed()).expect("it was written");
    assert_eq!(file.permissions().mode() & 0o7777, 0o755);
}

#[tokio::test]
async fn a_flipped_byte_is_found_before_it_runs_and_mended() {
    let (server, fake) = (Sshd::start(), Fake::new());
    let link = link(&server).await;
    echo(start(&link, &fake, b"").await, b"").await;
    let mut bytes = std::fs::read(fake.installed()).expect("it was written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(fake.installed(), bytes).expect("we own it");
    let mended = start(&link, &fake, b"whole").await;
    assert!(mended.was_damaged && mended.uploaded > 0);
    assert_eq!(echo(mended, b"").await, b"whole");
}

/// More than a pipe holds is sent ahead of an agent that is not there: it is thrown away, and sent again.
#[tokio::test]
async fn a_large_first_message_is_not_taken_for_the_agent() {
    let (server, fake) = (Sshd::start(), Fake::new());
    let link = link(&server).await;
    let first: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut transport = start(&link, &fake, &first).await.transport;
    let mut output = vec![0; first.len()];
    transport.read_exact(&mut output).await.expect("it echoes");
    assert!(output == first);
}

/// Every login shell that is installed here or named by `PROVISION_TEST_SHELLS` (with `:` between), with start-up files
/// that print and with input waiting.
#[tokio::test]
async fn any_login_shell_starts_the_agent() {
    let fake = Fake::new();
    let more = std::env::var("PROVISION_TEST_SHELLS").unwrap_or_default();
    let usual = ["/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/zsh", "/usr/bin/fish", "/usr/bin/csh", "/usr/bin/tcsh"];
    for shell in usual.into_iter().filter(|shell| Path::new(shell).exists()).chain(more.split(':').filter(|shell| !shell.is_empty())) {
        let _ = std::fs::remove_file(fake.installed());
        // sshd runs a forced command with the login shell; this one runs the asked command with another shell.
        let forced = format!("ForceCommand echo noise; echo more noise >&2; exec {shell} -c \"$SSH_ORIGINAL_COMMAND\"");
        let server = Sshd::with(&crate::support::sshd::Options { settings: &[&forced], ..Default::default() });
        let link = link(&server).await;
        let cold = start(&link, &fake, b"first ").await;
        assert!(cold.uploaded > 0, "{shell}");
        assert_eq!(echo(cold, b"more").await, b"first more", "{shell}");
        assert_eq!(echo(start(&link, &fake, b"first ").await, b"more").await, b"first more", "{shell}");
    }
}

/// A server whose sessions have folders of their own at /var/tmp and /root, prepared by a script. Needs root.
fn with_folders(script: &str) -> Sshd {
    let mounts = format!("mount -t tmpfs tmpfs /root; mount -t tmpfs tmpfs /var/tmp; chmod 1777 /var/tmp; {script}");
    Sshd::with(&crate::support::sshd::Options { mounts: Some(&mounts), ..Default::default() })
}

#[tokio::test]
async fn a_folder_that_is_not_ours_alone_is_left_for_the_home() {
    let fake = Fake::new();
    let folder = "/var/tmp/.provision-0";
    for trap in [
        format!("mkdir /root/elsewhere; ln -s /root/elsewhere {folder}"),
        format!("mkdir {folder}; chmod 773 {folder}"),
        format!("mkdir {folder}; chmod 731 {folder}"),
        format!("mkdir {folder}; chown 4242 {folder}"),
        format!("touch {folder}"),
        "mount -o remount,noexec /var/tmp".to_owned(),
        "mount -o remount,ro /var/tmp".to_owned(),
        "mount -o remount,size=600k /var/tmp".to_owned(),
    ] {
        let server = with_folders(&trap);
        let link = link(&server).await;
        let started = start(&link, &fake, b"first ").await;
        assert_eq!(started.folder, "/root/.cache/provision", "{trap}");
        assert_eq!(echo(started, b"more").await, b"first more");
        assert_eq!(start(&link, &fake, b"").await.uploaded, 0, "{trap}");
    }
}

#[tokio::test]
async fn a_host_without_any_folder_for_programs_says_why() {
    let server = with_folders("mount -o remount,noexec /var/tmp; mount -o remount,ro /root");
    let error = bootstrap(&link(&server).await, &Fake::new().binaries, &AgentStart { first: b"program", ..Default::default() })
        .await
        .err()
        .expect("nowhere");
    assert_eq!(error.kind, ErrorKind::Agent);
    assert_eq!(
        error.message,
        "the host has no folder for the agent: /var/tmp/.provision-0 is mounted noexec; /root/.cache/provision cannot be made"
    );
}

/// The two newest and the one in use stay; files that are not agents are not touched.
#[tokio::test]
async fn old_agents_are_removed() {
    let script = "mkdir -m 711 /var/tmp/.provision-0; cd /var/tmp/.provision-0; for n in 1 2 3 4; do touch -d 2020-01-0$n 000$n; done; touch -d 2020-01-01 notes";
    let (server, fake) = (with_folders(script), Fake::new());
    let connection = connect(&target(&server)).await.expect("the server runs");
    start(&Link::Ssh(connection.clone()), &fake, b"").await;
    let listing = connection.run("ls /var/tmp/.provision-0".into()).await.expect("it runs").stdout;
    assert_eq!(String::from_utf8_lossy(&listing), format!("0003\n0004\n{}\nnotes\n", fake.digest()));
}

/// A user without any right, who exists in the server's namespace only. Needs root.
#[tokio::test]
async fn an_ordinary_user_has_a_folder_of_his_own() {
    let fake = Fake::new();
    let script = "for file in passwd shadow; do cp /etc/$file /root/$file; done
        echo 'someone:x:4242:4242::/root/home:/bin/sh' >>/root/passwd; echo 'someone:*:19000::::::' >>/root/shadow
        mkdir /root/home; chown 4242:4242 /root/home; chmod 755 /root
        for file in passwd shadow; do mount --bind /root/$file /etc/$file; done";
    let server = with_folders(script);
    std::fs::set_permissions(server.folder(), std::fs::Permissions::from_mode(0o755)).expect("our own");
    let mut target = target(&server);
    "someone".clone_into(&mut target.user);
    let connection = connect(&target).await.expect("he may log in");
    let link = Link::Ssh(connection.clone());
    let started = start(&link, &fake, b"first ").await;
    assert_eq!((started.uid, &*started.folder), (4242, "/var/tmp/.provision-4242"));
    assert_eq!(echo(started, b"more").await, b"first more");
    let folder = connection.run("stat -c '%a %u' /var/tmp/.provision-4242".into()).await.expect("it runs").stdout;
    assert_eq!(String::from_utf8_lossy(&folder), "711 4242\n");
}

/// Without sha256sum the agent checks itself, when it is found and when it has arrived.
#[tokio::test]
async fn a_host_without_sha256sum_is_served_by_the_agent_s_own_check() {
    let tools = tempfile::tempdir().expect("a temporary folder");
    for tool in ["uname", "id", "ls", "head", "mkdir", "df", "awk", "chmod", "rm", "gzip", "mv", "find", "wc", "printf"] {
        let path = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|path| path.exists()).expect(tool);
        std::os::unix::fs::symlink(path, tools.path().join(tool)).expect("a link");
    }
    let forced = format!("ForceCommand export PATH={}; exec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"", tools.path().display());
    let mounts = "mount -t tmpfs tmpfs /var/tmp; chmod 1777 /var/tmp";
    let server = Sshd::with(&crate::support::sshd::Options { settings: &[&forced], mounts: Some(mounts), ..Default::default() });
    let binaries = AgentBinaries::from_file(&super::agent()).expect("cargo built it");
    let link = link(&server).await;
    let start = AgentStart::default();
    assert!(bootstrap(&link, &binaries, &start).await.expect("it arrives").uploaded > 0);
    assert_eq!(bootstrap(&link, &binaries, &start).await.expect("it is found").uploaded, 0);
}

#[tokio::test]
async fn this_machine_is_a_link_too() {
    let fake = Fake::new();
    let started = start(&Link::Local, &fake, b"first ").await;
    assert_eq!(echo(started, b"more").await, b"first more");
}

#[tokio::test]
async fn an_agent_for_another_machine_is_refused_by_name() {
    let server = Sshd::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("agent");
    let mut bytes = std::fs::read("/bin/cat").expect("coreutils");
    bytes[18] = 22; // s390x
    bytes[19] = 0;
    std::fs::write(&path, bytes).expect("write");
    let binaries = AgentBinaries::from_file(&path).expect("an ELF file");
    let error = bootstrap(&link(&server).await, &binaries, &AgentStart::default()).await.err().expect("it cannot run");
    assert_eq!(error.kind, ErrorKind::Agent);
    assert_eq!(error.message, format!("the host is {}, and this provision has an agent for s390x only", std::env::consts::ARCH));
}

/// The real agent: its self-check accepts its own file and no other digest.
#[test]
fn the_agent_knows_its_own_digest() {
    let binaries = AgentBinaries::from_file(&super::agent()).expect("cargo built it");
    let digest = binaries.iter().next().expect("one").digest.to_string();
    let check = |digest: &str| std::process::Command::new(super::agent()).args(["--self-check", digest]).status().expect("it runs");
    assert!(check(&digest).success());
    assert!(!check(&digest.replace(|letter| letter == digest.chars().next().expect("64"), "x")).success());
}

#[tokio::test]
async fn a_warm_start_takes_few_turns() {
    let (server, fake) = (Sshd::start(), Fake::new());
    echo(start(&link(&server).await, &fake, b"").await, b"").await;
    let proxy = Proxy::before(server.address());
    let mut through = target(&server);
    through.port = proxy.port();
    let link = Link::Ssh(connect(&through).await.expect("the server runs"));
    let started = start(&link, &fake, b"program").await;
    let mut transport = started.transport;
    let mut output = [0; 7];
    transport.read_exact(&mut output).await.expect("it echoes");
    let traffic = proxy.traffic();
    assert_eq!(traffic.connections, 1);
    assert!(traffic.turns <= 8, "{traffic:?} {:#?}", proxy.bursts());
}

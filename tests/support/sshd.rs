//! A real OpenSSH server on a loopback port, with its own configuration, host keys and authorised keys.
//!
//! Logging in as another user than the one who runs the tests needs root; `Sshd::start` serves the user who runs them.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running sshd; dropping it ends it and its sessions and removes its folder.
pub struct Sshd {
    folder: tempfile::TempDir,
    port: u16,
    process: Child,
}

/// What a test wants other than the defaults.
#[derive(Default)]
pub struct Options<'a> {
    /// Lines before the defaults: sshd takes the first value of a keyword.
    pub settings: &'a [&'a str],
    /// Types of host keys; `ed25519` if none.
    pub host_keys: &'a [&'a str],
    /// A shell script that runs before the server, in a mount namespace that only the server and its sessions share
    /// with it: what it mounts is gone with them. Needs root.
    pub mounts: Option<&'a str>,
}

impl Sshd {
    pub fn start() -> Self {
        Self::with(&Options::default())
    }

    pub fn with(options: &Options) -> Self {
        let folder = tempfile::Builder::new().prefix("provision-sshd-").tempdir().expect("a temporary folder");
        let types = if options.host_keys.is_empty() { &["ed25519"][..] } else { options.host_keys };
        let mut settings: Vec<String> = options.settings.iter().map(|line| (*line).to_owned()).collect();
        for kind in types {
            let key = generate_key(folder.path(), &format!("host_{kind}"), kind, "");
            settings.push(format!("HostKey {}", key.display()));
        }
        let user_key = generate_key(folder.path(), "user", "ed25519", "");
        let public = std::fs::read(user_key.with_extension("pub")).expect("ssh-keygen wrote it");
        std::fs::write(folder.path().join("authorized_keys"), public).expect("write authorized_keys");
        // Only a server that root starts needs the folder for its separated process.
        let _ = std::fs::create_dir_all("/run/sshd");
        let (port, process) = launch(folder.path(), &mut settings, options.mounts);
        Self { folder, port, process }
    }

    /// Ends the server; whoever runs its [`Self::command`] starts it again, on the same port.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.stop_started();
    }

    /// Starts the server in the background, by hand; answers when it listens.
    pub fn command(&self) -> String {
        let folder = self.folder.path().display();
        format!("/usr/sbin/sshd -f {folder}/sshd_config -E {folder}/log")
    }

    /// What the command started.
    fn stop_started(&self) {
        let path = self.folder.path().join("pid");
        let Some(process) = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok()) else { return };
        for session in children(process) {
            children(session).into_iter().for_each(kill);
            kill(session);
        }
        kill(process);
        let _ = std::fs::remove_file(path);
        // A killed one still holds its port for a moment.
        while TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The private key that may log in.
    pub fn user_key(&self) -> PathBuf {
        self.folder.path().join("user")
    }

    /// The public half of the host key of a type, as OpenSSH writes it: `ssh-ed25519 AAAA…`.
    pub fn host_key(&self, kind: &str) -> String {
        let text = std::fs::read_to_string(self.folder.path().join(format!("host_{kind}.pub"))).expect("ssh-keygen wrote it");
        text.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Lets another key log in as well.
    pub fn authorize(&self, public_key: &str) {
        let path = self.folder.path().join("authorized_keys");
        let text = std::fs::read_to_string(&path).expect("written at the start");
        std::fs::write(path, format!("{text}{public_key}\n")).expect("write authorized_keys");
    }

    /// A new key pair in the server's folder, not yet authorised.
    pub fn new_key(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        generate_key(self.folder.path(), name, kind, passphrase)
    }

    /// What the server logged so far (`LogLevel VERBOSE`).
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop_started();
        // The listener's children are its sessions; each leads a process group of its own.
        for session in children(self.process.id()) {
            for process in children(session) {
                kill(process);
            }
            kill(session);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn children(process: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn kill(process: u32) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process.cast_signed()), nix::sys::signal::Signal::SIGKILL);
}

pub fn generate_key(folder: &Path, name: &str, kind: &str, passphrase: &str) -> PathBuf {
    let path = folder.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-C", name, "-N", passphrase, "-t", kind, "-f"]).arg(&path);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    assert!(command.status().expect("openssh-client is installed").success(), "ssh-keygen -t {kind}");
    path
}

/// Starts the server on a free port; another process may take the port in between, so a few are tried.
fn launch(folder: &Path, settings: &mut Vec<String>, mounts: Option<&str>) -> (u16, Child) {
    settings.extend([
        "ListenAddress 127.0.0.1".to_owned(),
        format!("PidFile {}/pid", folder.display()),
        format!("AuthorizedKeysFile {}/authorized_keys", folder.display()),
        "StrictModes no".to_owned(),
        "UsePAM no".to_owned(),
        "PasswordAuthentication no".to_owned(),
        "KbdInteractiveAuthentication no".to_owned(),
        "PermitRootLogin prohibit-password".to_owned(),
        "PrintMotd no".to_owned(),
        "LogLevel VERBOSE".to_owned(),
        "Subsystem sftp internal-sftp".to_owned(),
    ]);
    for _ in 0..5 {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a loopback port is free").port();
        let configuration = folder.join("sshd_config");
        std::fs::write(&configuration, format!("Port {port}\n{}\n", settings.join("\n"))).expect("write sshd_config");
        // Each program becomes the next: the child is sshd in the end.
        let mut command = match mounts {
            None => Command::new("/usr/sbin/sshd"),
            Some(script) => {
                let mut command = Command::new("unshare");
                command.args([
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-euc",
                    &format!("{script}\nexec \"$@\""),
                    "sh",
                    "/usr/sbin/sshd",
                ]);
                command
            }
        };
        let mut process = command
            .arg("-D")
            .arg("-f")
            .arg(&configuration)
            .arg("-E")
            .arg(folder.join("log"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssh-server is installed");
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return (port, process);
            }
            if process.try_wait().expect("our own child").is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = process.kill();
        let _ = process.wait();
        let mut text = String::new();
        if let Some(mut stderr) = process.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        assert!(log.contains("Address already in use"), "sshd did not start: {text}{log}");
    }
    panic!("sshd found no free port");
}

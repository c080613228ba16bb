//! Run by an ordinary user: root is asked for only where it is needed, and nothing of the user's ends up root's.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::pty::openpty;

use crate::support;
use crate::support::nodes::{Turn, root_or_skip};

const PASSWORD: &str = "correct horse battery";

/// A user of this machine with a home and an environment of one node in it; all of it goes when dropped.
struct User {
    name: String,
    uid: u32,
    home: PathBuf,
    /// Where the program lies for everyone to run.
    programs: tempfile::TempDir,
    network: String,
    _turn: Turn,
}

fn root(words: &[&str]) -> Output {
    Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output().expect("it starts")
}

fn sudoers(name: &str) -> PathBuf {
    Path::new("/etc/sudoers.d").join(name)
}

fn remove(name: &str) {
    let _ = root(&["pkill", "-KILL", "-u", name]);
    let _ = root(&["userdel", "--remove", name]);
    let _ = fs::remove_file(sudoers(name));
}

impl User {
    fn new() -> Option<Self> {
        if !root_or_skip() {
            return None;
        }
        // What a killed run of this test left.
        for line in fs::read_to_string("/etc/passwd").expect("users").lines() {
            let name = line.split(':').next().unwrap_or_default();
            let pid = name.strip_prefix("pv-user-").and_then(|pid| pid.parse::<u32>().ok());
            if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                remove(name);
            }
        }
        let turn = Turn::shared();
        let name = format!("pv-user-{}", std::process::id());
        let home = PathBuf::from(format!("/home/{name}"));
        let made = root(&["useradd", "--create-home", "--shell", "/bin/bash", &name]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let programs = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().expect("a folder");
        for program in [env!("CARGO_BIN_EXE_provision"), env!("CARGO_BIN_EXE_provision-agent")] {
            let to = programs.path().join(Path::new(program).file_name().expect("a name"));
            if fs::hard_link(program, &to).is_err() {
                fs::copy(program, &to).expect("copied");
            }
        }
        let uid = fs::metadata(&home).expect("a home").uid();
        let network = format!("10.218.{}", std::process::id() % 250);
        let user = Self { name, uid, home, programs, network, _turn: turn };
        let mut set = Command::new("chpasswd").stdin(Stdio::piped()).spawn().expect("chpasswd starts");
        let line = format!("{}:{PASSWORD}\n", user.name);
        set.stdin.take().expect("a pipe").write_all(line.as_bytes()).expect("written");
        assert!(set.wait().expect("it ends").success());
        let network = &user.network;
        for (path, text) in [
            ("provision.yaml", format!("name: t-{}-user\n", std::process::id())),
            (
                "vms/dev.yaml",
                format!("networks: [{network}.0/24]\ndefaults: {{image: debian-12, cpus: 1, memory: 512MiB}}\nmachines:\n  only: {{address: {network}.2}}\n"),
            ),
            ("inventory/hosts.yaml", "all: {}\n".to_owned()),
            (
                "playbooks/site.yaml",
                "- hosts: only\n  tasks: [{name: note, copy: {dest: /etc/note, content: \"made\\n\"}}]\n\
                 - hosts: localhost\n  connection: local\n  gather_facts: false\n  tasks: [{name: mine, copy: {dest: \"{{ playbook_dir }}/mine\", content: \"made\\n\"}}]\n"
                    .to_owned(),
            ),
        ] {
            let path = user.folder().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        assert!(root(&["chown", "-R", &user.name, &user.home.to_string_lossy()]).status.success());
        Some(user)
    }

    fn folder(&self) -> PathBuf {
        self.home.join("environment")
    }

    /// What sudo lets the user do.
    fn allow(&self, rule: &str) {
        let path = sudoers(&self.name);
        fs::write(&path, format!("{} ALL=(root) {rule}\n", self.name)).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).expect("set");
    }

    fn program(&self) -> PathBuf {
        self.programs.path().join("provision")
    }

    /// A command in the user's folder, as the user.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder())
            .env_clear()
            // As Debian gives it to users: without the sbin folders.
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("PROVISION_AGENT", self.programs.path().join("provision-agent"))
            .uid(self.uid)
            .gid(self.uid)
            .stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        support::expect(code, self.command(self.program()).args(arguments))
    }

    /// The same on a terminal, answering each question with its line; exit code and all that stood on the screen.
    fn on_terminal(&self, arguments: &[&str], answers: &[(&str, &str)]) -> (i32, String) {
        let pty = openpty(None, None).expect("a terminal");
        let end = |slave: &OwnedFd| Stdio::from(slave.try_clone().expect("a file"));
        let mut child = self
            .command("setsid")
            .args(["--ctty", "--wait"])
            .arg(self.program())
            .args(arguments)
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(end(&pty.slave))
            .spawn()
            .expect("setsid is part of util-linux");
        drop(pty.slave);
        let mut screen = fs::File::from(pty.master);
        let mut keyboard = screen.try_clone().expect("a file");
        let reader = std::thread::spawn({
            let answers: Vec<(String, String)> = answers.iter().map(|(ask, answer)| ((*ask).to_owned(), (*answer).to_owned())).collect();
            move || {
                let (mut text, mut answers) = (String::new(), answers.into_iter().peekable());
                let (mut seen, mut buffer) = (0, [0; 4096]);
                // The last writer's end is EIO here.
                while let Ok(count @ 1..) = screen.read(&mut buffer) {
                    text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                    if let Some((_, answer)) = answers.next_if(|(ask, _)| text[seen..].contains(ask.as_str())) {
                        seen = text.len();
                        keyboard.write_all(format!("{answer}\n").as_bytes()).expect("typed");
                    }
                }
                text
            }
        });
        let limit = Instant::now() + Duration::from_secs(120);
        let status = loop {
            match child.try_wait().expect("it can be waited for") {
                Some(status) => break status,
                None if Instant::now() > limit => {
                    let _ = root(&["pkill", "-KILL", "-u", &self.name]);
                    let _ = child.wait();
                    panic!("{arguments:?} did not end:\n{}", reader.join().expect("it reads to the end"));
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        // Nothing that stays holds the terminal.
        (status.code().unwrap_or(-1), reader.join().expect("it reads to the end"))
    }

    /// Paths in the home that are not the user's.
    fn not_mine(&self) -> Vec<String> {
        let found = root(&["find", &self.home.to_string_lossy(), "-xdev", "!", "-user", &self.name]);
        String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect()
    }

    fn state(&self) -> String {
        let (stdout, _) = self.expect(0, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        status["nodes"][0]["state"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let folder = self.folder();
        let _ = Command::new(env!("CARGO_BIN_EXE_provision")).args(["destroy", "--yes"]).current_dir(folder).stdin(Stdio::null()).output();
        remove(&self.name);
    }
}

#[test]
fn an_ordinary_user_owns_everything_and_is_root_only_for_machines() {
    let Some(user) = User::new() else { return };
    assert_eq!(user.state(), "absent");

    // No right to be root: said before anything is made, with what to type.
    let (_, refused) = user.expect(1, &["up", "--yes"]);
    assert!(refused.contains("error: becoming root") && refused.contains("hint: run `sudo -v` first"), "{refused}");
    assert_eq!(user.state(), "absent");

    // sudo asks on the terminal, after it was said why; what is to be done beside the machines is asked once it is known.
    user.allow("ALL");
    let (code, screen) = user.on_terminal(&["up"], &[("Apply? [y/N]", "y"), ("password for", PASSWORD), ("Apply? [y/N]", "y")]);
    assert_eq!(code, 0, "{screen}");
    let why = screen.find("Making machines needs root: sudo asks for your password.").unwrap_or_else(|| panic!("{screen}"));
    assert!(why < screen.find("password for").unwrap_or_else(|| panic!("{screen}")), "{screen}");
    assert!(!screen.contains(PASSWORD), "{screen}");
    assert_eq!(user.not_mine(), Vec::<String>::new());
    assert!(user.folder().join("playbooks/mine").exists() && user.home.join(".cache/provision").exists());

    // What needs no root asks for none.
    assert_eq!(user.state(), "ready");
    assert_eq!(user.expect(0, &["ssh", "only", "--", "cat", "/etc/note"]).0, "made\n");
    let (_, again) = user.expect(0, &["up", "--yes"]);
    assert!(again.starts_with("No changes: "), "{again}");
    let (_, refused) = user.expect(1, &["destroy", "--yes"]);
    assert!(refused.contains("hint: run `sudo -v` first"), "{refused}");
    assert_eq!(user.state(), "ready");

    // One door to root is enough.
    user.allow(&format!("NOPASSWD: {} supervise request", user.program().display()));
    user.expect(0, &["destroy", "--yes"]);
    assert_eq!(user.state(), "absent");
    assert_eq!(user.not_mine(), Vec::<String>::new());
    user.expect(0, &["up", "--yes"]);

    // Root through sudo in the user's folder, with the user's HOME: what it writes is the user's too.
    fs::remove_dir_all(user.home.join(".cache")).expect("removed");
    let folder = user.folder();
    let output = Command::new(user.program())
        .args(["up", "--yes"])
        .current_dir(&folder)
        .env("HOME", &user.home)
        .env_remove("XDG_CACHE_HOME")
        .env("SUDO_UID", user.uid.to_string())
        .env("SUDO_GID", user.uid.to_string())
        .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
        .stdin(Stdio::null())
        .output()
        .expect("provision runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(user.not_mine(), Vec::<String>::new());
    user.expect(0, &["destroy", "--yes"]);
}

//! The one door to root: typed requests to a process of this very program, through `sudo -n` when we are not root.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::error::{Error, Kind};
use super::process::last_lines;
use super::request::{Answer, Request};

/// How to start the program's root side.
#[derive(Debug, Clone)]
pub struct Privilege {
    /// The program with the hidden subcommand `supervise`.
    pub program: PathBuf,
    pub root: bool,
}

impl Privilege {
    pub fn new(program: PathBuf) -> Self {
        Self { program, root: nix::unistd::geteuid().is_root() }
    }

    fn not_started(&self, words: &[String], doing: &str, error: &std::io::Error) -> Error {
        if !self.root && error.kind() == std::io::ErrorKind::NotFound {
            return Error::new(Kind::Machine, becoming(doing))
                .because("there is no `sudo` on this machine")
                .hint("install sudo, or run the same command as root");
        }
        Error::new(Kind::Machine, doing).because(format!("starting `{}`: {error}", words.join(" ")))
    }

    /// The words of the command line: `[sudo -n --] program supervise request`.
    pub fn words(&self) -> Vec<String> {
        let sudo = ["sudo", "-n", "--"].map(str::to_owned);
        let own = [self.program.to_string_lossy().into_owned(), "supervise".to_owned(), "request".to_owned()];
        if self.root { own.into() } else { sudo.into_iter().chain(own).collect() }
    }

    /// Have a request done as root.
    pub fn ask(&self, request: &Request) -> Result<Answer, Error> {
        let doing = request.sentence();
        let failed = |cause: String| Error::new(Kind::Machine, &doing).because(cause);
        let words = self.words();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.not_started(&words, &doing, &error))?;
        let text = serde_json::to_vec(request).map_err(|error| failed(error.to_string()))?;
        if let Some(mut pipe) = child.stdin.take() {
            // sudo that refuses reads nothing: its words tell more than our broken pipe.
            _ = pipe.write_all(&text);
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if let Ok(answer) = serde_json::from_slice::<Result<Answer, Error>>(&output.stdout) {
            return answer;
        }
        let said = last_lines(&String::from_utf8_lossy(&output.stderr), 5);
        if !self.root && (said.contains("sudo") || said.is_empty()) {
            return Err(Error::new(Kind::Privilege, becoming(&doing))
                .because(if said.is_empty() { format!("`sudo -n` ended with {}", output.status) } else { said })
                .hint("run `sudo -v` first, then the same command again"));
        }
        Err(failed(format!("`{}` ended with {}: {said}", words.join(" "), output.status)))
    }
}

fn becoming(doing: &str) -> String {
    if doing.is_empty() { "becoming root".to_owned() } else { format!("becoming root: {doing}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::environment::Names;

    #[test]
    fn an_ordinary_user_goes_through_sudo() {
        let mut privilege = Privilege { program: "/usr/bin/provision".into(), root: false };
        assert_eq!(privilege.words(), ["sudo", "-n", "--", "/usr/bin/provision", "supervise", "request"]);
        privilege.root = true;
        assert_eq!(privilege.words(), ["/usr/bin/provision", "supervise", "request"]);
    }

    #[test]
    fn a_refusal_of_sudo_tells_what_to_type() {
        let folder = tempfile::tempdir().unwrap();
        let sudo = folder.path().join("sudo");
        std::fs::write(&sudo, "#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n").unwrap();
        std::process::Command::new("chmod").arg("+x").arg(&sudo).status().unwrap();
        // The stand-in for sudo is our program here: only its words and its exit matter.
        let privilege = Privilege { program: sudo, root: true };
        let refused = Privilege { root: false, ..privilege.clone() };
        assert_eq!(refused.words()[0], "sudo");
        let request = Request::Stop { names: Names { id: "x-1".into() }, nodes: vec![] };
        let error = privilege.ask(&request).unwrap_err();
        assert!(error.to_string().contains("a password is required"), "{error}");
    }
}

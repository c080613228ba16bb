//! A user's SSH key: made by ssh-keygen(1), its fingerprint computed from the public half.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::Digest as _;

use super::{Mode, User};
use crate::module::Outcome;
use crate::module::file_arguments::{Draft, followed, text};
use crate::program::{Bytes, Value};
use crate::system::{Action, Command, Effect, Error, Ownership, Result, System, User as Found};

/// ssh-keygen asks a program for the passphrase where it has no terminal: one that prints what this process's environment holds, so that
/// neither a list of processes nor a file shows it.
const ASKING: &str = r#"umask 077
folder=$(mktemp -d) || exit
trap 'rm -rf "$folder"' EXIT
printf '%s\n' '#!/bin/sh' 'printf "%s\n" "$PROVISION_PASSPHRASE"' > "$folder/answer"
chmod 700 "$folder/answer"
SSH_ASKPASS=$folder/answer SSH_ASKPASS_REQUIRE=force DISPLAY=${DISPLAY:-:} "$@""#;

impl User {
    fn key_path(&self, user: &Found) -> PathBuf {
        match &self.ssh_key_file {
            Some(path) => user.home.join(path.path()),
            None => user.home.join(".ssh").join(format!("id_{}", self.ssh_key_type)),
        }
    }

    pub(super) fn ssh_key(&self, user: &Found, mode: Mode, draft: &mut Draft<'_>, warnings: &mut Vec<String>) -> Result<()> {
        let path = self.key_path(user);
        let public = beside(&path);
        if mode != Mode::Check && path.starts_with(&user.home) && followed(&user.home, &draft.system)?.is_none() {
            let error = Error::failed(format!("User {} home directory does not exist", self.name));
            return Err(error.hint("`create_home: true` makes it").detail("name", self.name.as_str()).detail("rc", 1_i64));
        }
        let owner = self.owner(user, &draft.system)?;
        let ownership = Ownership { owner: Some(owner.user), group: Some(owner.group), ..Ownership::default() };
        if let Some(folder) = path.parent()
            && followed(folder, &draft.system)?.is_none()
        {
            let ownership = Ownership { mode: Some(0o700), ..ownership.clone() };
            draft.push(Action::MakeDirectory { path: folder.to_owned(), ownership });
        }
        let mut answers = None;
        let mut follow = false;
        for (half, path) in [("private", &path), ("public", &public)] {
            if followed(path, &draft.system)?.is_none() {
                continue;
            }
            // What ssh-keygen makes anew is no link.
            follow = true;
            let place = path.display();
            if !self.force {
                warnings.push(format!("Found existing ssh key {half} file \"{place}\", no force, so skipping ssh-keygen generation"));
                return Ok(());
            }
            warnings.push(format!("Overwriting existing ssh key {half} file \"{place}\""));
            if half == "public" {
                draft.push(Action::Remove { path: path.clone() });
            } else {
                answers = Some(Bytes(b"y\n".as_slice().into()));
            }
        }
        let mut command = self.keygen(&path, &draft.system)?.effect(Effect::Unsure(vec![path.clone(), public.clone()]));
        command.stdin = answers;
        draft.push(Action::Run(command));
        for path in [path, public] {
            draft.push(Action::SetOwnership { path, ownership: ownership.clone(), follow });
        }
        Ok(())
    }

    fn keygen(&self, path: &Path, system: &dyn System) -> Result<Command> {
        let comment = match &self.ssh_key_comment {
            Some(comment) => comment.clone(),
            None => format!("ansible-generated on {}", system.kernel_hostname()?),
        };
        let mut words = vec!["ssh-keygen".to_owned(), "-t".to_owned(), self.ssh_key_type.clone()];
        if self.ssh_key_bits > 0 {
            words.extend(["-b".to_owned(), self.ssh_key_bits.to_string()]);
        }
        words.extend(["-C".to_owned(), comment, "-f".to_owned(), text(path)]);
        let label = format!("make the SSH key {}", path.display());
        Ok(match &self.ssh_key_passphrase {
            Some(passphrase) => {
                let script = ["/bin/sh", "-c", ASKING, "sh"].map(str::to_owned);
                let mut command = Command::new(label, script.into_iter().chain(words));
                command.environment.push(("PROVISION_PASSPHRASE".to_owned(), passphrase.clone()));
                command
            }
            None => Command::new(label, words.into_iter().chain(["-N".to_owned(), String::new()])),
        })
    }

    pub(super) fn with_ssh_key(&self, outcome: Outcome, user: &Found, system: &dyn System) -> Result<Outcome> {
        let path = self.key_path(user);
        let public = match system.read(&beside(&path)) {
            Ok(Some(bytes)) => {
                let line = String::from_utf8_lossy(&bytes).trim().to_owned();
                (Value::from(fingerprint(&line).unwrap_or_default()), Value::from(line))
            }
            Ok(None) => (Value::from(""), Value::Null),
            Err(error) => match error.unknown_cause() {
                Some(_) => (Value::unknown("the new key"), Value::unknown("the new key")),
                None => return Err(error),
            },
        };
        Ok(outcome.with("ssh_fingerprint", public.0).with("ssh_key_file", text(&path)).with("ssh_public_key", public.1))
    }
}

/// The public half's file.
fn beside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pub", path.display()))
}

/// `256 SHA256:… comment (ED25519)`, as `ssh-keygen -l` prints it. Source: RFC 4253 §6.6.
fn fingerprint(line: &str) -> Option<String> {
    let mut words = line.splitn(3, ' ');
    let (kind, blob) = (words.next()?, STANDARD.decode(words.next()?).ok()?);
    let comment = words.next().filter(|comment| !comment.is_empty()).unwrap_or("no comment");
    let mut parts = Vec::new();
    let mut rest = blob.as_slice();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        parts.push(after.get(..length)?);
        rest = &after[length..];
    }
    let bits = |number: &[u8]| {
        let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
        number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
    };
    let (size, name) = match kind {
        "ssh-rsa" => (bits(parts.get(2)?), "RSA"),
        "ssh-dss" => (bits(parts.get(1)?), "DSA"),
        "ssh-ed25519" => (256, "ED25519"),
        "sk-ssh-ed25519@openssh.com" => (256, "ED25519-SK"),
        "sk-ecdsa-sha2-nistp256@openssh.com" => (256, "ECDSA-SK"),
        _ => (kind.strip_prefix("ecdsa-sha2-nistp")?.parse().ok()?, "ECDSA"),
    };
    let digest = STANDARD_NO_PAD.encode(sha2::Sha256::digest(&blob));
    Some(format!("{size} SHA256:{digest} {comment} ({name})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_prints() {
        let folder = tempfile::tempdir().expect("a folder");
        for (kind, bits) in [("ed25519", "0"), ("rsa", "2048"), ("ecdsa", "384")] {
            let path = folder.path().join(kind);
            let run = |words: &[&str]| {
                let output = std::process::Command::new("ssh-keygen").args(words).arg("-f").arg(&path).output().expect("ssh-keygen runs");
                assert!(output.status.success(), "{output:?}");
                String::from_utf8_lossy(&output.stdout).trim().to_owned()
            };
            let bits = if bits == "0" { Vec::new() } else { vec!["-b", bits] };
            run(&[&["-q", "-t", kind, "-N", "", "-C", "two words"], bits.as_slice()].concat());
            let public = std::fs::read_to_string(beside(&path)).expect("is made");
            assert_eq!(fingerprint(public.trim()), Some(run(&["-l"])));
        }
        assert_eq!(fingerprint("ssh-rsa AAAA"), None);
    }
}

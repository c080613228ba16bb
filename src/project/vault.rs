//! Ansible's vault: texts and files encrypted with a password, formats 1.1 and 1.2 (AES256).
//!
//! The format is documented in Ansible's user guide ("Format of files encrypted with Ansible Vault"): hexadecimal of three
//! lines, each hexadecimal again: salt, HMAC-SHA256, AES-256-CTR text with PKCS#7 padding; keys by PBKDF2 with 10 000 rounds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::source::{Diagnostic, Diagnostics, Opener, Refusal};

const HEADER: &str = "$ANSIBLE_VAULT";
/// Rounds of PBKDF2, fixed by the format.
const ROUNDS: u32 = 10_000;
/// Cipher key, HMAC key and counter that are derived from a password.
const DERIVED: usize = 32 + 32 + 16;
/// What to do where a password is missing.
const GIVE: &str = "give `--vault-password-file FILE` or `--vault-id ID@FILE`, set ANSIBLE_VAULT_PASSWORD_FILE, \
                    or name `vault_password_file` in ansible.cfg";

/// Whether a text or a file's bytes are vault data.
pub fn is_encrypted(data: &[u8]) -> bool {
    data.starts_with(HEADER.as_bytes())
}

/// Where passwords come from, in the order they are tried.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    /// `--vault-id [LABEL@]FILE-or-prompt`, after those of `vault_identity_list`.
    pub ids: Vec<String>,
    /// `--vault-password-file`, then the setting.
    pub files: Vec<PathBuf>,
    /// `--ask-vault-pass`.
    pub ask: bool,
    /// Only the password of a text's own label is tried (`vault_id_match`).
    pub id_match: bool,
}

/// Asks the user for a password: the question in, the answer out; `None` where nobody can be asked.
pub type Prompt<'call> = &'call mut dyn FnMut(&str) -> Option<String>;

/// Passwords that were read, and what is derived from them.
#[derive(Default)]
pub struct Vault {
    secrets: Vec<Secret>,
    id_match: bool,
    /// Deriving takes milliseconds; a salt is often asked for once only, a file's texts may share one.
    derived: Mutex<HashMap<Salted, Keys>>,
}

/// A secret's index and a salt.
type Salted = (usize, Vec<u8>);
type Keys = [u8; DERIVED];

struct Secret {
    label: String,
    password: Vec<u8>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.secrets.iter().map(|secret| &secret.label)).finish()
    }
}

impl Vault {
    /// One password, labelled `default`.
    pub fn with_password(password: impl Into<Vec<u8>>) -> Self {
        Self { secrets: vec![Secret { label: "default".to_owned(), password: password.into() }], ..Self::default() }
    }

    /// Reads all passwords; one that cannot be read is a mistake.
    pub fn load(passwords: &Passwords, prompt: Prompt, diagnostics: &mut Diagnostics) -> Self {
        let mut vault = Self { id_match: passwords.id_match, ..Self::default() };
        let ids = passwords.ids.iter().map(|id| match id.split_once('@') {
            Some((label, source)) => (label.to_owned(), PathBuf::from(source), id.clone()),
            None => ("default".to_owned(), PathBuf::from(id), id.clone()),
        });
        let files = passwords.files.iter().map(|file| ("default".to_owned(), file.clone(), file.display().to_string()));
        for (label, source, written) in ids.chain(files) {
            let password = if source.as_os_str() == "prompt" || source.as_os_str() == "prompt_ask_vault_pass" {
                prompt(&format!("Vault password ({label}): "))
                    .map(String::into_bytes)
                    .ok_or_else(|| "none was typed, or there is no terminal to ask on".to_owned())
            } else {
                vault.password_of(&home(&source), &label)
            };
            vault.add(label, password, &written, diagnostics);
        }
        if passwords.ask {
            let password = prompt("Vault password: ")
                .map(String::into_bytes)
                .ok_or_else(|| "none was typed, or there is no terminal to ask on".to_owned());
            vault.add("default".to_owned(), password, "prompt", diagnostics);
        }
        vault
    }

    fn add(&mut self, label: String, password: Result<Vec<u8>, String>, written: &str, diagnostics: &mut Diagnostics) {
        match password.map(|password| password.trim_ascii().to_vec()) {
            Ok(password) if password.is_empty() => {
                diagnostics.push(Diagnostic::nowhere(format!("read the vault password from `{written}`: it is empty")));
            }
            Ok(password) => self.secrets.push(Secret { label, password }),
            Err(cause) => diagnostics.push(Diagnostic::nowhere(format!("read the vault password from `{written}`: {cause}"))),
        }
    }

    /// A password file's content, or what it prints where it is executable. A file may be encrypted with a password before it.
    fn password_of(&self, path: &Path, label: &str) -> Result<Vec<u8>, String> {
        let about = std::fs::metadata(path).map_err(|error| plain(&error))?;
        if about.is_dir() {
            return Err("it is a folder".to_owned());
        }
        if is_executable(&about) {
            return run(path, label);
        }
        let content = std::fs::read(path).map_err(|error| plain(&error))?;
        if is_encrypted(&content) {
            return self.open_bytes(&content).map_err(|refusal| refusal.message);
        }
        Ok(content)
    }

    /// The plain bytes of vault data.
    pub fn open_bytes(&self, data: &[u8]) -> Result<Vec<u8>, Refusal> {
        let refuse = |message: &str| Refusal { message: message.to_owned(), hint: None };
        let text = std::str::from_utf8(data).map_err(|_| refuse("damaged vault data: not a text"))?;
        let mut lines = text.lines().map(str::trim);
        let header: Vec<&str> = lines.next().unwrap_or_default().split(';').map(str::trim).collect();
        if header.first() != Some(&HEADER) {
            return Err(Refusal {
                message: "a `!vault` text that is not encrypted".to_owned(),
                hint: Some(format!("it begins with `{HEADER};1.1;AES256`; make one with `ansible-vault encrypt_string`")),
            });
        }
        let label = match header.as_slice() {
            [_, "1.1", "AES256"] => None,
            [_, "1.2", "AES256", label] => Some(*label),
            [_, version, cipher, ..] => {
                return Err(Refusal {
                    message: format!("vault format {version} with cipher {cipher} is not supported"),
                    hint: Some("encrypt it again with a current `ansible-vault rekey` (format 1.1 or 1.2, AES256)".to_owned()),
                });
            }
            _ => return Err(refuse("damaged vault data: the first line is not `$ANSIBLE_VAULT;VERSION;CIPHER`")),
        };
        let damaged = || Refusal {
            message: "damaged vault data: it is cut off, or not hexadecimal".to_owned(),
            hint: Some("take it from your last commit or backup, or encrypt it anew with `ansible-vault encrypt`".to_owned()),
        };
        let body: String = lines.collect();
        let body = hex::decode(body).map_err(|_| damaged())?;
        let mut parts = body.splitn(3, |byte| *byte == b'\n').map(hex::decode);
        let mut part = || parts.next().and_then(Result::ok).ok_or_else(damaged);
        let (salt, signature, mut content) = (part()?, part()?, part()?);
        if self.secrets.is_empty() {
            return Err(Refusal { message: "an encrypted value, and no vault password was given".to_owned(), hint: Some(GIVE.to_owned()) });
        }
        // The password of the text's own label first, then all others: a label is a nickname, nothing signs it.
        let own = |secret: &Secret| Some(secret.label.as_str()) == label;
        let mut order: Vec<usize> = (0..self.secrets.len()).filter(|index| own(&self.secrets[*index])).collect();
        if !self.id_match || label.is_none() {
            order.extend((0..self.secrets.len()).filter(|index| !own(&self.secrets[*index])));
        }
        for index in order {
            let keys = self.derive(index, &salt);
            let (cipher_key, rest) = keys.split_at(32);
            let (signing_key, counter) = rest.split_at(32);
            let mut signer = Hmac::<Sha256>::new_from_slice(signing_key).expect("HMAC takes a key of any length");
            signer.update(&content);
            if signer.verify_slice(&signature).is_err() {
                continue;
            }
            let mut cipher = Ctr128BE::<Aes256>::new_from_slices(cipher_key, counter).expect("key and counter have the cipher's lengths");
            cipher.apply_keystream(&mut content);
            return unpad(content).ok_or_else(damaged);
        }
        let tried: Vec<&str> = self.secrets.iter().map(|secret| secret.label.as_str()).collect();
        Err(Refusal {
            message: match label {
                Some(label) => format!("no vault password opens this value (it is labelled `{label}`)"),
                None => "no vault password opens this value".to_owned(),
            },
            hint: Some(match label {
                Some(label) if !tried.contains(&label) => format!("tried: {}; give `--vault-id {label}@FILE`", tried.join(", ")),
                _ => format!("tried: {}; either the password is another one or the value is damaged", tried.join(", ")),
            }),
        })
    }

    fn derive(&self, secret: usize, salt: &[u8]) -> Keys {
        let key = (secret, salt.to_vec());
        let mut derived = self.derived.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *derived.entry(key).or_insert_with(|| keys(&self.secrets[secret].password, salt))
    }

    /// Vault data of a text, encrypted with the first password (format 1.1) or the label's (1.2). The salt is 32 random bytes.
    pub fn seal(&self, plain: &[u8], label: Option<&str>, salt: &[u8]) -> Option<String> {
        let index = self.secrets.iter().position(|secret| label.is_none_or(|label| secret.label == label))?;
        let keys = self.derive(index, salt);
        let padding = 16 - plain.len() % 16;
        let mut content = plain.to_vec();
        content.extend(std::iter::repeat_n(padding as u8, padding));
        let mut cipher = Ctr128BE::<Aes256>::new_from_slices(&keys[..32], &keys[64..]).expect("key and counter have the cipher's lengths");
        cipher.apply_keystream(&mut content);
        let mut signer = Hmac::<Sha256>::new_from_slice(&keys[32..64]).expect("HMAC takes a key of any length");
        signer.update(&content);
        let body = [hex::encode(salt), hex::encode(signer.finalize().into_bytes()), hex::encode(&content)].join("\n");
        let body = hex::encode(body);
        let mut text = match label {
            Some(label) if label != "default" => format!("{HEADER};1.2;AES256;{label}\n"),
            _ => format!("{HEADER};1.1;AES256\n"),
        };
        for line in body.as_bytes().chunks(80) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        Some(text)
    }
}

impl Opener for Vault {
    fn open(&self, ciphertext: &str) -> Result<String, Refusal> {
        let plain = self.open_bytes(ciphertext.trim_start().as_bytes())?;
        String::from_utf8(plain).map_err(|_| Refusal { message: "the encrypted value is not a text (UTF-8)".to_owned(), hint: None })
    }
}

fn keys(password: &[u8], salt: &[u8]) -> Keys {
    let mut derived = [0; DERIVED];
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, ROUNDS, &mut derived);
    derived
}

/// Takes PKCS#7 padding away; `None` where it is none.
fn unpad(mut content: Vec<u8>) -> Option<Vec<u8>> {
    let length = *content.last()? as usize;
    let start = content.len().checked_sub(length).filter(|_| (1..=16).contains(&length))?;
    content[start..].iter().all(|byte| *byte as usize == length).then(|| content.truncate(start))?;
    Some(content)
}

/// What a password script prints; one whose name ends in `-client` is told the label.
fn run(path: &Path, label: &str) -> Result<Vec<u8>, String> {
    let mut command = Command::new(path);
    if path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-client")) {
        command.arg("--vault-id").arg(label);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("run it: {}; if it is no script, take its executable bit away", plain(&error)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code().map_or("a signal".to_owned(), |code| code.to_string());
        return Err(format!("the script exited with {code}{}{}", if complaint.trim().is_empty() { "" } else { ": " }, complaint.trim()));
    }
    Ok(output.stdout)
}

pub(super) fn is_executable(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    about.is_file() && about.permissions().mode() & 0o111 != 0
}

/// `~/…` as an absolute path.
pub(super) fn home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}

/// An I/O error's sentence without the number.
pub(super) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::InvalidData => "it is not a text (UTF-8)".to_owned(),
        _ => error.to_string(),
    }
}

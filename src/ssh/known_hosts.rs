//! Whose key a host shows: our own reading of known_hosts, which refuses whatever it cannot decide.
//!
//! Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Handled: several keys of a type, hashed names, `*` and `?`, `!`,
//! `[host]:port`, `@revoked`, `@cert-authority`. A line that does not parse grants nothing; a `@revoked` one that does not
//! parse and names the host refuses every key.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey, PublicKeyOrCertificate};

use super::error::{Error, ErrorKind, Result, plain};
use crate::program::glob::wildcards;
use crate::program::host_names::names;

/// Which keys a host may show.
#[derive(Clone, Debug)]
pub enum HostKeyPolicy {
    /// One of these and no other; files are not read.
    Pinned(Vec<PublicKey>),
    KnownHosts {
        /// The user's files first; new keys go to the first.
        files: Vec<PathBuf>,
        /// Remember the key of a host that no file names (`StrictHostKeyChecking accept-new`).
        accept_new: bool,
    },
    /// `StrictHostKeyChecking no`: any key; a new one is remembered, and to a host whose key has changed no password is sent.
    Unchecked { files: Vec<PathBuf> },
}

/// What the files say about one host, read before the connection, so that known types of keys can be asked for.
#[derive(Clone, Debug)]
pub struct KnownKeys {
    /// As matched: `host`, `[host]:port`.
    name: String,
    policy: HostKeyPolicy,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    marker: Marker,
    key: Option<PublicKey>,
    file: PathBuf,
    number: usize,
    /// Names the host with this very port; other lines may accept, but say nothing about change.
    exact: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Plain,
    Authority,
    Revoked,
}

/// How sure we are of a host whose key was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Known,
    /// Written to the file just now.
    New,
    /// Another key is known; accepted only because the policy is [`HostKeyPolicy::Unchecked`].
    None,
}

impl KnownKeys {
    /// Reads the lines that concern a host. A file that is absent is empty; one that cannot be read is an error.
    pub fn read(host: &str, port: u16, policy: &HostKeyPolicy) -> Result<Self> {
        let host = host.to_lowercase();
        let name = if port == 22 { host.clone() } else { format!("[{host}]:{port}") };
        let files = match policy {
            HostKeyPolicy::Pinned(_) => &[][..],
            HostKeyPolicy::KnownHosts { files, .. } | HostKeyPolicy::Unchecked { files } => files,
        };
        let mut texts = Vec::new();
        for file in files {
            match std::fs::read(file) {
                Ok(bytes) => texts.push((file, String::from_utf8_lossy(&bytes).into_owned())),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::new(ErrorKind::Configuration, format!("read {}: {}", file.display(), plain(&error)))),
            }
        }
        let find = |name: &str, exact| texts.iter().flat_map(|(file, text)| lines(file, text, name, exact)).collect::<Vec<_>>();
        let mut found = find(&name, true);
        // ssh(1) falls back to the name without the port: a key recorded there is accepted, another is simply new.
        if port != 22 && !found.iter().any(|line| line.marker == Marker::Plain) {
            found.extend(find(&host, false));
        }
        Ok(Self { name, policy: policy.clone(), lines: found })
    }

    /// Whether the host may show a certificate: an authority is named for it.
    pub fn has_authority(&self) -> bool {
        self.lines.iter().any(|line| line.marker == Marker::Authority)
    }

    /// Types of the keys that would be accepted; empty if none is known. A server picks the first that it has.
    pub fn algorithms(&self) -> Vec<Algorithm> {
        let mut types: Vec<Algorithm> = Vec::new();
        for key in self.plain_keys() {
            let algorithm = key.algorithm();
            // One RSA key signs with either hash; the bare name would be SHA-1.
            let names = if matches!(algorithm, Algorithm::Rsa { .. }) {
                vec![Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }]
            } else {
                vec![algorithm]
            };
            types.extend(names.into_iter().filter(|name| !types.contains(name)).collect::<Vec<_>>());
        }
        types
    }

    fn plain_keys(&self) -> impl Iterator<Item = &PublicKey> {
        let pinned = if let HostKeyPolicy::Pinned(keys) = &self.policy { &keys[..] } else { &[] };
        let recorded = self.lines.iter().filter(|line| line.marker == Marker::Plain).filter_map(|line| line.key.as_ref());
        pinned.iter().chain(recorded)
    }

    /// Decides on what the host showed; `node` is what the user calls it, `host` the name that a certificate must be for.
    pub fn check(&self, node: &str, host: &str, shown: &PublicKeyOrCertificate) -> Result<Trust> {
        let key = shown.public_key();
        if let Some(error) = self.revoked(&key, shown.certificate()) {
            return Err(error);
        }
        if let Some(certificate) = shown.certificate() {
            return self.check_certificate(host, certificate).map(|()| Trust::Known);
        }
        if self.plain_keys().any(|known| known.key_data() == key.key_data()) {
            return Ok(Trust::Known);
        }
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let kind = key.algorithm();
        match &self.policy {
            HostKeyPolicy::Unchecked { .. } if self.lines.iter().any(|line| line.exact && line.marker == Marker::Plain) => Ok(Trust::None),
            HostKeyPolicy::Unchecked { files } => {
                if let Some(Err(error)) = files.first().map(|file| remember(file, &self.name, &key)) {
                    tracing::debug!(%error, "host key not remembered");
                }
                Ok(Trust::New)
            }
            HostKeyPolicy::Pinned(_) => Err(Error::new(
                ErrorKind::HostKeyChanged,
                format!("the host shows the {kind} key {fingerprint}, which is not the one it was made with"),
            )
            .hint(format!(
                "someone else answers at its address, or its key was replaced: run `provision destroy {node}`, then `provision up`, for a new \
                 machine"
            ))),
            HostKeyPolicy::KnownHosts { files, accept_new } => match self.lines.iter().find(|line| line.exact && line.marker == Marker::Plain) {
                Some(line) => Err(self.changed(line, &key)),
                None if *accept_new => {
                    let file = files.first().ok_or_else(|| Error::new(ErrorKind::Configuration, "no known_hosts file to write to"))?;
                    remember(file, &self.name, &key)?;
                    Ok(Trust::New)
                }
                None => Err(Error::new(ErrorKind::HostKeyUnknown, format!("the host's {kind} key {fingerprint} is not known"))
                    .hint(format!("compare the fingerprint, then run `ssh-keyscan {}` and add its line to {}, or set StrictHostKeyChecking accept-new", keyscan(&self.name), first(files)))),
            },
        }
    }

    fn revoked(&self, key: &PublicKey, certificate: Option<&Certificate>) -> Option<Error> {
        let line = self.lines.iter().filter(|line| line.marker == Marker::Revoked).find(|line| match &line.key {
            None => true,
            Some(revoked) => {
                revoked.key_data() == key.key_data()
                    || certificate.is_some_and(|certificate| certificate.signature_key() == revoked.key_data())
            }
        })?;
        let place = format!("{}:{}", line.file.display(), line.number);
        let cause = match line.key {
            Some(_) => format!("the host's key {} is revoked at {place}", key.fingerprint(HashAlg::Sha256)),
            None => format!("the @revoked line at {place} cannot be read, so no key of this host is trusted"),
        };
        Some(Error::new(ErrorKind::HostKeyRevoked, cause).hint("give the host a new key; a revoked one was or may have been stolen"))
    }

    fn check_certificate(&self, host: &str, certificate: &Certificate) -> Result<()> {
        let authorities = self.lines.iter().filter(|line| line.marker == Marker::Authority).filter_map(|line| line.key.as_ref());
        let fingerprints: Vec<_> = authorities.map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        let refuse =
            |cause: &str| Err(Error::new(ErrorKind::HostKeyUnknown, format!("the host's certificate `{}` {cause}", certificate.key_id())));
        if certificate.cert_type() != CertType::Host {
            return refuse("is a user's, not a host's");
        }
        if !certificate.critical_options().is_empty() {
            return refuse("has critical options, and hosts have none");
        }
        let host = host.to_lowercase();
        if !certificate.valid_principals().iter().any(|principal| wildcards(&principal.to_lowercase(), &host)) {
            return refuse(&format!("is for {}", certificate.valid_principals().join(", ")));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        if certificate.validate_at(now, &fingerprints).is_err() {
            return refuse("is out of date or signed by no authority that known_hosts names for it");
        }
        Ok(())
    }

    fn changed(&self, line: &Line, key: &PublicKey) -> Error {
        let place = format!("{}:{}", line.file.display(), line.number);
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        Error::new(
            ErrorKind::HostKeyChanged,
            format!("the host's key has changed: it shows {} {fingerprint}, another is known at {place}", key.algorithm()),
        )
        .hint(format!(
            "if the host was reinstalled, run `ssh-keygen -R '{}' -f {}`; if not, someone else answers at its address",
            self.name,
            line.file.display()
        ))
    }
}

fn first(files: &[PathBuf]) -> String {
    files.first().map_or_else(|| "known_hosts".to_owned(), |file| file.display().to_string())
}

/// `[host]:2222` → `-p 2222 host`.
fn keyscan(name: &str) -> String {
    match name.strip_prefix('[').and_then(|rest| rest.rsplit_once("]:")) {
        Some((host, port)) => format!("-p {port} {host}"),
        None => name.to_owned(),
    }
}

/// The lines of a file that concern a name.
fn lines(file: &Path, text: &str, name: &str, exact: bool) -> Vec<Line> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace().peekable();
        let marker = match words.peek() {
            Some(&"@revoked") => Marker::Revoked,
            Some(&"@cert-authority") => Marker::Authority,
            Some(word) if word.starts_with('#') || word.starts_with('@') => continue,
            Some(_) => Marker::Plain,
            None => continue,
        };
        if marker != Marker::Plain {
            words.next();
        }
        let Some(patterns) = words.next() else { continue };
        if !names(patterns, name) {
            continue;
        }
        let key = match (words.next(), words.next()) {
            (Some(kind), Some(data)) => PublicKey::from_openssh(&format!("{kind} {data}")).ok(),
            _ => None,
        };
        if key.is_some() || marker == Marker::Revoked {
            found.push(Line { marker, key, file: file.to_owned(), number: index + 1, exact });
        }
    }
    found
}

/// Adds a line, with the folder and the file made for the owner alone.
fn remember(file: &Path, name: &str, key: &PublicKey) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let text = key.to_openssh().map_err(std::io::Error::other)?;
        let line = text.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let unfinished = std::fs::read(file).is_ok_and(|bytes| bytes.last().is_some_and(|&byte| byte != b'\n'));
        let mut options = std::fs::OpenOptions::new();
        // One write, so that hosts that are added at the same time do not mix.
        options
            .append(true)
            .create(true)
            .mode(0o600)
            .open(file)?
            .write_all(format!("{}{name} {line}\n", if unfinished { "\n" } else { "" }).as_bytes())
    };
    write()
        .map_err(|error| Error::new(ErrorKind::Configuration, format!("remember the host's key in {}: {}", file.display(), plain(&error))))
}

//! Files over HTTP: streamed to disk, hashed on the way; what may pass is tried again, what cannot is not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use super::oci::Hashing;
use super::progress::{Progress, Teller};

/// For name, connection and TLS together; a host that does not answer in this time is not asked again in this run.
const CONNECT: Duration = Duration::from_secs(5);
/// Without a byte for so long a transfer is given up, and tried again.
const SILENCE: Duration = Duration::from_secs(20);
/// Between attempts; one attempt more than there are pauses.
const PAUSES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];
/// Bytes between two words of progress.
const STEP: u64 = 1 << 20;

/// Downloads of one run.
#[derive(Debug)]
pub(super) struct Downloads {
    client: reqwest::Client,
    /// Hosts that could not be reached, and why.
    unreachable: Mutex<BTreeMap<String, String>>,
}

/// How an attempt ended that did not give the file.
enum Attempt {
    /// It may pass: the connection broke, the server is overloaded.
    MayPass(String),
    /// The host cannot be reached at all.
    Unreachable(String),
    /// It will not pass: the file is not there, the disk is full, the checksum is another.
    Final(String),
}

/// A file to fetch.
pub(super) struct Wanted<'a> {
    pub url: &'a str,
    /// In lower-case hexadecimal.
    pub sha256: &'a str,
    pub to: &'a Path,
    /// Who progress is about.
    pub name: &'a str,
}

impl Downloads {
    pub fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("provision/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| format!("make an HTTP client: {}", causes(&error)))?;
        Ok(Self { client, unreachable: Mutex::default() })
    }

    /// Why a host was found to be out of reach in this run, if it was.
    fn known(&self, host: &str) -> Option<String> {
        self.unreachable.lock().expect("nobody panics with it").get(host).cloned()
    }

    /// Whether a file seems to be there, and its size where the server says it. A host that cannot be reached is asked once a run.
    pub async fn probe(&self, url: &str) -> Result<Option<u64>, String> {
        let host = host(url);
        if let Some(cause) = self.known(&host) {
            return Err(cause);
        }
        match self.client.head(url).timeout(CONNECT).send().await {
            Err(error) if error.is_connect() => Err(self.lost(host, &error)),
            Ok(answer) if answer.status() == reqwest::StatusCode::NOT_FOUND => Err("the server answers 404 Not Found".to_owned()),
            // Not every server answers HEAD: the download will tell.
            Ok(answer) if answer.status().is_success() => {
                Ok(answer.headers().get("content-length").and_then(|size| size.to_str().ok()?.parse().ok()))
            }
            _ => Ok(None),
        }
    }

    fn lost(&self, host: String, error: &reqwest::Error) -> String {
        let cause = format!("connect to {host}: {}", causes(error));
        self.unreachable.lock().expect("nobody panics with it").insert(host, cause.clone());
        cause
    }

    /// Fetches a file; its content has the checksum afterwards. An error is a phrase.
    pub async fn fetch(&self, wanted: &Wanted<'_>, teller: &Teller) -> Result<(), String> {
        let host = host(wanted.url);
        if let Some(cause) = self.known(&host) {
            return Err(cause);
        }
        let mut pauses = PAUSES.iter();
        loop {
            match self.attempt(wanted, &host, teller).await {
                Ok(()) => return Ok(()),
                Err(Attempt::Unreachable(cause) | Attempt::Final(cause)) => return Err(cause),
                Err(Attempt::MayPass(cause)) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => return Err(format!("{cause} ({} attempts)", PAUSES.len() + 1)),
                },
            }
        }
    }

    async fn attempt(&self, wanted: &Wanted<'_>, host: &str, teller: &Teller) -> Result<(), Attempt> {
        let answer = self.client.get(wanted.url).send().await;
        let mut answer = answer.map_err(|error| {
            if error.is_connect() { Attempt::Unreachable(self.lost(host.to_owned(), &error)) } else { Attempt::MayPass(causes(&error)) }
        })?;
        let status = answer.status();
        if !status.is_success() {
            let cause = format!("the server answers {status}");
            let passes = status.is_server_error()
                || status == reqwest::StatusCode::TOO_MANY_REQUESTS
                || status == reqwest::StatusCode::REQUEST_TIMEOUT;
            return Err(if passes { Attempt::MayPass(cause) } else { Attempt::Final(cause) });
        }
        let total = answer.content_length();
        let disk = |error: io::Error| Attempt::Final(format!("write {}: {error}", wanted.to.display()));
        let mut out = Hashing::new(File::create(wanted.to).map_err(disk)?);
        let mut told = 0;
        loop {
            match answer.chunk().await {
                Ok(Some(bytes)) => out.write_all(&bytes).map_err(disk)?,
                Ok(None) => break,
                Err(error) => return Err(Attempt::MayPass(format!("the transfer broke off after {} bytes: {}", out.size, causes(&error)))),
            }
            if out.size - told >= STEP {
                told = out.size;
                let _ = teller.send(Progress::Bytes { name: wanted.name.to_owned(), done: told, total });
            }
        }
        let size = out.size;
        let (_, found) = out.finish();
        if found == wanted.sha256 {
            return Ok(());
        }
        if total.is_some_and(|total| total != size) {
            return Err(Attempt::MayPass(format!("the transfer ended after {size} bytes of {}", total.unwrap_or_default())));
        }
        Err(Attempt::Final(format!("refused: the SHA-256 of what came ({size} bytes) is {found}, and the manifest says {}", wanted.sha256)))
    }
}

/// `host:port` as the address has it.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    host.rsplit('@').next().unwrap_or(host).to_owned()
}

/// An error with what it comes from, without addresses (they stand before it) and without saying a thing twice.
fn causes(error: &reqwest::Error) -> String {
    let mut phrases: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let phrase = cause.to_string();
        if !phrases.iter().any(|known| known.contains(&phrase)) {
            phrases.retain(|known| !phrase.contains(known.as_str()));
            phrases.push(phrase);
        }
        next = cause.source();
    }
    // hyper's own words say where in its code it happened, not what.
    phrases.retain(|phrase| {
        ![
            "client error (Connect)",
            "client error (SendRequest)",
            "tcp connect error",
            "error reading a body from connection",
            "request or response body error",
        ]
        .contains(&phrase.as_str())
    });
    if phrases.is_empty() { error.to_string() } else { phrases.join(": ") }
}

/// Takes files out of a .tar.gz: by member, to where each goes. An error is a phrase. Blocks.
pub(super) fn extract(archive: &Path, members: &BTreeMap<String, PathBuf>) -> Result<(), String> {
    let unreadable = |error: io::Error| format!("unpack {}: {error}", archive.display());
    let file = File::open(archive).map_err(unreadable)?;
    let mut tar = tar::Archive::new(flate2::read::MultiGzDecoder::new(io::BufReader::new(file)));
    let mut missing = members.clone();
    for entry in tar.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let path = entry.path().map_err(unreadable)?.to_string_lossy().trim_start_matches("./").to_owned();
        if entry.header().entry_type() != tar::EntryType::Regular {
            continue;
        }
        if let Some(to) = missing.remove(&path) {
            let mut out = File::create(&to).map_err(|error| format!("write {}: {error}", to.display()))?;
            io::copy(&mut entry, &mut out).map_err(unreadable)?;
        }
    }
    match missing.keys().next() {
        None => Ok(()),
        Some(_) => Err(format!("the archive has no {}", missing.into_keys().collect::<Vec<_>>().join(", "))),
    }
}

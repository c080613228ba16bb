//! The agent's binary: where it comes from, and its name, which is its SHA-256.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::error::{Error, ErrorKind, Result, plain};

/// A static binary for one architecture.
#[derive(Debug)]
pub struct AgentBinary {
    /// As `uname -m` says it: `x86_64`, `aarch64`.
    pub architecture: Cow<'static, str>,
    /// SHA-256 of the unpacked file, in hexadecimal.
    pub digest: Cow<'static, str>,
    /// Bytes of the unpacked file.
    pub size: u64,
    /// As xz, made when this program was built; nothing where a file was read.
    xz: &'static [u8],
    unpacked: OnceLock<Bytes>,
    gzip: OnceLock<Bytes>,
}

impl AgentBinary {
    /// Reads a binary; its architecture is the ELF header's.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |cause: &str| Error::new(ErrorKind::Configuration, format!("read the agent {}: {cause}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| failed(&plain(&error)))?;
        let architecture = architecture(&bytes).ok_or_else(|| failed("not a Linux program of an architecture we know"))?;
        Ok(Self {
            architecture: architecture.into(),
            digest: hex::encode(Sha256::digest(&bytes)).into(),
            size: bytes.len() as u64,
            xz: &[],
            unpacked: OnceLock::from(Bytes::from(bytes)),
            gzip: OnceLock::new(),
        })
    }

    /// The file as gzip, which every node can unpack. The first call makes it, in 0.3 s for an embedded one: not for a thread
    /// that others wait for.
    pub fn gzip(&self) -> Bytes {
        let pack = || {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&self.unpacked()).and_then(|()| encoder.finish()).expect("memory takes every byte").into()
        };
        self.gzip.get_or_init(pack).clone()
    }

    /// The file itself. The first call for an embedded one unpacks it, in 0.2 s.
    pub fn unpacked(&self) -> Bytes {
        let unpack = || {
            let mut bytes = Vec::with_capacity(self.size as usize);
            lzma_rust2::XzReader::new(self.xz, false).read_to_end(&mut bytes).expect("packed by our own build");
            bytes.into()
        };
        self.unpacked.get_or_init(unpack).clone()
    }
}

/// `e_machine` of an ELF file (elf(5)) as `uname -m` names it.
fn architecture(bytes: &[u8]) -> Option<&'static str> {
    if bytes.get(..4)? != b"\x7fELF" {
        return None;
    }
    match u16::from_le_bytes([*bytes.get(18)?, *bytes.get(19)?]) {
        62 => Some("x86_64"),
        183 => Some("aarch64"),
        40 => Some("armv7l"),
        243 => Some("riscv64"),
        22 => Some("s390x"),
        21 => Some("ppc64le"),
        _ => None,
    }
}

/// The binaries that this program can send.
#[derive(Clone, Debug)]
pub struct AgentBinaries {
    binaries: Arc<[AgentBinary]>,
}

/// What `build.rs` writes down.
struct Embedded {
    architecture: &'static str,
    digest: &'static str,
    size: u64,
    xz: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/embedded_agent.rs"));

impl From<&Embedded> for AgentBinary {
    fn from(embedded: &Embedded) -> Self {
        let Embedded { architecture, digest, size, xz } = *embedded;
        Self { architecture: architecture.into(), digest: digest.into(), size, xz, unpacked: OnceLock::new(), gzip: OnceLock::new() }
    }
}

impl AgentBinaries {
    /// In this order: the file that the environment variable `PROVISION_AGENT` names, what was embedded by a release
    /// build, `provision-agent` beside the running program (a development build).
    pub fn find() -> Result<Self> {
        if let Some(path) = std::env::var_os("PROVISION_AGENT") {
            return Self::from_file(Path::new(&path));
        }
        if !EMBEDDED.is_empty() {
            return Ok(Self { binaries: EMBEDDED.iter().map(AgentBinary::from).collect() });
        }
        let beside = beside_this_program();
        match beside.iter().find(|path| path.exists()) {
            Some(path) => Self::from_file(path),
            None => Err(Error::new(ErrorKind::Configuration, "this is a development build, and there is no provision-agent beside it")
                .hint("run `cargo build --bin provision-agent`, or set PROVISION_AGENT to its file")),
        }
    }

    /// For runs on this machine only.
    pub fn none() -> Self {
        Self { binaries: [].into() }
    }

    pub fn from_file(path: &Path) -> Result<Self> {
        Ok(Self { binaries: [AgentBinary::read(path)?].into() })
    }

    pub fn iter(&self) -> impl Iterator<Item = &AgentBinary> {
        self.binaries.iter()
    }

    /// The binary for a machine, as its `uname -m` says.
    pub fn for_machine(&self, machine: &str) -> Result<&AgentBinary> {
        self.binaries.iter().find(|binary| binary.architecture == machine).ok_or_else(|| {
            let ours: Vec<&str> = self.binaries.iter().map(|binary| &*binary.architecture).collect();
            Error::new(ErrorKind::Agent, format!("the host is {machine}, and this provision has an agent for {} only", ours.join(", ")))
                .hint(format!("build `provision-agent` for {machine} and set PROVISION_AGENT to its file"))
        })
    }
}

/// `target/debug/provision-agent`, for the program itself and for tests and examples in the folders below it.
fn beside_this_program() -> Vec<PathBuf> {
    let Ok(program) = std::env::current_exe() else { return Vec::new() };
    program.ancestors().skip(1).take(2).map(|folder| folder.join("provision-agent")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::xz;

    #[test]
    fn an_embedded_binary_comes_back_whole_and_as_gzip() {
        let this = std::fs::read(std::env::current_exe().expect("a test is a program")).expect("a program can be read");
        let program = &this[this.len() / 2..][..100_000];
        for architecture in ["x86_64", "aarch64", "riscv64"] {
            let xz = xz::pack(program, architecture).leak();
            let binary = AgentBinary::from(&Embedded { architecture, digest: "", size: program.len() as u64, xz });
            let gzip = binary.gzip();
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&*gzip).read_to_end(&mut unpacked).expect("it is gzip");
            assert!(unpacked == program && binary.unpacked() == program, "{architecture}");
            assert_eq!(binary.gzip().as_ptr(), gzip.as_ptr(), "made once for all nodes");
        }
    }
}

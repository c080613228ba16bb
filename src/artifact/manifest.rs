//! The manifest: what there is to give to nodes, in which version, and where it may come from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::read;
use crate::source::{Diagnostics, Sources};

/// The manifest's file, beside provision.yaml.
pub const FILE: &str = "artifacts.yaml";

/// Everything that `artifacts.yaml` says, checked.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    pub artifacts: BTreeMap<String, Definition>,
    /// Without the `image/` that their names have elsewhere.
    pub images: BTreeMap<String, ImageDefinition>,
}

/// Files of one version.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    pub version: String,
    pub files: Vec<FileDefinition>,
    /// In the order in which they are asked.
    pub sources: Vec<SourceKind>,
    pub upstream: Option<Upstream>,
    pub module: Option<Arc<Module>>,
    pub packages: Option<Packages>,
    /// What a reader of a plan should know.
    pub note: Option<String>,
}

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDefinition {
    pub name: String,
    pub mode: u32,
    /// Its path in upstream's archive (a template, as [`Upstream::url`]); without one, the URL is the file itself.
    pub member: Option<String>,
    /// The Go package that is this program.
    pub package: Option<String>,
}

/// Where a file, or the archive that holds all files, is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// With `{version}` and `{arch}`.
    pub url: String,
    /// By architecture, in lower-case hexadecimal.
    pub sha256: BTreeMap<Architecture, String>,
}

/// A Go module, and how it is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The key of `modules`.
    pub name: String,
    /// Its path: `k8s.io/kubernetes`.
    pub path: String,
    /// Without the `v`.
    pub version: String,
    /// The module's checksum as go.sum writes it (`h1:…`): the hash of its files, whoever gives them.
    pub sum: Option<String>,
    /// Modules that are built with it, in the same version.
    pub beside: Vec<String>,
    /// The version of the modules that its go.mod replaces by folders.
    pub replaced: Option<String>,
    /// Versions beyond its `require` list.
    pub require: BTreeMap<String, String>,
    pub cgo: bool,
    pub tags: Vec<String>,
    /// With `{version}`, `{major}` and `{minor}`; `-s -w` are always there.
    pub ldflags: Vec<String>,
}

/// Debian packages as a layer of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packages {
    pub names: Vec<String>,
    /// Paths without a leading slash; a `*` stands for any text.
    pub leave_out: Vec<String>,
    /// Symbolic links that no package holds: path to target.
    pub links: BTreeMap<String, String>,
}

/// An image that is made of artifacts.
#[derive(Clone, Debug)]
pub struct ImageDefinition {
    pub name: String,
    pub version: String,
    /// As containerd will list it: registry, name and tag.
    pub reference: String,
    /// Artifacts whose one file is a layer, lowest first.
    pub layers: Vec<String>,
    /// The topmost layer's files, by their path in the image.
    pub files: BTreeMap<String, Part>,
    /// Of an image that a program of this project writes; it has no layers and files then.
    pub cargo: Option<Cargo>,
    pub entrypoint: Vec<String>,
    /// `NAME` to value.
    pub environment: BTreeMap<String, String>,
    /// `uid:gid`; root where it is not written.
    pub user: Option<String>,
    pub note: Option<String>,
}

/// An image that a package of the environment's own Cargo workspace writes. All paths are relative to the environment's folder,
/// which is the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cargo {
    /// Where the package lies: where this folder is not, neither is the package.
    pub folder: String,
    pub package: String,
    /// Cargo's profile.
    pub profile: String,
    /// The target triple for each architecture that it is built for.
    pub target: BTreeMap<Architecture, String>,
    /// Files and folders that make the image: their content is its key.
    pub sources: Vec<String>,
    /// Arguments with which the built program writes the image, with `{reference}`, `{arch}` and `{output}`.
    pub arguments: Vec<String>,
}

/// A file that lies in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    File {
        artifact: String,
        file: String,
    },
    /// The program of `provision` that waits in a pod's first container.
    Pause,
}

/// A kind of source; the words of `sources`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// What an earlier run put into the user's cache.
    Cache,
    /// The user's own copy of upstream's files.
    Mirror,
    /// Where the project publishes it.
    Upstream,
    /// The same version, built from its Go module.
    Go,
    /// This machine's apt.
    Debian,
}

impl SourceKind {
    /// In the order that holds where none is written.
    pub const ALL: [Self; 5] = [Self::Cache, Self::Mirror, Self::Upstream, Self::Go, Self::Debian];

    pub fn word(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Mirror => "mirror",
            Self::Upstream => "upstream",
            Self::Go => "go",
            Self::Debian => "debian",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A node's architecture, by Go's and Debian's name of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Architecture {
    Amd64,
    Arm64,
}

impl Architecture {
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// This machine's.
    pub fn of_this_machine() -> Option<Self> {
        Self::of_machine(std::env::consts::ARCH)
    }

    /// From `uname -m`.
    pub fn of_machine(machine: &str) -> Option<Self> {
        match machine {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Manifest {
    /// The manifest that this program carries.
    pub fn builtin() -> Self {
        Self::load(None).expect("a test reads the manifest of this program")
    }

    /// The built-in manifest with a user's file laid over it, key by key.
    pub fn load(user_file: Option<&Path>) -> Result<Self, Box<Mistakes>> {
        let mut mistakes = Mistakes::default();
        let Mistakes { sources, diagnostics } = &mut mistakes;
        let user = match user_file {
            None => None,
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Some(sources.add(FILE, path, text)),
                Err(error) => {
                    diagnostics.push(crate::source::Diagnostic::nowhere(format!("read {}: {error}", path.display())));
                    return Err(Box::new(mistakes));
                }
            },
        };
        match Self::read(sources, user, diagnostics) {
            Some(manifest) if !diagnostics.has_errors() => Ok(manifest),
            _ => Err(Box::new(mistakes)),
        }
    }

    /// The same where a user's file was read already (its index in `sources`); mistakes are told to `diagnostics`.
    /// `None` where nothing could be made of it.
    pub fn read(sources: &mut Sources, user: Option<u32>, diagnostics: &mut Diagnostics) -> Option<Self> {
        read::manifest(sources, user, diagnostics)
    }

    /// An artifact's version and, of an image, the name that a container runtime knows it by.
    pub fn described(&self, name: &str) -> (String, Option<String>) {
        match name.strip_prefix(IMAGE).and_then(|name| self.images.get(name)) {
            Some(image) => (image.version.clone(), Some(image.reference.clone())),
            None => (self.artifacts.get(name).map(|artifact| artifact.version.clone()).unwrap_or_default(), None),
        }
    }

    /// Every name that can be asked for, images with their `image/`.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.artifacts.keys().cloned().chain(self.images.keys().map(|name| format!("{IMAGE}{name}")))
    }
}

/// What an image's name begins with among artifacts.
pub const IMAGE: &str = "image/";

/// What is wrong with a manifest; `Display` is the whole report.
#[derive(Debug, Default)]
pub struct Mistakes {
    pub sources: Sources,
    pub diagnostics: Diagnostics,
}

impl Mistakes {
    /// The user's file as it is written, where it could be read.
    pub fn own_text(&self) -> Option<Arc<str>> {
        let own = (0..).map_while(|index| self.sources.file(index)).find(|file| &*file.name == FILE);
        own.map(|file| Arc::clone(&file.text))
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.diagnostics.render(&self.sources).trim_end())
    }
}

impl std::error::Error for Mistakes {}

/// A text with `{name}`s replaced; a name that has no value stays.
pub(super) fn filled(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

impl Upstream {
    /// The address for a version and an architecture.
    pub fn address(&self, version: &str, architecture: Architecture) -> String {
        filled(&self.url, &[("version", version), ("arch", architecture.word())])
    }
}

impl FileDefinition {
    /// The path in the archive for a version and an architecture.
    pub fn member(&self, version: &str, architecture: Architecture) -> Option<String> {
        self.member.as_ref().map(|member| filled(member, &[("version", version), ("arch", architecture.word())]))
    }
}

impl Module {
    /// `-s -w` and the module's own, templates filled.
    pub fn linker_flags(&self) -> String {
        let mut parts = self.version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let values = [("version", self.version.as_str()), ("major", major), ("minor", minor)];
        let own = self.ldflags.iter().map(|flag| filled(flag, &values));
        ["-s -w".to_owned()].into_iter().chain(own).collect::<Vec<_>>().join(" ")
    }
}

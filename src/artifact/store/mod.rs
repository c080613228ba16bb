//! Artifacts by name: what is in the cache, what is lacking, and getting it from the first source that gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::JoinSet;

use self::image::image_recipe;
use super::cache::{Cache, Entry, ImageInfo};
use super::download::Downloads;
use super::error::{Error, ErrorKind, Result};
use super::manifest::{Architecture, Definition, IMAGE, ImageDefinition, Manifest, SourceKind};
use super::progress::{Cancel, Progress};
use super::{debian, go};

mod build;
mod ensure;
mod fetch;
mod image;
mod lack;

/// Downloads at once.
const DOWNLOADS: usize = 4;
/// Part of each recipe: another number when what we make of the same sources changes.
const FORM: &str = "1";

/// What is not the manifest's to say.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The nodes' architecture; this machine's where none is named.
    pub architecture: Option<Architecture>,
    /// The mirror's base URL.
    pub mirror: Option<String>,
    /// The environment's folder, whose own packages may become images; where none is named, the current one.
    pub folder: Option<PathBuf>,
    /// The folder of the bundled layout: its packages stand in for those that the environment's folder has not.
    pub built_in: Option<PathBuf>,
}

impl Settings {
    /// `PROVISION_MIRROR`, or else what provision.yaml says.
    pub fn from_environment(mirror: Option<String>) -> Self {
        let set = std::env::var("PROVISION_MIRROR").ok().filter(|mirror| !mirror.is_empty());
        Self { mirror: set.or(mirror), ..Self::default() }
    }
}

/// An artifact that is in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// `kubelet`, `image/coredns`.
    pub name: String,
    pub version: String,
    /// `upstream`, `built from its Go module`.
    pub source: String,
    pub files: Vec<ArtifactFile>,
    /// Of an image; its one file is a tar that `ctr -n k8s.io images import` takes.
    pub image: Option<ImageInfo>,
}

/// A file of an artifact, whole and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactFile {
    pub name: String,
    /// In the cache: read it, do not change it.
    pub path: PathBuf,
    pub sha256: Arc<str>,
    /// Bytes.
    pub size: u64,
    /// For the node.
    pub mode: u32,
}

/// An artifact that is not in the cache, as a plan says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub name: String,
    pub version: String,
    /// Where it would come from: the first source that can be asked now.
    pub source: String,
    /// Whether any source can be asked now.
    pub able: bool,
    /// Bytes, where that is known before.
    pub size: Option<u64>,
    /// Where a source gives another version than the others, or the name says another one than the content.
    pub note: Option<String>,
}

/// The manifest and the cache together. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    manifest: Manifest,
    cache: Cache,
    architecture: Architecture,
    mirror: Option<String>,
    folder: PathBuf,
    built_in: Option<PathBuf>,
    downloads: Downloads,
    toolchain: OnceCell<Result<String, String>>,
    release: String,
    slots: Semaphore,
}

impl Store {
    pub fn new(manifest: Manifest, cache: Cache, settings: Settings) -> Result<Self> {
        let doing = "prepare the artifacts";
        let architecture = settings.architecture.or_else(Architecture::of_this_machine);
        let architecture = architecture.ok_or_else(|| Error::other(doing, format!("there are none for {}", std::env::consts::ARCH)))?;
        let downloads = Downloads::new().map_err(|cause| Error::other(doing, cause))?;
        let mirror = settings.mirror.map(|mirror| mirror.trim_end_matches('/').to_owned());
        let folder = settings.folder.unwrap_or_default();
        let folder = std::path::absolute(folder.join(".")).map_err(|error| Error::other(doing, error))?;
        let built_in = settings.built_in;
        let (toolchain, release, slots) = (OnceCell::new(), debian::release(), Semaphore::new(DOWNLOADS));
        Ok(Self {
            shared: Arc::new(Shared { manifest, cache, architecture, mirror, folder, built_in, downloads, toolchain, release, slots }),
        })
    }

    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    pub fn cache(&self) -> &Cache {
        &self.shared.cache
    }

    /// The artifact, from the cache only. A file that changed there is an error that names it.
    pub async fn present(&self, name: &str) -> Result<Option<Artifact>> {
        self.shared.known(name)?;
        Ok(self.shared.present(name).await?.map(|entry| self.artifact(entry)))
    }

    /// What the cache does not have, in the order of the names; images with what they are made of before them.
    pub async fn lacking<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<Lack>> {
        let mut lacks: Vec<Option<Lack>> = Vec::new();
        let mut asked = JoinSet::new();
        for name in self.shared.closure(names)? {
            if self.shared.present(&name).await?.is_some() {
                continue;
            }
            let place = lacks.len();
            if let Some(image) = self.shared.manifest.image(&name) {
                if let Some(cargo) = &image.cargo {
                    lacks.push(Some(self.shared.cargo_lack(name, image, cargo).await));
                    continue;
                }
                let source = "made here".to_owned();
                lacks.push(Some(Lack { name, version: image.version.clone(), source, able: true, size: None, note: image.note.clone() }));
                continue;
            }
            lacks.push(None);
            let shared = Arc::clone(&self.shared);
            asked.spawn(async move { (place, shared.lack(shared.definition(&name)).await) });
        }
        while let Some(answer) = asked.join_next().await {
            let (place, lack) = answer.map_err(|error| Error::other("ask the sources", error))?;
            lacks[place] = Some(lack);
        }
        let mut lacks: Vec<Lack> = lacks.into_iter().flatten().collect();
        let unable: BTreeSet<String> = lacks.iter().filter(|lack| !lack.able).map(|lack| lack.name.clone()).collect();
        for lack in &mut lacks {
            if let Some(part) = self.shared.manifest.image(&lack.name).and_then(|image| image.parts().find(|part| unable.contains(*part))) {
                (lack.able, lack.source) = (false, format!("it is made of `{part}`, which cannot be got now"));
            }
        }
        Ok(lacks)
    }

    /// Gets what is lacking, from the first source that gives it; the artifacts that were asked for, by name.
    ///
    /// Downloads go on side by side, builds one after the other, images last. Two runs do the same work once.
    pub async fn ensure<S: AsRef<str>>(
        &self,
        names: &[S],
        progress: &mut (dyn FnMut(Progress) + Send),
        cancel: &Cancel,
    ) -> Result<BTreeMap<String, Artifact>> {
        let (teller, mut told) = mpsc::unbounded_channel();
        let shared = Arc::clone(&self.shared);
        let wanted = shared.closure(names)?;
        let asked: BTreeSet<&str> = names.iter().map(AsRef::as_ref).collect();
        let work = shared.ensure(wanted, teller, cancel);
        let mut work = std::pin::pin!(work);
        let entries = loop {
            tokio::select! {
                biased;
                Some(step) = told.recv() => progress(step),
                result = &mut work => {
                    while let Ok(step) = told.try_recv() {
                        progress(step);
                    }
                    break result?;
                }
            }
        };
        Ok(entries
            .into_iter()
            .filter(|(name, _)| asked.contains(name.as_str()))
            .map(|(name, entry)| (name, self.artifact(entry)))
            .collect())
    }

    /// An image that lies in a file of this machine: an OCI layout as one tar, with one image and its name in it
    /// (`model-service image` writes one). It is checked, and copied into the cache.
    pub async fn local_image(&self, name: &str, path: &Path) -> Result<Artifact> {
        let (shared, name, path) = (Arc::clone(&self.shared), name.to_owned(), path.to_owned());
        let entry = tokio::task::spawn_blocking(move || shared.local_image(&name, &path))
            .await
            .unwrap_or_else(|error| Err(Error::other("read the image", error)))?;
        Ok(self.artifact(entry))
    }

    fn artifact(&self, entry: Entry) -> Artifact {
        let cache = &self.shared.cache;
        let files = entry.files.iter().map(|file| ArtifactFile {
            name: file.name.clone(),
            path: cache.path(file),
            sha256: Arc::clone(&file.sha256),
            size: file.seen.size,
            mode: file.mode,
        });
        Artifact { files: files.collect(), name: entry.name, version: entry.version, source: entry.source, image: entry.image }
    }
}

/// A hash of all that makes an artifact, and which of several makings it is.
struct Recipe {
    hash: String,
    /// The toolchain's version; `file` where there is none. `None`: the newest of any, since the toolchain is not here.
    variant: Option<String>,
}

impl Recipe {
    fn new(parts: &[&dyn AsRef<str>], variant: Option<String>) -> Self {
        let mut digest = Sha256::new();
        for part in [&FORM as &dyn AsRef<str>].iter().chain(parts) {
            let text = part.as_ref();
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        }
        Self { hash: hex::encode(digest.finalize()), variant }
    }
}

const ONLY: &str = "file";

impl Shared {
    fn known(&self, name: &str) -> Result<()> {
        let is_image = name.strip_prefix(IMAGE).is_some_and(|image| self.manifest.images.contains_key(image));
        if is_image || self.manifest.artifacts.contains_key(name) {
            return Ok(());
        }
        let names: Vec<String> = self.manifest.names().collect();
        let near = crate::source::did_you_mean(name, names.iter().map(String::as_str));
        Err(Error::new(ErrorKind::Unknown, format!("there is no artifact `{name}`"))
            .hint(near.unwrap_or_else(|| "`provision cache list` shows all names".to_owned())))
    }

    fn definition(&self, name: &str) -> &Definition {
        self.manifest.artifacts.get(name).expect("the name was looked up")
    }

    /// The names, each after what it is made of, none twice.
    fn closure<S: AsRef<str>>(&self, names: &[S]) -> Result<Vec<String>> {
        let mut all: Vec<String> = Vec::new();
        for name in names {
            let name = name.as_ref();
            self.known(name)?;
            let parts = self.manifest.image(name).into_iter().flat_map(ImageDefinition::parts).map(str::to_owned);
            for one in parts.chain([name.to_owned()]) {
                if !all.contains(&one) {
                    all.push(one);
                }
            }
        }
        Ok(all)
    }

    async fn toolchain(&self) -> &Result<String, String> {
        self.toolchain.get_or_init(go::toolchain).await
    }

    async fn recipe(&self, definition: &Definition, source: SourceKind) -> Option<Recipe> {
        let architecture = self.architecture.word();
        let files = definition.files.iter().map(|file| format!("{file:?}")).collect::<Vec<_>>().join("\n");
        match source {
            SourceKind::Cache => None,
            // The same bytes, wherever they come from.
            SourceKind::Mirror | SourceKind::Upstream => {
                let sha256 = definition.upstream.as_ref()?.sha256.get(&self.architecture)?;
                Some(Recipe::new(&[&"download", &sha256, &files, &definition.version, &architecture], Some(ONLY.to_owned())))
            }
            SourceKind::Go => {
                let module = format!("{:?}", definition.module.as_ref()?);
                let variant = self.toolchain().await.as_ref().ok().cloned();
                Some(Recipe::new(&[&"go", &module, &files, &architecture], variant))
            }
            SourceKind::Debian => {
                let packages = format!("{:?}", definition.packages.as_ref()?);
                Some(Recipe::new(&[&"debian", &packages, &self.release, &files, &architecture], Some(ONLY.to_owned())))
            }
        }
    }

    async fn present(&self, name: &str) -> Result<Option<Entry>> {
        match self.manifest.image(name) {
            Some(image) if image.cargo.is_some() => self.find(&self.cargo_recipe(image).await?),
            Some(image) => {
                let mut parts = BTreeMap::new();
                for part in image.parts() {
                    let Some(entry) = self.present_file(self.definition(part)).await? else { return Ok(None) };
                    parts.insert(part.to_owned(), entry);
                }
                self.find(&image_recipe(image, self.architecture, &parts))
            }
            None => self.present_file(self.definition(name)).await,
        }
    }

    async fn present_file(&self, definition: &Definition) -> Result<Option<Entry>> {
        if !definition.sources.contains(&SourceKind::Cache) {
            return Ok(None);
        }
        for source in &definition.sources {
            if let Some(recipe) = self.recipe(definition, *source).await
                && let Some(entry) = self.find(&recipe)?
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    fn find(&self, recipe: &Recipe) -> Result<Option<Entry>> {
        self.cache.find(&recipe.hash, recipe.variant.as_deref())
    }
}

//! Artifacts by name: what is in the cache, what is lacking, and getting it from the first source that gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::{OnceCell, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::cache::{Cache, Entry, Fresh, ImageInfo};
use super::download::{Downloads, Wanted, extract};
use super::error::{Error, ErrorKind, Result, Tried};
use super::manifest::{Architecture, Cargo, Definition, IMAGE, ImageDefinition, Manifest, Module, Part, SourceKind};
use super::progress::{Cancel, Progress, Teller};
use super::{cargo, debian, go, oci, pause};

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

    /// What the plan says of an artifact that is not here. Hosts are asked whether they are there, each once a run.
    async fn lack(&self, definition: &Definition) -> Lack {
        let (mut source, mut size) = (None, None);
        for kind in &definition.sources {
            let place = self.place(definition, *kind);
            let able = match kind {
                SourceKind::Cache => false,
                SourceKind::Mirror | SourceKind::Upstream => match &place {
                    Ok(place) => match self.downloads.probe(place).await {
                        Ok(found) => {
                            size = found;
                            true
                        }
                        Err(_) => false,
                    },
                    Err(_) => false,
                },
                SourceKind::Go => place.is_ok() && self.toolchain().await.is_ok(),
                SourceKind::Debian => place.is_ok(),
            };
            if able {
                source = Some((*kind, place.unwrap_or_default()));
                break;
            }
        }
        let source_version = source.as_ref().and_then(|(kind, _)| match kind {
            SourceKind::Go => definition.module.as_ref().map(|module| module.version.clone()),
            _ => None,
        });
        let differs = source_version
            .filter(|version| *version != definition.version)
            .map(|version| format!("its Go module gives {version}, not {}", definition.version));
        let note = [definition.note.clone(), differs].into_iter().flatten().collect::<Vec<_>>().join("; ");
        Lack {
            name: definition.name.clone(),
            version: definition.version.clone(),
            able: source.is_some(),
            source: source.map_or_else(
                || "no source that can be reached now".to_owned(),
                |(kind, place)| format!("{kind} {place}").trim_end().to_owned(),
            ),
            size,
            note: (!note.is_empty()).then_some(note),
        }
    }

    /// Where a source would take an artifact from, or why it cannot have it.
    fn place(&self, definition: &Definition, source: SourceKind) -> Result<String, String> {
        let no_checksum = || format!("the manifest has no checksum for {}", self.architecture);
        match source {
            SourceKind::Cache => Ok(String::new()),
            SourceKind::Mirror => {
                let mirror = self.mirror.as_ref().ok_or("none is configured")?;
                let upstream = definition.upstream.as_ref().ok_or("the manifest has no checksum of a published file")?;
                upstream.sha256.get(&self.architecture).ok_or_else(no_checksum)?;
                let address = upstream.address(&definition.version, self.architecture);
                let file = address.rsplit('/').next().unwrap_or_default();
                Ok(format!("{mirror}/{}/{}/{}/{file}", definition.name, definition.version, self.architecture))
            }
            SourceKind::Upstream => {
                let upstream = definition.upstream.as_ref().ok_or("the manifest has no address with a checksum")?;
                upstream.sha256.get(&self.architecture).ok_or_else(no_checksum)?;
                Ok(upstream.address(&definition.version, self.architecture))
            }
            SourceKind::Go => {
                let module = definition.module.as_ref().ok_or("the manifest names no module")?;
                Ok(format!("{} v{}", module.path, module.version))
            }
            SourceKind::Debian => {
                let packages = definition.packages.as_ref().ok_or("the manifest names no packages")?;
                Ok(packages.names.join(" "))
            }
        }
    }

    async fn ensure(self: &Arc<Self>, wanted: Vec<String>, teller: Teller, cancel: &Cancel) -> Result<BTreeMap<String, Entry>> {
        let mut done = BTreeMap::new();
        let mut open: Vec<Open> = Vec::new();
        let mut images = Vec::new();
        for name in wanted {
            if let Some(image) = self.manifest.image(&name) {
                images.push((name, image));
            } else if let Some(entry) = self.present_file(self.definition(&name)).await? {
                done.insert(name, entry);
            } else {
                open.push(Open { definition: self.definition(&name).clone(), next: 0, tried: Vec::new() });
            }
        }
        // Each round asks, for every artifact, its sources up to the next that is a build; then those builds are done.
        while !open.is_empty() {
            let mut building = Vec::new();
            for outcome in self.ask_all(std::mem::take(&mut open), &teller, cancel).await? {
                match outcome {
                    Outcome::Given(entry) => _ = done.insert(entry.name.clone(), entry),
                    Outcome::Build(one) => building.push(one),
                }
            }
            let mut modules: BTreeMap<String, Vec<Open>> = BTreeMap::new();
            for one in building {
                let module = one.definition.module.as_ref().map(|module| module.name.clone()).unwrap_or_default();
                modules.entry(module).or_default().push(one);
            }
            for group in modules.into_values() {
                match self.build(&group, &teller, cancel).await {
                    Ok(entries) => done.extend(entries.into_iter().map(|entry| (entry.name.clone(), entry))),
                    Err(BuildError::Own(error)) => return Err(error),
                    Err(BuildError::Failed(cause)) => {
                        for one in group {
                            let place = self.place(&one.definition, SourceKind::Go);
                            open.push(one.failed(SourceKind::Go, &place, &cause, &teller));
                        }
                    }
                }
            }
        }
        // Compressing takes a core each.
        let cores = Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get)));
        let mut making = JoinSet::new();
        for (name, image) in images {
            let parts: BTreeMap<String, Entry> = image.parts().map(|part| (part.to_owned(), done[part].clone())).collect();
            let (shared, image, teller, cancel, cores) =
                (Arc::clone(self), image.clone(), teller.clone(), cancel.clone(), Arc::clone(&cores));
            making.spawn(async move {
                if let Some(cargo) = &image.cargo {
                    return Ok((name, shared.ensure_cargo(&image, cargo, &teller, &cancel).await?));
                }
                let _core = cores.acquire().await.expect("it is never closed");
                Ok((name, shared.ensure_image(&image, parts, &teller, &cancel).await?))
            });
        }
        while let Some(made) = making.join_next().await {
            let (name, entry) = made.unwrap_or_else(|error| Err(Error::other("make images", error)))?;
            done.insert(name, entry);
        }
        Ok(done)
    }

    async fn ask_all(self: &Arc<Self>, open: Vec<Open>, teller: &Teller, cancel: &Cancel) -> Result<Vec<Outcome>> {
        let mut tasks = JoinSet::new();
        for one in open {
            let (shared, teller, cancel) = (Arc::clone(self), teller.clone(), cancel.clone());
            tasks.spawn(async move {
                let doing = format!("fetch `{}` {}", one.definition.name, one.definition.version);
                cancel.unless(&doing, shared.ask(one, &teller, &cancel)).await
            });
        }
        let mut outcomes = Vec::new();
        let mut failed: Vec<Error> = Vec::new();
        while let Some(result) = tasks.join_next().await {
            match result.unwrap_or_else(|error| Err(Error::other("fetch artifacts", error))) {
                Ok(outcome) => outcomes.push(outcome),
                Err(error) => failed.push(error),
            }
        }
        match failed.len() {
            0 => Ok(outcomes),
            1 => Err(failed.remove(0)),
            _ => Err(joined(failed)),
        }
    }

    /// Asks an artifact's sources in order, up to one that gives it or that is a build.
    async fn ask(&self, mut one: Open, teller: &Teller, cancel: &Cancel) -> Result<Outcome> {
        while let Some(source) = one.definition.sources.get(one.next).copied() {
            let place = self.place(&one.definition, source);
            let result = match (source, &place) {
                (SourceKind::Cache, _) => Err("it is not there".to_owned()),
                (_, Err(cause)) => Err(cause.clone()),
                (SourceKind::Go, Ok(_)) => match self.toolchain().await {
                    Ok(_) => return Ok(Outcome::Build(one)),
                    Err(cause) => Err(cause.clone()),
                },
                (SourceKind::Mirror | SourceKind::Upstream, Ok(url)) => self.download(&one.definition, source, url, teller, cancel).await?,
                (SourceKind::Debian, Ok(packages)) => self.unpack(&one.definition, packages, teller, cancel).await?,
            };
            match result {
                Ok(entry) => return Ok(Outcome::Given(entry)),
                Err(cause) => one = one.failed(source, &place, &cause, teller),
            }
        }
        Err(one.error(self.architecture))
    }

    async fn download(
        &self,
        definition: &Definition,
        source: SourceKind,
        url: &str,
        teller: &Teller,
        cancel: &Cancel,
    ) -> Result<Result<Entry, String>> {
        let recipe = self.recipe(definition, source).await.expect("it has a place");
        let upstream = definition.upstream.as_ref().expect("it has a place");
        let begun = Instant::now();
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let lock = format!("{}-{}", definition.name, self.architecture);
        let _lock = self.cache.lock(&lock, &definition.name, teller, cancel).await?;
        if let Some(entry) = self.find(&recipe)? {
            return Ok(Ok(entry));
        }
        let _ = teller.send(started(definition, source, url));
        let work = self.cache.work()?;
        let file = work.0.join("download");
        let sha256 = &upstream.sha256[&self.architecture];
        let wanted = Wanted { url, sha256, to: &file, name: &definition.name };
        if let Err(cause) = self.downloads.fetch(&wanted, teller).await {
            return Ok(Err(cause));
        }
        let members: BTreeMap<String, PathBuf> = definition
            .files
            .iter()
            .filter_map(|file| Some((file.member(&definition.version, self.architecture)?, work.0.join(&file.name))))
            .collect();
        let whole = members.is_empty().then(|| sha256.clone());
        if !members.is_empty() {
            let archive = file.clone();
            let unpacked = tokio::task::spawn_blocking(move || extract(&archive, &members)).await;
            if let Err(cause) = unpacked.unwrap_or_else(|error| Err(error.to_string())) {
                return Ok(Err(cause));
            }
        }
        let files = definition.files.iter().map(|one| Fresh {
            name: one.name.clone(),
            mode: one.mode,
            path: if one.member.is_some() { work.0.join(&one.name) } else { file.clone() },
            sha256: whole.clone(),
        });
        let entry = self.put(&recipe, self.entry(definition, source), files.collect()).await?;
        let _ = teller.send(finished(&entry, begun));
        Ok(Ok(entry))
    }

    async fn unpack(&self, definition: &Definition, packages: &str, teller: &Teller, cancel: &Cancel) -> Result<Result<Entry, String>> {
        let recipe = self.recipe(definition, SourceKind::Debian).await.expect("it has a place");
        let begun = Instant::now();
        let _slot = self.slots.acquire().await.expect("it is never closed");
        let lock = format!("{}-{}", definition.name, self.architecture);
        let _lock = self.cache.lock(&lock, &definition.name, teller, cancel).await?;
        if let Some(entry) = self.find(&recipe)? {
            return Ok(Ok(entry));
        }
        let _ = teller.send(started(definition, SourceKind::Debian, packages));
        let work = self.cache.work()?;
        let file = definition.files.first().expect("an artifact has files");
        let out = work.0.join(&file.name);
        let wanted = definition.packages.as_ref().expect("it has a place");
        if let Err(cause) = debian::layer(wanted, self.architecture, &work.0, out.clone()).await {
            return Ok(Err(cause));
        }
        let fresh = vec![Fresh { name: file.name.clone(), mode: file.mode, path: out, sha256: None }];
        let entry = self.put(&recipe, self.entry(definition, SourceKind::Debian), fresh).await?;
        let _ = teller.send(finished(&entry, begun));
        Ok(Ok(entry))
    }

    fn entry(&self, definition: &Definition, source: SourceKind) -> Entry {
        let source = match source {
            SourceKind::Cache => "the cache",
            SourceKind::Mirror => "the mirror",
            SourceKind::Upstream => "upstream",
            SourceKind::Go => "built from its Go module",
            SourceKind::Debian => "Debian's packages",
        };
        let version = match (source, &definition.module) {
            ("built from its Go module", Some(module)) => module.version.clone(),
            _ => definition.version.clone(),
        };
        Entry {
            name: definition.name.clone(),
            version,
            architecture: self.architecture.to_string(),
            source: source.to_owned(),
            files: Vec::new(),
            image: None,
        }
    }

    /// Hashing and syncing block.
    async fn put(&self, recipe: &Recipe, entry: Entry, files: Vec<Fresh>) -> Result<Entry> {
        let (cache, hash) = (self.cache.clone(), recipe.hash.clone());
        let variant = recipe.variant.clone().unwrap_or_else(|| ONLY.to_owned());
        let name = entry.name.clone();
        let put = tokio::task::spawn_blocking(move || cache.put(&hash, &variant, entry, files)).await;
        put.unwrap_or_else(|error| Err(Error::other(format!("store `{name}`"), error)))
    }

    /// Builds artifacts of one module.
    async fn build(&self, group: &[Open], teller: &Teller, cancel: &Cancel) -> Result<Vec<Entry>, BuildError> {
        let module: Arc<Module> = group.first().and_then(|one| one.definition.module.clone()).expect("it is built from a module");
        let names: Vec<&str> = group.iter().map(|one| one.definition.name.as_str()).collect();
        let name = names.join(", ");
        let begun = Instant::now();
        let _lock = self.cache.lock("go", &name, teller, cancel).await?;
        // Who held the lock may have built the same.
        let mut entries = Vec::new();
        let mut missing = Vec::new();
        for one in group {
            let recipe = self.recipe(&one.definition, SourceKind::Go).await.expect("it has a module");
            match self.find(&recipe)? {
                Some(entry) => entries.push(entry),
                None => missing.push((&one.definition, recipe)),
            }
        }
        if missing.is_empty() {
            return Ok(entries);
        }
        for (definition, _) in &missing {
            let _ = teller.send(started(definition, SourceKind::Go, &format!("{} v{}", module.path, module.version)));
        }
        let mut packages: Vec<String> =
            missing.iter().flat_map(|(definition, _)| &definition.files).filter_map(|file| file.package.clone()).collect();
        packages.sort();
        packages.dedup();
        let work = self.cache.work()?;
        let build = go::Build {
            module: &module,
            packages: &packages,
            architecture: self.architecture,
            folder: &work.0,
            name: &name,
            teller,
            cancel,
        };
        build.run().await.map_err(|failed| match failed {
            Some(cause) => BuildError::Failed(cause),
            None => BuildError::Own(Error::cancelled(format!("build {name} from {}", module.path))),
        })?;
        for (definition, recipe) in missing {
            let files = definition.files.iter().filter_map(|file| {
                let path = work.0.join("bin").join(go::program(file.package.as_ref()?));
                Some(Fresh { name: file.name.clone(), mode: file.mode, path, sha256: None })
            });
            let entry = self.put(&recipe, self.entry(definition, SourceKind::Go), files.collect()).await?;
            let _ = teller.send(finished(&entry, begun));
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn ensure_image(
        &self,
        image: &ImageDefinition,
        parts: BTreeMap<String, Entry>,
        teller: &Teller,
        cancel: &Cancel,
    ) -> Result<Entry> {
        let name = format!("{IMAGE}{}", image.name);
        let doing = format!("make `{name}`");
        if cancel.is_cancelled() {
            return Err(Error::cancelled(doing));
        }
        let recipe = image_recipe(image, self.architecture, &parts);
        if let Some(entry) = self.find(&recipe)? {
            return Ok(entry);
        }
        let _lock = self.cache.lock(&format!("{name}-{}", self.architecture), &name, teller, cancel).await?;
        if let Some(entry) = self.find(&recipe)? {
            return Ok(entry);
        }
        let _ = teller.send(Progress::Started { name: name.clone(), version: image.version.clone(), from: "made here".to_owned() });
        let begun = Instant::now();
        let work = self.cache.work()?;
        let (cache, image, architecture) = (self.cache.clone(), image.clone(), self.architecture);
        let entry = tokio::task::spawn_blocking(move || {
            let _kept = &work;
            let path = work.0.join("image.tar");
            let digest = write_image(&cache, &image, architecture, &parts, &path);
            let (digest, sha256) = digest.map_err(|error| Error::other(format!("make the image {}", image.reference), error))?;
            let source = "made here".to_owned();
            let info = ImageInfo { reference: image.reference.clone(), digest };
            let entry = Entry {
                name: format!("{IMAGE}{}", image.name),
                version: image.version.clone(),
                architecture: architecture.to_string(),
                source,
                files: Vec::new(),
                image: Some(info),
            };
            cache.put(
                &recipe.hash,
                ONLY,
                entry,
                vec![Fresh { name: format!("{}.tar", image.name), mode: 0o644, path, sha256: Some(sha256) }],
            )
        });
        let entry = entry.await.unwrap_or_else(|error| Err(Error::other(doing, error)))?;
        let _ = teller.send(finished(&entry, begun));
        Ok(entry)
    }

    /// Where a package lies, and what a plan says of that.
    fn package(&self, cargo: &Cargo) -> (&Path, String) {
        match self.built_in.as_deref().filter(|built_in| !cargo.is_in(&self.folder) && cargo.is_in(built_in)) {
            Some(built_in) => (built_in, format!("cargo {} (built in)", cargo.folder)),
            None => (&self.folder, format!("cargo {}", cargo.folder)),
        }
    }

    /// Its variant is the sources' hash: where they are not here, the newest of any will do.
    async fn cargo_recipe(&self, image: &ImageDefinition) -> Result<Recipe> {
        let cargo = image.cargo.clone().expect("it is Cargo's");
        let made_of = format!("{} {} {} {cargo:?}", image.name, image.version, image.reference);
        let folder = self.package(&cargo).0.to_owned();
        let key = tokio::task::spawn_blocking(move || cargo.key(&folder)).await;
        let doing = || format!("read the sources of `{IMAGE}{}`", image.name);
        let key = key.map_err(|error| Error::other(doing(), error))?.map_err(|error| Error::other(doing(), error))?;
        Ok(Recipe::new(&[&"cargo", &made_of, &self.architecture.word()], key))
    }

    async fn cargo_lack(&self, name: String, image: &ImageDefinition, cargo: &Cargo) -> Lack {
        let (folder, place) = self.package(cargo);
        let missing = if cargo.is_in(folder) { cargo::toolchain().await.err() } else { Some(cargo.missing(folder)) };
        let note = [image.note.clone(), missing.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        let able = missing.is_none();
        let source = if missing.is_some() { "no source that can be reached now".to_owned() } else { place };
        Lack { name, version: image.version.clone(), source, able, size: None, note: (!note.is_empty()).then_some(note) }
    }

    async fn ensure_cargo(&self, image: &ImageDefinition, cargo: &Cargo, teller: &Teller, cancel: &Cancel) -> Result<Entry> {
        let name = format!("{IMAGE}{}", image.name);
        if let Some(entry) = self.find(&self.cargo_recipe(image).await?)? {
            return Ok(entry);
        }
        // Cargo's own folder is one for all.
        let _lock = self.cache.lock("cargo", &name, teller, cancel).await?;
        let recipe = self.cargo_recipe(image).await?;
        if let Some(entry) = self.find(&recipe)? {
            return Ok(entry);
        }
        let begun = Instant::now();
        let doing = format!("build `{name}` {}", image.version);
        let (folder, place) = self.package(cargo);
        let _ = teller.send(Progress::Started { name: name.clone(), version: image.version.clone(), from: place });
        let work = self.cache.work()?;
        let (output, target) = (work.0.join("image.tar"), self.cache.cargo().join(&cargo.package));
        let build = cargo::Build {
            cargo,
            reference: &image.reference,
            version: &image.version,
            architecture: self.architecture,
            folder,
            target: &target,
            output: &output,
            name: &name,
            teller,
            cancel,
        };
        build.run().await.map_err(|failed| match failed {
            None => Error::cancelled(&doing),
            Some(cause) => {
                let hint = if !cargo.is_in(folder) {
                    format!("run `provision cache fetch {name}` in a checkout that has it; from then on every folder finds it in the cache")
                } else if cause.contains("no `cargo`") {
                    "install Rust (rustup), then type the same again".to_owned()
                } else {
                    format!("`cargo build -p {} --profile {}` in {} says all of it", cargo.package, cargo.profile, folder.display())
                };
                Error::new(ErrorKind::NoSource, &doing).because(cause).hint(hint)
            }
        })?;
        // What was built is what was hashed before: a source that was edited meanwhile is another image.
        if self.cargo_recipe(image).await?.variant != recipe.variant {
            return Err(
                Error::other(&doing, "its sources changed while it was built").hint(format!("run `provision cache fetch {name}` again"))
            );
        }
        let (cache, image, architecture) = (self.cache.clone(), image.clone(), self.architecture.to_string());
        let entry = tokio::task::spawn_blocking(move || {
            let _kept = &work;
            let (reference, digest) = oci::inspect(&output).map_err(|cause| Error::other("read what its program wrote", cause))?;
            if reference != image.reference {
                return Err(Error::other("read what its program wrote", format!("it is named {reference}, not {}", image.reference)));
            }
            let (files, info) = (Vec::new(), ImageInfo { reference, digest });
            let entry =
                Entry { name, version: image.version, architecture, source: "built here by Cargo".to_owned(), files, image: Some(info) };
            let variant = recipe.variant.expect("its sources are here");
            cache.put(
                &recipe.hash,
                &variant,
                entry,
                vec![Fresh { name: format!("{}.tar", image.name), mode: 0o644, path: output, sha256: None }],
            )
        });
        let entry = entry.await.unwrap_or_else(|error| Err(Error::other(doing, error)))?;
        let _ = teller.send(finished(&entry, begun));
        Ok(entry)
    }

    fn local_image(&self, name: &str, path: &Path) -> Result<Entry> {
        let doing = || format!("read the image {}", path.display());
        let sha256 = super::cache::hash(path)?;
        let name = format!("{IMAGE}{name}");
        let recipe = Recipe::new(&[&"local", &name, &sha256], Some(ONLY.to_owned()));
        if let Some(entry) = self.find(&recipe)? {
            return Ok(entry);
        }
        let (reference, digest) = oci::inspect(path).map_err(|cause| Error::other(doing(), cause))?;
        let work = self.cache.work()?;
        let copy = work.0.join("image.tar");
        std::fs::copy(path, &copy).map_err(|error| Error::other(doing(), error))?;
        let version = reference.rsplit(':').next().unwrap_or_default().to_owned();
        let file = Fresh { name: format!("{}.tar", name.trim_start_matches(IMAGE)), mode: 0o644, path: copy, sha256: None };
        let source = path.display().to_string();
        let entry = Entry {
            name,
            version,
            architecture: self.architecture.to_string(),
            source,
            files: Vec::new(),
            image: Some(ImageInfo { reference, digest }),
        };
        self.cache.put(&recipe.hash, ONLY, entry, vec![file])
    }
}

/// An artifact that no source has given yet.
struct Open {
    definition: Definition,
    /// Index of the source that is asked next.
    next: usize,
    tried: Vec<Tried>,
}

enum Outcome {
    Given(Entry),
    Build(Open),
}

enum BuildError {
    /// The source did not give it; the next one may.
    Failed(String),
    /// Our own trouble, or cancelled: no other source is asked.
    Own(Error),
}

impl From<Error> for BuildError {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

impl Open {
    fn failed(mut self, source: SourceKind, place: &Result<String, String>, cause: &str, teller: &Teller) -> Self {
        let tried =
            Tried { artifact: self.definition.name.clone(), source, place: place.clone().unwrap_or_default(), cause: cause.to_owned() };
        // What a source never could have is no news.
        if place.is_ok() && source != SourceKind::Cache {
            let _ = teller.send(Progress::Failed(tried.clone()));
        }
        self.tried.push(tried);
        self.next += 1;
        self
    }

    fn error(self, architecture: Architecture) -> Error {
        let Definition { name, version, .. } = &self.definition;
        let refused = self.tried.iter().any(|tried| tried.cause.starts_with("refused"));
        let no_go = self.tried.iter().any(|tried| tried.source == SourceKind::Go && tried.cause.contains("no `go`"));
        let hint = if refused {
            format!("somebody changed the file, or `sha256` of `{name}` in artifacts.yaml is not that of {version}")
        } else if no_go {
            "install Go, or set PROVISION_MIRROR to a mirror that this machine reaches".to_owned()
        } else {
            format!("see whether this machine reaches one of them, then run `provision cache fetch {name}`")
        };
        Error {
            tried: self.tried,
            ..Error::new(ErrorKind::NoSource, format!("fetch `{name}` {version} for {architecture}: no source gave it")).hint(hint)
        }
    }
}

/// Several errors as one: all sources that were tried, the first one's hint.
fn joined(mut errors: Vec<Error>) -> Error {
    // A cancelled run has one thing to say.
    if let Some(place) = errors.iter().position(|error| error.kind == ErrorKind::Cancelled || error.kind == ErrorKind::Damaged) {
        return errors.swap_remove(place);
    }
    errors.sort_by(|a, b| a.doing.cmp(&b.doing));
    let mut rest = errors.into_iter();
    let first = rest.next().expect("there are several");
    let mut joined = Error { doing: first.to_string(), causes: Vec::new(), tried: Vec::new(), ..first };
    for error in rest {
        joined.doing.push('\n');
        joined.doing.push_str(&error.to_string());
    }
    joined
}

fn started(definition: &Definition, source: SourceKind, place: &str) -> Progress {
    Progress::Started { name: definition.name.clone(), version: definition.version.clone(), from: format!("{source} {place}") }
}

fn finished(entry: &Entry, begun: Instant) -> Progress {
    Progress::Finished {
        name: entry.name.clone(),
        version: entry.version.clone(),
        source: entry.source.clone(),
        bytes: entry.files.iter().map(|file| file.seen.size).sum(),
        milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

impl Manifest {
    /// The image of a name with `image/`.
    fn image(&self, name: &str) -> Option<&ImageDefinition> {
        self.images.get(name.strip_prefix(IMAGE)?)
    }
}

impl ImageDefinition {
    /// The artifacts that it is made of.
    fn parts(&self) -> impl Iterator<Item = &str> {
        let files = self.files.values().filter_map(|part| match part {
            Part::File { artifact, .. } => Some(artifact.as_str()),
            Part::Pause => None,
        });
        let all: BTreeSet<&str> = self.layers.iter().map(String::as_str).chain(files).collect();
        all.into_iter()
    }
}

fn image_recipe(image: &ImageDefinition, architecture: Architecture, parts: &BTreeMap<String, Entry>) -> Recipe {
    let ImageDefinition { name, version, reference, layers, files, cargo: _, entrypoint, environment, user, note: _ } = image;
    let made_of = format!("{name} {version} {reference} {layers:?} {files:?} {entrypoint:?} {environment:?} {user:?}");
    let digests: Vec<String> = parts.values().flat_map(|entry| &entry.files).map(|file| format!("{} {}", file.name, file.sha256)).collect();
    let pause = if files.values().any(|part| *part == Part::Pause) {
        hex::encode(Sha256::digest(pause::program(architecture)))
    } else {
        String::new()
    };
    Recipe::new(&[&"image, gzip", &made_of, &architecture.word(), &digests.join("\n"), &pause], Some(ONLY.to_owned()))
}

/// The manifest's digest, and the tar's SHA-256. Blocks.
fn write_image(
    cache: &Cache,
    image: &ImageDefinition,
    architecture: Architecture,
    parts: &BTreeMap<String, Entry>,
    path: &Path,
) -> std::io::Result<(String, String)> {
    let file_of = |artifact: &str, file: Option<&str>| {
        let entry = &parts[artifact];
        let found = entry.files.iter().find(|one| file.is_none_or(|file| one.name == file));
        found
            .map(|file| cache.path(file))
            .ok_or_else(|| std::io::Error::other(format!("artifact `{artifact}` has no file {}", file.unwrap_or_default())))
    };
    let mut layers = Vec::new();
    for layer in &image.layers {
        layers.push(oci::Layer::Tar(file_of(layer, None)?));
    }
    let mut files = Vec::new();
    for (place, part) in &image.files {
        let content = match part {
            Part::File { artifact, file } => oci::Content::File(file_of(artifact, Some(file))?),
            Part::Pause => oci::Content::Bytes(pause::program(architecture)),
        };
        files.push((place.clone(), content));
    }
    if !files.is_empty() {
        layers.push(oci::Layer::Files(files));
    }
    let environment = image.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let user = image.user.as_deref().unwrap_or_default();
    let image = oci::Image { reference: &image.reference, architecture, layers, entrypoint: &image.entrypoint, environment, user };
    let mut out = oci::Hashing::new(std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?));
    let work = path.parent().expect("it lies in a work folder");
    let digest = oci::write(&image, work, &mut out)?;
    Ok((digest, out.finish().1))
}

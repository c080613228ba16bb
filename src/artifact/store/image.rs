//! Images: written from artifacts, built by Cargo, or brought by the user.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};

use super::fetch::finished;
use super::{Lack, ONLY, Recipe, Shared};
use crate::artifact::cache::{Cache, Entry, Fresh, ImageInfo};
use crate::artifact::error::{Error, ErrorKind, Result};
use crate::artifact::manifest::{Architecture, Cargo, IMAGE, ImageDefinition, Manifest, Part};
use crate::artifact::progress::{Cancel, Progress, Teller};
use crate::artifact::{cargo, oci, pause};

impl Shared {
    pub(super) async fn ensure_image(
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
    pub(super) fn package(&self, cargo: &Cargo) -> (&Path, String) {
        match self.built_in.as_deref().filter(|built_in| !cargo.is_in(&self.folder) && cargo.is_in(built_in)) {
            Some(built_in) => (built_in, format!("cargo {} (built in)", cargo.folder)),
            None => (&self.folder, format!("cargo {}", cargo.folder)),
        }
    }

    /// Its variant is the sources' hash: where they are not here, the newest of any will do.
    pub(super) async fn cargo_recipe(&self, image: &ImageDefinition) -> Result<Recipe> {
        let cargo = image.cargo.clone().expect("it is Cargo's");
        let made_of = format!("{} {} {} {cargo:?}", image.name, image.version, image.reference);
        let folder = self.package(&cargo).0.to_owned();
        let key = tokio::task::spawn_blocking(move || cargo.key(&folder)).await;
        let doing = || format!("read the sources of `{IMAGE}{}`", image.name);
        let key = key.map_err(|error| Error::other(doing(), error))?.map_err(|error| Error::other(doing(), error))?;
        Ok(Recipe::new(&[&"cargo", &made_of, &self.architecture.word()], key))
    }

    pub(super) async fn cargo_lack(&self, name: String, image: &ImageDefinition, cargo: &Cargo) -> Lack {
        let (folder, place) = self.package(cargo);
        let missing = if cargo.is_in(folder) { cargo::toolchain().await.err() } else { Some(cargo.missing(folder)) };
        let note = [image.note.clone(), missing.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ");
        let able = missing.is_none();
        let source = if missing.is_some() { "no source that can be reached now".to_owned() } else { place };
        Lack { name, version: image.version.clone(), source, able, size: None, note: (!note.is_empty()).then_some(note) }
    }

    pub(super) async fn ensure_cargo(&self, image: &ImageDefinition, cargo: &Cargo, teller: &Teller, cancel: &Cancel) -> Result<Entry> {
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

    pub(super) fn local_image(&self, name: &str, path: &Path) -> Result<Entry> {
        let doing = || format!("read the image {}", path.display());
        let sha256 = crate::artifact::cache::hash(path)?;
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

impl Manifest {
    /// The image of a name with `image/`.
    pub(super) fn image(&self, name: &str) -> Option<&ImageDefinition> {
        self.images.get(name.strip_prefix(IMAGE)?)
    }
}

impl ImageDefinition {
    /// The artifacts that it is made of.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        let files = self.files.values().filter_map(|part| match part {
            Part::File { artifact, .. } => Some(artifact.as_str()),
            Part::Pause => None,
        });
        let all: BTreeSet<&str> = self.layers.iter().map(String::as_str).chain(files).collect();
        all.into_iter()
    }
}

pub(super) fn image_recipe(image: &ImageDefinition, architecture: Architecture, parts: &BTreeMap<String, Entry>) -> Recipe {
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

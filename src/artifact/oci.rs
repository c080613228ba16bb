//! An image as one tar, an OCI layout: what `ctr images import`, podman and skopeo read. The same input gives the same bytes.
//!
//! Layers are gzip: kube-apiserver's image is 30 MB instead of 105, and `ctr images import` takes 1.0 s instead of 1.4 (four
//! interleaved pairs with containerd 2.3.4 on two loaded cores, 0.83 s of its CPU instead of 1.04): it writes less.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::manifest::Architecture;

/// No time of the build is in an image.
const CREATED: &str = "1970-01-01T00:00:00Z";
/// Programs of the images' manifests are looked up here.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What an image is made of.
pub(super) struct Image<'a> {
    pub reference: &'a str,
    pub architecture: Architecture,
    /// Lowest first.
    pub layers: Vec<Layer>,
    pub entrypoint: &'a [String],
    /// `NAME=value`, beyond PATH.
    pub environment: Vec<String>,
    /// `uid:gid`; empty is root.
    pub user: &'a str,
}

/// A layer: a tar that is there, or files that become one.
pub(super) enum Layer {
    Tar(PathBuf),
    /// By path in the image, absolute; root's, read and execute.
    Files(Vec<(String, Content)>),
}

/// What lies at a path.
pub(super) enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Layer {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Tar(path) => io::copy(&mut File::open(path)?, out).map(drop),
            Self::Files(files) => {
                let mut archive = tar::Builder::new(out);
                let mut files: Vec<&(String, Content)> = files.iter().collect();
                files.sort_by(|a, b| a.0.cmp(&b.0));
                let mut made = BTreeSet::new();
                for (path, content) in files {
                    let path = path.trim_start_matches('/');
                    for (end, _) in path.match_indices('/') {
                        if made.insert(&path[..=end]) {
                            append(&mut archive, &path[..=end], tar::EntryType::Directory, 0, io::empty())?;
                        }
                    }
                    match content {
                        Content::Bytes(bytes) => append(&mut archive, path, tar::EntryType::Regular, bytes.len() as u64, bytes.as_slice())?,
                        Content::File(source) => {
                            let file = File::open(source)?;
                            append(&mut archive, path, tar::EntryType::Regular, file.metadata()?.len(), file)?;
                        }
                    }
                }
                archive.finish()
            }
        }
    }
}

/// Everything is root's, and programs and folders are for everyone.
fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, kind: tar::EntryType, size: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    archive.append_data(&mut header, path, content)
}

/// Counts and hashes what is written to it, and hands it on.
pub(super) struct Hashing<W> {
    pub out: W,
    pub size: u64,
    digest: Sha256,
}

impl<W: Write> Hashing<W> {
    pub fn new(out: W) -> Self {
        Self { out, size: 0, digest: Sha256::new() }
    }

    /// SHA-256 in hexadecimal.
    pub fn finish(self) -> (W, String) {
        (self.out, hex::encode(self.digest.finalize()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn descriptor(media_type: &str, sha256: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{sha256}"), "size": size })
}

/// A layer that is compressed.
struct Packed {
    file: PathBuf,
    /// Bytes.
    size: u64,
    sha256: String,
    /// Of the tar inside.
    content: String,
}

impl Packed {
    fn new(layer: &Layer, file: PathBuf) -> io::Result<Self> {
        let out = Hashing::new(io::BufWriter::with_capacity(1 << 20, File::create(&file)?));
        // gzip's header has neither time nor name.
        let mut hashing = Hashing::new(GzEncoder::new(out, Compression::new(6)));
        layer.write(&mut hashing)?;
        let (encoder, content) = hashing.finish();
        let mut out = encoder.finish()?;
        out.flush()?;
        let size = out.size;
        let (_, sha256) = out.finish();
        Ok(Self { file, size, sha256, content })
    }
}

/// Writes the image; the manifest's digest (`sha256:…`). Layers that are not finished lie in the folder `work`.
pub(super) fn write(image: &Image, work: &Path, out: impl Write) -> io::Result<String> {
    let layers = image.layers.iter().enumerate().map(|(number, layer)| Packed::new(layer, work.join(format!("layer-{number}"))));
    let layers: Vec<Packed> = layers.collect::<io::Result<_>>()?;
    let environment: Vec<String> = [format!("PATH={PATH}")].into_iter().chain(image.environment.iter().cloned()).collect();
    let config = json!({
        "architecture": image.architecture.word(),
        "os": "linux",
        "created": CREATED,
        "config": { "User": image.user, "Entrypoint": image.entrypoint, "Env": environment, "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| format!("sha256:{}", layer.content)).collect::<Vec<_>>() },
        "history": layers.iter().map(|_| json!({ "created": CREATED, "created_by": "provision" })).collect::<Vec<_>>(),
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &sha256(config.as_bytes()), config.len() as u64),
        "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &layer.sha256, layer.size)).collect::<Vec<_>>(),
    })
    .to_string();
    let digest = sha256(manifest.as_bytes());
    let mut listed = descriptor(MANIFEST, &digest, manifest.len() as u64);
    listed["platform"] = json!({ "architecture": image.architecture.word(), "os": "linux" });
    let tag = image.reference.rsplit(':').next().unwrap_or_default();
    listed["annotations"] = json!({ "io.containerd.image.name": image.reference, "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [listed] }).to_string();

    let mut archive = tar::Builder::new(out);
    let mut text =
        |path: &str, content: &str| append(&mut archive, path, tar::EntryType::Regular, content.len() as u64, content.as_bytes());
    text("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    text("index.json", &index)?;
    text(&blob(&sha256(config.as_bytes())), &config)?;
    text(&blob(&digest), &manifest)?;
    let mut written = BTreeSet::new();
    for layer in &layers {
        if written.insert(&layer.sha256) {
            append(&mut archive, &blob(&layer.sha256), tar::EntryType::Regular, layer.size, File::open(&layer.file)?)?;
        }
        std::fs::remove_file(&layer.file)?;
    }
    archive.into_inner()?.flush()?;
    Ok(format!("sha256:{digest}"))
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn blob(digest: &str) -> String {
    format!("blobs/sha256/{digest}")
}

/// What an OCI layout in a tar says that it is: reference, and manifest digest. Every blob's content is held against its name.
/// An error is a phrase.
pub(super) fn inspect(path: &Path) -> Result<(String, String), String> {
    let unreadable = |error: io::Error| format!("it cannot be read: {error}");
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(1 << 20, File::open(path).map_err(unreadable)?));
    let mut index: Option<Value> = None;
    let mut blobs = BTreeSet::new();
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        let name = entry.path().map_err(unreadable)?.to_string_lossy().trim_start_matches("./").to_owned();
        if name == "index.json" {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(unreadable)?;
            index = Some(serde_json::from_str(&text).map_err(|error| format!("its index.json cannot be read: {error}"))?);
        } else if let Some(wanted) = name.strip_prefix("blobs/sha256/").filter(|rest| !rest.is_empty()) {
            let mut hashing = Hashing::new(io::sink());
            io::copy(&mut entry, &mut hashing).map_err(unreadable)?;
            let found = hashing.finish().1;
            if found != wanted {
                return Err(format!("it is damaged: the SHA-256 of {name} is {found}"));
            }
            blobs.insert(format!("sha256:{found}"));
        }
    }
    let index = index.ok_or("it is no OCI layout: it has no index.json")?;
    let manifests = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [manifest] = manifests else { return Err(format!("it holds {} images, not one", manifests.len())) };
    let digest = manifest["digest"].as_str().unwrap_or_default();
    if !blobs.contains(digest) {
        return Err(format!("its manifest {digest} is missing"));
    }
    match manifest["annotations"]["io.containerd.image.name"].as_str() {
        Some(reference) => Ok((reference.to_owned(), digest.to_owned())),
        None => Err("its index.json does not say the image's name (the annotation `io.containerd.image.name`)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(layers: Vec<Layer>) -> Image<'static> {
        Image {
            reference: "registry.example/a/b:1.2",
            architecture: Architecture::Amd64,
            layers,
            entrypoint: &[],
            environment: vec![],
            user: "65535:65535",
        }
    }

    fn files() -> Layer {
        Layer::Files(vec![("/usr/local/bin/b".into(), Content::Bytes(vec![7; 1000])), ("/a".into(), Content::Bytes(b"x".to_vec()))])
    }

    #[test]
    fn the_same_image_is_the_same_bytes_and_says_what_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.tar");
        let mut lower = Vec::new();
        files().write(&mut lower).expect("memory");
        let tar = folder.path().join("layer.tar");
        std::fs::write(&tar, &lower).expect("written");
        let (mut once, mut again) = (Vec::new(), Vec::new());
        let digest = write(&image(vec![files()]), folder.path(), &mut once).expect("memory");
        assert_eq!(write(&image(vec![Layer::Tar(tar)]), folder.path(), &mut again).expect("memory"), digest);
        assert_eq!(once, again);
        std::fs::write(&path, &once).expect("written");
        assert_eq!(inspect(&path).expect("whole"), ("registry.example/a/b:1.2".to_owned(), digest));
        // The layer's paths, folders before what lies in them.
        let mut layer = tar::Archive::new(&*lower);
        let paths: Vec<String> =
            layer.entries().expect("a tar").map(|entry| entry.expect("whole").path().expect("text").display().to_string()).collect();
        assert_eq!(paths, ["a", "usr/", "usr/local/", "usr/local/bin/", "usr/local/bin/b"]);
    }

    #[test]
    fn a_flipped_byte_of_a_layer_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("image.tar");
        let mut bytes = Vec::new();
        write(&image(vec![files()]), folder.path(), &mut bytes).expect("memory");
        let place = bytes.windows(4).rposition(|window| window == [0x1f, 0x8b, 8, 0]).expect("the layer");
        bytes[place + 30] ^= 1;
        std::fs::write(&path, &bytes).expect("written");
        let error = inspect(&path).expect_err("damaged");
        assert!(error.contains("damaged: the SHA-256 of blobs/sha256/"), "{error}");
    }
}

//! An OCI image as one tar: what `ctr images import`, `docker load`, podman and skopeo read. The same input gives the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A file of a layer, or a folder.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root, without the leading slash; a folder's ends with one.
    pub path: String,
    pub mode: u32,
    /// User and group, by number.
    pub owner: u64,
    pub content: Vec<u8>,
}

impl File {
    /// Root's, which nobody else writes to.
    pub fn new(path: &str, mode: u32, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode, owner: 0, content }
    }

    /// An empty folder of a user's own: a volume that is mounted there for the first time becomes that user's too.
    pub fn folder(path: &str, owner: u64) -> Self {
        Self { path: format!("{path}/"), mode: 0o750, owner, content: Vec::new() }
    }
}

/// One layer a list of files; from what changes least to what changes most.
#[derive(Debug, Clone)]
pub struct Image {
    /// All its names, each with registry and tag: `registry.example/model-service:v1.0.0`, `…:latest`.
    pub references: Vec<String>,
    /// Go's name of it: `amd64`, `arm64`.
    pub architecture: String,
    /// `uid:gid` by number, so that a kubelet can see that it is not root.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u16>,
    pub labels: BTreeMap<String, String>,
    pub layers: Vec<Vec<File>>,
    /// What is said of the image beside it: an SBOM.
    pub attached: Option<Attached>,
}

/// A document about an image: an artifact whose manifest names the image as its subject (OCI distribution 1.1, "referrers").
#[derive(Debug, Clone)]
pub struct Attached {
    /// `application/vnd.cyclonedx+json`.
    pub media_type: String,
    /// The name of the file that a client writes.
    pub title: String,
    pub content: Vec<u8>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The configuration of what is no image (OCI image 1.1, "guidance for an empty descriptor").
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");
/// No time of the build is in the image.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Write the image: an OCI layout with uncompressed layers, and `manifest.json` for `docker load`. Returns the manifest's digest.
pub fn write(image: &Image, out: impl Write) -> io::Result<String> {
    let layers: Vec<Vec<u8>> = image.layers.iter().map(|files| layer(files)).collect::<io::Result<_>>()?;
    let config = json!({
        "architecture": image.architecture,
        "os": "linux",
        "created": CREATED,
        "config": {
            "User": image.user,
            "Entrypoint": image.entrypoint,
            "Env": image.environment.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
            "ExposedPorts": image.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect::<serde_json::Map<_, _>>(),
            "Labels": image.labels,
            "WorkingDir": "/",
        },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| digest(layer)).collect::<Vec<_>>() },
        "history": layers.iter().map(|_| json!({"created": CREATED, "created_by": "model-service image"})).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes();

    let listed = image.references.iter().map(|reference| {
        let mut listed = descriptor(MANIFEST, &manifest);
        listed["platform"] = json!({ "architecture": image.architecture, "os": "linux" });
        listed["annotations"] = json!({ "io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag(reference) });
        listed
    });
    let attached = image.attached.as_ref().map(|attached| (attached, referrer(attached, &manifest)));
    let referring = attached.iter().map(|(attached, referrer)| {
        let mut listed = descriptor(MANIFEST, referrer);
        listed["artifactType"] = json!(attached.media_type);
        listed
    });
    let manifests: Vec<Value> = listed.chain(referring).collect();
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests });
    let docker = json!([{
        "Config": blob(&config),
        "RepoTags": image.references,
        "Layers": layers.iter().map(|layer| blob(layer)).collect::<Vec<_>>(),
    }]);

    let mut blobs: BTreeMap<String, &[u8]> = layers.iter().map(|layer| (blob(layer), layer.as_slice())).collect();
    let mut hold = |content| blobs.insert(blob(content), content);
    hold(&config);
    hold(&manifest);
    if let Some((attached, referrer)) = &attached {
        hold(EMPTY.1);
        hold(&attached.content);
        hold(referrer);
    }
    let mut archive = tar::Builder::new(out);
    entry(&mut archive, "oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    entry(&mut archive, "index.json", 0o644, index.to_string().as_bytes())?;
    entry(&mut archive, "manifest.json", 0o644, docker.to_string().as_bytes())?;
    for folder in ["blobs/", "blobs/sha256/"] {
        directory(&mut archive, folder)?;
    }
    for (path, content) in blobs {
        entry(&mut archive, &path, 0o644, content)?;
    }
    archive.into_inner()?.flush()?;
    Ok(digest(&manifest))
}

/// The manifest of a document about the image of this manifest.
fn referrer(attached: &Attached, image: &[u8]) -> Vec<u8> {
    let mut document = descriptor(&attached.media_type, &attached.content);
    document["annotations"] = json!({ "org.opencontainers.image.title": attached.title });
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": attached.media_type,
        "config": descriptor(EMPTY.0, EMPTY.1),
        "layers": [document],
        "subject": descriptor(MANIFEST, image),
    })
    .to_string()
    .into_bytes()
}

/// What follows the colon: the registry's port is none.
fn tag(reference: &str) -> &str {
    reference.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag)
}

fn layer(files: &[File]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut files: Vec<&File> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut made = std::collections::BTreeSet::new();
    for file in files {
        for (end, _) in file.path.match_indices('/').filter(|(end, _)| end + 1 < file.path.len()) {
            if made.insert(&file.path[..=end]) {
                directory(&mut archive, &file.path[..=end])?;
            }
        }
        append(&mut archive, file)?;
    }
    archive.into_inner()
}

fn directory<W: Write>(archive: &mut tar::Builder<W>, path: &str) -> io::Result<()> {
    append(archive, &File { path: path.to_owned(), mode: 0o755, owner: 0, content: Vec::new() })
}

fn entry<W: Write>(archive: &mut tar::Builder<W>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    append(archive, &File::new(path, mode, content.to_vec()))
}

fn append<W: Write>(archive: &mut tar::Builder<W>, file: &File) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(if file.path.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular });
    header.set_mode(file.mode);
    header.set_uid(file.owner);
    header.set_gid(file.owner);
    header.set_mtime(0);
    header.set_size(file.content.len() as u64);
    archive.append_data(&mut header, &file.path, &*file.content)
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

fn blob(content: &[u8]) -> String {
    format!("blobs/sha256/{}", hex::encode(Sha256::digest(content)))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

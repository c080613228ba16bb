//! An OCI image as one tar: what `ctr images import`, `docker load`, podman and skopeo read. The same input gives the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A file of a layer, owned by root, not writable.
#[derive(Debug, Clone)]
pub struct File {
    /// From the root, without the leading slash.
    pub path: String,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// One layer a list of files; from what changes least to what changes most.
#[derive(Debug, Clone)]
pub struct Image {
    /// With registry and tag: `registry.example/model-service:1.0.0`.
    pub reference: String,
    /// Go's name of it: `amd64`, `arm64`.
    pub architecture: String,
    /// `uid:gid` by number, so that a kubelet can see that it is not root.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub ports: Vec<u16>,
    pub labels: BTreeMap<String, String>,
    pub layers: Vec<Vec<File>>,
}

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
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect::<Vec<_>>(),
    })
    .to_string()
    .into_bytes();

    let mut listed = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    listed["platform"] = json!({ "architecture": image.architecture, "os": "linux" });
    let tag = image.reference.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("latest", |(_, tag)| tag);
    listed["annotations"] = json!({ "io.containerd.image.name": image.reference, "org.opencontainers.image.ref.name": tag });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [listed] });
    let docker = json!([{
        "Config": blob(&config),
        "RepoTags": [image.reference],
        "Layers": layers.iter().map(|layer| blob(layer)).collect::<Vec<_>>(),
    }]);

    let mut blobs: BTreeMap<String, &[u8]> = layers.iter().map(|layer| (blob(layer), layer.as_slice())).collect();
    blobs.insert(blob(&config), &config);
    blobs.insert(blob(&manifest), &manifest);
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

fn layer(files: &[File]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut files: Vec<&File> = files.iter().collect();
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut made = std::collections::BTreeSet::new();
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            if made.insert(&file.path[..=end]) {
                directory(&mut archive, &file.path[..=end])?;
            }
        }
        entry(&mut archive, &file.path, file.mode, &file.content)?;
    }
    archive.into_inner()
}

fn directory<W: Write>(archive: &mut tar::Builder<W>, path: &str) -> io::Result<()> {
    append(archive, path, 0o755, tar::EntryType::Directory, &[])
}

fn entry<W: Write>(archive: &mut tar::Builder<W>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    append(archive, path, mode, tar::EntryType::Regular, content)
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, mode: u32, kind: tar::EntryType, content: &[u8]) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    archive.append_data(&mut header, path, content)
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

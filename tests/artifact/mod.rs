//! Artifacts: sources in order, checksums, the cache, images, the command line. Servers are on loopback; nothing is built but a
//! program of five lines.

mod cargo;
mod command;
mod manifest;
pub mod server;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use provision::artifact::{Artifact, Cache, Cancel, Error, ErrorKind, Manifest, Progress, Settings, Store};
use server::{Answer, Server};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A cache of its own, and a user's manifest.
struct Lab {
    folder: tempfile::TempDir,
    mirror: Option<String>,
}

impl Lab {
    fn new(manifest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("artifacts.yaml"), manifest).expect("written");
        Self { folder, mirror: None }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    fn store(&self) -> Store {
        let manifest = Manifest::load(Some(&self.path().join("artifacts.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let cache = Cache::at(&self.cache()).expect("a cache");
        Store::new(
            manifest,
            cache,
            Settings { mirror: self.mirror.clone(), folder: Some(self.path().join("environment")), ..Settings::default() },
        )
        .expect("a store")
    }

    /// One `ensure` of a new store, with all that was told meanwhile.
    fn ensure(&self, names: &[&str]) -> (Result<BTreeMap<String, Artifact>, Error>, Vec<Progress>) {
        let mut told = Vec::new();
        let store = self.store();
        let result = run(store.ensure(names, &mut |step| told.push(step), &Cancel::default()));
        (result, told)
    }

    fn unfinished(&self) -> usize {
        fs::read_dir(self.cache().join("work")).expect("a folder").count()
    }

    fn blobs(&self) -> Vec<PathBuf> {
        fs::read_dir(self.cache().join("blobs")).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime").block_on(work)
}

/// An artifact of one file that both architectures have.
pub fn tool(server: &str, content: &[u8], sources: &str) -> String {
    let sum = sha256(content);
    format!(
        "artifacts:\n  tool:\n    version: 1.2.3\n    sources: [{sources}]\n    files: {{tool: {{}}}}\n    upstream:\n      url: {server}/v{{version}}/tool\n      sha256: {{amd64: {sum}, arm64: {sum}}}\n"
    )
}

/// Over a mebibyte: progress is told, and it comes in many pieces.
fn content() -> Vec<u8> {
    (0..3_000_000_u32).flat_map(u32::to_le_bytes).take(3_000_000).collect()
}

fn causes(told: &[Progress]) -> Vec<String> {
    told.iter().filter_map(|step| if let Progress::Failed(tried) = step { Some(tried.to_string()) } else { None }).collect()
}

#[test]
fn a_download_is_checked_kept_and_not_fetched_again() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    assert_eq!(run(lab.store().present("tool")).expect("whole"), None);
    let (result, told) = lab.ensure(&["tool"]);
    let artifact = &result.expect("it is there")["tool"];
    let file = &artifact.files[0];
    assert_eq!((artifact.version.as_str(), artifact.source.as_str()), ("1.2.3", "upstream"));
    assert_eq!((file.name.as_str(), &*file.sha256, file.size, file.mode), ("tool", &*sha256(&content), 3_000_000, 0o755));
    assert_eq!(fs::read(&file.path).expect("there"), content);
    assert!(told.iter().any(|step| matches!(step, Progress::Bytes { total: Some(3_000_000), .. })), "{told:?}");
    assert!(matches!(told.last(), Some(Progress::Finished { bytes: 3_000_000, .. })), "{told:?}");

    let (again, told) = lab.ensure(&["tool"]);
    assert_eq!(&again.expect("it is there")["tool"], artifact);
    assert!(told.is_empty(), "{told:?}");
    assert_eq!(run(lab.store().present("tool")).expect("whole").as_ref(), Some(artifact));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(lab.unfinished(), 0);
}

#[test]
fn members_of_an_archive_are_files() {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, content) in [("x-1.2.3/bin/one", "first"), ("x-1.2.3/bin/two", "second"), ("x-1.2.3/README", "third")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, path, content.as_bytes()).expect("memory");
    }
    let bytes = archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory");
    let server = Server::start(&[("/x-1.2.3.tar.gz", &[Answer::Whole(bytes.clone())])]);
    let sum = sha256(&bytes);
    let manifest = |one: &str| {
        format!(
            "artifacts:\n  x:\n    version: 1.2.3\n    sources: [cache, upstream]\n    files:\n      one: {{member: \"x-{{version}}/bin/{one}\", mode: 0644}}\n      two: {{member: \"x-{{version}}/bin/two\"}}\n    upstream: {{url: \"{}/x-{{version}}.tar.gz\", sha256: {{amd64: {sum}, arm64: {sum}}}}}\n",
            server.url()
        )
    };
    let lab = Lab::new(&manifest("one"));
    let artifact = lab.ensure(&["x"]).0.expect("it is there").remove("x").expect("asked for");
    let found: Vec<(&str, u32, String)> =
        artifact.files.iter().map(|file| (file.name.as_str(), file.mode, fs::read_to_string(&file.path).expect("text"))).collect();
    assert_eq!(found, [("one", 0o644, "first".to_owned()), ("two", 0o755, "second".to_owned())]);

    let error = Lab::new(&manifest("none")).ensure(&["x"]).0.expect_err("it lacks one");
    assert!(error.to_string().contains("the archive has no x-1.2.3/bin/none"), "{error}");
}

#[test]
fn a_file_with_another_checksum_is_refused_and_named() {
    let content = content();
    let mut other = content.clone();
    other[1_234_567] ^= 1;
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(other.clone())])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    let error = lab.ensure(&["tool"]).0.expect_err("refused");
    assert_eq!(error.kind, ErrorKind::NoSource);
    let expected = format!(
        "fetch `tool` 1.2.3 for {}: no source gave it\n  cache: it is not there\n  upstream {}/v1.2.3/tool: refused: the SHA-256 of what came (3000000 bytes) is {}, and the manifest says {}",
        architecture(),
        server.url(),
        sha256(&other),
        sha256(&content)
    );
    assert_eq!(error.to_string(), expected);
    assert!(error.hint.expect("a hint").contains("`sha256` of `tool` in artifacts.yaml"));
    // Not tried again, and nothing of it is kept.
    assert_eq!(server.requests().len(), 1);
    assert!(lab.blobs().is_empty());
    assert_eq!(lab.unfinished(), 0);
}

fn architecture() -> &'static str {
    provision::artifact::Architecture::of_this_machine().expect("one of ours").word()
}

#[test]
fn a_mirror_without_the_file_is_followed_by_upstream() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    let mut lab = Lab::new(&tool(&server.url(), &content, "cache, mirror, upstream"));
    lab.mirror = Some(format!("{}/mirror/", server.url()));
    let (result, told) = lab.ensure(&["tool"]);
    assert_eq!(result.expect("upstream has it")["tool"].source, "upstream");
    let asked = format!("/mirror/tool/1.2.3/{}/tool", architecture());
    assert_eq!(server.requests(), [asked.as_str(), "/v1.2.3/tool"]);
    assert_eq!(causes(&told), [format!("mirror {}{asked}: the server answers 404 Not Found", server.url())]);
}

#[test]
fn a_file_of_the_mirror_is_the_same_artifact_as_upstreams() {
    let content = content();
    let path = format!("/tool/1.2.3/{}/tool", architecture());
    let server = Server::start(&[(&path, &[Answer::Whole(content.clone())])]);
    let mut lab = Lab::new(&tool("http://127.0.0.1:1", &content, "cache, mirror, upstream"));
    lab.mirror = Some(server.url());
    assert_eq!(lab.ensure(&["tool"]).0.expect("the mirror has it")["tool"].source, "the mirror");
    lab.mirror = None;
    assert!(run(lab.store().present("tool")).expect("whole").is_some(), "without the mirror the cache has it still");
}

#[test]
fn a_host_that_refuses_connections_is_asked_once_a_run() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    // A port that nobody listens on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let mut lab = Lab::new(&tool(&server.url(), &content, "cache, mirror, upstream"));
    lab.mirror = Some(format!("http://{closed}"));
    let begun = Instant::now();
    let (result, told) = lab.ensure(&["tool"]);
    assert!(result.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let cause = causes(&told).remove(0);
    assert!(cause.contains(&format!("connect to {closed}: ")) && cause.contains("Connection refused"), "{cause}");

    // A second artifact does not ask the same host again.
    let (store, mut told) = (lab.store(), Vec::new());
    fs::remove_dir_all(lab.cache().join("index")).expect("there");
    for _ in 0..2 {
        run(store.ensure(&["tool"], &mut |step| told.push(step), &Cancel::default())).expect("upstream has it");
        fs::remove_dir_all(lab.cache().join("index")).expect("there");
    }
    assert_eq!(causes(&told).len(), 2);
    assert!(causes(&told)[1].contains("Connection refused"));
}

#[test]
fn a_broken_transfer_and_a_busy_server_are_tried_again() {
    let content = content();
    let answers = [Answer::Broken(content.clone(), 1_500_000), Answer::Status(503), Answer::Whole(content.clone())];
    let server = Server::start(&[("/v1.2.3/tool", &answers)]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    let artifact = lab.ensure(&["tool"]).0.expect("the third time").remove("tool").expect("asked for");
    assert_eq!(fs::read(&artifact.files[0].path).expect("there"), content);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_server_that_always_breaks_off_is_given_up_and_told() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Broken(content.clone(), 1000)])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    let error = lab.ensure(&["tool"]).0.expect_err("never whole").to_string();
    assert!(error.contains("the transfer broke off after 1000 bytes") && error.ends_with("(4 attempts)"), "{error}");
    assert_eq!(server.requests().len(), 4);
    assert!(lab.blobs().is_empty() && lab.unfinished() == 0);
}

#[test]
fn every_source_that_failed_stands_in_the_error_with_its_cause() {
    let manifest = tool("http://127.0.0.1:1", b"x", "cache, mirror, upstream, go, debian");
    let error = Lab::new(&manifest).ensure(&["tool"]).0.expect_err("nobody has it");
    let sources: Vec<String> =
        error.tried.iter().map(|tried| format!("{} {}", tried.source, tried.cause.split(':').next().unwrap_or_default())).collect();
    assert_eq!(
        sources,
        [
            "cache it is not there",
            "mirror none is configured",
            "upstream connect to 127.0.0.1",
            "go the manifest names no module",
            "debian the manifest names no packages"
        ]
    );
    assert!(error.hint.expect("a hint").contains("provision cache fetch tool"));
}

#[test]
fn a_flipped_byte_in_the_cache_is_refused_and_named() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    let path = lab.ensure(&["tool"]).0.expect("it is there")["tool"].files[0].path.clone();

    // Written anew with the same content: looked at again, and good.
    let rewrite = |bytes: &[u8]| {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
        fs::write(&path, bytes).expect("written");
    };
    rewrite(&content);
    assert!(run(lab.store().present("tool")).expect("whole").is_some());

    let mut flipped = content.clone();
    flipped[2_000_000] ^= 0x80;
    rewrite(&flipped);
    for error in [run(lab.store().present("tool")).expect_err("damaged"), lab.ensure(&["tool"]).0.expect_err("damaged")] {
        assert_eq!(error.kind, ErrorKind::Damaged);
        let expected = format!(
            "check `tool` in the cache: {} is damaged: its SHA-256 is {}, not {}",
            path.display(),
            sha256(&flipped),
            sha256(&content)
        );
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.hint.as_deref(), Some("run `provision cache clean tool`; it is fetched again by the next run"));
    }
    assert_eq!(server.requests().len(), 1, "a damaged file is not replaced in silence");

    lab.store().cache().clean(&["tool".to_owned()]).expect("cleaned");
    assert!(lab.ensure(&["tool"]).0.is_ok());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn two_runs_at_once_download_once() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Slow(content.clone(), Duration::from_millis(600))])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    let (one, two) = (lab.store(), lab.store());
    let cancel = Cancel::default();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (mut tell_first, mut tell_second) = (|step| first.push(step), |step| second.push(step));
    let (a, b) =
        run(async { tokio::join!(one.ensure(&["tool"], &mut tell_first, &cancel), two.ensure(&["tool"], &mut tell_second, &cancel)) });
    assert_eq!(a.expect("there"), b.expect("there"));
    assert_eq!(server.requests().len(), 1);
    let waited = first.iter().chain(&second).filter(
        |step| matches!(step, Progress::Waiting { what, .. } if what.contains(&format!("process {} has the lock", std::process::id()))),
    );
    assert_eq!(waited.count(), 1, "{first:?} {second:?}");
}

#[test]
fn a_cancelled_download_ends_at_once_and_leaves_nothing() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Stalled(content.clone(), 2_000_000)])]);
    let lab = Lab::new(&tool(&server.url(), &content, "cache, upstream"));
    let (store, cancel) = (lab.store(), Cancel::default());
    let word = cancel.clone();
    let begun = Instant::now();
    let error = run(async {
        store
            .ensure(
                &["tool"],
                &mut |step| {
                    if matches!(step, Progress::Bytes { .. }) {
                        word.cancel();
                    }
                },
                &cancel,
            )
            .await
    })
    .expect_err("cancelled");
    assert_eq!((error.kind, error.to_string().as_str()), (ErrorKind::Cancelled, "fetch `tool` 1.2.3: cancelled"));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(lab.blobs().is_empty() && lab.unfinished() == 0);
}

#[test]
fn what_a_dead_process_left_is_removed() {
    let lab = Lab::new("artifacts: {}\n");
    lab.store();
    // No process has this number: pid_max is at most 2^22 (proc(5)).
    let left = lab.cache().join("work/4194305-0");
    fs::create_dir_all(&left).expect("made");
    let own = lab.cache().join(format!("work/{}-99", std::process::id()));
    fs::create_dir_all(&own).expect("made");
    lab.store();
    assert!(!left.exists() && own.exists());
}

#[test]
fn a_plan_says_what_is_lacking_and_where_it_would_come_from() {
    let content = content();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    let manifest = format!(
        "{}images:\n  made:\n    version: 2.0\n    reference: registry.example/made:v{{version}}\n    files: {{/tool: tool}}\n    note: made of 1.2.3\n",
        tool(&server.url(), &content, "cache, mirror, upstream")
    );
    let mut lab = Lab::new(&manifest);
    // The mirror has it not: upstream is what will be asked.
    lab.mirror = Some(format!("{}/mirror", server.url()));
    let lacks = run(lab.store().lacking(&["image/made"])).expect("known names");
    let said: Vec<String> =
        lacks.iter().map(|lack| format!("{} {} {} {:?} {:?}", lack.name, lack.version, lack.source, lack.size, lack.note)).collect();
    assert_eq!(
        said,
        [
            format!("tool 1.2.3 upstream {}/v1.2.3/tool Some(3000000) None", server.url()),
            "image/made 2.0 made here None Some(\"made of 1.2.3\")".to_owned()
        ]
    );
    assert!(server.requests().is_empty(), "a plan fetches nothing");
    let made = lab.ensure(&["image/made"]).0.expect("it is there");
    assert_eq!(made.keys().map(String::as_str).collect::<Vec<_>>(), ["image/made"]);
    assert!(run(lab.store().lacking(&["image/made"])).expect("known names").is_empty());
    let error = run(lab.store().lacking(&["image/mad"])).expect_err("unknown");
    assert_eq!(
        (error.to_string().as_str(), error.hint.as_deref()),
        ("there is no artifact `image/mad`", Some("did you mean `image/made`?"))
    );
}

/// Versions are the manifest's: a source that has another one is told with it.
#[test]
fn a_plan_says_where_a_source_gives_another_version() {
    let manifest = |module: &str| {
        format!(
            "artifacts:\n  hello:\n    version: 1.5.0\n    sources: [cache, go]\n    files: {{hello: {{package: example.org/hello}}}}\n    \
             module: hello\n    note: a greeting\nmodules:\n  hello: {{module: example.org/hello, version: {module}}}\n"
        )
    };
    for (module, note) in [("1.5.0", "a greeting"), ("1.6.2", "a greeting; its Go module gives 1.6.2, not 1.5.0")] {
        let lacks = run(Lab::new(&manifest(module)).store().lacking(&["hello"])).expect("known names");
        assert_eq!((lacks[0].version.as_str(), lacks[0].note.as_deref()), ("1.5.0", Some(note)));
    }
}

#[test]
fn an_image_is_an_oci_layout_with_the_name_that_manifests_know() {
    let content = b"#!/bin/sh\n".to_vec();
    let server = Server::start(&[("/v1.2.3/tool", &[Answer::Whole(content.clone())])]);
    let manifest = format!(
        "{}images:\n  made:\n    version: 1.2.3\n    reference: registry.example/made:v{{version}}\n    files: {{/usr/bin/tool: tool, /pause: pause}}\n    entrypoint: [/usr/bin/tool]\n    user: \"65535:65535\"\n",
        tool(&server.url(), &content, "cache, upstream")
    );
    let lab = Lab::new(&manifest);
    let artifact = lab.ensure(&["image/made"]).0.expect("made").remove("image/made").expect("asked for");
    let image = artifact.image.as_ref().expect("an image");
    assert_eq!(image.reference, "registry.example/made:v1.2.3");

    let file = &artifact.files[0];
    assert_eq!(sha256(&fs::read(&file.path).expect("there")), *file.sha256);
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(fs::File::open(&file.path).expect("there")).entries().expect("a tar") {
        let mut entry = entry.expect("whole");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("whole");
        entries.insert(entry.path().expect("text").display().to_string(), bytes);
    }
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
    let blob =
        |digest: &serde_json::Value| &entries[&format!("blobs/sha256/{}", digest.as_str().expect("text").trim_start_matches("sha256:"))];
    let index = json(&entries["index.json"]);
    let listed = &index["manifests"][0];
    assert_eq!(listed["digest"], image.digest.as_str());
    assert_eq!(listed["annotations"]["io.containerd.image.name"], "registry.example/made:v1.2.3");
    assert_eq!(listed["annotations"]["org.opencontainers.image.ref.name"], "v1.2.3");
    assert_eq!(format!("sha256:{}", sha256(blob(&listed["digest"]))), image.digest);
    let manifest = json(blob(&listed["digest"]));
    let config = json(blob(&manifest["config"]["digest"]));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/usr/bin/tool"]));
    assert_eq!(config["config"]["User"], "65535:65535");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let mut layer = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(blob(&manifest["layers"][0]["digest"]).as_slice()), &mut layer)
        .expect("gzip");
    assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&layer)));
    let mut layer = tar::Archive::new(layer.as_slice());
    let paths: Vec<String> =
        layer.entries().expect("a tar").map(|entry| entry.expect("whole").path().expect("text").display().to_string()).collect();
    assert_eq!(paths, ["pause", "usr/", "usr/bin/", "usr/bin/tool"]);

    // The same tar as a file of the user's is the same image.
    let copy = lab.path().join("own.tar");
    fs::copy(&file.path, &copy).expect("copied");
    let own = run(lab.store().local_image("own", &copy)).expect("an image");
    assert_eq!((own.name.as_str(), own.image.as_ref()), ("image/own", Some(image)));
    fs::OpenOptions::new().append(true).open(&copy).and_then(|mut file| file.write_all(b"x")).expect("longer");
    fs::write(&copy, b"no tar at all").expect("written");
    let error = run(lab.store().local_image("own", &copy)).expect_err("no image");
    assert!(error.to_string().starts_with(&format!("read the image {}: ", copy.display())), "{error}");
}

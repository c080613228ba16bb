//! Models that come and go while the service answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;
use crate::{models, with_metadata};

/// As a mounted ConfigMap is: `..data` is a link to a folder, which is replaced as a whole, and files are links into it.
struct Mounted(TempDir);

impl Mounted {
    fn new(content: &[u8]) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink("..data/model.onnx", mounted.0.path().join("model.onnx")).unwrap();
        mounted.put("..1", content);
        mounted
    }

    fn put(&self, name: &str, content: &[u8]) {
        let folder = self.0.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("model.onnx"), content).unwrap();
        let link = self.0.path().join("..data_tmp");
        std::os::unix::fs::symlink(name, &link).unwrap();
        fs::rename(link, self.0.path().join("..data")).unwrap();
    }
}

fn contents() -> Vec<Vec<u8>> {
    models().iter().map(|path| fs::read(path).unwrap()).collect()
}

fn current(server: &Server) -> String {
    server.get("/version").value()["model"]["version"].as_str().unwrap().to_owned()
}

/// Until it holds, for as long as a check may take on a busy machine.
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn refused(server: &Server) -> Vec<Value> {
    server.admin("GET", "/admin/models", &[]).value()["refused"].as_array().unwrap().clone()
}

#[test]
fn new_model_takes_over_and_is_rolled_back_from_without_a_failed_request() {
    let models = contents();
    let mounted = Mounted::new(&models[0]);
    let server = Server::of(mounted.0.path(), &[]);
    assert_eq!((current(&server).as_str(), server.admin("POST", "/admin/rollback", &[]).status), ("v1", 409));

    let (ended, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let url = "http://192.0.2.7/paypal/cgi-bin/webscr/login.php";
                let mut known = std::collections::HashMap::new();
                while !ended.load(Ordering::Relaxed) {
                    let answer = server.json(format!(r#"{{"url":"{url}"}}"#).as_bytes());
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    // The two models differ, so an answer that names the other one would be seen.
                    let id = answer.header("x-model-id").unwrap().to_owned();
                    assert_eq!(*known.entry(id).or_insert_with(|| answer.body.clone()), answer.body);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                assert_eq!(known.len(), 2, "both models have answered");
                let bodies: Vec<&String> = known.values().collect();
                assert_ne!(bodies[0], bodies[1]);
            });
        }
        let more = |what| {
            let before = answered.load(Ordering::Relaxed);
            wait(what, || answered.load(Ordering::Relaxed) > before + 20);
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            more("v1 answers");
            mounted.put("..2", &models[1]);
            wait("v2 takes over", || current(&server) == "v2");
            more("v2 answers");
            let back = server.admin("POST", "/admin/rollback", &[]);
            assert_eq!((back.status, &back.value()["current"]["version"]), (200, &Value::from("v1")));
            assert_eq!(current(&server), "v1");
            more("v1 answers again");
            // Longer than the folder takes to be looked at twice: what was rolled back from stays so.
            std::thread::sleep(Duration::from_millis(2500));
            assert_eq!(current(&server), "v1");
        }));
        ended.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    let told = server.admin("GET", "/admin/models", &[]).value();
    assert_eq!((&told["current"]["version"], &told["previous"]["version"]), (&"v1".into(), &"v2".into()));
    let metrics = server.get("/metrics").body;
    for line in ["{outcome=\"swapped\"} 1", "{outcome=\"rolled_back\"} 1", "{outcome=\"refused\"} 0"] {
        assert!(metrics.contains(&format!("model_service_model_swaps_total{line}\n")), "{line} is not in\n{metrics}");
    }
    // And forward again.
    assert_eq!(server.admin("POST", "/admin/rollback", &[]).value()["current"]["version"], "v2");
    // Of two models and the load; a check is a process of its own, as large as a server at its start.
    server.is_within_forty_megabytes();
}

#[test]
fn what_is_corrupt_cut_or_of_another_kind_never_takes_over() {
    let models = contents();
    let mounted = Mounted::new(&models[0]);
    let server = Server::of(mounted.0.path(), &[]);
    let mut changed = models[1].clone();
    let middle = changed.len() / 2;
    changed[middle..middle + 4000].fill(0x40);
    let files = [
        (b"no model".to_vec(), "ONNX"),
        (models[1][..models[1].len() / 2].to_vec(), "ONNX"),
        (changed, "self-test"),
        (with_metadata(&models[1], &[("preprocessing", "url-bytes/9")]), "the model needs pre-processing `url-bytes/9`"),
        (with_metadata(&models[1], &[("reference", "{}")]), "reference"),
        (with_metadata(&models[1], &[("version", "v 2\n")]), "is not visible ASCII"),
    ];
    for (at, (content, reason)) in files.iter().enumerate() {
        mounted.put(&format!("..bad{at}"), content);
        wait(reason, || refused(&server).len() == at + 1);
        let told = refused(&server).remove(0);
        assert!(told["reason"].as_str().unwrap().contains(reason), "{told}");
        assert_eq!((current(&server).as_str(), server.json(br#"{"url":"a"}"#).status), ("v1", 200));
    }
    assert!(server.get("/metrics").body.contains(&format!("model_swaps_total{{outcome=\"refused\"}} {}\n", files.len())));
    // What comes after is served as if nothing had been.
    mounted.put("..good", &models[1]);
    wait("v2 takes over", || current(&server) == "v2");
}

#[test]
fn newest_of_a_folder_is_served_and_a_broken_one_is_passed_over_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8], hour: u64| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + hour * 3600);
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    };
    let models = contents();
    write("z.onnx", &models[0], 1);
    write("a.onnx", &models[1], 2);
    write("notes.txt", b"no model", 4);
    write(".hidden.onnx", &models[0], 5);
    assert_eq!(current(&Server::of(folder.path(), &[])), "v2");
    write("broken.onnx", b"no model", 3);
    assert_eq!(current(&Server::of(folder.path(), &[])), "v2");

    let empty = tempfile::tempdir().unwrap();
    let ended = start_fails(empty.path());
    assert!(ended.contains("none of the 0 models in"), "{ended}");
}

fn start_fails(model: &Path) -> String {
    let ended = std::process::Command::new(env!("CARGO_BIN_EXE_model-service"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--model"])
        .arg(model)
        .output()
        .unwrap();
    assert!(!ended.status.success());
    String::from_utf8_lossy(&ended.stderr).into_owned()
}

#[test]
fn administration_is_on_its_own_port_and_not_for_pages() {
    let server = Server::start(&[]);
    assert_eq!((server.get("/admin/models").status, server.send("POST", "/admin/rollback", &[], b"").status), (404, 404));
    let told = server.admin("GET", "/admin/models", &[]).value();
    assert_eq!((&told["current"]["id"], &told["previous"]), (&server.get("/version").value()["model"]["id"], &Value::Null));
    assert_eq!(server.admin("POST", "/admin/rollback", &["origin: http://evil.example"]).code(), (403, "from_a_page".to_owned()));
    assert_eq!(server.admin("POST", "/admin/rollback", &[]).code(), (409, "no_previous_model".to_owned()));
    assert_eq!(server.admin("GET", "/", &[]).status, 404);
}

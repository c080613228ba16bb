//! What the journal promises, by the real program: killed under load, on a full disk.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::api::{NOBODY, exported};
use crate::http::Server;
use crate::shipped;

const KILLS: u64 = 100;
const CLIENTS: u64 = 4;

/// One journal, 100 processes. Files are small, so that some are killed while one file follows another.
#[test]
fn a_hundred_kills_under_load_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let acknowledged = Mutex::new([Vec::new(), Vec::new()]);
    let next = AtomicU64::new(0);
    for kill in 0..KILLS {
        let mut server = Server::start(&["--journal", path, "--journal-file-bytes", "20000"]);
        let (address, dead, before) = (server.address.clone(), AtomicBool::new(false), count(&acknowledged));
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (address, dead, next, acknowledged) = (&address, &dead, &next, &acknowledged);
                scope.spawn(move || {
                    let send = if client % 2 == 0 { said } else { asked };
                    while !dead.load(Ordering::Relaxed) {
                        let url = format!("http://{:016x}.example/", next.fetch_add(1, Ordering::Relaxed));
                        if send(address, &url) {
                            acknowledged.lock().unwrap()[client as usize % 2].push(url);
                        }
                    }
                });
            }
            // At another moment of the load each time.
            while count(&acknowledged).iter().zip(&before).any(|(now, before)| now == before) {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(kill * 7919 % 40_000));
            server.process.kill().unwrap();
            server.process.wait().unwrap();
            dead.store(true, Ordering::Relaxed);
        });
    }
    for (kind, acknowledged) in ["feedback", "predictions"].into_iter().zip(acknowledged.into_inner().unwrap()) {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for line in exported(folder.path(), kind) {
            *found.entry(line["url"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert!(acknowledged.len() as u64 >= KILLS, "{kind}: {}", acknowledged.len());
        let lost: Vec<_> = acknowledged.iter().filter(|url| !found.contains_key(*url)).collect();
        assert!(lost.is_empty(), "{kind}: {} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
        let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{kind}: {twice:?}");
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 3, "no file followed another");
}

fn count(acknowledged: &Mutex<[Vec<String>; 2]>) -> [usize; 2] {
    acknowledged.lock().unwrap().each_ref().map(Vec::len)
}

fn said(address: &str, url: &str) -> bool {
    let id = &url["http://".len()..][..16];
    let body = json!({"id": id, "url": url, "verdict": "phishing", "feedback": "yes"});
    acknowledged(address, "/api/feedback", &body).is_some_and(|answer| answer.contains("\"counted\":true"))
}

fn asked(address: &str, url: &str) -> bool {
    acknowledged(address, "/predict", &json!({"urls": [url]})).is_some()
}

/// The answer, if it is a good one; a server that dies acknowledges nothing.
fn acknowledged(address: &str, path: &str, body: &Value) -> Option<String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        let body = body.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    exchange().ok().filter(|answer| answer.starts_with("HTTP/1.1 200 "))
}

/// A killed process leaves its pages to the kernel: only the order of its calls shows that they would outlive the power, too.
#[test]
fn each_answer_is_written_after_its_lines_are_synced() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, calls) = (folder.path().join("journal"), folder.path().join("calls"));
    let mut traced = Command::new("strace");
    traced.args(["-D", "-f", "-qq", "-y", "-s", "4096", "-e", "trace=fdatasync,fsync,write,sendto,writev", "-o"]).arg(&calls);
    traced.args([
        env!("CARGO_BIN_EXE_model-service"),
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--drain-notice-ms",
        "0",
    ]);
    traced.arg("--model").arg(shipped()).arg("--journal").arg(&journal);
    let mut server = Server::run(&mut traced);
    let mut sent = 0;
    for round in 0..5 {
        let url = format!("http://{round}.example/");
        for (path, body) in [
            ("/predict", json!({"url": url})),
            ("/predict", json!({"urls": vec![&url; 40]})),
            ("/explain", json!({"url": url})),
            ("/add", json!({"url": url, "label": 1, "feedback": 1})),
            ("/api/predict", json!({"url": url})),
            ("/api/feedback", json!({"url": url, "verdict": "phishing", "feedback": "no"})),
            ("/feedback", json!({"feedback": "yes"})),
        ] {
            assert_eq!(server.post(path, &body).status, 200, "{path}");
            sent += 1;
        }
    }
    server.terminate();
    server.process.wait().unwrap();
    // strace is a process of its own, and may still write.
    let calls = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        std::fs::read_to_string(&calls).unwrap()
    });
    let calls = calls.take(1_000).find(|calls| calls.matches("HTTP/1.1 200 ").count() >= sent).expect("each answer is traced");
    let (mut written, mut synced, mut answered) = (false, false, 0);
    let named =
        calls.lines().position(|call| call.contains("fsync(") && call.contains("/journal>")).expect("the new file's name is synced");
    assert!(named < calls.lines().position(|call| call.contains("HTTP/1.1 200 ")).unwrap());
    for call in calls.lines() {
        if call.contains(".jsonl>, \"") {
            (written, synced) = (true, false);
        } else if call.contains("fdatasync") && call.ends_with("= 0") {
            synced = written;
        } else if call.contains("HTTP/1.1 200 ") {
            assert!(synced, "answer {answered} is not on the disk:\n{calls}");
            (written, synced, answered) = (false, false, answered + 1);
        }
    }
    assert_eq!(answered, sent);
}

/// A limit of 4 KiB a file stands in for a full disk: the kernel's answer is another, what follows from it is the same.
#[test]
fn full_disk_refuses_and_the_app_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -S -f 4; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_model-service"), "app"]);
    limited.args(["--listen", "127.0.0.1:0", "--model-service", NOBODY, "--journal"]).arg(folder.path());
    let app = Server::run(&mut limited);
    let url = format!("http://example.com/{}", "a".repeat(900));
    let say = |id: &str| app.post("/api/feedback", &json!({"id": id, "url": url, "verdict": "phishing", "feedback": "no"}));
    let mut kept = Vec::new();
    let refused = loop {
        let id = kept.len().to_string();
        let answer = say(&id);
        if answer.status != 200 {
            break answer;
        }
        kept.push(id);
        assert!(kept.len() < 10, "no limit");
    };
    assert_eq!(refused.code(), (507, "storage_full".into()));
    refused.is_by("unknown", "unknown", app.get("/version").value()["app"].as_str().unwrap(), "stable");
    assert!(kept.len() > 1, "{kept:?}");
    let metrics = app.get("/metrics").body;
    assert!(metrics.contains(&format!("feedback_no_total{{version=\"v2\"}} {}\n", kept.len())), "{metrics}");
    assert!(metrics.contains("app_feedback_refused_total 1\n"));
    assert_eq!(app.get("/").status, 200);

    // There is room again: the same feedback is taken now, and stands there once.
    let pid = app.process.id().to_string();
    assert!(Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap().success());
    let id = kept.len().to_string();
    assert_eq!(say(&id).value()["counted"], true);
    kept.push(id);
    let found: Vec<String> = exported(folder.path(), "feedback").iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(found, kept);
}

//! What the journal promises, by the real program: killed under load, on a full disk.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::app::api::{NOBODY, exported};
use crate::http::Server;

const KILLS: u64 = 100;
const CLIENTS: u64 = 4;

/// One journal, 100 processes. Files are small, so that some are killed while one file follows another.
#[test]
fn a_hundred_kills_under_load_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let acknowledged = Mutex::new(Vec::new());
    let next = AtomicU64::new(0);
    for kill in 0..KILLS {
        let mut server = Server::app(NOBODY, &["--journal", path, "--journal-file-bytes", "20000"]);
        let (address, dead, before) = (server.address.clone(), AtomicBool::new(false), acknowledged.lock().unwrap().len());
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    while !dead.load(Ordering::Relaxed) {
                        let id = format!("{:016x}", next.fetch_add(1, Ordering::Relaxed));
                        if said(&address, &id) {
                            acknowledged.lock().unwrap().push(id);
                        }
                    }
                });
            }
            // At another moment of the load each time.
            while acknowledged.lock().unwrap().len() == before {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_micros(kill * 7919 % 40_000));
            server.process.kill().unwrap();
            server.process.wait().unwrap();
            dead.store(true, Ordering::Relaxed);
        });
    }
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for line in exported(folder.path(), "feedback") {
        *found.entry(line["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let acknowledged = acknowledged.into_inner().unwrap();
    assert!(acknowledged.len() as u64 >= KILLS, "{}", acknowledged.len());
    let lost: Vec<_> = acknowledged.iter().filter(|id| !found.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), acknowledged.len());
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(std::fs::read_dir(folder.path()).unwrap().count() > 3, "no file followed another");
}

/// Whether it was acknowledged; a server that dies acknowledges nothing.
fn said(address: &str, id: &str) -> bool {
    use std::io::{Read as _, Write as _};
    let exchange = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(address)?;
        let body = json!({"id": id, "url": format!("http://{id}.example/"), "verdict": "phishing", "feedback": "yes"}).to_string();
        write!(
            stream,
            "POST /api/feedback HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    exchange().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"counted\":true"))
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

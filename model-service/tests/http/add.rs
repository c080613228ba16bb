//! `POST /add`: feedback, in the journal before it is acknowledged.

use std::process::Command;

use serde_json::{Value, json};

use crate::server::Server;

#[test]
fn feedback_is_kept_as_the_training_reads_it_and_is_no_vote() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().to_str().unwrap();
    let server = Server::start(&["--journal", journal]);
    for (url, label, feedback) in [("http://a.example/", 1, 0), ("http://b.example/", 0, 1)] {
        let answer = server.post("/add", &json!({"url": url, "label": label, "feedback": feedback}));
        assert_eq!(answer.json(), json!({"msg": "feedback kept"}));
    }
    assert_eq!(server.post("/add", &json!({"url": "a", "label": 7, "feedback": 0})).code(), (422, "invalid_request".to_owned()));
    drop(server);

    let exported =
        Command::new(env!("CARGO_BIN_EXE_model-service")).args(["export", "--kind", "feedback", "--journal", journal]).output().unwrap();
    let lines: Vec<Value> = String::from_utf8(exported.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| ["url", "verdict", "feedback"].map(|key| line[key].as_str().unwrap())).collect();
    assert_eq!(told, [["http://a.example/", "phishing", "no"], ["http://b.example/", "legitimate", "yes"]]);

    // The experiment compares what was shown, and a restart counts from the journal.
    let text = Server::start(&["--journal", journal]).get("/metrics").body;
    for line in text.lines().filter(|line| line.starts_with("feedback_")) {
        assert!(line.ends_with(" 0"), "{line}");
    }
    assert!(text.contains("feedback_no_total{"), "{text}");
}

#[test]
fn feedback_that_nothing_keeps_is_not_acknowledged() {
    let server = Server::start(&[]);
    assert_eq!(server.post("/add", &json!({"url": "a", "label": 1, "feedback": 1})).code(), (501, "no_journal".to_owned()));
}

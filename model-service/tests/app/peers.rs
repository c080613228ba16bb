//! What the clients of other teams' apps send.

use serde_json::json;

use super::api::exported;
use crate::http::{PHISHING, Server};

#[test]
fn team_14_posts_a_form_and_reads_a_text() {
    let server = Server::start(&[]);
    let form = format!("input_text={PHISHING}&model_select=model").replace("?cmd=", "%3Fcmd%3D");
    let prediction = server.form("/predict", form.as_bytes()).json()["prediction"].as_str().unwrap().parse::<f64>().unwrap();
    assert!(prediction > 0.9, "{prediction}");
    for feedback in ["yes", "no", "no"] {
        assert_eq!(server.post("/feedback", &json!({"feedback": feedback})).json(), json!({"status": "success"}));
    }
    let metrics = server.get("/metrics");
    assert_eq!((metrics.status, metrics.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    for line in ["feedback_yes_total{version=\"v2\"} 1\n", "feedback_no_total{version=\"v2\"} 2\n"] {
        assert!(metrics.body.contains(line), "{line} is not in\n{}", metrics.body);
    }
}

#[test]
fn team_6_checks_and_labels() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--journal", folder.path().to_str().unwrap()]);
    for (url, is_phishing) in [(PHISHING, true), ("http://www.bbc.co.uk/news/", false)] {
        assert_eq!(server.post("/check/", &json!({"test_url": url})).json(), json!({"is_phishing": is_phishing}));
    }
    for (label, feedback) in [(json!(true), 0), (json!(0), 1)] {
        let answer = server.post("/feedback/", &json!({"url": "http://a/", "label": label, "feedback": feedback}));
        assert_eq!(answer.json(), json!({"message": "Feedback received successfully", "feedback_result": feedback}));
    }
    assert_eq!(server.post("/feedback/", &json!({"url": "http://a/"})).status, 400);
    let lines = exported(folder.path(), "feedback");
    let told: Vec<_> = lines.iter().map(|line| (line["verdict"].as_str().unwrap(), line["feedback"].as_str().unwrap())).collect();
    assert_eq!(told, [("phishing", "no"), ("legitimate", "yes")]);
}

#[test]
fn team_9_submits_and_reads_nested_numbers() {
    let server = Server::start(&[]);
    for (path, body) in [("/submit_input", json!({"input": PHISHING})), ("/send_predict_request", json!({"url": PHISHING}))] {
        assert!(server.post(path, &body).json()["prediction"][0][0].as_f64().unwrap() > 0.9, "{path}");
    }
    let empty = server.post("/submit_input", &json!({"input": ""}));
    assert_eq!((empty.status, empty.value()), (400, json!({"message": "No input provided"})));
}

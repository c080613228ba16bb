use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::http::{PHISHING, Server};

/// An address of loopback where nobody listens.
pub(crate) const NOBODY: &str = "http://127.0.0.1:9";

pub(crate) fn exported(journal: &Path, kind: &str) -> Vec<Value> {
    let output =
        Command::new(env!("CARGO_BIN_EXE_model-service")).args(["export", "--kind", kind, "--journal"]).arg(journal).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn v1_tells_the_verdict_alone_and_v2_what_drove_it() {
    let model = Server::start(&[]);
    let v1 = Server::app(&format!("http://{}/predict", model.address), &["--variant", "v1"]);
    let v2 = Server::app(&model.address, &["--variant", "v2"]);
    let one = v1.post("/api/predict", &json!({"url": PHISHING}));
    assert_eq!((one.status, &one.value()["verdict"]), (200, &json!("phishing")), "{}", one.body);
    assert_eq!(one.value().as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "url", "verdict", "app"]);
    assert!(!v1.form("/", format!("url={PHISHING}").as_bytes()).body.contains("robability"));

    let two = v2.post("/api/predict", &json!({"url": PHISHING})).value();
    assert!(two["probability"].as_f64().unwrap() > 0.9, "{two}");
    assert_eq!(two["changes"].as_array().unwrap().len(), PHISHING.len());
    assert_ne!(one.value()["id"], two["id"]);

    // Which model answered is on both; the prefix is the model service's own.
    let version = v1.send("GET", "/model/version", &[], b"").value();
    assert_eq!(one.header("x-model-id"), version["model"]["id"].as_str());
    assert_eq!(v1.get("/").header("x-model-id"), version["model"]["id"].as_str());
    assert_eq!(v1.get("/version").value()["model"]["id"], version["model"]["id"]);
    let through = v2.post("/model/predict", &json!({"urls": [PHISHING, PHISHING]})).value();
    assert_eq!(through["predictions"].as_array().unwrap().len(), 2);
    assert_eq!(v2.post("/predict", &json!({"url": PHISHING})).value()["predictions"][0]["verdict"], "phishing");
    assert_eq!(v2.get("/model/no/such").code(), (404, "not_found".into()));
}

/// Of whom the client talked to; and the model that answered, once there was one.
#[test]
fn canary_is_the_apps_own_on_every_path() {
    let model = Server::start(&["--canary"]);
    let version = model.get("/version").value();
    let [id, version, ours] =
        [&version["model"]["id"], &version["model"]["version"], &version["app"]].map(|value| value.as_str().unwrap().to_owned());
    let app = Server::app(&model.address, &[]);
    for path in ["/", "/version", "/metrics", "/model/version", "/model/nothing", "/nothing", "/api/predict"] {
        app.get(path).is_by(&id, &version, &ours, "stable");
    }
    for path in ["/api/predict", "/predict", "/model/predict", "/model/explain", "/send_predict_request", "/feedback"] {
        app.post(path, &json!({"url": PHISHING})).is_by(&id, &version, &ours, "stable");
    }
    app.form("/", b"url=http%3A%2F%2Fa%2F").is_by(&id, &version, &ours, "stable");

    let alone = Server::app(NOBODY, &["--canary"]);
    alone.form("/", b"url=http%3A%2F%2Fa%2F").is_by("unknown", "unknown", &ours, "canary");
    for path in ["/", "/version", "/healthz", "/metrics", "/model/version", "/nothing", "/api/predict"] {
        alone.get(path).is_by("unknown", "unknown", &ours, "canary");
    }
    alone.post("/api/predict", &json!({"url": PHISHING})).is_by("unknown", "unknown", &ours, "canary");
}

#[test]
fn one_process_serves_all_paths() {
    let server = Server::start(&["--variant", "v1"]);
    for (method, path, status) in [
        ("GET", "/", 200),
        ("GET", "/model/readyz", 200),
        ("GET", "/experiment", 200),
        ("GET", "/readyz", 200),
        ("GET", "/api/predict", 405),
        ("GET", "/no/such", 404),
    ] {
        assert_eq!(server.send(method, path, &[], b"").status, status, "{method} {path}");
    }
    server.post("/api/predict", &json!({"url": PHISHING}));
    server.post("/api/feedback", &json!({"feedback": "no"}));
    let metrics = server.metrics("application/openmetrics-text").body;
    for line in [
        "model_service_predictions_total{verdict=\"phishing\"} 1",
        "feedback_yes_total{version=\"v1\"} 0",
        "feedback_no_total{version=\"v1\"} 1",
        "app_verdicts_total{version=\"v1\",verdict=\"phishing\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    assert_eq!(metrics.matches("# EOF").count(), 1);
    assert!(metrics.ends_with("# EOF\n"));
}

#[test]
fn model_service_that_is_down_gives_a_marked_fallback() {
    let app = Server::app(NOBODY, &["--reach-model-within-ms", "0"]);
    let answer = app.post("/api/predict", &json!({"url": PHISHING}));
    assert_eq!(answer.code(), (503, "no_model".into()));
    assert_eq!((answer.header("x-fallback"), answer.header("retry-after")), (Some("true"), Some("1")));
    assert_eq!(answer.value()["fallback"], true);
    assert!(answer.value().get("verdict").is_none(), "{}", answer.body);
    let page = app.form("/", b"url=http%3A%2F%2Fa%2F");
    assert_eq!((page.status, page.header("x-fallback")), (503, Some("true")));
    assert!(page.body.contains("Fallback answer") && page.body.contains(r#"value="http://a/""#), "{}", page.body);
    assert_eq!(app.get("/model/version").code(), (503, "no_model".into()));
    // What needs no model goes on.
    assert_eq!((app.get("/").status, app.get("/readyz").status), (200, 200));
    assert!(app.get("/").body.contains("model: no answer now"));
    assert_eq!(app.post("/api/feedback", &json!({"feedback": "yes"})).status, 200);
    assert!(app.get("/metrics").body.contains("app_fallbacks_total 2\n"));
}

#[test]
fn what_cannot_be_answered_is_a_clear_4xx() {
    let app = Server::app(NOBODY, &[]);
    let refused = |status: u16, code: &str| (status, code.to_owned());
    let predict = |body: &[u8]| app.send("POST", "/api/predict", &["content-type: application/json"], body).code();
    assert_eq!(predict(b"{"), refused(400, "malformed_json"));
    assert_eq!(predict(b"\"\xff\""), refused(400, "invalid_utf8"));
    assert_eq!(predict(b"[]"), refused(422, "invalid_request"));
    assert_eq!(predict(br#"{"url":" "}"#), refused(422, "invalid_request"));
    assert_eq!(predict(format!(r#"{{"url":"{}"}}"#, "a".repeat(8193)).as_bytes()), refused(413, "too_large"));
    assert_eq!(predict(&vec![b' '; 2 * 1024 * 1024]), refused(413, "too_large"));
    assert_eq!(app.send("POST", "/api/predict", &["content-type: text/plain"], b"a").code(), refused(415, "unsupported_media_type"));
    for wrong in [
        json!({}),
        json!({"feedback": "perhaps"}),
        json!({"feedback": "yes", "verdict": "good"}),
        json!({"feedback": "yes", "id": "<script>"}),
        json!({"feedback": "yes", "url": "a".repeat(8193)}),
    ] {
        assert_eq!(app.post("/api/feedback", &wrong).code(), refused(422, "invalid_request"), "{wrong}");
    }
    for byte in [&b"\xff"[..], b"%ff"] {
        for (path, field) in [
            ("/", "url"),
            ("/api/predict", "url"),
            ("/api/feedback", "feedback=yes&url"),
            ("/predict", "input_text"),
            ("/check/", "test_url"),
            ("/submit_input", "input"),
            ("/feedback", "feedback=no&url"),
        ] {
            let answer = app.form(path, &[field.as_bytes(), b"=http://a/", byte].concat());
            assert_eq!(answer.status, 400, "{path} {}", answer.body);
            assert!(path == "/" || answer.code().1 == "invalid_utf8", "{path} {}", answer.body);
        }
    }
    // A form of another site's page.
    for path in ["/", "/api/feedback"] {
        let headers = ["content-type: application/x-www-form-urlencoded", "sec-fetch-site: cross-site"];
        assert_eq!(app.send("POST", path, &headers, b"feedback=yes").status, 403, "{path}");
    }
    assert!(app.get("/metrics").body.contains("feedback_yes_total{version=\"v2\"} 0\n"));
}

#[test]
fn feedback_counts_once_an_answer_is_exported_for_training_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().to_str().unwrap();
    let app = Server::app(NOBODY, &["--journal", journal]);
    let said = json!({"id": "0123456789abcdef", "url": "http://a/", "verdict": "phishing", "feedback": "no"});
    assert_eq!(app.post("/api/feedback", &said).value(), json!({"status": "success", "counted": true}));
    assert_eq!(app.post("/api/feedback", &said).value(), json!({"status": "success", "counted": false}));
    // Of no URL: counted, of no use to training.
    assert_eq!(app.post("/api/feedback", &json!({"feedback": "yes"})).status, 200);
    drop(app);
    // Of no variant, and of one that there is not.
    let mut file = std::fs::OpenOptions::new().append(true).open(folder.path().join("0000000001.jsonl")).unwrap();
    writeln!(file, r#"{{"kind":"feedback","feedback":"yes"}}"#).unwrap();
    writeln!(file, r#"{{"kind":"feedback","feedback":"yes","version":"v\\\"3"}}"#).unwrap();
    writeln!(file, r#"{{"kind":"feedback","feedback":"no","version":"v3"}}"#).unwrap();
    let app = Server::app(NOBODY, &["--journal", journal]);
    assert_eq!(app.post("/api/feedback", &said).value()["counted"], false);
    let metrics = app.get("/metrics").body;
    assert!(
        metrics.contains("feedback_no_total{version=\"v2\"} 1\n") && metrics.contains("feedback_yes_total{version=\"v2\"} 1\n"),
        "{metrics}"
    );
    for line in metrics.lines().filter(|line| line.starts_with("feedback_")) {
        assert!(["v1", "v2"].iter().any(|version| line.contains(&format!("_total{{version=\"{version}\"}} "))), "{line}");
    }
    let lines = exported(folder.path(), "feedback");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for (key, value) in said.as_object().unwrap() {
        assert_eq!(&lines[0][key], value);
    }
}

#[test]
fn predictions_are_in_the_journal_before_they_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--journal", folder.path().to_str().unwrap()]);
    assert_eq!(server.json(format!(r#"{{"urls":["{PHISHING}","http://www.bbc.co.uk/news/"]}}"#).as_bytes()).status, 200);
    assert_eq!(server.post("/api/predict", &json!({"url": "http://c/"})).status, 200);
    let lines = exported(folder.path(), "predictions");
    assert_eq!(
        lines.iter().map(|line| line["url"].as_str().unwrap()).collect::<Vec<_>>(),
        [PHISHING, "http://www.bbc.co.uk/news/", "http://c/"]
    );
    assert_eq!((&lines[0]["verdict"], &lines[1]["verdict"]), (&json!("phishing"), &json!("legitimate")));
    assert_eq!(lines[0]["model"].as_str(), server.get("/").header("x-model-id"));
}

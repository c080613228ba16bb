mod add;
mod described;
mod metrics;
mod overload;
mod peers;
mod slow;
mod unread;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) use crate::server::{Answer, Server};

pub(crate) const PHISHING: &str = "http://192.0.2.7/paypal/cgi-bin/webscr/login.php?cmd=_login-run";

#[test]
fn predict_answers_one_and_many() {
    let server = Server::start(&[]);
    let one = server.json(format!(r#"{{"url":"{PHISHING}"}}"#).as_bytes());
    assert_eq!(one.status, 200, "{}", one.body);
    let prediction = one.value()["predictions"][0].clone();
    assert_eq!((prediction["url"].as_str(), prediction["verdict"].as_str()), (Some(PHISHING), Some("phishing")));

    let many = server.json(format!(r#"{{"urls":["http://www.bbc.co.uk/news/","{PHISHING}"]}}"#).as_bytes()).value();
    assert_eq!(many["predictions"][0]["verdict"], "legitimate");
    let difference = many["predictions"][1]["probability"].as_f64().unwrap() - prediction["probability"].as_f64().unwrap();
    assert!(difference.abs() < 1e-5, "{difference}");
}

#[test]
fn versions_are_on_every_answer() {
    let server = Server::start(&["--canary"]);
    let version = server.get("/version").value();
    let answers = [
        server.get("/"),
        server.get("/healthz"),
        server.get("/readyz"),
        server.get("/metrics"),
        server.get("/nothing"),
        server.get("/predict"),
        server.json(b"{"),
        server.json(br#"{"url":"a"}"#),
        server.form("/predict", b"url=a"),
        server.form("/", b"url=a"),
        server.post("/api/predict", &serde_json::json!({"url": "a"})),
        server.send("GET", "/predict/none", &["content-type: application/json"], b"{}"),
        server.send("POST", "/add", &["content-type: application/json"], br#"{"url":"a","label":1,"feedback":1}"#),
        server.json(format!(r#"{{"url":"{}"}}"#, "a".repeat(10_000)).as_bytes()),
        server.json(br#"{"uri":"a"}"#),
        server.send("POST", "/predict", &["content-type: text/plain"], b"a"),
        server.send("POST", "/api/predict", &["content-type: text/plain"], b"a"),
        server.admin("GET", "/admin/models", &[]),
        server.admin("POST", "/admin/rollback", &[]),
        server.admin("POST", "/admin/rollback", &["origin: http://a.example"]),
        server.admin("GET", "/admin/rollback", &[]),
        server.admin("GET", "/nothing", &[]),
    ];
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 404, 405, 400, 200, 200, 200, 200, 404, 501, 413, 422, 415, 415, 200, 409, 403, 405, 404]);
    let [id, model, app] = [&version["model"]["id"], &version["model"]["version"], &version["app"]].map(|value| value.as_str().unwrap());
    for answer in answers {
        answer.is_by(id, model, app, "canary");
    }
    let full = Server::start(&["--queue", "0"]).json(br#"{"url":"a"}"#);
    assert_eq!(full.status, 503);
    full.is_by(id, model, app, "stable");
    assert_eq!(Server::start(&[]).get("/").header("x-canary"), Some("stable"));
    assert_eq!(Server::start(&["--canary", "false"]).get("/").header("x-canary"), Some("stable"));
}

/// A body of plain `application/json` does not go by the routes.
#[test]
fn prediction_is_the_same_by_whichever_way_it_comes() {
    let server = Server::start(&["--canary", "--variant", "v1"]);
    let full = Server::start(&["--queue", "0"]);
    let large = format!(r#"{{"url":"{}"}}"#, "a".repeat(10_000));
    let many = format!(r#"{{"urls":[{}"{PHISHING}"]}}"#, r#""a.example","#.repeat(40));
    let two_mebibytes = vec![b' '; 2 << 20];
    for (server, body) in [
        (&server, br#"{"url":"a.example"}"#.as_slice()),
        (&server, br#"{"urls":["a.example","b.example"]}"#),
        (&server, br#"{"model_name":"a","input_url":"b.example"}"#),
        (&server, br#"{"data":["a.example"]}"#),
        (&server, many.as_bytes()),
        (&server, b"{"),
        (&server, b"\xff"),
        (&server, b""),
        (&server, br#"{"uri":"a"}"#),
        (&server, br#"{"url":" "}"#),
        (&server, large.as_bytes()),
        (&server, &two_mebibytes),
        (&full, br#"{"url":"a.example"}"#),
    ] {
        let [at_once, by_routes] = ["application/json", "application/json; charset=utf-8"].map(|kind| {
            let answer = server.send("POST", "/predict?a=b", &[&format!("content-type: {kind}")], body);
            let mut head: Vec<String> =
                answer.head.lines().filter(|line| !line.starts_with("date: ")).map(str::to_ascii_lowercase).collect();
            head.sort();
            (head, answer.body)
        });
        assert_eq!(at_once, by_routes);
    }
    let metrics = server.metrics("text/plain").body;
    for (status, count) in [(200, 10), (400, 6), (413, 4), (422, 4)] {
        let line = format!("model_service_http_requests_total{{route=\"/predict\",method=\"POST\",status=\"{status}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn runtime_that_was_asked_for_computes_and_is_told() {
    let [kernel, tract] = ["kernel", "tract"].map(|runtime| {
        let server = Server::start(&["--runtime", runtime]);
        assert_eq!(server.get("/version").value()["runtime"], runtime);
        let answer = server.json(format!(r#"{{"url":"{PHISHING}"}}"#).as_bytes());
        assert_eq!(answer.status, 200, "{runtime}: {}", answer.body);
        answer.value()["prediction"][0][0].as_f64().unwrap()
    });
    assert!((kernel - tract).abs() < 1e-5, "{kernel} {tract}");
    assert_eq!(Server::start(&[]).get("/version").value()["runtime"], "kernel");
}

#[test]
fn what_cannot_be_answered_is_a_clear_4xx() {
    let server = Server::start(&[]);
    let refused = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(server.json(b"{\"url\":").code(), refused(400, "malformed_json"));
    assert_eq!(server.json(b"{\"url\":\"\xff\"}").code(), refused(400, "invalid_utf8"));
    assert_eq!(server.json(b"{}").code(), refused(422, "invalid_request"));
    assert_eq!(server.send("POST", "/predict", &["content-type: text/plain"], b"a").code(), refused(415, "unsupported_media_type"));
    assert_eq!(server.send("POST", "/predict", &[], b"a").code(), refused(415, "unsupported_media_type"));
    assert_eq!(server.json(format!(r#"{{"url":"{}"}}"#, "a".repeat(10_000)).as_bytes()).code(), refused(413, "too_large"));
    // Only announced, so that the answer does not depend on how much is read.
    let mut stream = server.connect();
    stream
        .write_all(b"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 10000000\r\n\r\n")
        .unwrap();
    assert_eq!(Answer::read(stream).code(), refused(413, "too_large"));
    // Chunked, so that the length is not announced.
    let mut stream = server.connect();
    stream
        .write_all(
            b"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n100001\r\n",
        )
        .unwrap();
    stream.write_all(&vec![b'a'; 0x0010_0001]).unwrap();
    assert_eq!(Answer::read(stream).code(), refused(413, "too_large"));
}

#[test]
fn url_of_ten_megabytes_is_a_clear_4xx_to_who_sends_it_all() {
    let server = Server::start(&[]);
    let body = format!(r#"{{"url":"http://a.example/{}"}}"#, "a".repeat(10_000_000));
    let mut stream = server.connect();
    write!(stream, "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())
        .unwrap();
    stream.write_all(body.as_bytes()).expect("the server reads all of it");
    assert_eq!(Answer::read(stream).code(), (413, "too_large".to_owned()));

    // Who asks before sending is answered at once and sends nothing.
    let mut stream = server.connect();
    stream
        .write_all(b"POST /predict HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-type: application/json\r\ncontent-length: 10000000\r\n\r\n")
        .unwrap();
    assert_eq!(Answer::read(stream).code(), (413, "too_large".to_owned()));
}

#[test]
fn full_queue_is_503_with_retry_after_and_the_page_still_answers() {
    let server = Server::start(&["--queue", "0"]);
    let answer = server.json(br#"{"url":"a"}"#);
    assert_eq!(answer.code(), (503, "overloaded".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(server.get("/").status, 200);
    assert!(server.get("/metrics").body.contains("model_service_refused_overload_total 1\n"));
}

#[test]
fn metrics_count_what_was_answered() {
    let server = Server::start(&[]);
    server.json(format!(r#"{{"urls":["{PHISHING}","{PHISHING}"]}}"#).as_bytes());
    server.json(b"{");
    server.get("/no/such/path");
    let answer = server.metrics("application/openmetrics-text");
    for line in [
        r#"model_service_predictions_total{verdict="phishing"} 2"#,
        r#"model_service_http_requests_total{route="/predict",method="POST",status="200"} 1"#,
        r#"model_service_http_requests_total{route="/predict",method="POST",status="400"} 1"#,
        r#"model_service_http_requests_total{route="other",method="GET",status="404"} 1"#,
        "model_service_in_progress_requests 0",
        "model_service_prediction_seconds_count 1",
        "model_service_score_count 2",
        "model_service_answer_seconds_count 1",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} is not in\n{}", answer.body);
    }
}

#[test]
fn sigterm_makes_it_unready_then_ends_after_the_open_request() {
    let limits = ["--drain-notice-ms", "2000", "--body-timeout-ms", "120000"];
    let body = br#"{"url":"http://www.bbc.co.uk/news/"}"#;
    let service = Server::start(&[]);
    for (mut server, path) in [(Server::start(&limits), "/predict"), (Server::app(&service.address, &limits), "/api/predict")] {
        assert_eq!(server.get("/readyz").status, 200);
        let mut open = server.connect();
        let head = "host: test\r\ncontent-type: application/json\r\n";
        write!(open, "POST {path} HTTP/1.1\r\n{head}content-length: {}\r\n\r\n", body.len()).unwrap();
        open.write_all(&body[..5]).unwrap();
        let mut kept = server.connect();
        server.terminate();
        // Were it never unready, its port would close on this.
        while server.get("/readyz").status != 503 {
            std::thread::sleep(Duration::from_millis(10));
        }
        write!(kept, "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let mut said = String::new();
        kept.read_to_string(&mut said).unwrap();
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert_eq!(server.get("/readyz").status, 503, "a kept connection ends with its answer, before the port closes");
        let json = ["content-type: application/json"];
        assert_eq!(server.send("POST", path, &json, body).status, 200, "what comes before the port closes is answered");
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(&server.address).is_ok() {
            assert!(Instant::now() < deadline, "the port is still open");
            std::thread::sleep(Duration::from_millis(50));
        }
        open.write_all(&body[5..]).unwrap();
        assert_eq!(Answer::read(open).status, 200, "{path}");
        assert!(server.process.wait().unwrap().success());
    }
}

#[test]
fn service_does_not_start_with_a_broken_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, b"no model").unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_model-service"))
        .args(["serve", "--listen", "127.0.0.1:0", "--model"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(&format!("load model `{}`", path.display())), "{said}");
}

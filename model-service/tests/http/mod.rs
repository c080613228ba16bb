use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::shipped;

/// The real program on a free port of loopback; it ends with the test.
pub(crate) struct Server {
    pub(crate) process: Child,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_model-service"));
        program.args(["serve", "--listen", "127.0.0.1:0", "--model"]).arg(shipped()).args(arguments).env_clear();
        Self::run(&mut program)
    }

    /// The app alone, beside a model service at `upstream`.
    pub(crate) fn app(upstream: &str, arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_model-service"));
        program.args(["app", "--listen", "127.0.0.1:0", "--model-service", upstream]).args(arguments).env_clear();
        // A debug build on a crowded machine may take seconds for what takes milliseconds.
        program.env("MODEL_TIMEOUT_MS", "20000");
        Self::run(&mut program)
    }

    /// Waits for the line that tells the address.
    pub(crate) fn run(program: &mut Command) -> Self {
        let mut process = program.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it served");
            let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON log line: {line}"));
            assert_ne!(told["level"], "ERROR", "{line}");
            if let Some(address) = told["address"].as_str() {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for header in headers {
            head.extend([header, "\r\n"]);
        }
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"\r\n").unwrap();
        // A server that refuses a body need not read it to the end.
        let _ = stream.write_all(body);
        Answer::read(stream)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn json(&self, body: &[u8]) -> Answer {
        self.send("POST", "/predict", &["content-type: application/json"], body)
    }

    pub(crate) fn form(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &["content-type: application/x-www-form-urlencoded", "accept: text/html,*/*"], body)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &["content-type: application/json"], body.to_string().as_bytes())
    }

    fn terminate(&self) {
        let done = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "the answer's head is cut: {head}");
        }
        let length: usize = header_of(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: String::from_utf8(body).unwrap() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.head, name)
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub(crate) fn code(&self) -> (u16, String) {
        (self.status, self.value()["error"]["code"].as_str().unwrap().to_owned())
    }
}

fn header_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

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
    let server = Server::start(&[]);
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
    ];
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 404, 405, 400, 200, 200, 200, 200]);
    for answer in answers {
        assert_eq!(answer.header("x-model-id"), version["model"]["id"].as_str(), "{}", answer.head);
        assert_eq!(answer.header("x-model-version"), version["model"]["version"].as_str());
        assert_eq!(answer.header("x-app-version"), version["app"].as_str());
    }
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
fn slow_body_is_given_up() {
    let server = Server::start(&["--body-timeout-ms", "200"]);
    let mut stream = server.connect();
    stream.write_all(b"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{").unwrap();
    assert_eq!(Answer::read(stream).code(), (408, "timeout".to_owned()));
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
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    for line in [
        r#"model_service_predictions_total{verdict="phishing"} 2"#,
        r#"model_service_http_requests_total{route="/predict",method="POST",status="200"} 1"#,
        r#"model_service_http_requests_total{route="/predict",method="POST",status="400"} 1"#,
        r#"model_service_http_requests_total{route="other",method="GET",status="404"} 1"#,
        "model_service_in_progress_requests 0",
        "model_service_prediction_seconds_count 1",
        "model_service_score_count 2",
        "# EOF",
    ] {
        assert!(answer.body.lines().any(|found| found == line), "{line} is not in\n{}", answer.body);
    }
}

#[test]
fn sigterm_makes_it_unready_then_ends_after_the_open_request() {
    let mut server = Server::start(&["--drain-notice-ms", "700"]);
    let body = br#"{"url":"http://www.bbc.co.uk/news/"}"#;
    let mut open = server.connect();
    write!(open, "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len())
        .unwrap();
    open.write_all(&body[..5]).unwrap();
    server.terminate();
    let started = Instant::now();
    while server.get("/readyz").status != 503 {
        assert!(started.elapsed() < Duration::from_millis(600), "still ready");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.json(body).status, 200, "what comes before the port closes is answered");
    std::thread::sleep(Duration::from_millis(900));
    assert!(TcpStream::connect(&server.address).is_err(), "the port is still open");
    open.write_all(&body[5..]).unwrap();
    assert_eq!(Answer::read(open).status, 200);
    assert!(server.process.wait().unwrap().success());
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

//! What is no HTTP request.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::{Answer, Server};

const GOOD: &str = "GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n";

fn refused_with(request: &str) -> (u16, &str) {
    match request {
        request if request.starts_with("PRI") => (505, "malformed_http"),
        request if request.starts_with("GET /aaaa") => (414, "too_large"),
        request if request.contains("a: a") => (431, "too_large"),
        _ => (400, "malformed_http"),
    }
}

#[test]
fn what_is_no_request_is_refused_by_whom_and_the_connection_ends() {
    let service = Server::start(&[]);
    let app = Server::app(&service.address, &[]);
    let version = service.get("/version").value();
    // An app tells of the model what it has seen of it.
    assert_eq!(app.get("/").status, 200);
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: test\r\n\r\n", "a".repeat(20_000));
    let long_header = format!("GET / HTTP/1.1\r\nhost: test\r\na: {}\r\n\r\n", "a".repeat(20_000));
    let many_headers = format!("GET / HTTP/1.1\r\nhost: test\r\n{}\r\n", "a: a\r\n".repeat(101));
    let requests = [
        "what is this?\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01",
        "GET /\x01 HTTP/1.1\r\nhost: test\r\n\r\n",
        "GET / HTTP/3.0\r\nhost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nno header\r\n\r\n",
        "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        "POST /predict HTTP/1.1\r\nhost: test\r\ncontent-length: many\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &long_path,
        &many_headers,
        &long_header,
    ];
    for server in [&service, &app] {
        for request in requests {
            let shown = &request[..request.len().min(60)];
            for before in ["", GOOD] {
                let mut stream = server.connect();
                stream.write_all(format!("{before}{request}").as_bytes()).unwrap();
                let mut answers = Vec::new();
                stream.read_to_end(&mut answers).unwrap();
                let mut answers = answers.as_slice();
                if !before.is_empty() {
                    assert_eq!(Answer::take(&mut answers).status, 200, "{shown:?}");
                }
                let answer = Answer::take(&mut answers);
                let (status, code) = refused_with(request);
                assert_eq!(answer.code(), (status, code.to_owned()), "{shown:?}");
                assert_eq!(answer.header("connection"), Some("close"), "{}", answer.head);
                assert_eq!(answer.header("x-model-id"), version["model"]["id"].as_str(), "{}", answer.head);
                assert_eq!(answer.header("x-model-version"), version["model"]["version"].as_str());
                assert_eq!(answer.header("x-app-version"), version["app"].as_str());
                assert_eq!(answer.header("x-canary"), Some("stable"));
                assert!(answers.is_empty(), "one answer to {shown:?}: {}", String::from_utf8_lossy(answers));
            }
        }
    }
    let metrics = service.get("/metrics").body;
    for (status, count) in [(400, 14), (414, 2), (431, 4), (505, 2)] {
        let counted = format!(r#"model_service_http_requests_total{{route="other",method="other",status="{status}"}} {count}"#);
        assert!(metrics.contains(&counted), "{counted}: {metrics}");
    }
    let mut admin = TcpStream::connect(&service.admin).unwrap();
    admin.write_all(b"what is this?\r\n\r\n").unwrap();
    assert_eq!(Answer::read(admin).code(), (400, "malformed_http".to_owned()));
}

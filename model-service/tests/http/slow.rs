//! Clients that take their time.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Answer, Server};

const BODY_TO_COME: &[u8] = b"POST /predict HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
const HEAD_TO_COME: &[u8] = b"POST /predict HTTP/1.1\r\nhost: te";

/// The refusal, and that nothing follows it.
fn refused(mut stream: TcpStream) -> Answer {
    let answer = Answer::read(stream.try_clone().unwrap());
    assert_eq!(answer.code(), (408, "timeout".to_owned()));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0, "the connection is at its end");
    answer
}

fn begun(mut stream: TcpStream, with: &[u8]) -> TcpStream {
    stream.write_all(with).unwrap();
    stream
}

/// A byte every now and then, until the other side has had enough.
fn drip(stream: &TcpStream) {
    let mut stream = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        while stream.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn slow_body_is_given_up() {
    let server = Server::start(&["--body-timeout-ms", "300"]);
    refused(begun(server.connect(), BODY_TO_COME));
    let dripping = begun(server.connect(), BODY_TO_COME);
    drip(&dripping);
    let answer = Answer::read(dripping);
    assert_eq!(answer.code(), (408, "timeout".to_owned()));
}

#[test]
fn slow_head_is_told_so_by_whom_and_the_connection_ends() {
    let limit = ["--head-timeout-ms", "300"];
    let service = Server::start(&limit);
    let app = Server::app(&service.address, &limit);
    let version = service.get("/version").value();
    // An app tells of the model what it has seen of it.
    assert_eq!(app.get("/").status, 200);
    for server in [&service, &app] {
        let dripping = begun(server.connect(), HEAD_TO_COME);
        drip(&dripping);
        let mut second = begun(server.connect(), b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(Answer::read(second.try_clone().unwrap()).status, 200);
        second.write_all(b"G").unwrap();
        for slow in [begun(server.connect(), HEAD_TO_COME), begun(server.connect(), b"\r\nG"), dripping, second] {
            let answer = refused(slow);
            assert_eq!(answer.header("x-model-id"), version["model"]["id"].as_str(), "{}", answer.head);
            assert_eq!(answer.header("x-app-version"), version["app"].as_str());
            assert_eq!(answer.header("x-canary"), Some("stable"));
        }
    }
    let counted = r#"model_service_http_requests_total{route="other",method="other",status="408"} 4"#;
    let metrics = service.get("/metrics").body;
    assert!(metrics.contains(counted), "{metrics}");
    // Who still sends is not cut off while the answer is on its way.
    let mut chatty = begun(service.connect(), HEAD_TO_COME);
    assert_eq!(Answer::read(chatty.try_clone().unwrap()).status, 408);
    for _ in 0..2 {
        chatty.write_all(b"a").expect("it still reads");
        std::thread::sleep(Duration::from_millis(100));
    }
    let admin = begun(TcpStream::connect(&service.admin).unwrap(), HEAD_TO_COME);
    refused(admin);
    assert_eq!(service.get("/healthz").status, 200);
}

#[test]
fn idle_connection_is_closed_without_a_word() {
    let server = Server::start(&["--head-timeout-ms", "300"]);
    let used = begun(server.connect(), b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(Answer::read(used.try_clone().unwrap()).status, 200);
    for mut idle in [server.connect(), begun(server.connect(), b"\r\n"), used] {
        let mut rest = Vec::new();
        idle.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
}

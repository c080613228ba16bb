//! Model services that are not ours, or not well.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use serde_json::json;

use crate::http::Server;

/// Answers each path as it is told, on connections of one request; an empty answer closes without one, `hang` keeps silent.
fn stub(answers: &'static [(&'static str, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    serve(listener, answers);
    address
}

fn serve(listener: TcpListener, answers: &'static [(&'static str, &'static str)]) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut first, mut length) = (String::new(), 0);
                reader.read_line(&mut first).unwrap();
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(told) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                        length = told.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                reader.read_exact(&mut vec![0; length]).unwrap();
                let path = first.split(' ').nth(1).unwrap_or_default();
                let answer = answers.iter().find(|(told, _)| *told == path).map_or("404 Not Found\r\n\r\n", |(_, answer)| *answer);
                if answer == "hang" {
                    std::thread::sleep(Duration::from_mins(1));
                }
                let mut stream = stream;
                let _ = write!(stream, "{}{answer}", if answer.is_empty() { "" } else { "HTTP/1.1 " });
            });
        }
    });
}

fn ask(answers: &'static [(&'static str, &'static str)], patience: &str) -> crate::http::Answer {
    let app = Server::app(&stub(answers), &["--model-timeout-ms", patience]);
    app.post("/api/predict", &json!({"url": "http://a/"}))
}

const JUDGED: &str =
    "200 OK\r\nx-model-id: abc\r\nconnection: close\r\n\r\n{\"predictions\":[{\"verdict\":\"legitimate\",\"probability\":0.25}]}";

#[test]
fn model_service_that_cannot_explain_still_answers() {
    let answer = ask(&[("/predict", JUDGED)], "20000");
    let told = answer.value();
    assert_eq!(
        (answer.status, &told["verdict"], &told["probability"], &told["changes"]),
        (200, &json!("legitimate"), &json!(0.25), &json!(null))
    );
    assert_eq!(answer.header("x-model-id"), Some("abc"));
}

#[test]
fn model_service_that_is_not_well_gives_the_fallback() {
    for answers in [
        &[("/explain", "500 Internal Server Error\r\n\r\n")],
        &[("/explain", "503 Service Unavailable\r\n\r\n")],
        &[("/explain", "200 OK\r\n\r\n<html>no JSON")],
        &[("/explain", "200 OK\r\ncontent-length: 100\r\n\r\n{\"verdict\":")],
        &[("/explain", "200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n")],
        &[("/explain", "")],
    ] {
        let answer = ask(answers, "20000");
        assert_eq!((answer.code(), answer.header("x-fallback")), ((503, "no_model".into()), Some("true")), "{answers:?}");
    }
}

/// The stub keeps silent for a minute.
#[test]
fn model_service_that_is_late_gives_the_fallback() {
    let answer = ask(&[("/explain", "hang")], "300");
    assert_eq!((answer.code(), answer.header("x-fallback")), ((503, "no_model".into()), Some("true")));
}

#[test]
fn what_the_model_service_refuses_is_told_as_it_says() {
    let answer = ask(&[("/explain", "422 Unprocessable Content\r\n\r\n{\"error\":{\"code\":\"x\",\"message\":\"too odd\"}}")], "20000");
    assert_eq!((answer.code(), &answer.value()["error"]["message"]), ((422, "refused".into()), &json!("too odd")));
    assert_eq!(answer.header("x-fallback"), None);
}

/// The app is started beside nobody; then somebody answers there.
#[test]
fn first_readiness_waits_for_the_model_service() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let app = Server::app(&address, &["--reach-model-within-ms", "3600000"]);
    let early = app.get("/readyz");
    assert_eq!((early.status, early.body.as_str()), (503, "waiting for the model service\n"));
    assert_eq!((app.get("/healthz").status, app.get("/").status), (200, 200), "it serves what needs no model");
    serve(TcpListener::bind(&address).unwrap(), &[("/readyz", "200 OK\r\nconnection: close\r\n\r\nready")]);
    assert_eq!(app.get("/readyz").status, 200);

    // A model service that never is ready is the fallback's matter once the time is over.
    let unready = stub(&[("/readyz", "503 Service Unavailable\r\nconnection: close\r\n\r\n")]);
    assert_eq!(Server::app(&unready, &["--reach-model-within-ms", "3600000"]).get("/readyz").status, 503);
    assert_eq!(Server::app(&unready, &["--reach-model-within-ms", "0"]).get("/readyz").status, 200);
}

/// Kubernetes would take all app pods out of service, and nobody would see the fallback.
#[test]
fn later_readiness_does_not_ask_for_the_model_service() {
    let mut service = Server::start(&[]);
    let app = Server::app(&service.address, &["--reach-model-within-ms", "3600000"]);
    assert_eq!(app.get("/readyz").status, 200);
    service.process.kill().unwrap();
    service.process.wait().unwrap();
    assert_eq!((app.get("/readyz").status, app.post("/api/predict", &json!({"url": "http://a/"})).status), (200, 503));
}

//! A model that breaks in the middle of a request: that answer says so and has what every answer has, and the next one is good.

use std::fs;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, bail};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{APP_VERSION, Limits, Setup, serve};
use crate::app::{Resolver, Settings, Variant};
use crate::model::{Model, Runtime};
use crate::preprocessing::POSITIONS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Fails,
    Panics,
    /// Before it runs, where nothing but the whole request's end catches it.
    PanicsEarly,
}

/// Breaks once, when it is told to.
struct Breaking {
    is_quick: bool,
    next: Arc<Mutex<Option<Break>>>,
}

impl Breaking {
    fn breaks_by(&self, how: Break) -> bool {
        self.next.lock().unwrap().take_if(|next| *next == how).is_some()
    }
}

impl Runtime for Breaking {
    fn name(&self) -> &'static str {
        "breaking"
    }

    fn is_quick(&self) -> bool {
        assert!(!self.breaks_by(Break::PanicsEarly), "as it was told to");
        self.is_quick
    }

    fn probabilities(&self, ids: &[[i32; POSITIONS]]) -> Result<Vec<f32>> {
        assert!(!self.breaks_by(Break::Panics), "as it was told to");
        if self.breaks_by(Break::Fails) {
            bail!("as it was told to");
        }
        Ok(vec![0.25; ids.len()])
    }
}

/// Head and body.
async fn ask(address: SocketAddr, kind: &str) -> (String, String) {
    let body = r#"{"url":"a.example"}"#;
    let head = format!("POST /predict HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-type: {kind}\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(30), stream.read_to_string(&mut answer)).await.expect("an answer in time").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    (head.to_owned(), body.to_owned())
}

/// One worker and one place in the queue, so that one that is not given back would be missed.
#[tokio::test]
async fn model_that_breaks_is_a_500_like_every_answer_and_the_next_is_good() {
    let file = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/v2.onnx")).unwrap();
    for is_quick in [true, false] {
        let next = Arc::new(Mutex::new(None));
        let breaking = Breaking { is_quick, next: Arc::clone(&next) };
        let model = Model::from_bytes(&file).unwrap().computed_by(breaking);
        let version = model.about.version.clone();
        let app = Settings {
            variant: Variant::V2,
            journal: None,
            patience: Limits::default().body,
            body: Limits::default().body,
            canary: true,
            counts_from: Vec::new(),
            resolver: Resolver::default(),
            reach_within: Limits::default().body,
        };
        let limits = Limits { workers: NonZeroUsize::MIN, queue: 1, ..Limits::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let setup = Setup { model, watched: None, limits, admin: None, app };
        let serving = tokio::spawn(serve(listener, setup, std::future::pending()));
        for (how, message) in [
            (Break::Fails, "the model failed"),
            (Break::Panics, "the model failed"),
            (Break::PanicsEarly, "this request could not be answered"),
        ] {
            // At once, and by the routes.
            for kind in ["application/json", "application/json; charset=utf-8"] {
                *next.lock().unwrap() = Some(how);
                let (head, body) = ask(address, kind).await;
                let told = format!("{how:?}, {kind}, quick: {is_quick}: {head}");
                assert!(head.starts_with("HTTP/1.1 500 "), "{told}");
                assert_eq!(body, format!("{{\"error\":{{\"code\":\"internal\",\"message\":\"{message}\"}}}}\n"), "{told}");
                for (name, value) in [
                    ("content-type", "application/json"),
                    ("x-model-id", &*hex::encode(Sha256::digest(&file))),
                    ("x-model-version", &version),
                    ("x-app-version", APP_VERSION),
                    ("x-canary", "canary"),
                    ("x-app-variant", "v2"),
                ] {
                    assert!(head.lines().any(|line| line == format!("{name}: {value}")), "no {name}: {value} in {told}");
                }
                let (head, body) = ask(address, kind).await;
                assert!(head.starts_with("HTTP/1.1 200 ") && body.contains(r#""probability":0.25"#), "after {told}: {head}\n{body}");
            }
        }
        serving.abort();
    }
}

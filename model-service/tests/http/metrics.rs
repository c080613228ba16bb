//! Both formats of `/metrics`, read by the parsers of Prometheus' Python client, and drift.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use model_service::app;
use model_service::service::ROUTES;

use super::PHISHING;
use crate::server::Server;
use crate::{Numbers, python, shipped, with_metadata};

const OPEN: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
fn accept_chooses_the_format() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/metrics").header("content-type"), Some(TEXT));
    assert_eq!(server.metrics("application/openmetrics-text;version=1.0.0").header("content-type"), Some(OPEN));
}

/// The names and kinds of the families, in each format.
#[test]
fn both_formats_are_read_by_prometheus_own_parsers() {
    let server = Server::start(&[]);
    server.json(format!(r#"{{"urls":["{PHISHING}","{PHISHING}"]}}"#).as_bytes());
    for (accept, parser) in [("application/openmetrics-text", "openmetrics.parser"), ("text/plain", "parser")] {
        let code = format!(
            "import sys; from prometheus_client.{parser} import text_string_to_metric_families as parse\n\
             for family in parse(sys.stdin.read()):\n    print(family.name, family.type, len(family.samples), any('{{' in s.name for s in family.samples))"
        );
        let mut process = python("prometheus", &["prometheus-client==0.26.0"])
            .args(["-c", &code])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(server.metrics(accept).body.as_bytes()).unwrap();
        let done = process.wait_with_output().unwrap();
        assert!(done.status.success(), "{accept}: {}", String::from_utf8_lossy(&done.stderr));
        let families = String::from_utf8(done.stdout).unwrap();
        let info = if accept == "text/plain" { "model_service_build_info gauge 1" } else { "model_service_build info 1" };
        for family in [
            "model_service_predictions counter 2",
            "model_service_model_swaps counter 3",
            "model_service_in_progress_requests gauge 1",
            "model_service_score histogram 12",
            "model_service_answer_seconds summary 5",
            info,
        ] {
            assert!(families.lines().any(|line| line == format!("{family} False")), "{family} is not in\n{families}");
        }
    }
}

#[test]
fn probes_and_pages_are_no_predictions() {
    let server = Server::start(&[]);
    for path in ["/", "/healthz", "/readyz", "/version", "/docs", "/metrics"] {
        assert_eq!(server.get(path).status, 200);
    }
    let text = server.get("/metrics").body;
    for verdict in ["phishing", "legitimate"] {
        let line = format!("model_service_predictions_total{{verdict=\"{verdict}\"}} 0");
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

/// The values of each label; bounds of histograms, quantiles and what runs are no client's.
fn labels(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.contains("_build_info{")) {
        let Some((_, rest)) = line.split_once('{') else { continue };
        let (labels, _) = rest.rsplit_once("\"} ").unwrap_or_else(|| panic!("{line}"));
        for label in labels.split("\",") {
            let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            found.entry(name).or_default().insert(value);
        }
    }
    found.retain(|name, _| !["le", "quantile"].contains(name));
    found
}

/// What one client sends must not grow everybody's metrics.
#[test]
fn no_label_is_of_a_clients_choosing() {
    let service = Server::start(&[]);
    let app = Server::app(&service.address, &[]);
    let mut numbers = Numbers::new();
    let mut word = |first: u8| -> String { (0..8).map(|_| char::from(first + numbers.below(26) as u8)).collect() };
    for server in [&service, &app] {
        for path in ["/predict", "/check", "/"] {
            assert_eq!(server.send("BREW", path, &[], b"").status, 405, "{path}");
        }
        for number in 0..100 {
            let (method, path) = (word(b'A'), word(b'a'));
            let below = ["", "/model", "/model/predict", "/predict", "/api", "/admin"][number % 6];
            assert_eq!(server.send(&method, &format!("{below}/{path}?{path}={path}"), &[], b"").status, 404, "{method} {below}");
            server.post("/api/feedback", &serde_json::json!({"feedback": "yes", "version": path, "variant": path}));
        }
    }
    let routes = ROUTES.into_iter().chain(app::ROUTES).chain(["other", "/model", "/model/{*path}"]).collect();
    let bounds: BTreeMap<&str, BTreeSet<&str>> = [
        ("route", routes),
        ("method", BTreeSet::from(["GET", "POST", "other"])),
        ("status", BTreeSet::from(["200", "404", "405", "500", "503"])),
        ("verdict", BTreeSet::from(["phishing", "legitimate"])),
        ("version", BTreeSet::from(["v2"])),
        ("outcome", BTreeSet::from(["swapped", "refused", "rolled_back"])),
    ]
    .into();
    for (server, counted) in [
        (&service, r#"model_service_http_requests_total{route="/predict",method="other",status="405"} 2"#),
        (&service, r#"app_http_requests_total{route="/check",method="other",status="405"} 1"#),
        (&app, r#"app_http_requests_total{route="/check",method="other",status="405"} 1"#),
    ] {
        let text = server.get("/metrics").body;
        for (name, values) in labels(&text) {
            let bound = bounds.get(name).unwrap_or_else(|| panic!("{name}: {values:?}"));
            assert!(values.is_subset(bound), "{name}: {:?}", values.difference(bound));
        }
        assert!(text.lines().any(|line| line == counted), "{counted} is not in\n{text}");
    }
}

#[test]
fn drift_is_told_against_the_models_reference_once_enough_was_seen() {
    let reference = r#"{"length":{"bounds":[30,60],"shares":[0.2,0.5,0.3]},"score":{"bounds":[0.5],"shares":[0.5,0.5]}}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::write(&path, with_metadata(&fs::read(shipped()).unwrap(), &[("reference", reference)])).unwrap();
    let server = Server::of(&path, &[]);
    let judge = |count: usize| {
        let body = serde_json::json!({ "urls": vec!["http://www.bbc.co.uk/news/"; count] }).to_string();
        assert_eq!(server.json(body.as_bytes()).status, 200);
    };
    judge(199);
    assert!(!server.get("/metrics").body.contains("input_drift"));
    judge(1);
    let text = server.get("/metrics").body;
    let index = |what: &str| -> f64 {
        let name = format!("model_service_input_drift{{what=\"{what}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{text}")).parse().unwrap()
    };
    // All 200 are short (26 bytes) and legitimate; a share of nothing counts as .0001.
    let part = |a: f64, e: f64| (a - e) * (a / e).ln();
    assert!((index("length") - part(1.0, 0.2) - part(0.0001, 0.5) - part(0.0001, 0.3)).abs() < 1e-6, "{}", index("length"));
    assert!((index("score") - part(1.0, 0.5) - part(0.0001, 0.5)).abs() < 1e-6, "{}", index("score"));

    // The shipped model has a reference of its own.
    let shipped = Server::start(&[]);
    let body = serde_json::json!({ "urls": vec!["http://www.bbc.co.uk/news/"; 200] }).to_string();
    assert_eq!(shipped.json(body.as_bytes()).status, 200);
    let text = shipped.get("/metrics").body;
    for what in ["length", "score"] {
        assert!(text.contains(&format!("model_service_input_drift{{what=\"{what}\"}} ")), "{text}");
    }
}

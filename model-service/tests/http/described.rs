//! `/openapi.json` is valid and speaks of what is answered.

use std::io::Write as _;
use std::process::Stdio;

use model_service::app;
use model_service::service::ROUTES;
use serde_json::{Value, json};

use crate::python;
use crate::server::Server;

#[test]
fn descriptions_have_every_route_and_no_other() {
    let service = Server::start(&[]);
    let app = Server::app(&service.address, &[]);
    for (server, path, routes) in [(&service, "/openapi.json", &ROUTES[..]), (&app, "/api/openapi.json", &app::ROUTES[..])] {
        let document = server.get(path).value();
        assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &server.get("/version").value()["app"]));
        let described: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(described, routes);
        for (path, item) in document["paths"].as_object().unwrap() {
            // Every method is the model service's there.
            if path == "/model/{path}" {
                continue;
            }
            for (method, known) in [("GET", "get"), ("POST", "post")] {
                let refused = server.send(method, path, &[], b"").status == 405;
                assert_eq!(refused, item.get(known).is_none(), "{method} {path}");
            }
        }
    }
    // The app's own is there too where both are one process.
    assert_eq!(service.get("/api/openapi.json").body, app.get("/api/openapi.json").body);
    let page = app.get("/api/docs");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.body.contains("<code>POST /api/feedback</code>") && page.body.contains("href=\"openapi.json\""), "{}", page.body);
    let words = service.get("/docs").body;
    assert!(words.contains("<p><code>Accept</code> chooses ") && !(words + &page.body).contains('`'));
}

/// README's tables of our own paths; the peers' are in `peers`.
#[test]
fn answer_of_each_path_has_its_type() {
    let [html, text] = ["text/html; charset=utf-8", "text/plain; charset=utf-8"];
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--journal", folder.path().to_str().unwrap()]);
    for (path, body) in [
        ("/predict", json!({"urls": ["http://a/"]})),
        ("/explain", json!({"url": "http://a/"})),
        ("/add", json!({"url": "http://a/", "label": 1, "feedback": 1})),
        ("/api/predict", json!({"url": "http://a/"})),
        ("/api/feedback", json!({"feedback": "yes"})),
        ("/model/predict", json!({"url": "http://a/"})),
    ] {
        server.post(path, &body).json();
    }
    server.form("/predict", b"url=a").json();
    for path in ["/version", "/openapi.json", "/api/openapi.json", "/experiment", "/model/version"] {
        server.get(path).json();
    }
    for (path, kind) in [("/", html), ("/docs", html), ("/api/docs", html), ("/healthz", text), ("/readyz", text)] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
    }
    for (path, answer) in
        [("/", server.form("/", b"url=a")), ("/experiment", server.send("GET", "/experiment", &["accept: text/html"], b""))]
    {
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(html)), "{path}");
    }
}

#[test]
fn examples_of_the_apps_description_are_answered_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&["--journal", folder.path().to_str().unwrap()]);
    let mut asked = 0;
    for (path, item) in server.get("/api/openapi.json").value()["paths"].as_object().unwrap() {
        let body = &item["post"]["requestBody"]["content"];
        for (kind, content) in body.as_object().into_iter().flatten() {
            let value = &content["examples"]["one"]["value"];
            let Some(fields) = value.as_object() else { continue };
            let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default())).collect();
            let sent = if kind == "application/json" { value.to_string() } else { form.join("&") };
            let answer = server.send("POST", path, &[&format!("content-type: {kind}")], sent.as_bytes());
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            let told = item["post"]["responses"]["200"]["content"].as_object().unwrap();
            let (kind, told) = told.iter().next().unwrap();
            assert!(answer.header("content-type").unwrap().starts_with(kind.as_str()), "{path}: {}", answer.head);
            for name in told["schema"]["required"].as_array().into_iter().flatten() {
                assert!(answer.value().get(name.as_str().unwrap()).is_some(), "{path}: {name} is not in {}", answer.body);
            }
            asked += 1;
        }
    }
    assert_eq!(asked, 10);
}

#[test]
fn examples_of_the_description_are_answered_as_it_says() {
    let server = Server::start(&[]);
    let document = server.get("/openapi.json").value();
    let examples = &document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"];
    for (name, example) in examples.as_object().unwrap() {
        let answer = server.json(example["value"].to_string().as_bytes());
        assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        for header in document["components"]["headers"].as_object().unwrap().keys() {
            assert!(answer.header(header).is_some(), "{header}");
        }
        if answer.header("content-type") == Some("application/json") {
            let keys: Vec<String> = answer.value().as_object().unwrap().keys().cloned().collect();
            assert!(keys == ["predictions"] || keys == ["predictions", "prediction"] || keys == ["prediction"], "{keys:?}");
        }
    }
}

#[test]
fn descriptions_are_openapi_3_1() {
    let server = Server::start(&[]);
    let [document, of_the_app] = ["/openapi.json", "/api/openapi.json"].map(|path| server.get(path).body);
    let code = "import json, sys, openapi_spec_validator as v; v.validate(json.load(sys.stdin), cls=v.OpenAPIV31SpecValidator)";
    let check = |document: &str| {
        let mut python = python("openapi", &["openapi-spec-validator==0.9.0"]);
        let mut process = python_run(&mut python, code);
        process.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    };
    for document in [&document, &of_the_app] {
        let done = check(document);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let mut broken: Value = serde_json::from_str(&document).unwrap();
    broken["paths"]["/predict"]["post"]["responses"] = Value::Null;
    assert!(!check(&broken.to_string()).status.success(), "the validator accepts anything");
}

fn python_run(python: &mut std::process::Command, code: &str) -> std::process::Child {
    python.args(["-c", code]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

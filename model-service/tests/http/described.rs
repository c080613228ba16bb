//! `/openapi.json` is valid and speaks of what is answered.

use std::io::Write as _;
use std::process::Stdio;

use model_service::service::ROUTES;
use serde_json::Value;

use crate::python;
use crate::server::Server;

#[test]
fn description_has_every_route_and_no_other() {
    let server = Server::start(&[]);
    let document = server.get("/openapi.json").value();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &server.get("/version").value()["app"]));
    let described: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(described, ROUTES);
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods: Vec<&String> = item.as_object().unwrap().keys().collect();
        for (method, known) in [("GET", "get"), ("POST", "post")] {
            let refused = server.send(method, path, &[], b"").status == 405;
            assert_eq!(refused, methods != [known], "{method} {path}");
        }
    }
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
fn description_is_openapi_3_1() {
    let document = Server::start(&[]).get("/openapi.json").body;
    let code = "import json, sys, openapi_spec_validator as v; v.validate(json.load(sys.stdin), cls=v.OpenAPIV31SpecValidator)";
    let check = |document: &str| {
        let mut python = python("openapi", &["openapi-spec-validator==0.9.0"]);
        let mut process = python_run(&mut python, code);
        process.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
        process.wait_with_output().unwrap()
    };
    let done = check(&document);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut broken: Value = serde_json::from_str(&document).unwrap();
    broken["paths"]["/predict"]["post"]["responses"] = Value::Null;
    assert!(!check(&broken.to_string()).status.success(), "the validator accepts anything");
}

fn python_run(python: &mut std::process::Command, code: &str) -> std::process::Child {
    python.args(["-c", code]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

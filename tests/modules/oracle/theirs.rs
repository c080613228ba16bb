//! The real Ansible on the cases: three runs of one playbook.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::{OracleCase, Place, Results};

pub fn results(program: &Path, cases: &[OracleCase], place: &Place) -> BTreeMap<String, Results> {
    let tasks: Vec<Json> = cases
        .iter()
        .map(|case| {
            let module = if case.is_of_a_collection() { case.module.clone() } else { format!("ansible.builtin.{}", case.module) };
            json!({"name": case.name, module: place.arguments(case), "ignore_errors": true})
        })
        .collect();
    let play = json!([{"hosts": "localhost", "gather_facts": false, "vars": {"who": "world", "numbers": [1, 2]}, "tasks": tasks}]);
    std::fs::write(place.project().join("play.json"), play.to_string()).expect("writes");
    place.reset(cases);
    let check = run(program, place, &["--check"]);
    let first = run(program, place, &[]);
    let second = run(program, place, &[]);
    let of = |run: &BTreeMap<String, Json>, case: &OracleCase| place.normalize(case, run.get(&case.name).unwrap_or(&Json::Null));
    cases
        .iter()
        .map(|case| {
            let results = Results { check: of(&check, case), first: of(&first, case), second: of(&second, case), files: place.files(case) };
            (case.name.clone(), results)
        })
        .collect()
}

fn run(program: &Path, place: &Place, more: &[&str]) -> BTreeMap<String, Json> {
    let results = place.project().join("results.jsonl");
    let _ = std::fs::remove_file(&results);
    let output = std::process::Command::new(program)
        .args(["-i", "localhost,", "-c", "local", "play.json"])
        .args(more)
        .current_dir(place.project())
        .env("ANSIBLE_STDOUT_CALLBACK", "oracle_results")
        .env("ANSIBLE_CALLBACK_PLUGINS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/oracle"))
        .env("ANSIBLE_PYTHON_INTERPRETER", program.with_file_name("python"))
        .env("ANSIBLE_PIPELINING", "true")
        .env("ORACLE_RESULTS", &results)
        .env_remove("ANSIBLE_CONFIG")
        .output()
        .expect("ansible-playbook runs");
    let text = std::fs::read_to_string(&results).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    text.lines()
        .filter_map(|line| {
            let line: Json = serde_json::from_str(line).ok()?;
            Some((line["name"].as_str()?.to_owned(), line["result"].clone()))
        })
        .collect()
}

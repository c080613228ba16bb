//! What `helm template` prints for charts of ours, byte for byte. `fixtures/record.sh` recorded it with Helm 4.3.1.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use provision::chart::{Chart, read_values};
use serde_json::Value;

use super::{fixture, release};

const CHARTS: [&str; 5] = ["whitespace", "numbers", "strings", "data", "order"];

fn values(name: &str) -> Value {
    let user = fixture(name).join("user.yaml");
    let files: Vec<(String, PathBuf)> = if user.exists() { vec![(format!("{name}/user.yaml"), user)] } else { Vec::new() };
    read_values(&files).unwrap_or_else(|refused| panic!("{refused}"))
}

fn ours(name: &str) -> String {
    let chart = Chart::load(&fixture(name)).unwrap_or_else(|refused| panic!("{refused}"));
    chart.manifest(&release(), &values(name)).unwrap_or_else(|refused| panic!("{refused}"))
}

#[track_caller]
fn same(name: &str, ours: &str, helms: &str) {
    for (number, (ours, helms)) in ours.lines().zip(helms.lines()).enumerate() {
        assert_eq!(ours, helms, "{name}, line {} of the output", number + 1);
    }
    assert_eq!(ours, helms, "{name}");
}

#[test]
fn whitespace_conditions_ranges_and_includes_are_rendered_as_helm_does() {
    recorded("whitespace");
}

#[test]
fn numbers_and_nulls_are_printed_as_helm_does() {
    recorded("numbers");
}

#[test]
fn the_functions_give_what_helm_gives() {
    recorded("strings");
}

#[test]
fn yaml_json_files_and_templates_in_values_are_rendered_as_helm_does() {
    recorded("data");
}

#[test]
fn documents_are_split_and_ordered_and_values_merged_as_helm_does() {
    recorded("order");
}

#[track_caller]
fn recorded(name: &str) {
    let helms = fs::read_to_string(fixture(name).join("expected.yaml")).expect("recorded");
    same(name, &ours(name), &helms);
}

#[test]
fn objects_come_in_install_order_with_their_places() {
    let chart = Chart::load(&fixture("order")).unwrap_or_else(|refused| panic!("{refused}"));
    let objects = chart.render(&release(), &values("order")).unwrap_or_else(|refused| panic!("{refused}"));
    let shown: Vec<String> =
        objects.iter().map(|object| format!("{} {} {}:{}", object.kind(), object.name(), object.source, object.template_line)).collect();
    assert_eq!(
        shown,
        [
            "PodDisruptionBudget a templates/a.yaml:12",
            "ServiceAccount z templates/z.yaml:3",
            "ConfigMap deep templates/sub/deep.yaml:2",
            "Service a templates/a.yaml:8",
            "Deployment a templates/a.yaml:1",
            "Ant ant templates/z.yaml:15",
            "Zebra zebra templates/z.yaml:11",
        ]
    );
    let deployment = objects.iter().find(|object| object.kind() == "Deployment").expect("there");
    assert_eq!(deployment.value["spec"]["replicas"], serde_json::json!(3), "the user's value, an integer");
    let notes = chart.notes(&release(), &Value::Null).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(notes.as_deref(), Some("Installed rel in ns.\n"));
}

/// Runs the `helm` of `HELM`, or of the PATH: `cargo test --test main chart::parity -- --ignored`.
#[test]
#[ignore = "needs helm: go install helm.sh/helm/v4/cmd/helm@v4.3.1"]
fn helm_itself_gives_the_same_today() {
    let helm = std::env::var("HELM").unwrap_or_else(|_| "helm".to_owned());
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/phishing");
    for (name, folder) in CHARTS.iter().map(|name| (*name, fixture(name))).chain([("phishing", bundled)]) {
        let mut command = Command::new(&helm);
        command.args(["template", "rel"]).arg(&folder).args(["--namespace", "ns", "--kube-version", "v1.36.4"]);
        if folder.join("user.yaml").exists() {
            command.arg("-f").arg(folder.join("user.yaml"));
        }
        let output = command.output().unwrap_or_else(|error| panic!("run {helm}: {error}; set HELM"));
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let chart = Chart::load(&folder).unwrap_or_else(|refused| panic!("{refused}"));
        let values = if name == "phishing" { Value::Null } else { values(name) };
        let ours = chart.manifest(&release(), &values).unwrap_or_else(|refused| panic!("{refused}"));
        same(name, &ours, &String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_chart_can_be_held_across_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let chart = Chart::load(&fixture("order")).unwrap_or_else(|refused| panic!("{refused}"));
    shared(&chart);
    shared(&chart.render(&release(), &Value::Null));
}

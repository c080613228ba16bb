//! Mistakes in charts: each with its whole report, kept beside the case in `refused/`.
//!
//! A case is one file: the template (or the file named in its first line), then `=== values` and `=== report`.
//! `RECORD=1` writes the reports anew; they are to be read before they are kept.

use std::fs;
use std::path::Path;

use provision::chart::Chart;
use serde_json::Value;

use super::release;

const HELPERS: &str = "{{- define \"app.name\" -}}\n{{ .Values.name | trunc 63 }}\n{{- end }}\n{{- define \"app.labels\" -}}\napp: {{ include \"app.name\" . }}\n{{- end }}\n";

/// The report on a chart that has this file besides helpers, as it is displayed.
fn report(name: &str, text: &str, values: &Value) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write("Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n");
    write("values.yaml", "name: app\nport: 80\nimage: {repository: x}\nlist: [a]\n");
    write("templates/_helpers.tpl", HELPERS);
    write(name, text);
    let done = Chart::load(folder.path()).and_then(|chart| chart.render(&release(), values));
    let report = match done {
        Ok(objects) => format!("rendered {} objects", objects.len()),
        Err(refused) => refused.to_string(),
    };
    report.replace(&folder.path().display().to_string(), "charts/app")
}

#[test]
fn every_mistake_is_shown_with_its_template_line_and_what_to_do() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chart/refused");
    let mut cases: Vec<_> = fs::read_dir(&folder).expect("cases").map(|entry| entry.expect("an entry").path()).collect();
    cases.sort();
    let mut wrong = Vec::new();
    for path in &cases {
        let case = fs::read_to_string(path).expect("readable");
        let (head, expected) = case.split_once("=== report\n").unwrap_or((&case, ""));
        let (text, values) = head.split_once("=== values\n").unwrap_or((head, "{}"));
        let (name, text) = match text.strip_prefix("FILE ") {
            Some(rest) => rest.split_once('\n').expect("a name and a text"),
            None => ("templates/a.yaml", text),
        };
        let got = report(name, text, &serde_json::from_str(values).expect("values as JSON")) + "\n";
        if std::env::var_os("RECORD").is_some() {
            fs::write(path, format!("{head}=== report\n{got}")).expect("recorded");
        } else if got != expected {
            wrong.push(format!("{}:\n{got}", path.display()));
        }
    }
    assert!(cases.len() >= 20, "only {} cases were found", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_no_chart_is_refused_with_the_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let report =
        |path: &Path| Chart::load(path).expect_err("refused").to_string().replace(&folder.path().display().to_string(), "charts/app");
    assert!(report(folder.path()).contains("there is no Chart.yaml in charts/app"), "{}", report(folder.path()));
    assert!(report(&folder.path().join("none")).contains("read the folder charts/app/none"), "{}", report(&folder.path().join("none")));
}

#[test]
fn what_a_helper_gets_wrong_is_said_once() {
    let text = "a: {{ include \"app.labels\" . }}\n---\nb: {{ include \"app.labels\" . }}\n";
    let report = report("templates/a.yaml", text, &serde_json::json!({"name": 5}));
    assert_eq!(report.matches("error:").count(), 1, "{report}");
}

#[test]
fn a_template_that_includes_itself_ends() {
    let report =
        report("templates/a.yaml", "{{ define \"loop\" }}{{ include \"loop\" . }}{{ end }}a: {{ include \"loop\" . }}\n", &Value::Null);
    assert!(report.contains("`loop` is included 100 levels deep"), "{report}");
}

//! Inventories against the real Ansible: hosts, groups, order, merged variables, patterns.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use provision::program::Tree;
use provision::project::{Files, Inventory};
use serde_json::{Value as Json, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/inventories").join(name)
}

struct Case {
    name: &'static str,
    sources: &'static [&'static str],
    playbook: Option<&'static str>,
    patterns: &'static str,
}

const CASES: &[Case] = &[
    Case { name: "ini", sources: &["ini/hosts"], playbook: None, patterns: "ini/patterns" },
    Case { name: "ini, odd", sources: &["ini/odd"], playbook: None, patterns: "folder.patterns" },
    Case { name: "yaml", sources: &["yaml/hosts.yml"], playbook: None, patterns: "yaml/patterns" },
    Case { name: "folder", sources: &["folder"], playbook: None, patterns: "folder.patterns" },
    Case { name: "folder with a playbook", sources: &["folder"], playbook: Some("folder-play"), patterns: "folder.patterns" },
    Case { name: "two files", sources: &["mixed/one", "mixed/two.yaml"], playbook: None, patterns: "folder.patterns" },
    Case { name: "two files, the other way", sources: &["mixed/two.yaml", "mixed/one"], playbook: None, patterns: "folder.patterns" },
    Case { name: "order of groups", sources: &["order/hosts"], playbook: None, patterns: "folder.patterns" },
    Case { name: "a list", sources: &["x1,x2:2222, 10.0.0.1 ,[fe80::1]:22", "mixed/one"], playbook: None, patterns: "folder.patterns" },
    Case { name: "a script", sources: &["script.sh"], playbook: None, patterns: "folder.patterns" },
];

fn sources(case: &Case) -> Vec<String> {
    case.sources
        .iter()
        .map(|source| if source.contains(',') { (*source).to_owned() } else { fixture(source).display().to_string() })
        .collect()
}

fn patterns(case: &Case) -> Vec<String> {
    std::fs::read_to_string(fixture(case.patterns)).expect("read the patterns").lines().map(str::to_owned).collect()
}

/// What we read, in the oracle's form.
fn ours(case: &Case) -> Json {
    let mut files = Files::new(&fixture(""));
    let root = files.root.clone();
    let mut inventory = Inventory::load(&mut files, &root, &sources(case), &[]);
    let playbook = case.playbook.map(fixture);
    if let Some(folder) = &playbook {
        inventory.load_beside_playbook(&mut files, folder);
    }
    assert!(!files.diagnostics.has_errors(), "{}: {}", case.name, files.diagnostics.render(&files.sources));
    let mut hosts = BTreeMap::new();
    for name in inventory.hosts.keys() {
        let mut vars = BTreeMap::new();
        for layer in inventory.layers(name, playbook.as_deref()) {
            for variable in layer.variables {
                vars.insert(variable.name.to_string(), raw(&variable.value));
            }
        }
        let magic = inventory.magic(name);
        let of = |name: &str| magic[name].to_json(false);
        hosts.insert(name.to_string(), json!({"vars": vars, "group_names": of("group_names"), "file": of("inventory_file")}));
    }
    let patterns: BTreeMap<String, Json> = patterns(case)
        .into_iter()
        .map(|pattern| {
            let selected = inventory.select(&pattern);
            let hosts: Vec<String> = selected.hosts.iter().map(ToString::to_string).collect();
            (pattern, json!(hosts))
        })
        .collect();
    json!({"groups": inventory.groups_value().to_json(false), "hosts": hosts, "patterns": patterns})
}

/// A tree before evaluation as JSON.
fn raw(tree: &Tree) -> Json {
    match tree {
        Tree::Literal(value) => value.to_json(false),
        Tree::Template(template) | Tree::Expression(template) => json!(&*template.source),
        Tree::List(items) => items.iter().map(raw).collect(),
        Tree::Map(entries) => Json::Object(
            entries
                .iter()
                .map(|(key, value)| (key.literal().and_then(|key| key.as_str().map(str::to_owned)).unwrap_or_default(), raw(value)))
                .collect(),
        ),
    }
}

#[test]
fn inventories_are_read_as_ansible_reads_them() {
    let Some(python) = crate::oracle::ansible("python") else { return };
    let question: Vec<Json> = CASES
        .iter()
        .map(|case| json!({"sources": sources(case), "playbook": case.playbook.map(fixture), "patterns": patterns(case)}))
        .collect();
    let mut child = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/inventory.py"))
        .env_remove("ANSIBLE_CONFIG")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run Ansible's Python");
    child.stdin.take().expect("piped").write_all(json!(question).to_string().as_bytes()).expect("ask");
    let output = child.wait_with_output().expect("answer");
    let answers: Vec<Json> =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let mut wrong = String::new();
    for (case, theirs) in CASES.iter().zip(answers) {
        let ours = ours(case);
        for part in ["groups", "hosts", "patterns"] {
            let keys = |side: &Json| side[part].as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
            let mut names = keys(&theirs);
            names.extend(keys(&ours));
            names.sort();
            names.dedup();
            for name in names {
                let (mine, other) = (&ours[part][&name], &theirs[part][&name]);
                // A pattern without hosts is an error text or an empty list.
                let empty = |side: &Json| part == "patterns" && (side.is_string() || side.as_array().is_some_and(Vec::is_empty));
                if mine != other && !(empty(mine) && empty(other)) {
                    let _ = write!(wrong, "{}: {part} {name}\n   ours {mine}\n theirs {other}\n", case.name);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Five thousand hosts are read in a moment, also by a debug build on a busy machine.
#[test]
fn a_large_inventory_does_not_take_quadratic_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut text = String::new();
    for group in 0..100 {
        let _ = writeln!(text, "[g{group}]\nh{group:02}-[01:50] a={group}\n[g{group}:vars]\nb={group}");
    }
    std::fs::write(folder.path().join("hosts"), text).expect("write");
    std::fs::create_dir(folder.path().join("host_vars")).expect("make a folder");
    for host in 0..500 {
        std::fs::write(folder.path().join(format!("host_vars/h{:02}-{:02}.yml", host / 50, host % 50 + 1)), "x: 1\n").expect("write");
    }
    let begin = std::time::Instant::now();
    let mut files = Files::new(folder.path());
    let root = files.root.clone();
    let inventory = Inventory::load(&mut files, &root, &["hosts".to_owned()], &[]);
    let variables: usize = inventory.hosts.keys().flat_map(|host| inventory.layers(host, None)).map(|layer| layer.variables.len()).sum();
    assert_eq!((inventory.hosts.len(), variables), (5000, 10_500));
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}

//! YAML against PyYAML, by which Ansible reads: the corners where YAML 1.1, YAML 1.2 and libyaml differ.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use provision::source::{Diagnostics, Sources, yaml};
use serde_json::{Value as Json, json};

/// Both read them, and alike.
const READ: &[&str] = &[
    "list: [\n  a,\n  b\n]\nx: {\n}\n",
    "- hosts: [\n    a\n  ]\n  x:\n    y: [\n    1,\n    2\n    ]\n    z: {\n  k: v\n  }\n",
    "a: [a,\n# c\nb]\n",
    "a: {\n\"b\": 1,\n\"c\": [\n1\n]\n}\n",
    "a: \"line\nsecond\"\nb: 1\n",
    "a:\n  b: 'one\n two\n\n three'\n  c: 1\n",
    "k: \"a\n\tb\"\n",
    "a:\t1\nb: [1,\t2]\n-x: 1\n",
    "a:\tfoo\n",
    "a: foo\n  bar\n baz\n",
    "a: {b:c, d: e}\nf: [x:y]\n",
    "a: >\n\n  x\n\n\n  y\nb: |+\n  z\n\n",
    "a: |-\n    x\n      y\nb: >-\n  one\n  two\n   three\n",
    "? a\n: b\n",
    "%YAML 1.1\n---\na: yes\n",
    "b: ! 12\nc: !<tag:yaml.org,2002:str> 1\n",
    "\u{feff}a: 1\n",
    "---\n# c\n...\n",
    "a: {x: 1,}\nb: [1,]\n",
    "a: \n  - b\n  -\n  - c:\n",
    "a: &x\n  b: 1\nc: *x\n",
    "key with spaces: v\n\"q\": 1\n",
    "a: 'it''s'\nb: \"\\x41\\u00e9\\\n  cont\"\nc: \"\\/\"\n",
    "a:\n- b\n- c:\n  - d\n",
    "when: a == \"b\"\nx: foo # bar\ny: foo#bar\nz: a:b:c\nw: http://x:80/\n",
    "a: x\n\n\n  y\n",
    "a: \"b\n\n  c\"\n",
    "{\n  \"a\": {\n    \"b\": 1\n  }\n}\n",
    "{\n\t\"a\": [1,\t2]\n}\n",
    "---\na: 1\n---\nb: 2\n",
    "a: 1\r\nb:\r\n  - c\r\n",
    "- 0o14\n- 0644\n- 12:30\n- 1_000\n- .5\n- 1e3\n- yes\n- y\n- ~\n- 0x1F\n- +.inf\n- 1.\n- 2024-01-01\n- 10.0.0.1\n",
    "a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b], z: 1}\nd: {z: 0, <<: *a}\n",
];

/// Neither reads them.
const REFUSED: &[&str] = &[
    "a: - b\n",
    "a: b: c",
    "a: [b, c]: d\n",
    "b: *c\n",
    "a: %x\n",
    "a: {{ b }}\n",
    "? [a]\n: b\n",
    "a: |\n\ttabbed\n",
    "a: @x\n",
    "a: [1\nb: 2\n",
    "a: \"x\n",
    "a: 1\n b: 2\n",
    "a: !foo 1\n",
    "a: 'x' y\n",
    "- a\nb: 1\n",
    "a: }\n",
];

#[test]
fn yaml_is_read_as_pyyaml_reads_it() {
    let Some(python) = crate::oracle::ansible("python") else { return };
    let texts: Vec<&str> = READ.iter().chain(REFUSED).copied().collect();
    let mut child = Command::new(python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/read_yaml.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run Ansible's Python");
    child.stdin.take().expect("piped").write_all(json!(texts).to_string().as_bytes()).expect("ask");
    let output = child.wait_with_output().expect("answer");
    let answers: Vec<Json> = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut wrong = String::new();
    for (index, (text, theirs)) in texts.iter().zip(answers).enumerate() {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let file = sources.add("a.yml", Path::new("/a.yml"), *text);
        let documents = yaml::documents(&sources, file, &mut diagnostics);
        let ours = documents.map_or(Json::Null, |documents| documents.iter().map(|node| node.value().to_json(true)).collect());
        if ours != theirs || theirs.is_null() != (index >= READ.len()) {
            let _ = write!(wrong, "{text:?}\n   ours {ours}\n theirs {theirs}\n{}", diagnostics.render(&sources));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn places_stay_the_users_where_the_text_was_mended() {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    let file = sources.add("a.yml", Path::new("/a.yml"), "a: [\n{b: 1},\n '{{ x }}'\n]\nc:\td\n");
    let node = yaml::document(&sources, file, &mut diagnostics).expect("read");
    let items = node.get("a").and_then(|list| list.as_list()).expect("a list");
    assert_eq!(sources.place(items[0].span), "a.yml:2:1");
    assert_eq!(sources.place(items[1].scalar().expect("a text").content), "a.yml:3:3");
    assert_eq!(sources.place(node.get("c").expect("c").span), "a.yml:5:4");
}

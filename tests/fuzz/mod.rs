//! Readers of users' texts never panic, whatever they are given, and their places lie in the text.

use std::path::Path;

use proptest::prelude::*;
use provision::program::{Span, Template};
use provision::project::{Files, Inventory};
use provision::source::{Diagnostics, Node, Sources, yaml};

/// `FUZZ_CASES` multiplies the cases: 1 for each build, 100 for an hour of leisure.
fn config(cases: u32) -> ProptestConfig {
    let times = std::env::var("FUZZ_CASES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: cases * times, failure_persistence: None, ..ProptestConfig::default() }
}

/// Pieces that the formats are made of, in any order.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "b:",
        ": ",
        "- ",
        "-",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        " ",
        "'",
        "\"",
        "{",
        "}",
        "[",
        "]",
        "{{ x }}",
        "{%",
        "|",
        ">",
        "&a ",
        "*a",
        "!vault ",
        "!",
        "#",
        " # c",
        ",",
        "<<: *a",
        "? ",
        "%",
        "@",
        "\\",
        "\\n",
        "=",
        "1",
        "0x1",
        "é",
        "漢",
        "\r\n",
        "---",
        "...",
        "[a:children]",
        "[a:vars]",
        "[1:3]",
        ":22",
        "~",
        ";",
        "\u{feff}",
        "\u{1}",
        "!!int ",
        "|2-",
        "\u{85}",
        "\\ud83d",
        "\\ude00",
        "{\"a\":\"",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

fn places(node: &Node, visit: &mut dyn FnMut(&Node)) {
    visit(node);
    for (key, value) in node.entries() {
        places(key, visit);
        places(value, visit);
    }
    node.as_list().unwrap_or_default().iter().for_each(|item| places(item, visit));
}

fn lies_in(text: &str, span: Span) -> bool {
    let lines: Vec<&str> = text.split('\n').collect();
    span.line >= 1 && span.line as usize <= lines.len() + 1 && span.column >= 1
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn yaml_and_its_report_never_panic(text in text()) {
        let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
        let file = sources.add("a.yml", Path::new("/a.yml"), text.as_str());
        for node in yaml::documents(&sources, file, &mut diagnostics).unwrap_or_default() {
            node.value();
            places(&node, &mut |node| {
                assert!(lies_in(&text, node.span), "{text:?} {:?}", node.span);
                if let Some(scalar) = node.scalar() {
                    let template = Template { source: scalar.text.clone(), span: scalar.content };
                    for (offset, _) in scalar.text.char_indices() {
                        sources.locate(&template, offset);
                    }
                }
            });
        }
        diagnostics.render(&sources);
    }

    #[test]
    fn patterns_and_lists_of_hosts_never_panic(pattern in text(), hosts in text()) {
        let mut files = Files::new(Path::new("/nonexistent"));
        let root = files.root.clone();
        let inventory = Inventory::load(&mut files, &root, &[format!("web1,web2,{hosts}")], &[]);
        inventory.select(&pattern);
    }
}

proptest! {
    #![proptest_config(config(100))]

    #[test]
    fn ini_inventories_never_panic(text in text()) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("hosts.ini"), &text).expect("write");
        let mut files = Files::new(folder.path());
        let root = files.root.clone();
        Inventory::load(&mut files, &root, &["hosts.ini".to_owned()], &[]);
        files.diagnostics.render(&files.sources);
    }
}

//! Imports go one way: the sources' `crate::…` paths against the table in the docs of `src/lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Macros that the crate exports stand at its root too.
const MACROS: [&str; 3] = ["map", "arguments", "choices"];

fn table() -> BTreeMap<String, BTreeSet<String>> {
    let docs = fs::read_to_string("src/lib.rs").expect("readable");
    let rows = docs.split("```text").nth(1).and_then(|rest| rest.split("```").next()).expect("the table stands in the docs");
    let rows = rows.lines().map(|line| line.trim_start_matches("//!").trim());
    let rows = rows.filter(|line| !line.is_empty() && !line.contains("side"));
    rows.map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().expect("a name"), words.collect())
    })
    .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("listed").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn imports_go_one_way() {
    let table = table();
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in files {
        let part =
            file.components().nth(1).map(|part| part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()).expect("below src");
        let Some(allowed) = table.get(&part) else { continue };
        let text = fs::read_to_string(&file).expect("readable");
        // Docs may point anywhere.
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for path in code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>()) {
            let name: String = path.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
            checked += 1;
            if !name.is_empty() && name != part && !allowed.contains(&name) && !MACROS.contains(&&*name) && name != "self_check" {
                wrong.push(format!("{} imports {name}", file.display()));
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were found: the test looks in the wrong place");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_part_of_the_crate_stands_in_the_table() {
    let table = table();
    for entry in fs::read_dir("src").expect("listed").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        assert!(["main", "lib", "self_check"].contains(&&*name) || table.contains_key(&name), "{name} is not in the table of src/lib.rs");
    }
}

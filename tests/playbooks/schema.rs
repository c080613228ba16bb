//! The schema that editors read takes what is a playbook, and refuses what the checks refuse.

use std::fs;
use std::path::{Path, PathBuf};

use provision::chart::schema;
use serde_json::Value;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What an editor would underline in a playbook.
fn underlined(path: &Path) -> Vec<String> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(here("docs/playbook.schema.json")).expect("the schema")).expect("JSON");
    assert_eq!(schema::unsupported(&schema), Vec::<String>::new());
    let text = fs::read_to_string(path).expect("readable");
    let playbook: Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    schema::check(&schema, &playbook).iter().map(|diagnostic| diagnostic.message.clone()).collect()
}

#[test]
fn an_editor_s_schema_takes_playbooks_and_underlines_slips() {
    for playbook in [
        "playbooks/site.yaml",
        "tests/playbooks/app/site.yml",
        "tests/playbooks/cluster/site.yml",
        "tests/playbooks/dynamic/site.yml",
        "tests/playbooks/loops/site.yml",
        "tests/playbooks/roles/site.yml",
        "tests/fixtures/roles/site.yml",
        "tests/fixtures/published/kubeadm/site.yml",
        "tests/fixtures/published/web/site.yml",
        "tests/fixtures/published/hardening/site.yml",
    ] {
        assert_eq!(underlined(&here(playbook)), Vec::<String>::new(), "{playbook}");
    }
    let found = underlined(&here("tests/mistakes/playbook-unknown-words/site.yml")).join("\n");
    for slip in ["chekc_mode", "gather_fact", "wehn", "dubug", "ansible.posix.sysctll", "[3].debug", "hosts", "handlres"] {
        assert!(found.contains(slip), "{slip} is not in\n{found}");
    }
}

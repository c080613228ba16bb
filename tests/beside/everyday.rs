//! Playbooks of everyday words, in folders as users have them, beside ansible-core: tasks, counts, exit codes, files.

use std::collections::BTreeSet;
use std::path::Path;

use super::local::Project;

/// Answers what both said.
fn runs_as_ansibles(name: &str) -> Option<String> {
    runs_with(name, &[], 0, 50)
}

/// With a code, and more files than so many.
fn runs_with(name: &str, words: &[&str], code: i32, files: usize) -> Option<String> {
    let project = Project::new(&[])?;
    project.add(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/everyday").join(name));
    let (theirs, mut ours, said) = project.both(&[&["site.yml"], words].concat(), &[]);
    // Handlers and other hosts' results come in another order: hosts do not wait for each other.
    assert_eq!(theirs.code, code, "{said}");
    assert!(theirs.files.len() > files, "{:?}", theirs.files);
    for (path, text) in &theirs.files {
        assert_eq!(ours.files.remove(path).as_ref(), Some(text), "{path}\n{said}");
    }
    assert_eq!(ours.files, [].into(), "{said}");
    assert_eq!((theirs.code, theirs.told, theirs.recaps), (ours.code, ours.told, ours.recaps), "{said}");
    Some(said)
}

/// Roles, files that items and variables name, handlers that items name, includes by `first_found`, loops of every kind.
#[test]
fn a_site_of_roles_runs_as_ansibles() {
    let Some(said) = runs_as_ansibles("site") else { return };
    // Both hosts are this machine: what one pushes is not the other's to take away.
    let words = said.split([' ', '"', ',']);
    let pushed: BTreeSet<&str> = words.filter(|word| word.contains("/.provision-") && word.ends_with("-setup.sh")).collect();
    assert_eq!(pushed.len(), 2, "{pushed:?}");
}

/// Files beside included tasks, whole files of variables under a name, blocks, registered loops, a page of expressions.
#[test]
fn a_page_of_the_language_runs_as_ansibles() {
    _ = runs_as_ansibles("language");
}

/// Plays that follow each other over groups, hosts and roles that others bring: facts, `group_by`, `add_host`, dependencies, topics.
#[test]
fn plays_over_groups_run_as_ansibles() {
    _ = runs_as_ansibles("plays");
}

/// Blocks in blocks that fail, handlers that fail, who is left of a play, names of hosts without an address.
#[test]
fn failures_end_as_ansibles() {
    for words in [&[][..], &["-e", "fails=true"]] {
        _ = runs_with("failures", words, 2, 15);
    }
}

//! A case for each kind of mistake: a folder of a user's files, and `expected.txt`, the whole report.
//!
//! `UPDATE=1 cargo test mistakes` writes what is reported now; read the difference before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use provision::artifact::Manifest;
use provision::playbook;
use provision::project::{Options, Project};
use provision::source::{Diagnostics, Sources, yaml};

#[test]
fn every_mistake_is_reported_in_full() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut folders: Vec<PathBuf> = entries(&cases).into_iter().filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    let mut wrong = String::new();
    for folder in folders {
        let report = report(&folder);
        let expected = folder.join("expected.txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, &report).expect("write expected.txt");
            continue;
        }
        let wanted = fs::read_to_string(&expected).unwrap_or_default();
        if report != wanted {
            let _ = write!(wrong, "== {}\n-- expected\n{wanted}-- reported\n{report}", folder.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The report of a case: of one file that is parsed alone (`syntax-…`), or of the folder as a project with its playbooks. `options.txt` of a
/// project's case has a line for each of `-i …`, `-e …`, `--limit …`, `--vault-password-file …`, `NAME=value` (a variable).
fn report(folder: &Path) -> String {
    let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
    if name.starts_with("syntax-") {
        return syntax(folder);
    }
    let options = options(folder);
    let (mut project, _) = Project::load(folder, &options, &mut |_| None);
    let playbooks: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
    let artifacts = Manifest::builtin().names().map(|name| (name.into(), playbook::artifact::Artifact::default())).collect();
    playbook::compile(
        &mut project,
        &playbooks,
        &playbook::Options { limit: options.limit.clone(), artifacts: Arc::new(artifacts), ..playbook::Options::default() },
    );
    let report = project.files.diagnostics.render(&project.files.sources);
    // Places of this machine are not the case's.
    report.replace(&folder.display().to_string(), "FOLDER")
}

fn options(folder: &Path) -> Options {
    let mut options = Options::default();
    for line in fs::read_to_string(folder.join("options.txt")).unwrap_or_default().lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        match name {
            "-i" => options.inventory.push(value.to_owned()),
            "-e" => options.extra_vars.push(value.to_owned()),
            "--limit" => options.limit = Some(value.to_owned()),
            "--playbook" => options.playbooks.push(value.to_owned()),
            "--vault-password-file" => options.passwords.files.push(value.into()),
            "--vault-id" => options.passwords.ids.push(value.to_owned()),
            _ => {
                let (name, value) = line.split_once('=').expect("an option or NAME=value");
                options.environment.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    options
}

fn syntax(folder: &Path) -> String {
    let (mut sources, mut diagnostics) = (Sources::default(), Diagnostics::default());
    for path in entries(folder).iter().filter(|path| path.extension().is_some_and(|extension| extension == "yml")) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        let file = sources.add(name, path, fs::read_to_string(path).expect("read the case"));
        yaml::document(&sources, file, &mut diagnostics);
    }
    diagnostics.render(&sources)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).expect("read a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

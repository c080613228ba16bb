//! Our modules beside Ansible's: results field by field, and the files afterwards.
//!
//! Ansible's results are kept in `recorded.json` (`$S` for a case's folder, `$P` for the project's), so that every test run
//! compares with them in a second. `the_recording_is_ansibles` makes them anew with the real ansible-core and compares; it
//! takes minutes. To record again: `PROVISION_RECORD=1 cargo test --test main -- --ignored the_recording_is_ansibles`
//! (`PROVISION_CASE=find_`: those whose name holds the text, the others stay as they are).
//! Both need root (owners). Modules with a full name are a collection's: they are made anew where `ANSIBLE_COLLECTIONS_PATH` has it.

mod engine;
mod ours;
mod theirs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Fields that differ between any two runs of Ansible itself.
const NEVER_THE_SAME: [(&str, &str); 14] = [
    ("start", "the clock"),
    ("end", "the clock"),
    ("delta", "the clock"),
    ("atime", "the clock"),
    ("mtime", "the clock"),
    ("ctime", "the clock"),
    ("inode", "another object"),
    ("dev", "another file system"),
    ("version", "another object"),
    ("backup_file", "process id and date"),
    ("invocation", "Ansible's own bookkeeping"),
    ("exception", "a Python traceback"),
    ("deprecations", "about Ansible's own plugins"),
    ("diff", "the engine's, compared by its own tests"),
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OracleCase {
    name: String,
    module: String,
    #[serde(default)]
    setup: String,
    arguments: serde_json::Map<String, Json>,
    /// Field and reason.
    #[serde(default)]
    differs: BTreeMap<String, String>,
    #[serde(default)]
    second: Second,
    /// Ours says more in check mode: the reason.
    #[serde(default)]
    check_differs: Option<String>,
    /// Ansible changes something again, we do not: the reason.
    #[serde(default)]
    only_theirs_again: Option<String>,
    /// The files differ afterwards: the reason.
    #[serde(default)]
    files_differ: Option<String>,
}

impl OracleCase {
    fn is_of_a_collection(&self) -> bool {
        self.module.contains('.')
    }
}

/// What a second run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Second {
    #[default]
    Unchanged,
    Changed,
    Failed,
}

/// One case's results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Results {
    check: Json,
    first: Json,
    second: Json,
    /// What is in the case's folder afterwards.
    files: Vec<String>,
}

/// Folders with the same length of name in every run (sizes of links are in results).
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("provision-oracle-").rand_bytes(6).tempdir_in("/tmp").expect("temporary directory");
        let place = Self { folder };
        place.make_project();
        place
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn work(&self, case: &OracleCase) -> PathBuf {
        self.folder.path().join("work").join(&case.name)
    }

    fn make_project(&self) {
        let script = r"
            set -e
            mkdir -p files/tree/sub/deep files/tree/empty files/single templates
            echo one > files/one.conf; chmod 755 files/one.conf
            echo a > files/tree/a; echo b > files/tree/sub/b; echo c > files/tree/sub/deep/c; chmod 700 files/tree/sub/deep/c
            ln -s a files/tree/l; ln -s sub files/tree/ld; ln -s none files/tree/dangling
            echo only > files/single/only
            mkdir files/parts; printf a > files/parts/10-a; printf 'b\n' > files/parts/20-b; echo c > files/parts/.c; echo no > files/parts/x.bak
            tar -C files --mtime=@1600000000 -cf files/pack.tar tree single
            for flag in z:tgz j:tbz J:txz; do tar -C files --mtime=@1600000000 -c${flag%:*}f files/pack.${flag#*:} tree single; done
            tar -C files --mtime=@1600000000 --use-compress-program=zstd -cf files/pack.tzst tree single
            (cd files && find single tree/sub -exec touch -d @1600000000 {} + && python3 -m zipfile -c pack.zip single tree/sub)
            : > files/empty.tgz
            printf 'Hello {{ who }}\n{% for n in numbers %}\n- {{ n }}\n{% endfor %}\n{# gone #}end \\n\n' > templates/greeting.j2
            chmod 640 templates/greeting.j2
            printf '[[ who ]] {{ who }}\n{%% if true %%}\nx\n{%% endif %%}\n' > templates/marks.j2
            printf 'Hello world\n- 1\n- 2\nend \\n\n' > expected
        ";
        // printf's %% are for the shell; a plain %} needs none.
        let script = script.replace("{% for", "{%% for").replace("numbers %}", "numbers %%}").replace("{% endfor %}", "{%% endfor %%}");
        shell(&script, &self.project(), self);
    }

    /// Every case's folder, as its `setup` makes it.
    fn reset(&self, cases: &[OracleCase]) {
        let _ = std::fs::remove_dir_all(self.folder.path().join("work"));
        for case in cases {
            shell(&case.setup, &self.work(case), self);
        }
    }

    fn arguments(&self, case: &OracleCase) -> Json {
        fn fill(value: &Json, work: &str, project: &str) -> Json {
            match value {
                Json::String(text) => {
                    let starts = text == "$S" || text.starts_with("$S/") || text.starts_with("$P/");
                    if starts { Json::String(text.replacen("$S", work, 1).replacen("$P", project, 1)) } else { value.clone() }
                }
                Json::Array(items) => items.iter().map(|item| fill(item, work, project)).collect(),
                Json::Object(entries) => entries.iter().map(|(name, item)| (name.clone(), fill(item, work, project))).collect(),
                other => other.clone(),
            }
        }
        fill(&Json::Object(case.arguments.clone()), &text(&self.work(case)), &text(&self.project()))
    }

    /// Paths that differ from run to run by their placeholders, fields that never are the same taken out.
    fn normalize(&self, case: &OracleCase, result: &Json) -> Json {
        let (work, project) = (text(&self.work(case)), text(&self.project()));
        fn walk(value: &Json, work: &str, project: &str) -> Json {
            match value {
                Json::String(text) => Json::String(text.replace(work, "$S").replace(project, "$P")),
                Json::Array(items) => {
                    let mut items: Vec<Json> = items.iter().map(|item| walk(item, work, project)).collect();
                    // What `find` found comes in the file system's order there, in that of names here.
                    if items.iter().all(|item| item["path"].is_string()) {
                        items.sort_by_key(|item| item["path"].to_string());
                    }
                    Json::Array(items)
                }
                Json::Object(entries) => {
                    let kept = entries.iter().filter(|(name, value)| {
                        let temporary = name.as_str() == "src" && value.as_str().is_some_and(|text| text.contains("ansible-tmp"));
                        // An absolute time on the clock may be null: that is compared.
                        let never = NEVER_THE_SAME.iter().any(|(field, _)| field == name) && !value.is_null();
                        !temporary && !never && !name.starts_with("_ansible")
                    });
                    kept.map(|(name, item)| (name.replace(work, "$S").replace(project, "$P"), walk(item, work, project))).collect()
                }
                other => other.clone(),
            }
        }
        walk(result, &work, &project)
    }

    /// Every object of the case's folder: kind, mode, owner, content.
    fn files(&self, case: &OracleCase) -> Vec<String> {
        let script = r"find . -mindepth 1 -printf '%P %y %m %u %g %l ' \( -type f -exec sh -c 'sha256sum < $1 | cut -c1-12' sh {} \; -o -printf '\n' \) | sort | sed 's/[0-9]*\.20[0-9-]*@[0-9:]*~/BACKUP/'";
        let output = std::process::Command::new("sh").arg("-c").arg(script).current_dir(self.work(case)).output().expect("find runs");
        let text_of = String::from_utf8_lossy(&output.stdout).replace(&text(&self.work(case)), "$S");
        text_of.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn shell(script: &str, folder: &Path, place: &Place) {
    std::fs::create_dir_all(folder).expect("is made");
    let mut command = std::process::Command::new("sh");
    let status = command.arg("-c").arg(script).current_dir(folder).env("P", place.project()).status().expect("sh runs");
    assert!(status.success(), "{script}");
}

fn cases() -> Vec<OracleCase> {
    serde_yaml::from_str(include_str!("../oracle.yaml")).expect("cases are well-formed")
}

fn recorded_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/oracle/recorded.json")
}

fn recorded() -> BTreeMap<String, Results> {
    let text = std::fs::read_to_string(recorded_path()).expect("is recorded");
    serde_json::from_str(&text).expect("is well-formed")
}

/// What differs, in words; nothing if all is the same.
fn differences(case: &OracleCase, ours: &Results, theirs: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for (run, ours, theirs) in
        [("check", &ours.check, &theirs.check), ("first", &ours.first, &theirs.first), ("second", &ours.second, &theirs.second)]
    {
        if run == "check" && case.check_differs.is_some() {
            continue;
        }
        let empty = serde_json::Map::new();
        let (ours, theirs) = (ours.as_object().unwrap_or(&empty), theirs.as_object().unwrap_or(&empty));
        let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            if case.differs.contains_key(name) || (run == "second" && name == "changed" && case.only_theirs_again.is_some()) {
                continue;
            }
            // In check mode Ansible leaves out much of what it has not done.
            if run == "check" && !theirs.contains_key(name) {
                continue;
            }
            let (our, their) = (ours.get(name), theirs.get(name));
            // Not written is null, is false, is nothing.
            let nothing = |value: Option<&Json>| matches!(value, None | Some(Json::Null | Json::Bool(false)));
            if our != their && !(nothing(our) && nothing(their)) {
                let show = |value: Option<&Json>| value.map_or_else(|| "-".to_owned(), ToString::to_string);
                lines.push(format!("  {run}: {name}: ours {}, theirs {}", show(our), show(their)));
            }
        }
    }
    if case.files_differ.is_none() && ours.files != theirs.files {
        lines.push(format!("  files: ours\n    {}\n  theirs\n    {}", ours.files.join("\n    "), theirs.files.join("\n    ")));
    }
    lines
}

fn report(differing: Vec<(String, Vec<String>)>, count: usize) {
    let text: Vec<String> = differing.iter().map(|(name, lines)| format!("--- {name}\n{}", lines.join("\n"))).collect();
    assert!(text.is_empty(), "{} of {count} cases differ\n{}", text.len(), text.join("\n"));
}

/// The recording was made by a user whose home is /root.
fn as_recorded(result: &Json) -> Json {
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".to_owned());
    serde_json::from_str(&result.to_string().replace(&home, "/root")).expect("a path holds nothing that JSON escapes")
}

#[test]
fn results_are_ansibles() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("PROVISION_ROOT_TESTS").is_none(), "PROVISION_ROOT_TESTS is set, but this user is not root");
        return;
    }
    let only = std::env::var("PROVISION_CASE").unwrap_or_default();
    let cases: Vec<OracleCase> = cases().into_iter().filter(|case| case.name.contains(&only)).collect();
    let recorded = recorded();
    let place = Place::new();
    place.reset(&cases);
    let mut differing = Vec::new();
    for case in &cases {
        let mut ours = ours::results(case, &place);
        for result in [&mut ours.check, &mut ours.first, &mut ours.second] {
            *result = as_recorded(result);
        }
        let mut lines = match recorded.get(&case.name) {
            Some(theirs) => differences(case, &ours, theirs),
            None => vec!["  not recorded".to_owned()],
        };
        let second = match (ours.second["failed"].as_bool(), ours.second["changed"].as_bool()) {
            (Some(true), _) if case.second != Second::Changed => Second::Failed,
            (_, Some(true)) => Second::Changed,
            _ => Second::Unchanged,
        };
        if second != case.second {
            lines.push(format!("  second: {second:?}, the case says {:?}", case.second));
        }
        if !lines.is_empty() {
            differing.push((case.name.clone(), lines));
        }
    }
    report(differing, cases.len());
}

#[test]
#[ignore = "minutes of Ansible: cargo test --test main the_recording_is_ansibles -- --ignored"]
fn the_recording_is_ansibles() {
    let Some(program) = crate::oracle::ansible("ansible-playbook") else { return };
    let only = std::env::var("PROVISION_CASE").unwrap_or_default();
    let has_collections = std::env::var_os("ANSIBLE_COLLECTIONS_PATH").is_some();
    let mut cases: Vec<OracleCase> = cases().into_iter().filter(|case| case.name.contains(&only)).collect();
    cases.retain(|case| has_collections || !case.is_of_a_collection());
    let place = Place::new();
    let theirs = theirs::results(&program, &cases, &place);
    if std::env::var_os("PROVISION_RECORD").is_some() {
        let all: BTreeMap<String, Results> = recorded().into_iter().chain(theirs).collect();
        let text = serde_json::to_string_pretty(&all).expect("is plain data");
        std::fs::write(recorded_path(), text + "\n").expect("writes");
        return;
    }
    let recorded = recorded();
    let differing = cases.iter().filter_map(|case| {
        let lines = differences(case, recorded.get(&case.name)?, theirs.get(&case.name)?);
        (!lines.is_empty()).then(|| (case.name.clone(), lines))
    });
    report(differing.collect(), cases.len());
}

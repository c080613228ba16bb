//! The training pipeline, as a user runs it: `dvc` in the locked environment, on the bundled made-up URLs.

#![expect(clippy::print_stderr, reason = "a test that cannot run says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Instant;

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::Server;
use crate::swap::wait;

fn training() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("training")
}

/// The programs of requirements.lock, made once; `None` where they cannot be had, which is said; in CI that is a failure.
pub fn programs() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = FOLDER.get_or_init(|| {
        let output = Command::new("sh").arg(training().join("environment.sh")).output().map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(if output.status.success() { &output.stdout } else { &output.stderr }).trim().to_owned();
        if output.status.success() { Ok(PathBuf::from(said)) } else { Err(said) }
    });
    match made {
        Ok(folder) => Some(folder),
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "the training's environment is needed in CI: {reason}");
            eprintln!("skipped: no environment of requirements.lock here ({reason})");
            None
        }
    }
}

/// A copy of `training/` and of what its tests read, without what earlier runs left there.
struct Copy {
    folder: TempDir,
    programs: &'static Path,
}

impl Copy {
    fn new() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().unwrap();
        let beside = ["../vectors", "../models"].map(|name| training().join(name));
        let copied = Command::new("cp").arg("-r").arg(training()).args(beside).arg(folder.path()).status().unwrap();
        assert!(copied.success());
        let copy = Self { folder, programs };
        for left in ["work", "work-smoke", "venv", ".dvc/cache", ".dvc/tmp"] {
            fs::remove_dir_all(copy.path(left)).ok();
        }
        fs::write(copy.path(".dvc/config.local"), "[core]\n    no_scm = true\n").unwrap();
        Some(copy)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join("training").join(file)
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).unwrap_or_else(|error| panic!("read {file}: {error}"))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let path = format!("{}:{}", self.programs.display(), std::env::var("PATH").unwrap());
        Command::new(self.programs.join(program))
            .args(arguments)
            .current_dir(self.path(""))
            .env("PATH", path)
            .env_remove("DATA_DIR")
            .env_remove("DATA_URL")
            .output()
            .unwrap()
    }

    fn repro(&self) -> Output {
        self.run("dvc", &["repro", "smoke/dvc.yaml"])
    }

    /// The seconds of processor time that all processes of a run took, which must end well: `times` tells them in its second line.
    fn timed_repro(&self) -> f64 {
        let output = self.run("/bin/sh", &["-c", "dvc repro smoke/dvc.yaml && times"]);
        ended_well(&output);
        let printed = String::from_utf8_lossy(&output.stdout);
        let seconds = |time: &str| {
            let (minutes, seconds) = time.strip_suffix('s')?.split_once('m')?;
            Some(minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?)
        };
        let times: Option<Vec<f64>> = printed.lines().last().unwrap_or_default().split(' ').map(seconds).collect();
        times.unwrap_or_else(|| panic!("`times` printed something else: {printed}")).iter().sum()
    }

    /// The id of the model that is current after a run which must end well.
    fn shipped(&self) -> String {
        ended_well(&self.repro());
        self.current()
    }

    fn current(&self) -> String {
        let told: Value = serde_json::from_slice(&self.read("work-smoke/models/v2.metrics.json")).unwrap();
        let id = told["id"].as_str().unwrap().to_owned();
        assert_eq!(
            id,
            model_service::model::Model::load(&self.path("work-smoke/models/v2.onnx")).unwrap().about.id,
            "the service reads the same file"
        );
        id
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn ended_well(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

/// DVC's sum of a file, or of a folder of files: that of its list as Python's `json` writes it.
fn sum(path: &Path) -> String {
    let md5 = |content: &[u8]| hex::encode(Md5::digest(content));
    if path.is_file() {
        return md5(&fs::read(path).unwrap());
    }
    let mut names: Vec<String> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let files = names.iter().map(|name| format!(r#"{{"md5": "{}", "relpath": "{name}"}}"#, sum(&path.join(name))));
    format!("{}.dir", md5(format!("[{}]", files.collect::<Vec<_>>().join(", ")).as_bytes()))
}

/// Figures, report and curves are the run's that dvc.lock records, and so are the code, the thresholds and the feedback it read: what
/// the training makes on its way is not in a checkout, all else is.
#[test]
fn files_are_those_of_the_recorded_run() {
    let lock = fs::read_to_string(training().join("dvc.lock")).unwrap();
    let (mut path, mut here) = (PathBuf::new(), Vec::new());
    for line in lock.lines() {
        if let Some(name) = line.trim().strip_prefix("- path: ") {
            path = name.into();
        } else if let Some(recorded) = line.trim().strip_prefix("md5: ").filter(|_| !path.starts_with("work")) {
            assert_eq!(sum(&training().join(&path)), recorded, "{} is not the recorded run's", path.display());
            here.push(path.to_str().unwrap().to_owned());
        }
    }
    for name in ["REPORT.md", "curves", "metrics.json", "ordinary.txt", "thresholds.yaml", "phishing/network.py"] {
        assert!(here.iter().any(|path| path == name), "dvc.lock does not record {name}");
    }
}

#[test]
fn its_own_tests_pass() {
    let Some(copy) = Copy::new() else { return };
    ended_well(&copy.run("python", &["-m", "unittest", "discover", "-s", "tests"]));
}

/// Three minutes of processor time, which is what the profile takes of a machine: the time on the wall depends on what else runs here,
/// so it is told and bounds nothing.
#[test]
fn same_seeds_give_the_same_metrics_and_models() {
    let (Some(one), Some(two)) = (Copy::new(), Copy::new()) else { return };
    let started = Instant::now();
    let seconds = one.timed_repro();
    eprintln!("the smoke profile took {:.0} s, and {seconds:.0} s of processor time", started.elapsed().as_secs_f64());
    assert!(seconds < 180.0, "the smoke profile took {seconds} s of processor time");
    assert_eq!(one.current(), two.shipped());
    for file in ["metrics.json", "figures.json", "models/v1.onnx", "REPORT.md"].map(|file| format!("work-smoke/{file}")) {
        assert!(one.read(&file) == two.read(&file), "{file} differs between two runs");
    }
    let shown = said(&one.run("dvc", &["metrics", "show"]));
    let told: Value = serde_json::from_slice(&one.read("metrics.json")).unwrap();
    assert!(shown.contains(&told["official"]["shipped_id"].as_str().unwrap()[..12]), "{shown}");
}

#[test]
fn feedback_makes_a_new_model_that_is_served_and_rolled_back_and_a_worse_one_never_takes_over() {
    let Some(copy) = Copy::new() else { return };
    let first = copy.shipped();

    // Served from a folder; people say of what it shows that it is legitimate, and the journal keeps it.
    let (served, journal) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let publish = || {
        fs::copy(copy.path("work-smoke/models/v2.onnx"), served.path().join("new")).unwrap();
        fs::rename(served.path().join("new"), served.path().join("model.onnx")).unwrap();
    };
    publish();
    let server = Server::of(served.path(), &["--journal", journal.path().to_str().unwrap()]);
    let serves = || server.get("/healthz").header("x-model-id").unwrap().to_owned();
    assert_eq!(serves(), first);
    let post =
        |path: &str, body: Value| server.send("POST", path, &["content-type: application/json"], body.to_string().as_bytes()).value();
    for number in 0..40 {
        let url = format!("http://garden-{number}.example/harbour/");
        let answer = post("/api/predict", json!({ "url": url }));
        let feedback = if answer["verdict"] == "phishing" { "no" } else { "yes" };
        let vote = json!({"id": answer["id"], "url": url, "verdict": answer["verdict"], "feedback": feedback});
        assert_eq!(post("/api/feedback", vote)["status"], "success", "{answer}");
    }
    let mut export = Command::new(env!("CARGO_BIN_EXE_model-service"));
    let exported = export.args(["export", "--kind", "feedback", "--journal"]).arg(journal.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&exported.stdout).lines().count(), 40, "{}", said(&exported));
    fs::write(copy.path("smoke/feedback.jsonl"), &exported.stdout).unwrap();

    // Retrained with it: another model, which is served, and rolled back from.
    let second = copy.shipped();
    assert_ne!(first, second, "feedback changed nothing");
    publish();
    wait("the new model takes over", || serves() == second);
    assert_eq!(server.admin("POST", "/admin/rollback", &[]).status, 200);
    assert_eq!(serves(), first);

    let params = String::from_utf8(copy.read("smoke/params.yaml")).unwrap();
    fs::write(copy.path("smoke/params.yaml"), params.replace("epochs: 40", "epochs: 1")).unwrap();
    let refused = copy.repro();
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(said(&refused).contains("refused, the current models stay"), "{}", said(&refused));
    assert!(said(&refused).contains("the best model's so far"), "{}", said(&refused));
    assert_eq!(copy.current(), second, "a refused model took over");
}

//! What a build is called, by real builds of this library in a git repository of its own.

#![expect(clippy::unwrap_used, reason = "a test may stop at what cannot be")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Repository(tempfile::TempDir);

impl Repository {
    /// This library's files, with what its manifest takes from the workspace, and a program that tells its version.
    fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in ["Cargo.toml", "build.rs", "src/lib.rs", "src/describe.rs"] {
            let copy = repository.file(&format!("versions/{file}"));
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(here.join(file), copy).unwrap();
        }
        let ours = fs::read_to_string(here.join("../../Cargo.toml")).unwrap();
        let shared = ours
            .split("\n[")
            .filter(|section| ["workspace.package]", "workspace.dependencies]"].iter().any(|name| section.starts_with(name)));
        let shared: String = shared.map(|section| format!("\n[{section}\n")).collect();
        let manifest = format!("[workspace]\nmembers = [\"versions\"]\nresolver = \"3\"\n[workspace.lints.rust]\n{shared}");
        fs::write(repository.file("Cargo.toml"), manifest).unwrap();
        fs::copy(here.join("../../Cargo.lock"), repository.file("Cargo.lock")).unwrap();
        fs::write(repository.file(".gitignore"), "/target\n/Cargo.lock\n").unwrap();
        fs::create_dir(repository.file("versions/examples")).unwrap();
        fs::write(repository.file("versions/examples/told.rs"), "fn main() { println!(\"{}\", versions::APP) }\n").unwrap();
        repository.git(&["init", "--quiet"]);
        repository.commit();
        repository
    }

    fn file(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=Test", "-c", "user.email=test@example.com"]).args(arguments).current_dir(self.0.path());
        let done = git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", "Change it"]);
    }

    /// What a build of now says of itself, with `PROVISION_VERSION` where it is told.
    fn built(&self, told: Option<&str>) -> String {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["run", "--offline", "--quiet", "--package", "versions", "--example", "told"]).current_dir(self.0.path());
        cargo.env_remove("PROVISION_VERSION").envs(told.map(|told| ("PROVISION_VERSION", told)));
        let done = cargo.env("CARGO_TARGET_DIR", self.file("target")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn build_is_what_its_git_tag_says() {
    let repository = Repository::new();
    assert_eq!(repository.built(None), env!("CARGO_PKG_VERSION"), "there is no tag yet");
    repository.git(&["tag", "v1.2.3"]);
    assert_eq!(repository.built(None), "1.2.3");
    repository.commit();
    let commit = repository.git(&["rev-parse", "--short", "HEAD"]);
    assert_eq!(repository.built(None), format!("1.2.3+1.g{commit}"));
    repository.git(&["tag", "--annotate", "--message", "The next", "v1.3.0-rc.1"]);
    assert_eq!(repository.built(None), "1.3.0-rc.1");
    assert_eq!(repository.built(Some("v2.0.0")), "2.0.0");
}

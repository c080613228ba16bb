//! axe-core, the accessibility checker: npm's package of a fixed version, kept in this user's cache. It is not part of the project.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::browser::Browser;

const VERSION: &str = "4.14.1";
const SHA256: &str = "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745";

/// Its script.
pub(super) fn script() -> String {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .unwrap()
        .join("provision-tests");
    let archive = cache.join(format!("axe-core-{VERSION}.tgz"));
    if !archive.exists() {
        fs::create_dir_all(&cache).unwrap();
        let work = tempfile::tempdir_in(&cache).unwrap();
        let packed = Command::new("npm").args(["pack", "--silent", &format!("axe-core@{VERSION}")]).current_dir(work.path()).output();
        assert!(packed.as_ref().is_ok_and(|output: &Output| output.status.success()), "npm pack axe-core: {packed:?}");
        fs::rename(work.path().join(format!("axe-core-{VERSION}.tgz")), &archive).unwrap();
    }
    let content = fs::read(&archive).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&content)), SHA256, "{}", archive.display());
    let unpacked = Command::new("tar").arg("-xzOf").arg(&archive).arg("package/axe.min.js").output().unwrap();
    assert!(unpacked.status.success());
    String::from_utf8(unpacked.stdout).unwrap()
}

/// What it finds wrong with the page as it is shown now.
pub(super) fn violations(browser: &Browser, script: &str) -> Vec<String> {
    browser.post("execute/sync", &json!({"script": format!("{script}; return typeof axe"), "args": []}));
    let run = "const done = arguments[arguments.length - 1]; axe.run().then(done, (error) => done({violations: [{id: String(error), nodes: []}]}))";
    let found = browser.post("execute/async", &json!({"script": run, "args": []}));
    let told = |violation: &Value| {
        let nodes = violation["nodes"].as_array().unwrap();
        let nodes: Vec<_> = nodes.iter().map(|node| format!("{}: {}", node["html"], node["failureSummary"])).collect();
        format!("{} {nodes:?}", violation["id"])
    };
    found["violations"].as_array().unwrap_or_else(|| panic!("{found}")).iter().map(told).collect()
}

//! The version of this build: `PROVISION_VERSION`, else the git tag, else the package's own.
//!
//! A build without git, or of sources that lie in a repository of something else, has the package's own, so the same sources always
//! give the same program there.

#[path = "src/describe.rs"]
mod describe;

use std::path::Path;
use std::process::Command;

use semver::Version;

fn main() {
    println!("cargo::rerun-if-env-changed=PROVISION_VERSION");
    let own = std::env::var("CARGO_PKG_VERSION").expect("Cargo sets it");
    let version = match std::env::var("PROVISION_VERSION") {
        Ok(told) if !told.is_empty() => {
            let told = told.strip_prefix('v').unwrap_or(&told);
            Version::parse(told).unwrap_or_else(|error| panic!("PROVISION_VERSION `{told}`: {error}; write it as 1.2.3")).to_string()
        }
        _ => tagged().unwrap_or(own),
    };
    println!("cargo::rustc-env=BUILD_VERSION={version}");
}

fn tagged() -> Option<String> {
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    // A tag that comes or goes, in loose or packed form.
    let common = git(&["rev-parse", "--path-format=absolute", "--git-common-dir"])?;
    watch(&common, &["refs/tags", "packed-refs"]);
    let said = git(&["describe", "--tags", "--match", "v[0-9]*", "--long", "--dirty"])?;
    // Each commit after a tag is another version; before the first tag none is.
    watch(&git(&["rev-parse", "--path-format=absolute", "--git-dir"])?, &["logs/HEAD"]);
    describe::version(&said).map(|version| version.to_string())
}

fn watch(folder: &str, names: &[&str]) {
    for path in names.iter().map(|name| Path::new(folder).join(name)).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// What git says here; `None` where there is no git, or it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

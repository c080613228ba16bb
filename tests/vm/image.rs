//! The base root file system: built once, whole or not at all.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use provision::vm::process::wait_until;
use provision::vm::request::Request;
use provision::vm::{Image, Kind};

use super::config;
use crate::support::nodes::{TestNodes, Turn, root_or_skip};

fn small(packages: &[&str]) -> Image {
    let image = Image::named("debian-12").expect("an image of ours");
    Image { packages: Vec::new(), ..image }.with_packages(packages)
}

#[test]
fn a_package_that_does_not_exist_is_named() {
    if !root_or_skip() {
        return;
    }
    let _turn = Turn::shared();
    let image = small(&["no-such-package-of-ours"]);
    let error = image.build().expect_err("no such package");
    assert_eq!(error.kind, Kind::Image);
    assert!(error.to_string().starts_with("building the base image debian-12: mmdebstrap: "), "{error}");
    assert!(error.to_string().contains("no-such-package-of-ours"), "{error}");
    assert!(!image.is_built());
}

#[test]
fn a_build_whose_asker_was_killed_is_waited_for_and_used() {
    if !root_or_skip() {
        return;
    }
    let _turn = Turn::shared();
    let image = small(&["systemd-sysv", "openssh-server"]);
    let folder = image.folder();
    _ = std::fs::remove_dir_all(&folder);
    let mut asker = Command::new(env!("CARGO_BIN_EXE_provision"))
        .args(["supervise", "request"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starting the asker");
    let request = serde_json::to_vec(&Request::BuildImage(image.clone())).expect("a request");
    asker.stdin.take().expect("its input").write_all(&request).expect("asking");
    let unfinished = folder.with_file_name(format!(".building-{}", image.id()));
    assert!(wait_until(Duration::from_mins(5), Duration::from_millis(20), || { unfinished.join("usr").exists() }), "it builds");
    asker.kill().expect("killing the asker");
    asker.wait().expect("its end");
    let begun = Instant::now();
    image.build().expect("the second build");
    assert!(image.is_built() && !Path::new(&unfinished).exists());
    assert!(begun.elapsed() > Duration::from_millis(200), "it waited for the first");
    std::fs::remove_dir_all(folder).expect("removing the image of this test");
}

/// Appends to every file of the node, makes one in every folder, and takes some away; how many files it changed.
const EVERYWHERE: &str = r#"
find / -xdev -type f -size -8M -exec sh -c 'for file; do echo more 2>/dev/null >> "$file" && echo changed; done' sh {} + 2>/dev/null | wc -l
find / -xdev -type d -exec sh -c 'for folder; do touch "$folder/made"; done' sh {} + 2>/dev/null
rm -rf /usr/share/doc /usr/share/perl5; mv /etc/debian_version /etc/moved; sync
"#;

#[test]
fn what_a_node_writes_does_not_come_to_the_image_below_it() {
    let Some(nodes) = TestNodes::boot(&["a"]) else { return };
    let config = config(&nodes, "a");
    let listing = || {
        let script = "find . -printf '%p %y %m %U:%G %s %T@ %C@ %l\\n'; find . -type f -exec sha256sum {} +";
        let output = Command::new("sh").args(["-c", script]).current_dir(&config.image_folder).output().expect("sh runs");
        let lines: BTreeSet<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        assert!(output.status.success() && lines.len() > 10_000, "{} lines", lines.len());
        lines
    };
    let before = listing();
    let changed: usize = nodes.ssh("a", EVERYWHERE).trim().parse().expect("a number");
    assert!(changed > 5000, "only {changed} files were written to");
    assert!(config.folder().join("disk/upper/usr/bin/made").exists(), "they lie in the node's own layer");
    let after = listing();
    let differs: Vec<&String> = before.symmetric_difference(&after).take(20).collect();
    assert!(differs.is_empty(), "{differs:#?}");
}

//! `deb822_repository` and `known_hosts` beside Ansible's, really done: each tool on an /etc of its own (a mount namespace).

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{copy, done, privately};
use super::{Task, checked, compare, task};

const OWN: [&str; 1] = ["/etc"];

/// The salt of a hashed name is each tool's own.
fn state() -> String {
    let script = "find /etc/apt/keyrings /etc/apt/sources.list.d /etc/hosts-of-ssh -not -name '*.old' -printf '%p %y %m %u %g\\n' | sort; \
        for file in /etc/apt/keyrings/* /etc/apt/sources.list.d/*.sources; do echo $file; cat $file; done; \
        sed 's/|1|[^ ]*/HASH/' /etc/hosts-of-ssh/known";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both do them, one after the other, and end in the same.
fn compared(tasks: &[(Task, &[&str])]) {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let base = tempfile::tempdir().expect("a folder");
    let own = copy(Path::new("/etc"), base.path());
    std::fs::create_dir(own.join("hosts-of-ssh")).expect("makes a folder");
    std::fs::write(own.join("key.asc"), "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n").expect("writes");
    let all: Vec<Task> = tasks.iter().map(|(task, _)| Task { arguments: task.arguments.clone(), ..*task }).collect();
    let Some((theirs, their_state)) = privately(&OWN, base.path(), || Some((super::theirs(&json!({}), &[], &all)?.0, state()))) else {
        return;
    };
    let (ours, our_state) = privately(&OWN, base.path(), || (all.iter().map(done).collect::<Vec<_>>(), state()));
    let pairs = tasks.iter().zip(theirs.iter().zip(&ours)).filter(|((task, _), _)| task.module != "shell");
    let different: Vec<String> = pairs.filter_map(|((task, left_out), (theirs, ours))| compare(task, theirs, ours, left_out)).collect();
    let lines = similar::TextDiff::from_lines(&their_state, &our_state);
    let changed: String = lines.unified_diff().context_radius(0).header("Ansible's machine", "ours").to_string();
    assert_eq!((different.join("\n").as_str(), changed.as_str()), ("", ""));
}

#[test]
#[ignore = "wants python3-debian: cargo test --workspace --test main sources_of_deb822_are_ansibles -- --ignored"]
fn sources_of_deb822_are_ansibles() {
    let port = super::web::serve("127.0.0.1");
    let source = |more: Json| {
        let mut arguments =
            json!({"name": "My_Own  x.1/É", "uris": "https://example.org/debian", "suites": ["bookworm", "x"], "components": "main"});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("deb822_repository", arguments)
    };
    let key = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n  x\n";
    let everything = json!({
        "allow_downgrade_to_insecure": true, "allow_insecure": false, "allow_weak": true, "architectures": ["amd64", "arm64"],
        "by_hash": true, "check_date": false, "check_valid_until": true, "date_max_future": 10, "enabled": false,
        "inrelease_path": "a/b", "languages": [], "pdiffs": true, "targets": ["Packages"], "trusted": true, "types": ["deb", "deb-src"],
    });
    let tasks: Vec<(Task, &[&str])> = vec![
        (Task { check: true, ..source(json!({})) }, &[]),
        (source(json!({})), &[]),
        (source(json!({})), &[]),
        (Task { check: true, ..source(json!({"mode": "0600"})) }, &[]),
        (source(json!({"mode": "u=rw,go="})), &[]),
        (source(everything.clone()), &[]),
        (source(everything), &[]),
        (source(json!({"signed_by": key})), &[]),
        (source(json!({"signed_by": key})), &[]),
        (source(json!({"signed_by": "/etc/key.asc"})), &[]),
        (source(json!({"signed_by": "/etc/none.asc"})), &[]),
        (source(json!({"signed_by": "AAAABBBB"})), &[]),
        (task("shell", json!({"cmd": "rm -rf /etc/apt/keyrings"})), &[]),
        (source(json!({"signed_by": format!("http://127.0.0.1:{port}/keys")})), &[]),
        (source(json!({"signed_by": format!("http://127.0.0.1:{port}/keys")})), &[]),
        (Task { check: true, ..source(json!({"signed_by": format!("http://127.0.0.1:{port}/file")})) }, &[]),
        (task("shell", json!({"cmd": "chmod 700 /etc/apt/keyrings; chmod 600 /etc/apt/keyrings/*"})), &[]),
        (source(json!({"signed_by": format!("http://127.0.0.1:{port}/keys")})), &[]),
        (source(json!({"signed_by": format!("http://127.0.0.1:{port}/file")})), &[]),
        (source(json!({"signed_by": "file:///etc/key.asc"})), &[]),
        (source(json!({"signed_by": format!("http://127.0.0.1:{port}/none")})), &[]),
        (checked("deb822_repository", json!({"name": "My_Own  x.1/É", "state": "absent"})), &[]),
        (task("deb822_repository", json!({"name": "My_Own  x.1/É", "state": "absent"})), &[]),
        (task("deb822_repository", json!({"name": "My_Own  x.1/É", "state": "absent"})), &[]),
        (task("deb822_repository", json!({"name": "stays"})), &[]),
    ];
    compared(&tasks);
}

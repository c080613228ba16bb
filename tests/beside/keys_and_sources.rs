//! `deb822_repository` and `known_hosts` beside Ansible's, really done: each tool on an /etc of its own (a mount namespace).

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{Beside, copy};
use super::{Task, checked, task};

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
    Beside::new(&OWN, base.path(), state).compare(tasks);
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

#[test]
#[ignore = "half a minute of Ansible: cargo test --workspace --test main hosts_of_ssh_are_ansibles -- --ignored"]
fn hosts_of_ssh_are_ansibles() {
    let known = |more: Json| {
        let mut arguments = json!({"name": "a.example.org", "path": "/etc/hosts-of-ssh/known"});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("known_hosts", arguments)
    };
    let absent = |more: Json| {
        let mut task = known(more);
        task.arguments["state"] = json!("absent");
        task
    };
    let line = |text: &str| task("shell", json!({"cmd": format!("echo '{text}' >> /etc/hosts-of-ssh/known")}));
    let hash = "ssh-keygen -q -H -f /etc/hosts-of-ssh/known; rm -f /etc/hosts-of-ssh/known.old";
    let rsa = |host: &str, key: &str| json!({"key": format!("{host} ssh-rsa {key}")});
    let tasks: Vec<(Task, &[&str])> = vec![
        (Task { check: true, ..known(rsa("a.example.org", "AAAA")) }, &[]),
        (known(rsa("a.example.org", "AAAA")), &[]),
        (known(rsa("a.example.org", "AAAA me@there")), &[]),
        (known(rsa("a.example.org", "BBBB")), &[]),
        (known(json!({"key": "a.example.org ssh-ed25519 CCCC"})), &[]),
        (known(json!({"name": "A.Example.org", "key": "a.example.org ssh-ed25519 CCCC"})), &[]),
        (known(json!({"name": "[a.example.org]:2222", "key": "[a.example.org]:2222 ssh-rsa DDDD"})), &[]),
        (known(json!({"name": "[a.example.org]:2222", "key": "a.example.org ssh-rsa DDDD"})), &[]),
        (known(json!({"key": "@cert-authority *.example.org ssh-rsa EEEE"})), &[]),
        (known(json!({"key": "@cert-authority *.example.org ssh-rsa EEEE"})), &[]),
        (known(json!({"key": "@revoked a.example.org ecdsa-sha2-nistp256 FFFF"})), &[]),
        (known(json!({"key": "@revoked a.example.org ecdsa-sha2-nistp256 FFFF"})), &[]),
        (known(rsa("a.example.org,10.0.0.1", "BBBB")), &[]),
        (known(json!({"name": "10.0.0.1", "key": "a.example.org,10.0.0.1 ssh-rsa BBBB"})), &[]),
        (known(json!({"name": "b", "key": "b ssh-rsa GGGG", "hash_host": true})), &[]),
        (known(json!({"name": "b", "key": "b ssh-rsa GGGG", "hash_host": true})), &[]),
        (known(json!({"name": "b", "key": "b ssh-rsa HHHH", "hash_host": true})), &[]),
        (known(json!({"name": "b", "key": "b ssh-rsa HHHH"})), &[]),
        (known(json!({"name": "c", "key": "c ssh-rsa IIII"})), &[]),
        (task("shell", json!({"cmd": hash})), &[]),
        (known(json!({"name": "c", "key": "c ssh-rsa IIII", "hash_host": true})), &[]),
        (line("# a comment"), &[]),
        (line("no-key-at-all"), &[]),
        (line("*.pattern.org,!no.pattern.org ssh-rsa JJJJ"), &[]),
        (known(json!({"name": "x.pattern.org", "key": "x.pattern.org ssh-rsa KKKK"})), &[]),
        (line("*.pattern.org,!no.pattern.org ssh-rsa JJJJ"), &[]),
        (absent(json!({"name": "no.pattern.org"})), &[]),
        // ssh-keygen takes nothing away from a file with a line that it cannot read; here that line stays, and no more.
        (task("shell", json!({"cmd": "sed -i /no-key-at-all/d /etc/hosts-of-ssh/known"})), &[]),
        (absent(json!({"name": "yes.pattern.org"})), &[]),
        (Task { check: true, ..absent(json!({"name": "c"})) }, &[]),
        (absent(json!({"name": "c"})), &[]),
        (absent(json!({"name": "c"})), &[]),
        (absent(json!({"key": "a.example.org ssh-dss LLLL"})), &[]),
        (absent(json!({"key": "a.example.org ssh-ed25519 CCCC"})), &[]),
        (absent(json!({"name": "b", "key": "b ssh-rsa OTHER"})), &[]),
        (known(json!({})), &[]),
        (known(json!({"key": "z ssh-rsa AAAA"})), &[]),
        (known(json!({"name": "a, b", "key": "a ssh-rsa AAAA"})), &[]),
        // What Ansible adds is Python's.
        (known(json!({"path": "/etc/none/known", "key": "a.example.org ssh-rsa AAAA"})), &["msg"]),
    ];
    compared(&tasks);
}

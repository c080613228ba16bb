//! `package_facts` beside Ansible's: every package of this machine.

use serde_json::json;

use super::accounts::done;
use super::{Task, compare, task};

#[test]
#[ignore = "wants python3-apt: cargo test --workspace --test main installed_packages_are_ansibles -- --ignored"]
fn installed_packages_are_ansibles() {
    // The differences are in words that name what only Ansible reads.
    let tasks: Vec<(Task, &[&str])> = vec![
        (task("package_facts", json!({})), &[]),
        (task("package_facts", json!({"manager": "apt", "strategy": "all"})), &[]),
        (task("package_facts", json!({"manager": ["auto"]})), &[]),
        (Task { check: true, ..task("package_facts", json!({"manager": "apt"})) }, &[]),
        (task("package_facts", json!({"manager": ["dpkg"]})), &[]),
        (task("package_facts", json!({"manager": ["no", "auto"]})), &[]),
        (task("package_facts", json!({"manager": "dnf"})), &["warnings"]),
    ];
    let all: Vec<Task> = tasks.iter().map(|(task, _)| Task { arguments: task.arguments.clone(), ..*task }).collect();
    let Some((theirs, _)) = super::theirs(&json!({}), &[], &all) else { return };
    let ours = all.iter().map(done);
    let pairs = tasks.iter().zip(theirs.iter().zip(ours));
    let different: Vec<String> = pairs.filter_map(|((task, left_out), (theirs, ours))| compare(task, theirs, &ours, left_out)).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

//! `git` beside Ansible's, really done: each tool on a machine with repositories and checkouts of its own (a mount namespace).

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{Beside, copy, privately};
use super::{Task, checked, task};

const OWN: [&str; 2] = ["/etc", "/srv"];

/// Repositories with two branches, two kinds of tags, and one that has a submodule.
const REPOSITORIES: &str = r"
set -e
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
for name in part app empty; do git init -q --bare -b main $1/$name.git; done
git clone -q $1/part.git $1/part && cd $1/part
echo part > part && git add . && git commit -qm part && git push -q origin HEAD:main HEAD:master
git clone -q $1/app.git $1/app && cd $1/app
echo one > file && git add . && git commit -qm one && git tag light && git tag -a -m 'a tag' heavy
echo two > file && git commit -qam two && git push -q --tags origin HEAD:main
git checkout -qb feature/x && echo x > x && git add . && git commit -qm x && git push -q origin HEAD
git checkout -q main && git checkout -qb with-part && git submodule -q add /srv/part.git part && git commit -qm 'with part' && git push -q origin HEAD
git update-ref refs/pull/1/head feature/x && git push -q origin refs/pull/1/head
rm -rf $1/app $1/part
";

/// What is in the checkouts, and what git says of them.
fn state() -> String {
    let script = "find /srv -path '*/.git/*' -prune -o -path '*.git/*' -prune -o -printf '%p %y %m\\n' | sort; \
        for file in $(find /srv -path '*/.git/*' -prune -o -path '*.git/*' -prune -o -path '*/git-of-*' -prune -o -path '*bare/*' -prune -o -type f -print | sort); do echo $file; sha256sum < $file; done; \
        for folder in $(find /srv -name .git -o -name '*bare' | sort); do \
        case $folder in *.git) folder=${folder%/.git};; esac; echo $folder; cd $folder; \
        git status --short --branch; git for-each-ref; git remote -v; git log -1 --format=%H; done";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A machine with the repositories, where a submodule may come from a path, and both tools' commits are the same.
fn machine() -> tempfile::TempDir {
    let (empty, base) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let own = copy(Path::new("/etc"), empty.path());
    let settings = "[user]\nname = t\nemail = t@example.org\n[protocol \"file\"]\nallow = always\n[init]\ndefaultBranch = main\n";
    std::fs::write(own.join("gitconfig"), settings).expect("writes");
    std::fs::create_dir(empty.path().join("srv")).expect("makes a folder");
    privately(&OWN, empty.path(), || {
        let output = Command::new("sh").args(["-c", REPOSITORIES, "sh", "/srv"]).output().expect("sh runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        OWN.iter().for_each(|place| drop(copy(Path::new(place), base.path())));
    });
    base
}

fn git(more: Json) -> Task {
    let mut arguments = json!({"repo": "/srv/app.git", "dest": "/srv/app"});
    arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
    task("git", arguments)
}

fn check(more: Json) -> Task {
    Task { check: true, ..git(more) }
}

fn shell(line: &str) -> Task {
    let line = format!("export GIT_AUTHOR_DATE='2024-01-02T00:00:00Z' GIT_COMMITTER_DATE='2024-01-02T00:00:00Z'; {line}");
    task("shell", json!({"cmd": line}))
}

/// Both do them, one after the other, and end in the same.
fn compared(tasks: &[(Task, &[&str])]) {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    Beside::new(&OWN, machine().path(), state).compare(tasks);
}

/// What of a failed call of git is told by both, but in other words: which call it was, and what it said on the way.
const CALL: &[&str] = &["cmd", "stdout", "stderr", "rc"];

#[test]
#[ignore = "a minute of Ansible: cargo test --workspace --test main checkouts_are_ansibles -- --ignored"]
fn checkouts_are_ansibles() {
    let push = "rm -rf /tmp/w && git clone -q /srv/app.git /tmp/w && cd /tmp/w && echo more >> file && git commit -qam more && git push -q; rm -rf /tmp/w";
    let hash = "$(git -C /srv/app.git rev-parse main~1)";
    let tasks: Vec<(Task, &[&str])> = vec![
        (check(json!({})), &[]),
        (git(json!({})), &[]),
        (git(json!({})), &[]),
        (check(json!({})), &[]),
        (git(json!({"update": false, "version": "none"})), &[]),
        (shell(push), &[]),
        (check(json!({})), &[]),
        (git(json!({"update": false})), &[]),
        (git(json!({})), &[]),
        (git(json!({"version": "feature/x"})), &[]),
        (git(json!({"version": "feature/x"})), &[]),
        (check(json!({"version": "heavy"})), &[]),
        (git(json!({"version": "heavy"})), &[]),
        (git(json!({"version": "light"})), &[]),
        (git(json!({"version": "main"})), &[]),
        (git(json!({"version": "no-such"})), CALL),
        (git(json!({"version": "HEAD"})), &[]),
        (shell("echo mine >> /srv/app/file; echo new > /srv/app/new"), &[]),
        (git(json!({})), &[]),
        (check(json!({"force": true})), &[]),
        (git(json!({"force": true})), &[]),
        (git(json!({"force": true})), &[]),
        (shell(&format!("cd /srv/app && git checkout -q {hash}")), &[]),
        (git(json!({})), &[]),
        (git(json!({"repo": "file:///srv//app.git/"})), &[]),
        (shell("cp -a /srv/app.git /srv/other.git"), &[]),
        (check(json!({"repo": "/srv/other.git"})), &[]),
        (git(json!({"repo": "/srv/other.git"})), &[]),
        (git(json!({"repo": "/srv/none.git"})), CALL),
        (git(json!({"repo": "/srv/none.git", "dest": "/srv/none"})), CALL),
        (check(json!({"repo": "/srv/none.git", "dest": "/srv/none"})), CALL),
        (git(json!({"dest": "/srv/a/b/c", "version": "feature/x"})), &[]),
        (git(json!({"dest": "/srv/tag", "version": "light", "remote": "up"})), &[]),
        (git(json!({"dest": "/srv/bare", "bare": true})), &[]),
        (shell(push), &[]),
        (git(json!({"dest": "/srv/bare", "bare": true})), &[]),
        (git(json!({"dest": "/srv/bare", "bare": true})), &[]),
        (git(json!({"dest": "/srv/other-bare", "bare": true, "remote": "up"})), &[]),
        (git(json!({"dest": "/srv/other-bare", "bare": true, "remote": "up", "version": "heavy"})), &[]),
        (git(json!({"clone": false, "dest": "/srv/not"})), &[]),
        (git(json!({"clone": false, "version": "heavy", "dest": "/srv/not"})), &[]),
        (task("git", json!({"repo": "/srv/app.git", "clone": false, "version": "light"})), &[]),
        (task("git", json!({"repo": "/srv/app.git"})), &[]),
        (git(json!({"dest": "/srv/deep", "depth": 1})), &[]),
        (git(json!({"dest": "/srv/deep", "depth": 1})), &[]),
        (git(json!({"dest": "/srv/deep", "depth": 1, "version": "feature/x"})), &[]),
        (git(json!({"dest": "/srv/deep", "depth": 1, "version": "heavy"})), &[]),
        (git(json!({"dest": "/srv/deep-x", "depth": 1, "version": "feature/x", "single_branch": true})), &[]),
        (git(json!({"dest": "/srv/single", "version": "feature/x", "single_branch": true})), &[]),
        (git(json!({"dest": "/srv/pull", "refspec": "refs/pull/1/head:refs/heads/pull", "version": "pull"})), &[]),
        (git(json!({"dest": "/srv/pull", "refspec": "+refs/pull/*:refs/heads/*"})), &[]),
        (git(json!({"dest": "/srv/umask", "umask": "077"})), &[]),
        (git(json!({"dest": "/srv/umask", "umask": 77})), &[]),
        (shell("mkdir /srv/full; echo a > /srv/full/a"), &[]),
        (git(json!({"dest": "/srv/full"})), CALL),
        (git(json!({"repo": "/srv/empty.git", "dest": "/srv/empty"})), CALL),
        (git(json!({"repo": "/srv/empty.git", "dest": "/srv/empty", "accept_hostkey": true, "accept_newhostkey": true})), &["msg"]),
    ];
    compared(&tasks);
}

#[test]
#[ignore = "a minute of Ansible: cargo test --workspace --test main submodules_and_archives_are_ansibles -- --ignored"]
fn submodules_and_archives_are_ansibles() {
    let push = "rm -rf /tmp/w && git clone -q /srv/part.git /tmp/w && cd /tmp/w && echo more >> part && git commit -qam more && git push -q origin HEAD:main HEAD:master; rm -rf /tmp/w";
    let with = |more: Json| {
        let mut task = git(json!({"version": "with-part", "dest": "/srv/with"}));
        task.arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task
    };
    let archive = |name: &str| git(json!({"archive": format!("/srv/{name}"), "dest": "/srv/packed"}));
    let tasks: Vec<(Task, &[&str])> = vec![
        (with(json!({})), &[]),
        (with(json!({})), &[]),
        (with(json!({"recursive": false, "dest": "/srv/without"})), &[]),
        (with(json!({"dest": "/srv/without"})), &[]),
        (
            shell(
                "git -C /srv/with/part checkout -q HEAD~0; git -C /srv/with/part -c user.name=a -c user.email=b commit -q --allow-empty -m x",
            ),
            &[],
        ),
        (with(json!({})), &[]),
        (with(json!({"force": true})), &[]),
        (shell(push), &[]),
        (with(json!({})), &[]),
        (with(json!({"track_submodules": true})), &[]),
        (archive("a.tar.gz"), &[]),
        (archive("a.tar.gz"), &[]),
        (Task { check: true, ..archive("a.tar.gz") }, &[]),
        (archive("a.zip"), &[]),
        (archive("a.tar"), &[]),
        (archive("a.rar"), &["details"]),
        (git(json!({"archive": "/srv/a.tar", "archive_prefix": "p/", "dest": "/srv/packed"})), &[]),
        (git(json!({"archive": "/srv/a.tar", "version": "light", "dest": "/srv/packed", "update": false})), &[]),
        (git(json!({"archive": "/srv/a.tar", "version": "light", "dest": "/srv/packed", "update": false})), &[]),
        (git(json!({"archive": "/srv/none/a.tar", "dest": "/srv/packed"})), &["details", "cmd", "rc", "stdout", "stderr"]),
        (git(json!({"dest": "/srv/apart", "separate_git_dir": "/srv/git-of-apart"})), &[]),
        (git(json!({"dest": "/srv/apart", "separate_git_dir": "/srv/git-of-apart"})), &[]),
        (git(json!({"dest": "/srv/packed", "separate_git_dir": "/srv/git-of-apart"})), &[]),
        (git(json!({"dest": "/srv/packed", "separate_git_dir": "/srv/git-of-packed"})), &[]),
        (checked("git", json!({"repo": "/srv/app.git", "dest": "/srv/packed", "separate_git_dir": "/srv/again"})), &[]),
        (git(json!({"dest": "/srv/refers", "reference": "/srv/app.git"})), &[]),
        (git(json!({"dest": "/srv/signed", "verify_commit": true})), &["stdout", "stderr", "rc", "cmd"]),
    ];
    compared(&tasks);
}

//! Modules that know where their files are (`cron`, `apt_repository`, `debconf`) beside Ansible's, really done: each tool on a machine with an
//! /etc, crontabs and answers of its own (a mount namespace).

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{Beside, copy, done, privately};
use super::{Task, checked, compare, task};

const OWN: [&str; 3] = ["/etc", "/var/spool/cron", "/var/cache/debconf"];

/// Crontabs without what crontab(1) puts on top of them, and apt's lists. Ansible writes lists that it does not change in its own form.
fn state() -> String {
    let script = "for file in /var/spool/cron/crontabs/*; do echo $file; sed '1,3{/^# /d}' $file; done; \
        find /etc/keys /etc/keys2 /etc/none /etc/cron.d /etc/apt/sources.list /etc/apt/sources.list.d -name '*.sources' -o -printf '%p %y %m %u %g\\n' | sort; \
        for file in /etc/keys/* /etc/keys2/* /etc/none/here/* /etc/cron.d/* /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do echo $file; cat $file; done; cat /var/cache/debconf/config.dat /var/cache/debconf/passwords.dat";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Both do them, one after the other, and end in the same.
fn compared(tasks: Vec<Task>) {
    let base = tempfile::tempdir().expect("a folder");
    OWN.iter().for_each(|place| drop(copy(Path::new(place), base.path())));
    let tasks: Vec<(Task, &[&str])> = tasks.into_iter().map(|task| (task, [].as_slice())).collect();
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

#[test]
#[ignore = "a minute of Ansible, wants cron and python3-apt: cargo test --test main crontabs_and_package_sources -- --ignored"]
fn crontabs_and_package_sources_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let cron = |arguments: Json| task("cron", arguments);
    let repository = |more: Json| {
        let mut arguments = json!({"update_cache": false});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("apt_repository", arguments)
    };
    let tasks: Vec<Task> = vec![
        checked("cron", json!({"name": "a", "job": "true"})),
        cron(json!({"name": "a", "job": "true", "minute": "*/5"})),
        cron(json!({"name": "a", "job": "true", "minute": "*/5"})),
        cron(json!({"name": "b", "job": "\nfalse\n", "special_time": "reboot"})),
        cron(json!({"name": "a", "job": "true", "dow": "MON-FRI", "disabled": true})),
        cron(json!({"name": "MAILTO", "env": true, "value": "me@example.org"})),
        cron(json!({"name": "PATH", "env": true, "value": "/bin", "insertafter": "MAILTO"})),
        cron(json!({"name": "PATH", "env": true, "value": "/usr/bin"})),
        cron(json!({"name": "HOME", "env": true, "value": "/", "insertbefore": "NONE"})),
        cron(json!({"name": "MAILTO", "env": true, "state": "absent"})),
        cron(json!({"name": "b", "state": "absent"})),
        cron(json!({"name": "b", "state": "absent"})),
        cron(json!({"name": "others", "job": "date", "user": "games"})),
        cron(json!({"name": "others", "job": "date -u", "user": "games"})),
        cron(json!({"name": "in a file", "job": "date", "user": "games", "cron_file": "mine", "hour": "1", "dom": "2", "month": "3"})),
        cron(json!({"name": "in a file", "job": "date", "user": "games", "cron_file": "mine", "hour": "1", "dom": "2", "month": "3"})),
        cron(json!({"name": "in a file", "job": "date", "user": "games", "cron_file": "/etc/cron.d/mine.too"})),
        cron(json!({"name": "SHELL", "env": true, "value": "/bin/sh", "user": "root", "cron_file": "mine"})),
        checked("cron", json!({"name": "in a file", "cron_file": "mine.too", "state": "absent"})),
        cron(json!({"name": "in a file", "cron_file": "mine.too", "state": "absent"})),
        cron(json!({"name": "in a file", "cron_file": "mine", "state": "absent"})),
        cron(json!({"name": "x", "cron_file": "none", "state": "absent"})),
        cron(json!({"name": "x"})),
        cron(json!({"name": "x", "job": "true", "cron_file": "y"})),
        cron(json!({"name": "x y", "value": "true", "env": true})),
        cron(json!({"name": "x", "job": "true", "special_time": "daily", "hour": "1"})),
        cron(json!({"name": "x", "job": "true", "insertafter": "PATH"})),
        cron(json!({"name": "x", "job": "one\ntwo", "user": "root", "cron_file": "lines"})),
        checked("apt_repository", json!({"repo": "deb http://deb.example.org/debian  bookworm main"})),
        repository(json!({"repo": "deb http://deb.example.org/debian  bookworm main"})),
        repository(json!({"repo": "deb http://deb.example.org/debian bookworm main"})),
        repository(json!({"repo": "deb-src http://deb.example.org/debian bookworm main", "mode": "0600"})),
        repository(
            json!({"repo": "deb [arch=amd64 signed-by=/etc/apt/keyrings/x.asc] https://u:p@get.example.org:8443/a-b/ ./", "mode": "u=rw,go="}),
        ),
        repository(json!({"repo": "deb http://x.example.org/ one two", "filename": "named"})),
        repository(json!({"repo": "deb http://x.example.org/ one three", "filename": "named", "state": "present"})),
        repository(json!({"repo": "deb http://x.example.org/ one two", "state": "absent"})),
        repository(json!({"repo": "deb http://x.example.org/ one two", "state": "absent"})),
        repository(json!({"repo": "deb http://x.example.org/ one three", "state": "absent"})),
        repository(json!({"repo": "# deb http://x y z"})),
        repository(json!({"repo": "http://x y z"})),
        repository(json!({"repo": ""})),
        repository(json!({"repo": "ppa:owner/name", "codename": "jammy", "state": "absent"})),
        task("debconf", json!({"name": "debconf"})),
        task("debconf", json!({"name": "ca-certificates"})),
        task("debconf", json!({"name": "nothing-of-this-name"})),
        checked("debconf", json!({"name": "debconf", "question": "debconf/priority", "value": "medium", "vtype": "select"})),
        task("debconf", json!({"name": "debconf", "question": "debconf/priority", "value": "medium", "vtype": "select"})),
        task("debconf", json!({"name": "debconf", "question": "debconf/priority", "value": "medium", "vtype": "select"})),
        task("debconf", json!({"name": "mine", "question": "mine/one", "value": "some text", "vtype": "string"})),
        task("debconf", json!({"name": "mine", "question": "mine/one", "value": "some text", "vtype": "string"})),
        task("debconf", json!({"name": "mine", "question": "mine/one", "value": "other", "vtype": "string", "unseen": true})),
        task("debconf", json!({"name": "mine", "question": "mine/two", "value": ["b", "a"], "vtype": "multiselect"})),
        task("debconf", json!({"name": "mine", "question": "mine/two", "value": ["b", "a"], "vtype": "multiselect"})),
        task("debconf", json!({"name": "mine", "question": "mine/two", "value": "a, b", "vtype": "multiselect"})),
        task("debconf", json!({"name": "mine", "question": "mine/three", "value": true, "vtype": "boolean"})),
        task("debconf", json!({"name": "mine", "question": "mine/three", "value": "True", "vtype": "boolean"})),
        task("debconf", json!({"name": "mine", "question": "mine/three", "value": "true", "vtype": "seen"})),
        task("debconf", json!({"name": "mine", "question": "mine/four", "value": "sesame", "vtype": "password"})),
        task("debconf", json!({"name": "mine"})),
        task("debconf", json!({"name": "mine", "question": "mine/one"})),
    ];
    compared(tasks);
}

/// Ids that apt trusts, by apt-key; Ansible keeps them in a keyring of all, we in files of their own.
fn trusted() -> String {
    let script = "for ring in '' '--keyring /etc/apt/trusted.gpg.d/own.gpg'; do apt-key $ring adv --list-keys --with-colons 2>/dev/null | grep '^fpr' | sort; echo; done";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Results list keys in the order of keyrings.
fn sorted(result: &Json) -> Json {
    let mut result = result.clone();
    for name in ["before", "after"] {
        if let Some(list) = result.get_mut(name).and_then(Json::as_array_mut) {
            list.sort_by_key(Json::to_string);
        }
    }
    result
}

#[test]
#[ignore = "half a minute of Ansible: cargo test --test main keys_that_apt_trusts -- --ignored"]
fn keys_that_apt_trusts_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let script = "cd $0; chmod 700 .; export GNUPGHOME=$0; for kind in rsa2048 ed25519 nistp256 nistp384 nistp521; do \
        gpg --batch --quiet --passphrase '' --no-auto-check-trustdb --quick-gen-key \"$kind <$kind@example.org>\" $kind default 1y; \
        gpg --export $kind@example.org > $kind.gpg; gpg --armor --export $kind@example.org > $kind.asc; \
        gpg --list-keys --with-colons $kind@example.org | awk -F: '/^fpr/ { print $10; exit }' > $kind.id; done; \
        gpg --armor --export rsa2048@example.org ed25519@example.org nistp256@example.org > all.asc; mv nistp384.gpg other.gpg; mv nistp521.asc last.asc; gpgconf --kill all";
    assert!(Command::new("sh").args(["-c", script]).arg(home.path()).status().expect("sh runs").success());
    let server = format!("http://127.0.0.1:{}", super::web::serve("127.0.0.1"));
    let path = |name: &str| home.path().join(name).to_string_lossy().into_owned();
    let text = |name: &str| std::fs::read_to_string(home.path().join(name)).expect("gpg wrote it").trim().to_owned();
    let [rsa, ed, nist] = ["rsa2048.id", "ed25519.id", "nistp256.id"].map(text);
    let own = "/etc/apt/trusted.gpg.d/own.gpg";
    let key = |arguments: Json| task("apt_key", arguments);
    let tasks: Vec<Task> = vec![
        checked("apt_key", json!({"data": text("rsa2048.asc")})),
        key(json!({"data": text("rsa2048.asc")})),
        key(json!({"data": text("rsa2048.asc")})),
        key(json!({"id": rsa, "url": "http://127.0.0.1:9/nobody"})),
        key(json!({"id": rsa[32..], "url": "http://127.0.0.1:9/nobody"})),
        checked("apt_key", json!({"id": ed, "url": "http://127.0.0.1:9/nobody"})),
        key(json!({"id": format!("0x{}", ed.to_lowercase()), "file": path("ed25519.gpg")})),
        key(json!({"id": ed, "file": path("ed25519.gpg"), "keyring": own})),
        key(json!({"id": ed, "state": "absent", "keyring": own})),
        key(json!({"file": path("nistp256.gpg"), "keyring": own})),
        key(json!({"file": path("nistp256.gpg"), "keyring": own})),
        key(json!({"id": rsa[24..], "state": "absent"})),
        key(json!({"id": rsa[24..], "state": "absent"})),
        key(json!({"id": nist, "file": path("all.asc")})),
        key(json!({"id": rsa, "file": path("all.asc")})),
        key(json!({"url": format!("{server}/read?{}", path("other.gpg"))})),
        key(json!({"url": format!("{server}/read?{}", path("other.gpg"))})),
        key(json!({"url": format!("{server}/read?{}", path("ed25519.asc")), "id": ed, "keyring": own})),
        checked("apt_key", json!({"url": format!("{server}/read?{}", path("last.asc"))})),
    ];
    let base = tempfile::tempdir().expect("a folder");
    drop(copy(Path::new("/etc"), base.path()));
    let Some((theirs, their_keys)) = privately(&["/etc"], base.path(), || Some((super::theirs(&json!({}), &[], &tasks)?.0, trusted())))
    else {
        return;
    };
    let (ours, our_keys) = privately(&["/etc"], base.path(), || (tasks.iter().map(done).collect::<Vec<_>>(), trusted()));
    let pairs = tasks.iter().zip(theirs.iter().map(sorted).zip(ours.iter().map(sorted)));
    let different: Vec<String> = pairs.filter_map(|(task, (theirs, ours))| compare(task, &theirs, &ours, &[])).collect();
    assert_eq!((different.join("\n").as_str(), &their_keys), ("", &our_keys));
    assert!(our_keys.contains(&ed) && our_keys.contains(&rsa), "{our_keys}");

    // Ansible's gpg has a way of its own to servers of keys.
    let last = text("nistp521.id");
    let given = std::env::temp_dir().join(&last);
    std::fs::copy(path("last.asc"), &given).expect("is copied");
    let asked = || ["0123456789ABCDEF", &last].map(|id| done(&key(json!({"keyserver": server.as_str(), "id": id}))));
    let ([missing, added], trusted) = privately(&["/etc"], base.path(), || (asked(), trusted()));
    std::fs::remove_file(given).expect("is removed");
    assert_eq!(missing["msg"], format!("Key 0123456789ABCDEF not found on keyserver {server}"));
    assert!(added["changed"] == true && trusted.contains(&last), "{added} {trusted}");
}

#[test]
#[ignore = "wants the collection ansible.posix: ANSIBLE_COLLECTIONS_PATH=… cargo test --test main authorized_keys_are -- --ignored"]
fn authorized_keys_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let key = |more: Json| {
        let mut arguments = json!({"user": "games"});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("ansible.posix.authorized_key", arguments)
    };
    let tasks: Vec<Task> = vec![
        key(json!({"key": "ssh-ed25519 AAAA a b", "path": "/etc/keys/games"})),
        key(json!({"key": "ssh-ed25519 AAAA a b", "path": "/etc/keys/games"})),
        key(json!({"key": "no-pty,from=\"1,2\" ssh-rsa BBBB c", "path": "/etc/keys/games"})),
        key(json!({"key": "ssh-rsa BBBB c", "key_options": "from=\"1,2\",no-pty", "path": "/etc/keys/games"})),
        key(json!({"key": "ssh-ed25519 AAAA", "comment": "c", "path": "/etc/keys/games", "manage_dir": false})),
        key(
            json!({"key": "ssh-rsa CCCC x\nssh-rsa DDDD y\n# no\n\nssh-rsa BBBB z", "exclusive": true, "path": "/etc/keys/games", "manage_dir": false}),
        ),
        key(json!({"key": "ssh-rsa CCCC", "state": "absent", "path": "/etc/keys/games", "manage_dir": false})),
        key(json!({"key": "ssh-rsa CCCC", "state": "absent", "path": "/etc/keys/games", "manage_dir": false})),
        key(json!({"key": "hello", "path": "/etc/keys/games", "manage_dir": false})),
        key(json!({"key": "ssh-rsa BBBB z", "path": "/etc/none/here/games"})),
        key(json!({"key": "ssh-rsa BBBB z", "path": "/etc/none/here/games", "manage_dir": false})),
        Task { check: true, ..key(json!({"key": "ssh-rsa BBBB z", "path": "/etc/other/games"})) },
        Task { check: true, ..key(json!({"key": "ssh-rsa BBBB z", "path": "/etc/keys/games"})) },
        Task { check: true, ..task("ansible.posix.authorized_key", json!({"user": "none", "key": "ssh-rsa BBBB z"})) },
        task("ansible.posix.authorized_key", json!({"user": "none", "key": "ssh-rsa BBBB z"})),
        task("ansible.posix.authorized_key", json!({"user": "root", "key": "ssh-rsa BBBB z", "path": "/etc/keys2/games"})),
    ];
    compared(tasks);
}

//! Modules of what Debian has its own tools for, beside those of their collections: each tool with folders of its own (a mount namespace).

use serde_json::{Value as Json, json};

use super::accounts::Beside;
use super::kernel::{base, said};
use super::{Task, checked, task};

/// The clock of a machine that has one.
const HWCLOCK: &str = r#"#!/bin/sh
case "$2" in --localtime) word=LOCAL;; --utc) word=UTC;; *) exit 64;; esac
printf '0.0 0 0\n0\n%s\n' "$word" > /etc/adjtime
"#;

#[test]
#[ignore = "half a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main time_zones_are_ansibles -- --ignored"]
fn time_zones_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 3] = ["/etc", "/usr/local/sbin", "/var/cache/debconf"];
    let of = |arguments: Json| task("community.general.timezone", arguments);
    let check = |arguments: Json| checked("community.general.timezone", arguments);
    let zone = |name: &str| json!({"name": name});
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    // (task, fields that differ for a reason)
    let tasks: Vec<(Task, &[&str])> = vec![
        (check(zone("Europe/Berlin")), &[]),
        (of(zone("Europe/Berlin")), &[]),
        (of(zone("Europe/Berlin")), &[]),
        (check(zone("Europe/Berlin")), &[]),
        (of(zone("Europe/Nowhere")), &[]),
        (of(zone("Europe")), &[]),
        // The link says another one than the file.
        (shell("ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime"), &[]),
        (of(zone("Europe/Berlin")), &[]),
        (shell("ln -sf ../usr/share/zoneinfo/Asia/Tokyo /etc/localtime; echo Asia/Tokyo > /etc/timezone"), &[]),
        (of(zone("Asia/Tokyo")), &[]),
        (shell("ln -sf /usr/share/zoneinfo/None /etc/localtime"), &[]),
        (of(zone("Asia/Tokyo")), &[]),
        (shell("rm /etc/localtime; cp /usr/share/zoneinfo/Asia/Tokyo /etc/localtime"), &[]),
        (of(zone("Asia/Tokyo")), &[]),
        (shell("rm /etc/localtime; cp /usr/share/zoneinfo/Europe/Paris /etc/localtime"), &[]),
        (of(zone("Asia/Tokyo")), &[]),
        (shell("printf ' # of ours\\nAsia/Tokyo\\nother words\\n' > /etc/timezone"), &[]),
        (of(zone("Asia/Tokyo")), &[]),
        (of(zone("Etc/UTC")), &[]),
        (shell("rm /etc/timezone"), &[]),
        (of(zone("UTC")), &[]),
        (check(json!({"hwclock": "local"})), &[]),
        (of(json!({"hwclock": "local"})), &[]),
        (of(json!({"rtc": "local"})), &[]),
        (shell("printf '# of ours\\nUTC = no\\nOTHER=1\\n' > /etc/default/rcS; echo UTC > /etc/adjtime"), &[]),
        (of(json!({"hwclock": "local", "name": "Asia/Tokyo"})), &[]),
        (of(json!({"hwclock": "UTC", "name": "Asia/Tokyo"})), &[]),
        (of(json!({"hwclock": "UTC", "name": "Asia/Tokyo"})), &[]),
        (of(json!({})), &["msg"]),
    ];
    let base = base(&OWN, &[("/usr/local/sbin/hwclock", HWCLOCK, 0o755)]);
    let state = || {
        said("readlink /etc/localtime; cd /etc; for file in timezone default/rcS adjtime; do echo $file; cat $file; stat -c %a $file; done")
    };
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

#[test]
#[ignore = "a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main locales_are_ansibles -- --ignored"]
fn locales_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 2] = ["/etc", "/usr/lib/locale"];
    let of = |arguments: Json| task("community.general.locale_gen", arguments);
    let check = |arguments: Json| checked("community.general.locale_gen", arguments);
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    let (one, both) = (json!({"name": "aa_DJ.UTF-8"}), json!({"name": ["aa_DJ.UTF-8", "so_DJ.UTF-8"]}));
    let absent = |mut arguments: Json| {
        arguments["state"] = json!("absent");
        arguments
    };
    // With a failure theirs tells of variables of its own.
    let failed: &[&str] = &["output", "vars", "name", "ubuntu_mode", "mechanism"];
    let tasks: Vec<(Task, &[&str])> = vec![
        // Theirs never says of a check that something would change.
        (check(one.clone()), &["changed"]),
        (of(one.clone()), &[]),
        (of(one.clone()), &[]),
        (of(json!({"name": ["C.UTF-8", "aa_DJ.UTF-8"]})), &[]),
        (check(one.clone()), &[]),
        (of(both.clone()), &[]),
        (of(both.clone()), &[]),
        (of(json!({"name": "xx_XX.UTF-8"})), failed),
        (of(json!({"name": ["aa_DJ.UTF-8", "xx_XX.UTF-8", "de_DE"]})), failed),
        (check(absent(one.clone())), &["changed"]),
        (of(absent(one.clone())), &[]),
        (of(absent(one.clone())), &[]),
        (of(absent(both.clone())), &["changed"]),
        // It is in the list of what can be had, and nowhere in locale.gen.
        (shell("grep -v aa_DJ /etc/locale.gen > /etc/locale.new; mv /etc/locale.new /etc/locale.gen"), &[]),
        (of(one.clone()), &[]),
        (shell("rm /etc/locale.gen"), &[]),
        (of(one), failed),
    ];
    let base = base(&OWN, &[]);
    // Where one of several is gone already, theirs leaves the others.
    let state = || said("locale -a | grep -v so_DJ; ls /etc/locale*");
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

#[test]
#[ignore = "half a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main alternatives_are_ansibles -- --ignored"]
fn alternatives_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 4] = ["/etc", "/srv", "/var/lib/dpkg/alternatives", "/var/log"];
    let of = |more: Json| {
        let mut arguments = json!({"name": "tool", "link": "/srv/tool"});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("community.general.alternatives", arguments)
    };
    let check = |more: Json| Task { check: true, ..of(more) };
    let plain = |arguments: Json| task("community.general.alternatives", arguments);
    let page = |path: &str| json!([{"name": "tool.1", "link": "/srv/tool.1", "path": path}]);
    // What a command said is told in a sentence here, as of every command that fails, and without what was done before.
    let failed: &[&str] = &["msg", "stderr", "cmd"];
    let tasks: Vec<(Task, &[&str])> = vec![
        (plain(json!({"name": "tool", "path": "/srv/a"})), &[]),
        (of(json!({"path": "/srv/none"})), &[]),
        (check(json!({"path": "/srv/a"})), &[]),
        (of(json!({"path": "/srv/a"})), &[]),
        (of(json!({"path": "/srv/a"})), &[]),
        (of(json!({"path": "/srv/b", "state": "present"})), &[]),
        (of(json!({"path": "/srv/b", "state": "present", "priority": 70})), &[]),
        (of(json!({"path": "/srv/b", "state": "present", "priority": 70})), &[]),
        (plain(json!({"name": "tool", "path": "/srv/b"})), &[]),
        (plain(json!({"name": "tool", "path": "/srv/b"})), &[]),
        (check(json!({"path": "/srv/a", "state": "auto"})), &[]),
        (of(json!({"path": "/srv/a", "state": "auto"})), &[]),
        (of(json!({"path": "/srv/a", "state": "auto"})), &[]),
        (of(json!({"path": "/srv/a", "subcommands": page("/srv/a.1")})), &[]),
        (of(json!({"path": "/srv/a", "slaves": page("/srv/a.1")})), &[]),
        (of(json!({"path": "/srv/b", "subcommands": page("/srv/b.1")})), &[]),
        (of(json!({"path": "/srv/b", "subcommands": page("/srv/c.1")})), &[]),
        (of(json!({"path": "/srv/b", "subcommands": []})), &[]),
        (of(json!({"path": "/srv/b", "subcommands": []})), &[]),
        // Theirs takes no number below 0 for a priority, and tells it anew each time.
        (of(json!({"path": "/srv/c", "priority": -10, "state": "present"})), &[]),
        (of(json!({"path": "/srv/c", "priority": -10, "state": "present"})), &["changed", "msg"]),
        (check(json!({"path": "/srv/b", "state": "absent"})), &[]),
        (of(json!({"path": "/srv/b", "state": "absent"})), &[]),
        (of(json!({"path": "/srv/b", "state": "absent"})), &[]),
        (of(json!({"path": "/srv/a", "state": "absent"})), &[]),
        (plain(json!({"name": "tool", "family": "x"})), failed),
        (plain(json!({"name": "other", "link": "/srv/other", "path": "/srv/a", "state": "auto"})), &[]),
        // Theirs finds not the link of a name with other letters.
        (plain(json!({"name": "with-dash", "link": "/srv/dash", "path": "/srv/a"})), &[]),
        (plain(json!({"name": "with-dash", "path": "/srv/b", "state": "present"})), &["changed", "failed", "msg"]),
        (plain(json!({"name": "with-dash", "link": "/srv/dash", "path": "/srv/b", "state": "present"})), &["changed", "msg"]),
    ];
    let programs = ["a", "b", "c", "a.1", "b.1", "c.1"].map(|name| format!("/srv/{name}"));
    let files: Vec<(&str, &str, u32)> = programs.iter().map(|path| (path.as_str(), "#!/bin/sh\n", 0o755)).collect();
    let base = base(&OWN, &files);
    let state =
        || said("cd /var/lib/dpkg/alternatives; head -30 tool other with-dash; ls -l /srv /etc/alternatives | awk '{print $9, $11}'");
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

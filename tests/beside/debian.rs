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

/// What Apache says of the modules that are enabled.
const APACHE2CTL: &str = r"#!/bin/sh
cd /etc/apache2/mods-enabled || exit 1
case $1 in
-V) for name in worker event; do [ ! -e mpm_$name.load ] || echo '  threaded:     yes (fixed thread count)'; done;;
-M) if [ -e broken.load ]; then echo 'AH00526: Syntax error on line 1' >&2; exit 1; fi
    if ! ls | grep -q ^mpm_; then echo 'AH00534: apache2: Configuration error: No MPM loaded.' >&2; exit 1; fi
    printf 'Loaded Modules:\n core_module (static)\n so_module (static)\n'
    sed -n 's/^LoadModule \([^ ]*\) .*/ \1 (shared)/p' *.load;;
esac
";

/// As Debian's, with what a module depends on.
const A2ENMOD: &str = r#"#!/bin/sh
cd /etc/apache2/mods-enabled || exit 1
enable() {
    [ -e ../mods-available/$1.load ] || { echo "ERROR: Module $1 does not exist!"; exit 1; }
    for needed in $(sed -n 's/^# Depends://p' ../mods-available/$1.load); do (enable $needed) || exit 1; done
    for ending in load conf; do
        [ ! -e ../mods-available/$1.$ending ] || [ -e $1.$ending ] || ln -s ../mods-available/$1.$ending $1.$ending
    done
}
enable "$1"
"#;
const A2DISMOD: &str = r#"#!/bin/sh
cd /etc/apache2/mods-enabled || exit 1
[ "$1" != -f ] && [ "$1" = autoindex ] && { echo 'The following essential module will be disabled:'; exit 1; }
[ "$1" != -f ] || shift
rm -f "$1.load" "$1.conf"
"#;

#[test]
#[ignore = "half a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main modules_of_apache_are_ansibles -- --ignored"]
fn modules_of_apache_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 2] = ["/etc", "/usr/local/sbin"];
    let of = |name: &str, more: Json| {
        let mut arguments = json!({"name": name});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("community.general.apache2_module", arguments)
    };
    let check = |name: &str, more: Json| Task { check: true, ..of(name, more) };
    let absent = || json!({"state": "absent"});
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    let between = || json!({"state": "absent", "ignore_configcheck": true});
    let tasks: Vec<(Task, &[&str])> = vec![
        (check("ssl", json!({})), &[]),
        (of("ssl", json!({})), &[]),
        (of("ssl", json!({})), &[]),
        (of("so", json!({})), &[]),
        (check("ssl", absent()), &[]),
        (of("ssl", absent()), &[]),
        (of("ssl", absent()), &[]),
        (of("dump_io", json!({"identifier": "dumpio_module"})), &[]),
        (of("dump_io", json!({"identifier": "dumpio_module"})), &[]),
        (of("dumpio", json!({"identifier": "other_module"})), &["msg", "rc", "stdout", "stdout_lines", "stderr", "stderr_lines"]),
        (of("shib2", json!({})), &[]),
        (of("php7.4", json!({})), &[]),
        (of("php8.2", json!({})), &[]),
        (of("php8.2", json!({})), &[]),
        (of("evasive", json!({})), &[]),
        (of("cgi", json!({})), &[]),
        (of("cgi", absent()), &[]),
        (of("autoindex", json!({})), &[]),
        // What a2dismod says is told with the failure, lines too.
        (of("autoindex", absent()), &["stdout_lines", "stderr_lines"]),
        (of("autoindex", json!({"state": "absent", "force": true})), &[]),
        // Theirs lets a2enmod find out.
        (of("none", json!({})), &["msg", "rc", "stdout", "stdout_lines", "stderr", "stderr_lines"]),
        (of("mpm_event", absent()), &[]),
        (shell("ln -s ../mods-available/mpm_event.load /etc/apache2/mods-enabled/"), &[]),
        (of("mpm_event", between()), &[]),
        (of("mpm_prefork", json!({"ignore_configcheck": true, "warn_mpm_absent": false})), &["warnings"]),
        (of("cgi", json!({})), &[]),
        (shell("echo > /etc/apache2/mods-enabled/broken.load"), &[]),
        // The whole of what Apache said stands in theirs with each of its questions.
        (of("ssl", json!({"ignore_configcheck": true})), &["warnings", "msg", "rc", "stdout", "stderr"]),
        (of("ssl", json!({})), &["failed", "msg", "result"]),
        (shell("rm /usr/local/sbin/apache2ctl"), &[]),
        (of("ssl", json!({})), &[]),
    ];
    let module = |identifier: &str, more: &str| format!("{more}LoadModule {identifier} /usr/lib/apache2/modules/x.so\n");
    let modules = [
        ("ssl", module("ssl_module", "# Depends: setenvif mime\n")),
        ("setenvif", module("setenvif_module", "")),
        ("mime", module("mime_module", "")),
        ("dump_io", module("dumpio_module", "")),
        ("dumpio", module("more_module", "")),
        ("shib2", module("mod_shib", "")),
        ("php7.4", module("php7_module", "")),
        ("php8.2", module("php_module", "")),
        ("evasive", module("evasive20_module", "")),
        ("cgi", module("cgi_module", "")),
        ("autoindex", module("autoindex_module", "")),
        ("mpm_event", module("mpm_event_module", "")),
        ("mpm_prefork", module("mpm_prefork_module", "")),
    ];
    let paths = modules.iter().map(|(name, text)| (format!("/etc/apache2/mods-available/{name}.load"), text)).collect::<Vec<_>>();
    let mut files: Vec<(&str, &str, u32)> = paths.iter().map(|(path, text)| (path.as_str(), text.as_str(), 0o644)).collect();
    files.extend([
        ("/etc/apache2/mods-available/mime.conf", "", 0o644),
        ("/etc/apache2/mods-enabled/mpm_event.load", "LoadModule mpm_event_module /x.so\n", 0o644),
        ("/usr/local/sbin/apache2ctl", APACHE2CTL, 0o755),
        ("/usr/local/sbin/a2enmod", A2ENMOD, 0o755),
        ("/usr/local/sbin/a2dismod", A2DISMOD, 0o755),
    ]);
    let base = base(&OWN, &files);
    let state = || said("ls -l /etc/apache2/mods-enabled | awk '{print $9, $11}'");
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

#[test]
#[ignore = "wants setfacl, a minute of Ansible: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main access_control_lists_are_ansibles -- --ignored"]
fn access_control_lists_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    const OWN: [&str; 1] = ["/srv"];
    let of = |path: &str, more: Json| {
        let mut arguments = json!({"path": path});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("ansible.posix.acl", arguments)
    };
    let check = |path: &str, more: Json| Task { check: true, ..of(path, more) };
    let user = |name: &str, permissions: &str| json!({"etype": "user", "entity": name, "permissions": permissions, "state": "present"});
    let entry = |entry: &str, state: &str| json!({"entry": entry, "state": state});
    let with = |mut arguments: Json, more: Json| {
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        arguments
    };
    let gone = |name: &str| json!({"etype": "user", "entity": name, "state": "absent"});
    let shell = |line: &str| task("shell", json!({"cmd": line}));
    // What setfacl says is told in sentences of ours, before anything is done.
    let failed: &[&str] = &["msg", "rc", "stdout", "stderr", "cmd"];
    let (f, d) = ("/srv/f", "/srv/d");
    let tasks: Vec<(Task, &[&str])> = vec![
        (of(f, json!({})), &[]),
        (check(f, user("games", "rwX")), &[]),
        (of(f, user("games", "rwX")), &[]),
        (of(f, user("games", "rwX")), &[]),
        (of(f, entry("user:games:rw", "present")), &[]),
        (of(f, entry("g:5:r-x", "present")), &[]),
        (of(f, user("lp", "rX")), &[]),
        (of(f, json!({"etype": "mask", "permissions": "r", "state": "present"})), &[]),
        (of(f, json!({"etype": "mask", "permissions": "r", "state": "present"})), &[]),
        (of(f, with(user("lp", "rx"), json!({"recalculate_mask": "no_mask"}))), &[]),
        (of(f, with(user("lp", "r"), json!({"recalculate_mask": "no_mask"}))), &[]),
        (of(f, with(user("lp", "r"), json!({"recalculate_mask": "mask"}))), &[]),
        (of(f, entry("other::-", "present")), &[]),
        (of(f, json!({"etype": "group", "permissions": "7", "state": "present"})), &[]),
        (of(f, user("", "rwx")), &[]),
        (check(f, gone("lp")), &[]),
        (of(f, gone("lp")), &[]),
        (of(f, gone("lp")), &[]),
        (of(f, entry("group:5", "absent")), &[]),
        (of(f, gone("games")), &[]),
        (of(f, entry("mask:", "absent")), &[]),
        (of(f, user("nobody-here", "r")), failed),
        (of(f, user("games", "rq")), failed),
        (of(f, with(user("games", "r"), json!({"default": true}))), failed),
        (of("/srv/none", json!({})), &[]),
        (of(f, json!({"state": "present"})), &[]),
        (of(f, json!({"state": "absent", "etype": "user"})), &[]),
        (of(f, json!({"state": "absent", "etype": "user", "entity": "games", "permissions": "r"})), &[]),
        (of(f, json!({"recursive": true})), &[]),
        (of(f, json!({"recalculate_mask": "mask"})), &[]),
        (of(f, json!({"entry": "user:games:r"})), &[]),
        (of(f, json!({"entry": "user:games", "state": "present"})), &[]),
        (of(f, json!({"entry": "default:user:games:r", "state": "absent"})), &[]),
        (of(f, json!({"entry": "user:games:r", "etype": "user", "state": "present"})), &[]),
        // A directory's two lists.
        (of(d, with(user("games", "rwX"), json!({"default": true}))), &[]),
        (of(d, with(user("games", "rwX"), json!({"default": true}))), &[]),
        (of(d, entry("default:other::r", "present")), &[]),
        (of(d, json!({})), &[]),
        (of(d, json!({"default": true})), &[]),
        (of(d, entry("d:user:games", "absent")), &[]),
        (of(d, with(gone("lp"), json!({"default": true}))), &[]),
        (of("/srv/deep", with(user("games", "rX"), json!({"recursive": true}))), &[]),
        (of("/srv/deep", with(user("games", "rX"), json!({"recurse": true}))), &[]),
        // Theirs does nothing where one of all has the entry, or is a file, which gives nothing to others.
        (of("/srv/empty", with(user("lp", "rX"), json!({"recursive": true, "default": true}))), &[]),
        (of("/srv/empty", with(user("lp", "rX"), json!({"recursive": true, "default": true}))), &[]),
        (of("/srv/deep", with(gone("games"), json!({"recursive": true}))), &[]),
        // Links.
        (of("/srv/link", user("games", "r")), &[]),
        (of("/srv/link", json!({"follow": false})), &[]),
        (of("/srv/link", with(user("games", "rw"), json!({"follow": false}))), &[]),
        (shell("chmod 600 /srv/f"), &[]),
        (of(f, json!({})), &[]),
        (of(f, user("games", "rw")), &[]),
    ];
    let base = base(&OWN, &[("/srv/f", "", 0o640), ("/srv/d/x", "", 0o644), ("/srv/deep/deeper/x", "", 0o750)]);
    std::os::unix::fs::symlink("f", base.path().join("srv/link")).expect("linked");
    std::fs::create_dir_all(base.path().join("srv/empty/er")).expect("made");
    let state = || said("getfacl -R -p /srv");
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

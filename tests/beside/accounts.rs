//! `group` and `user` beside Ansible's, really done: each tool on a machine with an /etc and /home of its own (a mount namespace).

use std::path::{Path, PathBuf};
use std::process::Command;

use provision::module::{ActionKind, Context, Failure, Mode, Next, Plan, Source, find};
use provision::program::Value;
use provision::system::apply::{Applier, Cancel, NoContent, Quiet};
use provision::system::{Error, Real};
use serde_json::{Value as Json, json};

use super::{Task, checked, compare, task};

/// What is copied for each tool; everything else is this machine's.
const OWN: [&str; 4] = ["/etc", "/home", "/var/mail", "/srv"];

/// A folder's copy below another folder.
pub(super) fn copy(place: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join(place.to_string_lossy().trim_start_matches('/').replace('/', "-"));
    let status = Command::new("cp").arg("-a").arg(place).arg(&copy).status().expect("cp runs");
    assert!(status.success(), "{} is copied", place.display());
    copy
}

/// Does the work in a thread whose folders are copies of those below `base`, and end with it.
pub(super) fn privately<T: Send>(places: &[&str], base: &Path, work: impl FnOnce() -> T + Send) -> T {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_FS).expect("a namespace of mounts");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts stay here");
            let folder = tempfile::tempdir().expect("a folder");
            for place in places {
                let own = copy(&base.join(place.trim_start_matches('/').replace('/', "-")), folder.path());
                mount(Some(&own), *place, none, MsFlags::MS_BIND, none).expect("is mounted");
            }
            work()
        });
        thread.join().expect("nothing panics there")
    })
}

/// A machine with folders of a test's own, on which both tools do the same, one after the other.
pub(super) struct Beside<'test> {
    /// What each tool has for itself, as it is below `base`; everything else is this machine's.
    pub own: &'test [&'test str],
    pub base: &'test Path,
    /// What must be there before the tasks.
    pub first: fn(),
    /// What both leave, as text.
    pub state: fn() -> String,
}

impl<'test> Beside<'test> {
    pub fn new(own: &'test [&'test str], base: &'test Path, state: fn() -> String) -> Self {
        Self { own, base, first: || (), state }
    }

    /// Results are equal but for the fields that a task names (a `shell` only prepares), and so is what is left.
    pub fn compare(&self, tasks: &[(Task, &[&str])]) {
        let all: Vec<Task> = tasks.iter().map(|(task, _)| Task { arguments: task.arguments.clone(), ..*task }).collect();
        let ansibles = || {
            (self.first)();
            Some((super::theirs(&json!({}), &[], &all)?.0, (self.state)()))
        };
        let Some((theirs, their_state)) = privately(self.own, self.base, ansibles) else { return };
        let (ours, our_state) = privately(self.own, self.base, || {
            (self.first)();
            (all.iter().map(done).collect::<Vec<_>>(), (self.state)())
        });
        let pairs = tasks.iter().zip(theirs.iter().zip(&ours)).filter(|((task, _), _)| task.module != "shell");
        let different: Vec<String> = pairs.filter_map(|((task, left_out), (theirs, ours))| compare(task, theirs, ours, left_out)).collect();
        let lines = similar::TextDiff::from_lines(&their_state, &our_state);
        let changed: String = lines.unified_diff().context_radius(0).header("Ansible's machine", "ours").to_string();
        assert_eq!((different.join("\n").as_str(), changed.as_str()), ("", ""));
    }
}

/// The databases and the homes, as they are here.
fn state() -> String {
    let script = "cat /etc/passwd /etc/group /etc/shadow; \
        find /home /srv/people -printf '%p %y %m %u %g %l %s\\n' | sed 's/\\(id_[a-z0-9.]*\\) .*/\\1/' | grep -v '\\.ssh/.* d' | sort";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Our result of really doing it here.
pub(super) fn done(task: &Task) -> Json {
    done_with(task, None)
}

/// The same with files of the controller.
pub(super) fn done_with(task: &Task, source: Option<Source<'_>>) -> Json {
    let Some(ActionKind::System(plan)) = find(task.module).map(|entry| &entry.action) else { panic!("no module {}", task.module) };
    let mut raw = Value::from(task.arguments.clone()).as_map().cloned().unwrap_or_default();
    let real = Real::default();
    let mode = if task.check { Mode::Check } else { Mode::Apply };
    let context = Context { system: &real, mode, diff: false, source, environment: &[], host: "" };
    let act = |mut plan: Plan| -> Result<Json, Error> {
        loop {
            if task.check && !plan.always {
                return Ok(plan.predicted.value().to_json(true));
            }
            let mut applier = Applier { source: &mut NoContent, watch: &mut Quiet, cancel: Cancel::default(), environment: Vec::new() };
            let outcomes = applier.apply(&plan.actions).map_err(|failure| failure.error)?;
            let Some(then) = plan.then else { return Ok(plan.predicted.value().to_json(true)) };
            match then(&outcomes, &real)? {
                Next::Done(outcome) => return Ok(outcome.value().to_json(true)),
                Next::Again(next) => plan = next,
            }
        }
    };
    let failed = |message: String| json!({"failed": true, "changed": false, "msg": message});
    let with_details = |error: Error| {
        let mut fields = Value::map(*error.details.clone()).to_json(true);
        fields.as_object_mut().expect("a mapping").extend(failed(error.message).as_object().cloned().unwrap_or_default());
        fields
    };
    match plan(&mut raw, &context) {
        Ok(plan) => act(plan).unwrap_or_else(with_details),
        Err(Failure::System(error)) => with_details(error),
        Err(Failure::Arguments(error)) => failed(error.to_string()),
    }
}

#[test]
#[ignore = "a minute of Ansible: cargo test --test main users_and_groups_are_ansibles -- --ignored"]
fn users_and_groups_are_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let hash = format!("$6$salt${}", "a".repeat(86));
    let bob = |more: Json| {
        let mut arguments = json!({"name": "bob"});
        arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
        task("user", arguments)
    };
    let check = |task: Task| Task { check: true, ..task };
    // (task, fields that differ for a reason)
    let tasks: Vec<(Task, &[&str])> = vec![
        (checked("group", json!({"name": "devs"})), &[]),
        (task("group", json!({"name": "devs"})), &[]),
        (task("group", json!({"name": "devs", "gid": 4321, "system": true})), &[]),
        (task("group", json!({"name": "devs", "gid": 4321})), &[]),
        (task("group", json!({"name": "other", "gid": 4321})), &[]),
        (task("group", json!({"name": "other", "gid": 4321, "non_unique": true})), &[]),
        (task("group", json!({"name": "other", "state": "absent"})), &[]),
        (task("group", json!({"name": "other", "state": "absent"})), &[]),
        (check(bob(json!({"uid": 4000}))), &[]),
        (bob(json!({"password": hash, "comment": "Bob B", "expires": 1_893_456_000})), &[]),
        (bob(json!({"password": hash, "comment": "Bob B", "expires": 1_893_456_000})), &[]),
        (check(bob(json!({"shell": "/bin/bash", "groups": "devs", "comment": "Robert"}))), &[]),
        (bob(json!({"shell": "/bin/bash", "groups": "devs", "comment": "Robert", "expires": -1})), &[]),
        (bob(json!({"groups": ["games", "lp"], "append": true})), &[]),
        (bob(json!({"groups": ["games"], "append": true})), &[]),
        (bob(json!({"groups": ["4321", "bob"]})), &[]),
        (bob(json!({"groups": ["devs", "bob"]})), &[]),
        (bob(json!({"groups": []})), &[]),
        (bob(json!({"groups": "no-such-group"})), &[]),
        (bob(json!({"password_lock": true})), &[]),
        (bob(json!({"password_lock": true, "password": hash})), &[]),
        (bob(json!({"password": "*", "update_password": "on_create"})), &[]),
        (bob(json!({"password_lock": false})), &[]),
        (bob(json!({"password": "*", "password_expire_max": 90, "password_expire_min": 1, "password_expire_warn": 5})), &[]),
        (bob(json!({"password_expire_max": 90})), &[]),
        (bob(json!({"home": "/home/robert", "move_home": true})), &[]),
        (bob(json!({"uid": 4100, "group": "devs"})), &[]),
        (bob(json!({"uid": 0})), &["msg"]),
        // The key is another one each time.
        (bob(json!({"generate_ssh_key": true, "ssh_key_type": "ed25519", "ssh_key_comment": "c"})), &["ssh_fingerprint", "ssh_public_key"]),
        (bob(json!({"generate_ssh_key": true, "ssh_key_type": "ed25519"})), &["ssh_fingerprint", "ssh_public_key"]),
        (
            bob(json!({"generate_ssh_key": true, "ssh_key_file": "id_of_mine", "ssh_key_passphrase": "sesame", "ssh_key_bits": 2048})),
            &["ssh_fingerprint", "ssh_public_key", "stdout"],
        ),
        // Theirs makes the home before useradd, which says so.
        (task("user", json!({"name": "svc", "system": true, "home": "/srv/people/svc", "shell": "/usr/sbin/nologin"})), &["stderr"]),
        (task("user", json!({"name": "devs", "create_home": false})), &[]),
        (task("user", json!({"name": "numbered", "uid": 4200, "group": "4321", "groups": ["devs", "games"], "umask": "077"})), &[]),
        (task("user", json!({"name": "homeless", "create_home": false})), &[]),
        (task("user", json!({"name": "homeless"})), &[]),
        (task("user", json!({"name": "homeless", "append": true})), &[]),
        (checked("user", json!({"name": "bob", "state": "absent"})), &[]),
        (bob(json!({"state": "absent", "remove": true})), &[]),
        (bob(json!({"state": "absent"})), &[]),
        (task("user", json!({"name": "homeless", "state": "absent"})), &[]),
        (task("user", json!({"name": "plain", "password": "secret", "create_home": false})), &[]),
    ];
    // Both begin with the same: others work on this machine.
    let base = tempfile::tempdir().expect("a folder");
    OWN.iter().for_each(|place| drop(copy(Path::new(place), base.path())));
    Beside::new(&OWN, base.path(), state).compare(&tasks);
}

//! Modules beside Ansible's own on this machine: the same tasks, the same results, but for a list of differences with reasons.
//! Tasks that would change the machine run in check mode on both sides.

#[cfg(feature = "controller")]
mod absent;
mod accounts;
#[cfg(feature = "controller")]
mod added;
mod argument_specs;
mod arguments;
#[cfg(feature = "controller")]
mod asking;
#[cfg(feature = "controller")]
mod debian;
mod engine;
#[cfg(feature = "controller")]
mod everyday;
#[cfg(feature = "controller")]
mod fatal;
mod fetch;
mod files_of_the_system;
#[cfg(feature = "controller")]
mod found;
#[cfg(feature = "controller")]
mod git;
#[cfg(feature = "controller")]
mod guards;
mod handlers;
#[cfg(feature = "controller")]
mod hostvars;
#[cfg(feature = "controller")]
mod implicit;
#[cfg(feature = "controller")]
mod includes;
#[cfg(feature = "controller")]
mod kernel;
#[cfg(feature = "controller")]
mod keys_and_sources;
#[cfg(feature = "controller")]
mod local;
#[cfg(feature = "controller")]
mod lookups;
mod made;
#[cfg(feature = "controller")]
mod meta;
#[cfg(feature = "controller")]
mod mounts;
#[cfg(feature = "controller")]
mod notify;
mod order;
#[cfg(feature = "controller")]
mod packages;
#[cfg(feature = "controller")]
mod pip;
#[cfg(feature = "controller")]
mod precedence;
#[cfg(feature = "controller")]
mod published;
#[cfg(feature = "controller")]
mod python;
#[cfg(feature = "controller")]
mod skipped;
#[cfg(feature = "controller")]
mod start;
#[cfg(feature = "controller")]
mod templates;
#[cfg(feature = "controller")]
mod together;
mod unreachable;
#[cfg(feature = "controller")]
pub mod web;

use provision::module::{ActionKind, Context, Failure, Mode, Next, Outcome, find};
use provision::program::{Map, Value};
use provision::system::{Error, Real, System};
use serde_json::{Value as Json, json};

use engine::TestEngine;

/// One task: module and arguments; `check` runs it in check mode.
struct Task {
    module: &'static str,
    arguments: Json,
    check: bool,
}

fn task(module: &'static str, arguments: Json) -> Task {
    Task { module, arguments, check: false }
}

fn checked(module: &'static str, arguments: Json) -> Task {
    Task { module, arguments, check: true }
}

/// What `register` holds for each, as Ansible says it; `None` where there is no Ansible.
fn theirs(variables: &Json, files: &[(&str, &str)], tasks: &[Task]) -> Option<(Vec<Json>, tempfile::TempDir)> {
    let ansible = crate::oracle::ansible("ansible-playbook")?;
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("makes folders");
        std::fs::write(path, content).expect("writes");
    }
    let out = folder.path().join("results.json");
    let mut steps: Vec<Json> = Vec::new();
    for (index, task) in tasks.iter().enumerate() {
        let mut step =
            json!({"name": index.to_string(), "register": format!("result_{index}"), "ignore_errors": true, "check_mode": task.check});
        step[task.module] = task.arguments.clone();
        steps.push(step);
    }
    let names: Vec<String> = (0..tasks.len()).map(|index| format!("result_{index} | default(none)")).collect();
    let content = format!("{{{{ [{}] | to_json }}}}", names.join(", "));
    steps.push(json!({"copy": {"dest": out, "content": content}}));
    let play = json!([{"hosts": "localhost", "connection": "local", "gather_facts": false, "vars": variables, "tasks": steps}]);
    let playbook = folder.path().join("play.yml");
    // The first line keeps Ansible from reading it as JSON, where keys are never templates.
    std::fs::write(&playbook, format!("# a playbook\n{play}\n")).expect("writes");
    let run = std::process::Command::new(ansible).arg(&playbook).current_dir(folder.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    let results = std::fs::read_to_string(&out).unwrap_or_else(|_| panic!("ansible gave no results:\n{said}"));
    let results: Vec<Json> = serde_json::from_str(&results).expect("JSON");
    Some((results, folder))
}

/// Our result; a failure with its message as `msg`.
fn ours(task: &Task, engine: &mut TestEngine) -> Json {
    let entry = find(task.module).unwrap_or_else(|| panic!("no module {}", task.module));
    let outcome = match &entry.action {
        ActionKind::System(plan) => {
            let mut raw = Value::from(task.arguments.clone()).as_map().cloned().unwrap_or_default();
            let real = Real::default();
            let mode = if task.check { Mode::Check } else { Mode::Apply };
            let context = Context { system: &real, mode, diff: false, source: None, environment: &[], host: "" };
            plan(&mut raw, &context).map_err(message).and_then(|plan| {
                assert!(task.check || plan.actions.is_empty(), "{} would change this machine", task.module);
                match plan.then.filter(|_| !task.check) {
                    None => Ok(plan.predicted),
                    Some(then) => match then(&[], &real as &dyn System).map_err(|error| error.message)? {
                        Next::Done(outcome) => Ok(outcome),
                        Next::Again(_) => Err("more than one stage".to_owned()),
                    },
                }
            })
        }
        ActionKind::Engine(run) => {
            let mut raw: Map = engine.raw(entry.spec(), &task.arguments);
            run(&mut raw, engine).map_err(message).map(|controlled| match controlled {
                provision::module::Controlled::Done(outcome) => outcome,
                _ => Outcome::ok(),
            })
        }
    };
    outcome.unwrap_or_else(Outcome::failed).value().to_json(true)
}

fn message(failure: Failure) -> String {
    match failure {
        Failure::System(Error { message, .. }) => message,
        Failure::Arguments(error) => error.to_string(),
    }
}

/// Every field that Ansible's result has, but those left out.
fn compare(task: &Task, theirs: &Json, ours: &Json, left_out: &[&str]) -> Option<String> {
    const NEVER: [&str; 6] = ["exception", "invocation", "deprecations", "stdout_lines", "stderr_lines", "diff"];
    let fields = theirs.as_object()?.iter().filter(|(name, _)| !NEVER.contains(&name.as_str()) && !left_out.contains(&name.as_str()));
    let different: Vec<String> = fields
        .filter(|(name, theirs)| ours.get(name.as_str()) != Some(*theirs))
        .map(|(name, theirs)| format!("    {name}: {theirs} is Ansible's, {} ours", ours.get(name.as_str()).unwrap_or(&Json::Null)))
        .collect();
    (!different.is_empty()).then(|| format!("{} {}\n{}\n    all of ours: {ours}", task.module, task.arguments, different.join("\n")))
}

#[test]
fn modules_of_the_run_give_what_ansibles_give() {
    let variables = json!({"a": 1, "l": ["x", "y"], "c": "a == 2", "cs": ["a == 1", "a == 3"], "hh": {"a": 1, "b": {"x": 1}}});
    let files = [
        ("v.yml", "va: '{{ a }}'\n"),
        ("vd/a.yml", "x1: 1\n"),
        ("vd/skip.yml", "x2: 1\n"),
        ("vd/z.json", "{\"x3\": 1}\n"),
        ("vd3/a.yml", "x4: 1\n"),
        ("vd3/b.txt", "x5: 1\n"),
        ("vd3/sub/a.yml", "x6: 1\n"),
        ("h.yml", "hh: {c: 3, b: {y: 2}}\n"),
    ];
    // (task, fields that differ for a reason)
    let tasks: Vec<(Task, &[&str])> = vec![
        (task("debug", json!({"msg": "hi {{ a }}"})), &[]),
        (task("debug", json!({})), &[]),
        (task("debug", json!({"msg": ["x", {"y": "{{ l }}"}]})), &[]),
        (task("debug", json!({"var": "a"})), &[]),
        (task("debug", json!({"var": "l[0] ~ 'z'"})), &[]),
        (task("debug", json!({"var": "{{ c }}"})), &[]),
        // Ansible numbers its template errors in the value.
        (task("debug", json!({"var": "nope"})), &["nope", "warnings"]),
        (task("debug", json!({"var": "a", "verbosity": 2})), &[]),
        (task("assert", json!({"that": "a == 1"})), &[]),
        (task("assert", json!({"that": ["a == 1", "a == 2", "nope"], "fail_msg": "bad {{ a }}"})), &[]),
        (task("assert", json!({"that": "{{ cs }}", "quiet": true})), &[]),
        (task("assert", json!({"that": []})), &[]),
        (task("assert", json!({"that": [true, false], "success_msg": ["a", "b"]})), &[]),
        (task("assert", json!({"that": ["a == 1"], "success_msg": ["a", "b"]})), &[]),
        // The sentences are ours.
        (task("assert", json!({"that": ["a"]})), &["msg"]),
        (task("assert", json!({"that": ["nope"]})), &["msg"]),
        (task("fail", json!({})), &[]),
        (task("fail", json!({"msg": ["x", 1]})), &[]),
        (task("set_fact", json!({"x": 1, "dyn_{{ a }}": true, "s": "{{ a }}", "cacheable": true})), &[]),
        (task("set_fact", json!({"cacheable": true})), &[]),
        (task("set_stats", json!({"data": {"done": "{{ a }}"}})), &[]),
        (task("set_stats", json!({"data": {"done": 2}, "per_host": "yes", "aggregate": false})), &[]),
        (task("set_fact", json!({"bad-name": true})), &["msg"]),
        (task("include_vars", json!({"file": "v.yml"})), &[]),
        (task("include_vars", json!({"file": "v.yml", "name": "pre"})), &[]),
        (task("include_vars", json!({"dir": "vd", "ignore_files": ["skip.*"], "extensions": ["yml", "json"]})), &[]),
        (task("include_vars", json!({"dir": "vd3", "ignore_unknown_extensions": true, "depth": 1, "name": "pp"})), &[]),
        (task("include_vars", json!({"dir": "vd3", "files_matching": "^a"})), &[]),
        (task("include_vars", json!({"dir": "vd3"})), &["msg", "ansible_included_var_files", "ansible_facts"]),
        (task("include_vars", json!({"file": "h.yml", "hash_behaviour": "merge"})), &[]),
        (task("include_vars", json!({"file": "gone.yml"})), &["msg", "message"]),
        (task("group_by", json!({"key": "my group {{ a }}"})), &[]),
        (task("group_by", json!({"key": "x", "parents": ["p q", "r"]})), &[]),
        (task("group_by", json!({"key": "x", "parents": ["p q", "r"]})), &[]),
        (task("add_host", json!({"name": "h1:22", "groups": "a, b", "foo": "bar"})), &[]),
        (task("add_host", json!({"name": "h1:22", "groups": "a, b", "foo": "bar"})), &[]),
        (task("add_host", json!({"hostname": "h2", "groups": ["a"], "foo": "bar", "host": "q"})), &[]),
        (task("add_host", json!({"host": "h3", "group": "g", "foo": "{{ a }}"})), &[]),
    ];
    let (tasks, left_out): (Vec<Task>, Vec<&[&str]>) = tasks.into_iter().unzip();
    let Some((theirs, folder)) = theirs(&variables, &files, &tasks) else { return };
    let mut engine = TestEngine::new(&variables, folder.path());
    let different: Vec<String> = tasks
        .iter()
        .zip(&theirs)
        .zip(left_out)
        .filter_map(|((task, theirs), left_out)| {
            let ours = ours(task, &mut engine);
            compare(task, theirs, &ours, left_out)
        })
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
#[ignore = "minutes of Ansible: cargo test --test main modules_of_the_machine_give -- --ignored"]
fn modules_of_the_machine_give_what_ansibles_give() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let open = listener.local_addr().expect("bound").port();
    let closed = {
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
        other.local_addr().expect("bound").port()
    };
    let hostname = Real::default().kernel_hostname().expect("reads");
    let package = "dpkg";
    let tasks: Vec<(Task, &[&str])> = vec![
        (task("wait_for", json!({"port": open, "timeout": 3})), &[]),
        (task("wait_for", json!({"port": closed, "state": "stopped", "timeout": 3})), &[]),
        (task("wait_for", json!({"port": closed, "timeout": 1})), &[]),
        (task("wait_for", json!({"port": open, "timeout": 1, "state": "stopped", "msg": "still there"})), &[]),
        (task("wait_for", json!({"port": open, "state": "drained", "timeout": 2})), &[]),
        (task("wait_for", json!({"path": "/etc/passwd", "search_regex": "^(ro+t):(?P<x>.):", "timeout": 2})), &[]),
        (task("wait_for", json!({"path": "/no/such/file", "state": "absent"})), &[]),
        (task("wait_for", json!({"path": "/no/such/file", "timeout": 1})), &[]),
        (task("wait_for", json!({"timeout": 1})), &[]),
        (task("wait_for", json!({"port": 1, "path": "/x"})), &["elapsed"]),
        (task("wait_for", json!({"path": "/x", "state": "drained"})), &["elapsed"]),
        (checked("wait_for", json!({"port": open})), &["msg"]),
        (task("getent", json!({"database": "passwd", "key": "root"})), &[]),
        (task("getent", json!({"database": "group"})), &[]),
        (task("getent", json!({"database": "services", "key": "http"})), &[]),
        (task("getent", json!({"database": "services", "service": "files"})), &[]),
        (task("getent", json!({"database": "shadow", "key": "root", "split": "*"})), &[]),
        (task("getent", json!({"database": "passwd", "key": "no-such-user", "fail_key": false})), &[]),
        (task("getent", json!({"database": "passwd", "key": "no-such-user"})), &[]),
        (task("getent", json!({"database": "no-such-database"})), &[]),
        (checked("hostname", json!({"name": hostname})), &["ansible_facts"]),
        (
            checked("hostname", json!({"name": "another.example.com", "use": "generic"})),
            &["ansible_facts", "msg", "failed", "changed", "name"],
        ),
        (checked("apt", json!({"name": package})), &["cache_update_time"]),
        (checked("apt", json!({"name": "no-such-package-at-all", "state": "absent"})), &[]),
        (checked("apt", json!({"name": "no-such-package-*"})), &[]),
        (checked("apt", json!({"name": ["apt", "dpkg=0.1"]})), &["cache_update_time", "cache_updated"]),
        (checked("package", json!({"name": package, "state": "present", "use": "apt"})), &["cache_update_time"]),
        (checked("reboot", json!({})), &["elapsed", "msg", "failed", "changed", "rebooted"]),
    ];
    let (tasks, left_out): (Vec<Task>, Vec<&[&str]>) = tasks.into_iter().unzip();
    let Some((theirs, folder)) = theirs(&json!({}), &[], &tasks) else { return };
    let mut engine = TestEngine::new(&json!({}), folder.path());
    let different: Vec<String> = tasks
        .iter()
        .zip(&theirs)
        .zip(left_out)
        .filter_map(|((task, theirs), left_out)| {
            let ours = ours(task, &mut engine);
            compare(task, theirs, &ours, left_out)
        })
        .collect();
    drop(listener);
    assert!(different.is_empty(), "{}", different.join("\n"));
}

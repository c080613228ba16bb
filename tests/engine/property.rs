//! The plan is the apply: random playbooks over random starting states, in this process, on real files.
//!
//! Held: what an apply does was planned, or comes after what the plan called unknown or a program; up to there plan and
//! apply say the same; a plan changes nothing; a machine that was changed in between stops the apply with a sentence.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use provision::agent::executor::Executor;
use provision::agent::frame::{Answer, Event, ItemResult, Question, Status, Summary, Up};
use provision::agent::journal::{Journal, SharedJournal};
use provision::agent::machine::Machine;
use provision::agent::mask::Masker;
use provision::agent::performers::Performers;
use provision::agent::port::{Ended, Port};
use provision::playbook::compile;
use provision::playbook::file::Content;
use provision::program::{Map, Position, Program};
use provision::project::{self, Project};
use provision::system::{Cancel, Child, Command, ContentSource, Error, Result, Stream, Watch};
use serde_json::{Value, json};

// ---- what is made up ----

/// Paths of the machine that tasks speak of: `p0` … and one below each.
const PATHS: usize = 6;

#[derive(Clone, Debug)]
enum Start {
    Nothing,
    File(u8, bool),
    Folder,
    FolderWithFile(u8),
    Link(usize),
}

#[derive(Clone, Debug)]
enum Act {
    Folder { path: usize, narrow: bool },
    Gone { path: usize },
    Link { path: usize, to: usize },
    Mode { path: usize, narrow: bool },
    Copy { path: usize, below: bool, content: u8 },
    Source { path: usize, force: bool },
    Template { path: usize },
    Command { path: usize, kind: u8 },
    Read { path: usize, name: usize },
    Stat { path: usize, name: usize },
    Fact { name: usize, kind: u8 },
    Edit { path: usize, kind: u8 },
    Look { path: usize, name: usize, kind: u8 },
    System { kind: usize },
    Engine { kind: usize },
    Fail,
    Flush,
}

/// Tasks that look, wait or say, and change no machine.
fn of_the_engine() -> [(&'static str, Value); 7] {
    [
        ("debug", json!({"msg": "{{ fact0 | default('none') }}"})),
        ("debug", json!({"var": "fact0 | default('none')"})),
        ("assert", json!({"that": "fact0 | default('a') == 'a'"})),
        ("assert", json!({"that": ["1 == 1", "fact1 is undefined or fact1 != 'c'"]})),
        ("include_vars", json!({"file": "more.yaml", "name": "more"})),
        ("setup", json!({"gather_subset": ["!all", "!min", "env"]})),
        ("wait_for", json!({"timeout": 0})),
    ]
}

/// What no folder can stand for: tasks of a unit, a package, an account, a group and a kernel setting that a node has for them; of
/// another user; of the inventory.
fn systemic() -> [(&'static str, Value); 19] {
    let settings = "/etc/sysctl.d/90-one.conf";
    [
        ("service", json!({"name": "one", "state": "started"})),
        ("service", json!({"name": "one", "state": "stopped", "enabled": true})),
        ("systemd", json!({"name": "one", "state": "restarted", "enabled": false})),
        ("systemd", json!({"name": "one", "masked": true, "state": "stopped"})),
        ("systemd", json!({"name": "one", "masked": false, "state": "reloaded", "daemon_reload": true})),
        ("apt", json!({"deb": "/srv/one.deb"})),
        ("apt", json!({"name": "one", "state": "absent", "purge": true})),
        ("user", json!({"name": "one", "shell": "/bin/sh", "groups": "two", "append": true})),
        ("user", json!({"name": "one", "state": "absent", "remove": true})),
        ("group", json!({"name": "two", "gid": 4242})),
        ("group", json!({"name": "two", "state": "absent"})),
        ("sysctl", json!({"name": "net.core.somaxconn", "value": "1234", "sysctl_file": settings})),
        ("sysctl", json!({"name": "net.core.somaxconn", "state": "absent", "sysctl_file": settings})),
        ("hostname", json!({"name": "one"})),
        ("package", json!({"name": "one", "state": "absent"})),
        ("copy", json!({"content": "one\n", "dest": "/srv/of-daemon/one"})),
        ("file", json!({"path": "/srv/of-daemon/one", "state": "absent"})),
        ("group_by", json!({"key": "with-{{ fact0 | default('a') }}"})),
        ("add_host", json!({"name": "added", "groups": "more"})),
    ]
}

/// Each of them one way or the other, by a bit of `starts` each.
fn systemic_script(starts: u8) -> String {
    let choices = [
        ["systemctl unmask --quiet one; systemctl start one", "systemctl stop one"],
        ["systemctl enable --quiet one", "systemctl disable --quiet one"],
        ["dpkg --install /srv/one.deb >/dev/null", "dpkg --purge one 2>/dev/null"],
        ["groupadd --force two; groupmod --gid 4242 two", "userdel one 2>/dev/null; groupdel two 2>/dev/null"],
        ["id one >/dev/null 2>&1 || useradd --shell /bin/sh --create-home one", "userdel --remove one 2>/dev/null"],
        ["echo one >/etc/hostname; hostname one", "echo two >/etc/hostname; hostname two"],
        ["echo net.core.somaxconn=1234 >/etc/sysctl.d/90-one.conf", "rm -f /etc/sysctl.d/90-one.conf"],
    ];
    let unit = "[Service]\\nExecStart=/bin/sleep infinity\\nExecReload=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n";
    let about = "Package: one\\nVersion: 1\\nArchitecture: all\\nMaintainer: One <one@example.org>\\nDescription: one\\n";
    let mut script = format!(
        "mkdir -p /srv/one/DEBIAN; printf '{about}' >/srv/one/DEBIAN/control; dpkg-deb --build /srv/one /srv/one.deb >/dev/null\n\
         systemctl unmask --quiet one; printf '{unit}' >/usr/lib/systemd/system/one.service; systemctl daemon-reload\n\
         sysctl --quiet --write net.core.somaxconn=4096\n\
         rm -rf /srv/of-daemon; install -d -o daemon /srv/of-daemon\n"
    );
    for (bit, [yes, no]) in choices.iter().enumerate() {
        script += if starts >> bit & 1 == 1 { yes } else { no };
        script.push('\n');
    }
    script + "true\n"
}

const STATE: &str = "find /srv/machine /srv/of-daemon -printf '%p %y %m %l %T@ %i\n' | sort; \
                     systemctl show --property ActiveState,UnitFileState,MainPID,ActiveEnterTimestampMonotonic one; \
                     dpkg-query --show --showformat '${Status}\n' one; getent passwd one; getent group two; \
                     sysctl net.core.somaxconn; hostname; stat -c '%n %Z' /etc/sysctl.d/* /etc/systemd/system /usr/lib/systemd/system /etc/passwd /etc/group; true";

#[derive(Clone, Debug)]
struct Task {
    act: Act,
    when: Option<(usize, u8)>,
    loops: bool,
    notify: Option<usize>,
    register: Option<usize>,
    ignore: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Task(Task),
    Block(Vec<Task>, Vec<Task>, Vec<Task>),
    Include(usize),
}

#[derive(Clone, Debug)]
struct World {
    starts: Vec<Start>,
    steps: Vec<Step>,
    handlers: Vec<Task>,
    included: Vec<Vec<Task>>,
    system: u8,
}

fn act(of_node: bool) -> impl Strategy<Value = Act> {
    let path = 0..PATHS;
    let systemic = move |kind| if of_node { Act::System { kind } } else { Act::Fail };
    prop_oneof![
        3 => (path.clone(), any::<bool>()).prop_map(|(path, narrow)| Act::Folder { path, narrow }),
        2 => path.clone().prop_map(|path| Act::Gone { path }),
        2 => (path.clone(), path.clone()).prop_map(|(path, to)| Act::Link { path, to }),
        2 => (path.clone(), any::<bool>()).prop_map(|(path, narrow)| Act::Mode { path, narrow }),
        4 => (path.clone(), any::<bool>(), 0..3_u8).prop_map(|(path, below, content)| Act::Copy { path, below, content }),
        2 => (path.clone(), any::<bool>()).prop_map(|(path, force)| Act::Source { path, force }),
        2 => path.clone().prop_map(|path| Act::Template { path }),
        3 => (path.clone(), 0..5_u8).prop_map(|(path, kind)| Act::Command { path, kind }),
        2 => (path.clone(), 0..3_usize).prop_map(|(path, name)| Act::Read { path, name }),
        3 => (path.clone(), 0..3_usize).prop_map(|(path, name)| Act::Stat { path, name }),
        2 => (0..3_usize, 0..4_u8).prop_map(|(name, kind)| Act::Fact { name, kind }),
        5 => (path.clone(), 0..12_u8).prop_map(|(path, kind)| Act::Edit { path, kind }),
        2 => (path.clone(), 0..3_usize, 0..2_u8).prop_map(|(path, name, kind)| Act::Look { path, name, kind }),
        if of_node { 16 } else { 1 } => (0..self::systemic().len()).prop_map(systemic),
        2 => (0..of_the_engine().len()).prop_map(|kind| Act::Engine { kind }),
        1 => Just(Act::Flush),
    ]
}

fn task(of_node: bool) -> impl Strategy<Value = Task> {
    let when = proptest::option::weighted(0.3, (0..3_usize, 0..7_u8));
    let notify = proptest::option::weighted(0.3, 0..2_usize);
    let register = proptest::option::weighted(0.3, 0..3_usize);
    (act(of_node), when, proptest::bool::weighted(0.15), notify, register, proptest::bool::weighted(0.7))
        .prop_map(|(act, when, loops, notify, register, ignore)| Task { act, when, loops, notify, register, ignore })
}

fn world(of_node: bool) -> impl Strategy<Value = World> {
    let start = prop_oneof![
        3 => Just(Start::Nothing),
        3 => (0..3_u8, any::<bool>()).prop_map(|(content, narrow)| Start::File(content, narrow)),
        1 => Just(Start::Folder),
        2 => (0..3_u8).prop_map(Start::FolderWithFile),
        1 => (0..PATHS).prop_map(Start::Link),
    ];
    let tasks = |most: usize| proptest::collection::vec(task(of_node), 0..most);
    let step = prop_oneof![
        8 => task(of_node).prop_map(Step::Task),
        2 => (tasks(4), tasks(3), tasks(2)).prop_map(|(block, rescue, always)| Step::Block(block, rescue, always)),
        1 => (0..3_usize).prop_map(Step::Include),
    ];
    (
        proptest::collection::vec(start, PATHS..=PATHS),
        proptest::collection::vec(step, 1..9),
        proptest::collection::vec(task(of_node), 2..=2),
        proptest::collection::vec(proptest::collection::vec(task(of_node), 1..3), 2..=2),
        any::<u8>(),
    )
        .prop_map(|(starts, steps, handlers, included, system)| World { starts, steps, handlers, included, system })
}

// ---- as files ----

struct Lab {
    folder: tempfile::TempDir,
    /// Where the machine's paths are.
    machine: PathBuf,
}

impl Lab {
    fn new(world: &World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lab = Self { machine: folder.path().join("machine"), folder };
        fs::create_dir(&lab.machine).expect("made");
        for (index, start) in world.starts.iter().enumerate() {
            let path = lab.path(index);
            match start {
                Start::Nothing => {}
                Start::File(content, narrow) => {
                    fs::write(&path, content_of(*content)).expect("written");
                    fs::set_permissions(&path, fs::Permissions::from_mode(if *narrow { 0o600 } else { 0o644 })).expect("set");
                }
                Start::Folder => fs::create_dir(&path).expect("made"),
                Start::FolderWithFile(content) => {
                    fs::create_dir(&path).expect("made");
                    fs::write(path.join("x"), content_of(*content)).expect("written");
                }
                Start::Link(to) => std::os::unix::fs::symlink(lab.path(*to), &path).expect("linked"),
            }
        }
        lab.write_project(world);
        lab
    }

    /// The same for a node: its starting state as a script.
    fn elsewhere(world: &World) -> (Self, String) {
        let lab = Self { folder: tempfile::tempdir().expect("a folder"), machine: "/srv/machine".into() };
        lab.write_project(world);
        let mut script = systemic_script(world.system) + "rm -rf /srv/machine; mkdir /srv/machine; cd /srv/machine\n";
        for (index, start) in world.starts.iter().enumerate() {
            let file = |content: &u8, path: String| format!("printf '%s' '{}' > {path}\n", content_of(*content));
            script += &match start {
                Start::Nothing => String::new(),
                Start::File(content, narrow) => {
                    file(content, format!("p{index}")) + &format!("chmod {} p{index}\n", if *narrow { "600" } else { "644" })
                }
                Start::Folder => format!("mkdir p{index}\n"),
                Start::FolderWithFile(content) => format!("mkdir p{index}\n") + &file(content, format!("p{index}/x")),
                Start::Link(to) => format!("ln -s {} p{index}\n", lab.path(*to).display()),
            };
        }
        (lab, script)
    }

    fn write_project(&self, world: &World) {
        let lab = self;
        fs::create_dir(lab.folder.path().join("project")).expect("made");
        lab.write("inventory", "localhost ansible_connection=local\n");
        lab.write("source.txt", "of the project\n");
        let packed = std::process::Command::new("tar")
            .args(["--mtime=@1600000000", "-cf", "pack.tar", "source.txt"])
            .current_dir(lab.folder.path().join("project"))
            .status();
        assert!(packed.expect("tar runs").success());
        lab.write("more.yaml", "one: 1\n");
        lab.write("text.j2", "fact {{ fact0 | default('none') }} and {{ fact1 | default('none') }}\n");
        let tasks = |tasks: &[Task], prefix: &str| -> Vec<Value> {
            tasks.iter().enumerate().map(|(index, task)| lab.task(task, &format!("{prefix}{index}"), true)).collect()
        };
        for (index, included) in world.included.iter().enumerate() {
            lab.write(&format!("inc-{index}.yaml"), &json!(tasks(included, &format!("inc{index}-"))).to_string());
        }
        let steps: Vec<Value> = world
            .steps
            .iter()
            .enumerate()
            .map(|(index, step)| match step {
                Step::Task(task) => lab.task(task, &format!("t{index}"), true),
                Step::Block(block, rescue, always) => {
                    let mut value = json!({"name": format!("b{index}"), "block": tasks(block, &format!("b{index}-"))});
                    for (name, part) in [("rescue", rescue), ("always", always)] {
                        if !part.is_empty() {
                            value[name] = tasks(part, &format!("b{index}{name}-")).into();
                        }
                    }
                    if block.is_empty() { json!({"name": "empty", "debug": {"msg": "empty"}}) } else { value }
                }
                Step::Include(name) => json!({"name": format!("i{index}"), "include_tasks": {"file": format!("inc-{{{{ 1 if fact{name} | default('a') == 'b' else 0 }}}}.yaml")}}),
            })
            .collect();
        let handlers: Vec<Value> = world
            .handlers
            .iter()
            .enumerate()
            .map(|(index, task)| {
                let mut value = lab.task(&Task { notify: None, ..task.clone() }, &format!("h{index}"), false);
                value["name"] = format!("h{index}").into();
                value
            })
            .collect();
        lab.write("site.yaml", &json!([{"hosts": "localhost", "gather_facts": false, "tasks": steps, "handlers": handlers}]).to_string());
    }

    fn path(&self, index: usize) -> PathBuf {
        self.machine.join(format!("p{index}"))
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("project").join(name), text).expect("written");
    }

    fn task(&self, task: &Task, name: &str, may_flush: bool) -> Value {
        let path = |index: usize| {
            if task.loops { format!("{}{{{{ item }}}}", self.path(index).display()) } else { self.path(index).display().to_string() }
        };
        let mode = |narrow: bool| if narrow { "0700" } else { "0755" };
        let mut value = json!({"name": name});
        match &task.act {
            Act::Folder { path: index, narrow } => {
                value["file"] = json!({"path": path(*index), "state": "directory", "mode": mode(*narrow)});
            }
            Act::Gone { path: index } => value["file"] = json!({"path": path(*index), "state": "absent"}),
            Act::Link { path: index, to } => {
                value["file"] = json!({"path": path(*index), "src": self.path(*to).display().to_string(), "state": "link", "force": true});
            }
            Act::Mode { path: index, narrow } => value["file"] = json!({"path": path(*index), "mode": mode(*narrow)}),
            Act::Copy { path: index, below, content } => {
                let dest = if *below { format!("{}/x", path(*index)) } else { path(*index) };
                value["copy"] = json!({"content": content_of(*content), "dest": dest});
            }
            Act::Source { path: index, force } => {
                value["copy"] = json!({"src": "source.txt", "dest": path(*index), "force": force, "mode": "0640"});
            }
            Act::Template { path: index } => value["template"] = json!({"src": "text.j2", "dest": path(*index)}),
            Act::Command { path: index, kind } => {
                let path = path(*index);
                match kind {
                    0 => value["command"] = json!({"cmd": format!("touch {path}"), "creates": path}),
                    1 => value["command"] = json!({"cmd": format!("rm -rf {path}"), "removes": path}),
                    2 => value["shell"] = json!(format!("echo b > {path}; echo b")),
                    3 => value["command"] = json!("echo b"),
                    _ => {
                        value["command"] = json!("echo a");
                        value["check_mode"] = json!(false);
                    }
                }
            }
            Act::Read { path: index, name } => {
                value["shell"] = json!(format!("cat {} 2>/dev/null; true", path(*index)));
                value["changed_when"] = json!(false);
                value["register"] = format!("reg{name}").into();
            }
            Act::Stat { path: index, name } => {
                value["stat"] = json!({"path": path(*index)});
                value["register"] = format!("stat{name}").into();
            }
            Act::Fact { name, kind } => {
                let text = match kind {
                    0 => "a".to_owned(),
                    1 => "b".to_owned(),
                    2 => format!("{{{{ reg{name}.stdout | default('none') }}}}"),
                    _ => format!("{{{{ 'b' if stat{name}.stat.exists | default(false) else 'a' }}}}"),
                };
                value["set_fact"] = json!({format!("fact{name}"): text});
            }
            Act::Edit { path: index, kind } => {
                let (path, next) = (path(*index), self.path((index + 1) % PATHS).display().to_string());
                let (module, arguments) = match kind {
                    0 => ("lineinfile", json!({"path": path, "line": "one"})),
                    1 => ("lineinfile", json!({"path": path, "regexp": "^(o|t)", "line": "\\1x", "backrefs": true, "mode": "0640"})),
                    2 => ("lineinfile", json!({"path": path, "state": "absent", "regexp": "e$"})),
                    3 => ("lineinfile", json!({"path": path, "line": "new", "insertbefore": "BOF", "create": true})),
                    4 => ("blockinfile", json!({"path": path, "block": "in a block", "create": true, "mode": "0600"})),
                    5 => ("blockinfile", json!({"path": path, "state": "absent"})),
                    6 => ("assemble", json!({"src": path, "dest": next, "delimiter": "--"})),
                    7 => ("unarchive", json!({"src": "pack.tar", "dest": path, "mode": "u=rwX,go="})),
                    8 => ("tempfile", json!({"path": path, "state": "directory"})),
                    9 => ("replace", json!({"path": path, "regexp": "^(.)o", "replace": "\\1i"})),
                    10 => ("cron", json!({"name": "one", "job": "true", "user": "root", "cron_file": path})),
                    _ => ("cron", json!({"name": "one", "state": "absent", "cron_file": path})),
                };
                value[module] = arguments;
            }
            Act::Look { path: index, name, kind } => {
                if *kind == 0 {
                    value["find"] = json!({"paths": path(*index), "recurse": true, "file_type": "any"});
                } else {
                    value["slurp"] = json!({"src": path(*index)});
                }
                value["register"] = format!("look{name}").into();
            }
            Act::System { kind } => {
                let (module, arguments) = systemic()[*kind].clone();
                if arguments.to_string().contains("/srv/of-daemon") {
                    value["become"] = true.into();
                    value["become_user"] = "daemon".into();
                }
                value[module] = arguments;
            }
            Act::Engine { kind } => {
                let (module, arguments) = of_the_engine()[*kind].clone();
                value[module] = arguments;
            }
            Act::Fail => value["fail"] = json!({"msg": "as asked"}),
            Act::Flush if may_flush => {
                value["meta"] = json!("flush_handlers");
                return value;
            }
            Act::Flush => value["debug"] = json!({"msg": "no flush here"}),
        }
        if let Some((name, kind)) = task.when {
            let condition = match kind {
                5 => format!("look{name}.matched | default(0) == 1"),
                6 => format!("look{name}.content | default('') == 'Yg=='"),
                0 => format!("stat{name}.stat.exists | default(false)"),
                1 => format!("not (stat{name}.stat.exists | default(true))"),
                2 => format!("reg{name} is defined and reg{name} is changed"),
                3 => format!("fact{name} | default('a') == 'b'"),
                _ => format!("reg{name}.stdout | default('') != 'b'"),
            };
            value["when"] = condition.into();
        }
        if task.loops {
            value["loop"] = json!(["", "-second"]);
        }
        if let Some(notify) = task.notify {
            value["notify"] = format!("h{notify}").into();
        }
        if let (Some(name), None) = (task.register, value.get("register")) {
            value["register"] = format!("reg{name}").into();
        }
        if task.ignore {
            value["ignore_errors"] = true.into();
        }
        value
    }

    fn playbook(&self) -> String {
        fs::read_to_string(self.folder.path().join("project/site.yaml")).expect("written")
    }

    /// Everything of the machine, times and inodes too.
    fn state(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![self.machine.clone()];
        while let Some(path) = open.pop() {
            use std::os::unix::fs::MetadataExt;
            let about = fs::symlink_metadata(&path).expect("there");
            let content = if about.is_symlink() {
                fs::read_link(&path).expect("a link").display().to_string()
            } else if about.is_dir() {
                open.extend(fs::read_dir(&path).expect("listed").map(|entry| entry.expect("an entry").path()));
                String::new()
            } else {
                String::from_utf8_lossy(&fs::read(&path).expect("read")).into_owned()
            };
            found.insert(path, format!("{:o} {} {}.{} {content}", about.mode(), about.ino(), about.mtime(), about.mtime_nsec()));
        }
        found
    }

    fn run(&self) -> Run {
        let folder = self.folder.path().join("project");
        let options = project::Options {
            inventory: vec!["inventory".to_owned()],
            playbooks: vec!["site.yaml".to_owned()],
            ..project::Options::default()
        };
        let (mut project, _) = Project::load(&folder, &options, &mut |_: &str| None);
        let playbooks: Vec<PathBuf> = project.environment.playbooks.iter().map(|part| part.path.clone()).collect();
        let compiled = compile::compile(&mut project, &playbooks, &compile::Options::default());
        assert!(
            !project.files.diagnostics.has_errors(),
            "{}\n{}",
            project.files.diagnostics.render(&project.files.sources),
            self.playbook()
        );
        let program = compiled.programs.values().next().expect("one host").clone();
        Run::new(program, compiled.contents.into_iter().collect())
    }
}

fn content_of(kind: u8) -> &'static str {
    ["b", "one\n", "two\n"][usize::from(kind) % 3]
}

// ---- an executor without a wire ----

struct Ear {
    contents: BTreeMap<Arc<str>, Content>,
    heard: Mutex<Vec<ItemResult>>,
}

impl Port for Ear {
    fn event(&self, event: Event) {
        if let Event::Item(item) = event {
            self.heard.lock().expect("nobody panics").push(item);
        }
    }
    fn send(&self, _: Up) {}
    fn ask(&self, question: Question) -> std::result::Result<Answer, Ended> {
        match question {
            // Nothing writes in the project's folder.
            Question::Files { .. } => Ok(Answer::Files(Box::default())),
            question => panic!("nobody answers {question:?}"),
        }
    }
    fn content(&self, sha256: &str, sink: &mut dyn Write) -> std::result::Result<(), Ended> {
        let bytes = match self.contents.get(sha256).expect("a file of the project") {
            Content::Path(path) => fs::read(path).expect("read"),
            Content::Secret(bytes) => bytes.to_vec(),
        };
        sink.write_all(&bytes).map_err(|error| Ended::Refused(error.to_string()))
    }
    fn reach(&self, _: &Position, _: bool) -> std::result::Result<bool, Ended> {
        Ok(false)
    }
    fn passed(&self, _: &Position, _: bool) {}
    fn publish(&self, _: &Position, _: Map) {}
    fn ended(&self, _: &Position) -> Option<Ended> {
        None
    }
    fn cancel(&self) -> Cancel {
        Cancel::default()
    }
}

struct Contents(Arc<Ear>);

impl ContentSource for Contents {
    fn fetch(&mut self, sha256: &str, sink: &mut dyn Write) -> Result<()> {
        self.0.content(sha256, sink).map_err(|ended| Error::failed(ended.to_string()))
    }
}

struct Quiet;

impl Watch for Quiet {
    fn starting(&mut self, _: &Command, _: &Child) -> Result<()> {
        Ok(())
    }
    fn line(&mut self, _: Stream, _: &str) {}
}

struct Run {
    executor: Executor,
    ear: Arc<Ear>,
}

impl Run {
    fn new(program: Program, contents: BTreeMap<Arc<str>, Content>) -> Self {
        let ear = Arc::new(Ear { contents, heard: Mutex::default() });
        let port: Arc<dyn Port> = Arc::<Ear>::clone(&ear);
        let journal: SharedJournal = Arc::new(Mutex::new(Journal::none()));
        let machine = Machine::new(Cancel::default(), Box::new(Contents(Arc::clone(&ear))), Box::new(Quiet));
        let performers = Performers::new(machine, Arc::clone(&port), None, Arc::clone(&journal), Masker::default(), false, Arc::default());
        Self { executor: Executor::new(Arc::new(program), port, performers, journal, false), ear }
    }

    fn plan(&mut self) -> (Vec<ItemResult>, Summary) {
        let summary = self.executor.plan();
        (self.heard(), summary)
    }

    fn apply(&mut self) -> (Vec<ItemResult>, Summary) {
        self.executor.prepare_apply();
        let summary = self.executor.run().expect("nothing restarts here");
        (self.heard(), summary)
    }

    fn heard(&self) -> Vec<ItemResult> {
        std::mem::take(&mut *self.ear.heard.lock().expect("nobody panics"))
    }
}

fn is_unknown(item: &ItemResult) -> bool {
    matches!(item.status, Status::Unknown(_))
}

/// Programs may do anything: what comes after one is not certain. One that only reads was run by the plan.
fn is_program(item: &ItemResult) -> bool {
    item.actions.iter().any(|action| action.starts_with("run ")) && (!item.ran || item.status == Status::Changed)
}

fn told(items: &[ItemResult]) -> String {
    items.iter().map(|item| format!("  {} {:?} {:?} {:?} {:?}\n", item.position, item.name, item.item, item.status, item.actions)).collect()
}

/// Plans and applies once, and holds them to each other.
fn plan_and_apply(lab: &Lab) {
    let before = lab.state();
    let mut run = lab.run();
    let (planned, _) = run.plan();
    assert_eq!(lab.state(), before, "a plan changes nothing:\n{}\n{}", lab.playbook(), told(&planned));
    let (applied, summary) = run.apply();
    let story = || format!("{}\nplanned:\n{}applied:\n{}", lab.playbook(), told(&planned), told(&applied));
    assert_eq!(summary.reason, None, "nobody changed the machine in between:\n{}", story());
    let open = planned.iter().position(|item| is_unknown(item) || is_program(item)).unwrap_or(planned.len());
    for (index, item) in planned.iter().take(open).enumerate() {
        let Some(done) = applied.get(index) else { panic!("the apply ended before {}:\n{}", item.position, story()) };
        // A read that the plan could not make, since something is changed before it, is made now.
        let is_read = done.status == Status::Ok && done.actions.iter().all(|action| action.starts_with("run "));
        // A fact or a stat under a condition that the plan could not know changes nothing either way.
        let nothing = item.status == Status::Ok && item.actions.is_empty() && done.status == Status::Skipped;
        let status = done.status == item.status || nothing;
        let same = done.position == item.position && done.item == item.item && status && (is_read || done.actions == item.actions);
        assert!(same, "plan and apply differ at {}:\n{}", item.position, story());
    }
    if open == planned.len() {
        assert_eq!(applied.len(), planned.len(), "nothing comes that was not planned:\n{}", story());
    }
    // Past that point too: what was changed was planned, or comes after it.
    let first = planned.get(open).map(|item| &item.position);
    for done in applied.iter().filter(|item| item.status == Status::Changed) {
        let of_it = |item: &&ItemResult| item.position == done.position && item.item == done.item;
        let was_planned = planned.iter().filter(of_it).any(|item| is_unknown(item) || !item.actions.is_empty());
        let comes_after = first.is_some_and(|position| *position <= done.position);
        assert!(was_planned || comes_after, "{} was neither planned nor comes after an unknown:\n{}", done.position, story());
    }
}

fn check(world: &World) {
    let lab = Lab::new(world);
    // The second round begins where the first has ended.
    plan_and_apply(&lab);
    plan_and_apply(&lab);
}

fn runner(cases: u32) -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 600, ..Config::default() })
}

#[test]
fn an_apply_does_what_its_plan_said() {
    runner(150)
        .run(&world(false), |world| {
            check(&world);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// What random playbooks have found, each a defect once.
#[test]
fn cases_that_were_found_stay_mended() {
    let plain = |act: Act| Task { act, when: None, loops: false, notify: None, register: None, ignore: false };
    let world = |starts: &[(usize, Start)], steps: Vec<Step>| {
        let mut all = vec![Start::Nothing; PATHS];
        for (index, start) in starts {
            all[*index] = start.clone();
        }
        World {
            starts: all,
            steps,
            handlers: vec![plain(Act::Fact { name: 0, kind: 0 }); 2],
            included: vec![vec![plain(Act::Fact { name: 0, kind: 0 })]; 2],
            system: 0,
        }
    };
    let below_a_file = plain(Act::Copy { path: 5, below: true, content: 0 });
    let (change, read) = (plain(Act::Folder { path: 0, narrow: false }), plain(Act::Read { path: 1, name: 0 }));
    let fails_by_what_was_read = Task { when: Some((0, 4)), ..plain(Act::Fail) };
    let stat_by_what_was_read = Task { when: Some((0, 4)), ..plain(Act::Stat { path: 1, name: 0 }) };
    let written = plain(Act::Copy { path: 2, below: false, content: 1 });
    let worlds = [
        // A plan said "write", and the apply failed.
        world(&[(5, Start::File(0, false))], vec![Step::Task(below_a_file)]),
        // The play's end depends on what can be read only after a change: the rescue was refused as not planned.
        world(
            &[(1, Start::File(1, false))],
            vec![
                Step::Task(change.clone()),
                Step::Task(read.clone()),
                Step::Block(vec![fails_by_what_was_read], vec![written.clone()], Vec::new()),
            ],
        ),
        // A read after a change made all that follows uncertain.
        world(
            &[(1, Start::File(0, false))],
            vec![Step::Task(change), Step::Task(read), Step::Task(stat_by_what_was_read), Step::Task(written)],
        ),
    ];
    worlds.iter().for_each(check);
}

/// Each task has a path of its own, and nothing depends on what is there.
fn settled() -> impl Strategy<Value = World> {
    world(false).prop_map(|mut world| {
        let mut next = 0;
        world.steps.retain_mut(|step| match step {
            Step::Task(task) => {
                task.when = None;
                task.loops = false;
                task.ignore = true;
                let own = next;
                next += 1;
                match &mut task.act {
                    Act::Folder { path, .. }
                    | Act::Copy { path, .. }
                    | Act::Source { path, .. }
                    | Act::Template { path }
                    | Act::Gone { path } => *path = own,
                    Act::Command { path, kind } => {
                        *path = own;
                        *kind %= 2;
                    }
                    _ => return false,
                }
                if let Act::Copy { below, .. } = &mut task.act {
                    *below = false;
                }
                own < PATHS
            }
            Step::Block(..) | Step::Include(_) => false,
        });
        // What stands in the way of a file or folder makes its task fail, each time anew.
        world.starts.iter_mut().filter(|start| !matches!(start, Start::File(..))).for_each(|start| *start = Start::Nothing);
        world.handlers =
            vec![Task { act: Act::Fact { name: 0, kind: 0 }, when: None, loops: false, notify: None, register: None, ignore: false }; 2];
        world
    })
}

#[test]
fn a_second_plan_proves_that_nothing_is_left_and_a_third_hand_is_noticed() {
    runner(80)
        .run(&settled(), |world| {
            let lab = Lab::new(&world);
            plan_and_apply(&lab);
            let mut run = lab.run();
            let (planned, _) = run.plan();
            for item in planned.iter().filter(|item| item.status != Status::Failed) {
                assert!(
                    !is_unknown(item) && item.actions.is_empty(),
                    "the second plan still acts:\n{}\n{}",
                    lab.playbook(),
                    told(&planned)
                );
            }
            // Somebody else changes a file after the plan.
            let written = world.steps.iter().find_map(|step| match step {
                Step::Task(Task { act: Act::Copy { path, .. } | Act::Template { path }, .. }) => Some(lab.path(*path)),
                _ => None,
            });
            if let Some(path) = written.filter(|path| path.is_file()) {
                fs::write(&path, "of a third hand").expect("written");
                let (applied, summary) = run.apply();
                let reason = summary.reason.unwrap_or_default();
                assert!(
                    reason.contains("the machine changed since the plan") && reason.contains("provision plan"),
                    "{reason:?}\n{}\n{}",
                    lab.playbook(),
                    told(&applied)
                );
                assert_eq!(fs::read(&path).expect("there"), b"of a third hand", "it is left as it is");
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The same by the real program, over SSH, on a node: an entry of the plan as `--json` has it.
fn entry(value: &Value) -> String {
    let part = |name: &str| value[name].to_string();
    format!("{} {} {} {}", part("position"), part("item"), part("task"), part("actions"))
}

#[test]
fn an_agent_on_a_node_does_what_it_planned() {
    let Some(node) = super::lab::Lab::new(&["localhost"]) else { return };
    let mut runner = runner(1);
    let worlds = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8);
    // Worlds in which nothing is open are compared whole, others as far as the first open entry: so many of each, at least.
    let (mut whole, mut changes) = (0, 0);
    for number in 0.. {
        if number >= worlds && (whole >= 3 && changes >= 3 || number >= 5 * worlds) {
            break;
        }
        let world = world(true).new_tree(&mut runner).expect("a world").current();
        let (lab, script) = Lab::elsewhere(&world);
        node.nodes.ssh("localhost", &script);
        for entry in fs::read_dir(lab.folder.path().join("project")).expect("listed").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name != "inventory" {
                let name = if name == "site.yaml" { "playbooks/site.yaml".to_owned() } else { format!("playbooks/{name}") };
                node.write(&name, &fs::read_to_string(entry.path()).expect("read"));
            }
        }
        node.write("provision.yaml", "name: lab\nmachines: null\ninventory: inventory.ini\nplaybooks: [playbooks/site.yaml]\n");
        let state = || node.nodes.ssh("localhost", STATE);
        let before = state();
        let plan = node.provision(&["plan", "--json"]);
        let story = |more: &str| format!("{}\n{script}\n{}\n{}\n{more}", lab.playbook(), plan.stdout, plan.stderr);
        assert_eq!(state(), before, "a plan changes nothing: {}", story(""));
        let up = node.provision(&["up", "--yes", "--json"]);
        let told = || story(&format!("{}\n{}", up.stdout, up.stderr));
        let planned = plan.events("planned");
        assert_eq!(planned, up.events("planned"), "the plan of `up` is `plan`'s: {}", told());
        assert!(!up.stdout.contains("the machine changed since the plan"), "{}", told());
        // What comes after a program or an unknown may be anything.
        let is_open = |value: &Value| {
            let runs = value["actions"]
                .as_array()
                .is_some_and(|actions| actions.iter().any(|action| action.as_str().unwrap_or("").starts_with("run ")));
            value["plan"] == "unknown" || (runs && value["plan"] == "change")
        };
        let open = planned.iter().position(is_open);
        let mut expected: Vec<String> = planned[..open.unwrap_or(planned.len())]
            .iter()
            .filter(|value| ["change", "of the run"].iter().any(|word| value["plan"] == *word))
            .map(entry)
            .collect();
        let mut done: Vec<String> = up.events("result").iter().filter(|value| value["status"] == "changed").map(entry).collect();
        // A plan that ends badly is refused, and nothing is done.
        if done.is_empty() && state() == before {
            continue;
        }
        if open.is_some() {
            done.truncate(expected.len());
        }
        whole += usize::from(open.is_none());
        changes += expected.len();
        expected.sort();
        done.sort();
        assert_eq!(done, expected, "{}", told());
    }
    assert!(whole >= 3 && changes >= 3, "{whole} worlds were compared whole, {changes} changes in all");
}

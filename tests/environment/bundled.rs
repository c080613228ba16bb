//! A copy of the bundled environment, on a network of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use provision::vm::Environment;
use serde_json::Value;

use super::browser::curl;
use crate::support;
use crate::support::nodes::{Turn, root_or_skip};

pub const NODES: [&str; 3] = ["control", "worker-1", "worker-2"];

/// The program that is tested; PROVISION names another one, of a release say.
pub fn program() -> OsString {
    std::env::var_os("PROVISION").unwrap_or_else(|| env!("CARGO_BIN_EXE_provision").into())
}

/// Every file of a node's system with its time of change, size and content.
pub const LISTING: &str = "cd /; find etc usr opt root -xdev -printf '%p %C@ %s %m %l\\n'; \
                           find etc usr opt root -xdev -type f -print0 | xargs -0 sha256sum";

/// Its machines go when it is dropped.
pub struct Bundled {
    folder: tempfile::TempDir,
    /// The user's, where the environment leaves nothing but caches.
    home: tempfile::TempDir,
    /// Files of the folder as the test wrote them.
    written: Mutex<BTreeMap<PathBuf, String>>,
    pub name: String,
    network: String,
    _turn: Turn,
}

impl Bundled {
    /// Every one of this process has the same name and network, so that what is made of two of them can be compared.
    pub fn new() -> Option<Self> {
        if !root_or_skip() {
            return None;
        }
        let turn = Turn::alone();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::Builder::new().prefix("provision-test-").tempdir().expect("a folder");
        let network = format!("10.215.{}", std::process::id() % 250 + 1);
        // `t-PID` is how the leavings of a dead test process are known.
        let bundled = Self {
            folder,
            home: tempfile::tempdir().expect("a home"),
            written: Mutex::default(),
            name: format!("t-{}-cluster", std::process::id()),
            network,
            _turn: turn,
        };
        for part in [
            "playbooks",
            "charts",
            "inventory",
            "model-service",
            "src",
            "benches",
            "build.rs",
            "Cargo.toml",
            "Cargo.lock",
            "rust-toolchain.toml",
        ] {
            std::os::unix::fs::symlink(project.join(part), bundled.path().join(part)).expect("a link");
        }
        bundled.machines(2);
        bundled.values(2);
        let environment = fs::read_to_string(project.join("provision.yaml")).expect("the environment");
        let environment = environment
            .replace("name: dev\n", &format!("name: {}\n", bundled.name))
            .replace("charts/phishing/values-dev.yaml", "values.yaml");
        bundled.write("provision.yaml", &environment);
        Some(bundled)
    }

    /// Writes the machines' file, with so many workers.
    pub fn machines(&self, workers: u32) {
        self.machines_of("vms/dev.yaml", &[("count: 2", &format!("count: {workers}"))]);
    }

    /// Writes a machines' file of the project, on networks of the test's own, with these words instead of those.
    pub fn machines_of(&self, file: &str, edits: &[(&str, &str)]) {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("the machines");
        let text = text.replace("192.168.60", &self.network).replace("192.168.61", &self.second_network());
        let machines = edits.iter().fold(text, |text, (from, to)| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        });
        self.write("vms/dev.yaml", &machines);
    }

    /// Writes the values of the bundled release, with so many pods of the model service.
    pub fn values(&self, replicas: u32) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/phishing/values-dev.yaml");
        let values = fs::read_to_string(file).expect("the values").replace("192.168.60.2", &self.address("2"));
        self.write("values.yaml", &values.replace("modelService:\n", &format!("modelService:\n  replicaCount: {replicas}\n")));
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn environment(&self) -> Environment {
        Environment::new(&self.name, self.path()).expect("its name")
    }

    pub fn address(&self, last: &str) -> String {
        format!("{}.{last}", self.network)
    }

    /// Of the files that have two.
    pub fn second_network(&self) -> String {
        self.network.replacen("10.215.", "10.216.", 1)
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("written");
        self.written.lock().expect("written").insert(path, text.to_owned());
    }

    /// Files of the folder are what the test wrote, and in the home is at most what kubectl and Go keep there for themselves.
    #[track_caller]
    pub fn only_what_the_test_wrote_is_there(&self) {
        let (mut found, mut folders) = (BTreeMap::new(), vec![self.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                if path.is_symlink() {
                    assert_eq!(fs::read_link(&path).ok(), path.file_name().map(|name| Path::new(env!("CARGO_MANIFEST_DIR")).join(name)));
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).expect("a file");
                    found.insert(path, String::from_utf8_lossy(&bytes).into_owned());
                }
            }
        }
        assert_eq!(found, *self.written.lock().expect("written"));
        let entries = |folder: &str| {
            let entries = fs::read_dir(self.home.path().join(folder)).into_iter().flatten();
            entries.map(|entry| Path::new(folder).join(entry.expect("an entry").file_name())).collect::<BTreeSet<_>>()
        };
        let left: BTreeSet<PathBuf> = ["", ".kube", ".config", ".config/go"].into_iter().flat_map(entries).collect();
        // Go counts in every home how often it was asked for its version.
        let known = [".kube", ".kube/cache", ".config", ".config/go", ".config/go/telemetry"].map(PathBuf::from);
        assert_eq!(left.difference(&known.into()).collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.surrounded(program());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// A command that runs in the folder.
    pub fn surrounded(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env("HOME", self.home.path());
        // What is of use to more than one home.
        if let Some(home) = std::env::var_os("HOME").map(PathBuf::from) {
            for (name, folder) in [("XDG_CACHE_HOME", ".cache"), ("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"), ("GOPATH", "go")] {
                command.env(name, std::env::var_os(name).unwrap_or_else(|| home.join(folder).into()));
            }
        }
        // A release has its own agent in it.
        if ["PROVISION", "PROVISION_AGENT"].into_iter().all(|name| std::env::var_os(name).is_none()) {
            command.env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"));
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("provision runs")
    }

    /// Standard output and error of a command that ends so.
    #[track_caller]
    pub fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        support::expect(code, &mut self.command(arguments))
    }

    /// `up` that ends well; its story.
    #[track_caller]
    pub fn up(&self) -> String {
        self.expect(0, &["up", "--yes"]).1
    }

    #[track_caller]
    pub fn destroy(&self) {
        self.expect(0, &["destroy", "--yes"]);
    }

    #[track_caller]
    pub fn proves_no_change(&self) {
        self.expect(0, &["plan", "--detailed-exitcode"]);
    }

    #[track_caller]
    pub fn on(&self, node: &str, script: &str) -> String {
        self.expect(0, &["ssh", node, "--", script]).0
    }

    /// The listing of a node.
    #[track_caller]
    pub fn listing(&self, node: &str) -> BTreeSet<String> {
        let text = self.on(node, LISTING);
        assert!(text.lines().count() > 2000, "{text}");
        text.lines().map(str::to_owned).collect()
    }

    /// The same of many nodes, at once.
    #[track_caller]
    pub fn listings<'node>(&self, nodes: &[&'node str]) -> Vec<(&'node str, BTreeSet<String>)> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = nodes.iter().map(|node| (*node, scope.spawn(|| self.listing(node)))).collect();
            threads.into_iter().map(|(node, thread)| (node, thread.join().expect("a listing"))).collect()
        })
    }

    /// Nothing on these nodes is another than in their listings, but these paths.
    #[track_caller]
    pub fn untouched_but(&self, before: &[(&str, BTreeSet<String>)], meant: &[&str]) {
        let nodes: Vec<&str> = before.iter().map(|(node, _)| *node).collect();
        for ((node, before), (_, after)) in before.iter().zip(self.listings(&nodes)) {
            let differs = after.symmetric_difference(before);
            let differs: Vec<&String> = differs.filter(|line| !line.split(' ').any(|word| meant.contains(&word))).collect();
            assert_eq!(differs, Vec::<&String>::new(), "{node}");
        }
    }

    #[track_caller]
    pub fn untouched(&self, before: &[(&str, BTreeSet<String>)]) {
        self.untouched_but(before, &[]);
    }

    /// Requests in the API server's audit log by which one of our clients changed something.
    pub fn writes(&self) -> Vec<String> {
        let log = self.on("control", "cat /var/log/kubernetes/audit.log");
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let writes = events.filter(|event| {
            let text = |key: &str| event[key].as_str().unwrap_or_default();
            let agent = text("userAgent");
            let ours = ["provision/", "kubectl/", "kubeadm/"].iter().any(|name| agent.starts_with(name));
            ours && ["create", "update", "patch", "delete", "deletecollection"].contains(&text("verb"))
                && !text("requestURI").contains("dryRun=All")
        });
        writes.map(|event| format!("{} {} {}", event["userAgent"], event["verb"], event["requestURI"])).collect()
    }

    #[track_caller]
    pub fn kubectl(&self, words: &[&str]) -> String {
        self.expect(0, &[&["kubectl"], words].concat()).0
    }

    /// Names of the cluster's nodes.
    #[track_caller]
    pub fn node_objects(&self) -> Vec<String> {
        let names = self.kubectl(&["get", "nodes", "--output", "name"]);
        names.lines().map(|line| line.trim_start_matches("node/").to_owned()).collect()
    }

    /// What pods of a node may use is what its file says.
    #[track_caller]
    pub fn may_use(&self, node: &str, cpus: f64, mebibytes: f64) {
        let path = "jsonpath={.status.allocatable.cpu} {.status.allocatable.memory}";
        let allocatable = self.kubectl(&["get", "node", node, "--output", path]);
        let (cpu, memory) = allocatable.split_once(' ').expect("two amounts");
        let cpu = cpu.strip_suffix('m').map_or_else(|| cpu.parse(), |milli| milli.parse().map(|milli: f64| milli / 1000.0));
        let memory = memory.trim_end_matches("Ki").parse::<f64>().expect("kibibytes") / 1024.0;
        for (found, wanted) in [(cpu.expect("cpus"), cpus), (memory, mebibytes)] {
            assert!((found / wanted - 1.0).abs() < 0.05, "{node}: {allocatable}");
        }
    }

    pub fn page(&self) -> String {
        self.page_at("2")
    }

    pub fn page_at(&self, last: &str) -> String {
        format!("http://{}/", self.address(last))
    }

    #[track_caller]
    pub fn answers(&self) {
        self.answers_at("2");
    }

    #[track_caller]
    pub fn answers_at(&self, last: &str) {
        let url = format!("{}predict", self.page_at(last));
        let answer = curl(&["--json", r#"{"url":"http://192.0.2.7/paypal/webscr/login.php"}"#, &url]);
        assert_eq!(answer["predictions"][0]["verdict"], "phishing", "{answer}");
    }

    /// Starts `up`, which goes on beside the test.
    pub fn begin_up(&self) -> Begun {
        Begun::of(self.command(&["up", "--yes", "--json"]))
    }

    /// Starts `up` and kills it when its story says this, after a while.
    #[track_caller]
    pub fn killed_at(&self, word: &str, after: Duration) {
        let mut begun = self.begin_up();
        begun.until(word);
        std::thread::sleep(after);
        assert!(begun.runs(), "`up` ended before it was killed:\n{}", begun.story());
        begun.signal(Signal::SIGKILL);
        begun.ended();
    }
}

impl Drop for Bundled {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for words in [&["get", "pods", "-A", "-o", "wide"][..], &["get", "nodes"]] {
                let output = self.run(&[&["kubectl"], words].concat());
                eprintln!("{}", String::from_utf8_lossy(&output.stdout));
            }
        }
        // To look at what went wrong, by hand.
        if std::thread::panicking() && std::env::var_os("KEEP").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.path().display());
            return;
        }
        let _ = self.run(&["destroy", "--yes"]);
    }
}

/// A command that goes on; killed where it does when it is dropped.
pub struct Begun {
    child: Child,
    told: Arc<Mutex<Vec<String>>>,
    listener: Option<JoinHandle<()>>,
}

impl Begun {
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("provision runs");
        let events = BufReader::new(child.stdout.take().expect("piped"));
        let story = BufReader::new(child.stderr.take().expect("piped"));
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (heard, read) = (Arc::clone(&told), Arc::clone(&told));
        let push = |told: &Mutex<Vec<String>>, line: String| told.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        let listener = std::thread::spawn(move || {
            let other = std::thread::spawn(move || story.lines().map_while(Result::ok).for_each(|line| push(&heard, line)));
            events.lines().map_while(Result::ok).filter_map(|line| sentence(&line)).for_each(|line| push(&read, line));
            let _ = other.join();
        });
        Self { child, told, listener: Some(listener) }
    }

    fn lines(&self) -> Vec<String> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has said so far.
    pub fn story(&self) -> String {
        self.lines().join("\n")
    }

    /// The last thing that it said.
    pub fn last(&self) -> String {
        self.lines().pop().unwrap_or_default()
    }

    /// Waits until a step of its story has this in it.
    #[track_caller]
    pub fn until(&mut self, word: &str) {
        let limit = Instant::now() + Duration::from_secs(300);
        while !steps(&self.lines()).any(|line| line.contains(word)) {
            assert!(self.runs() && Instant::now() < limit, "`up` never came to {word:?}:\n{}", self.story());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_none()
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("our own child");
    }

    /// Its exit code, none where it was killed, and its whole story.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("our own child");
        // What it started may keep its stderr open for a moment.
        if let Some(listener) = self.listener.take().filter(|_| status.code().is_some()) {
            let _ = listener.join();
        }
        (status.code(), self.story())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What stands before a step that was taken.
const STEP: &str = "step ";

/// An event as a line: it comes when it happens, where the text for a person waits for every host to be past a task.
fn sentence(line: &str) -> Option<String> {
    let event: Value = serde_json::from_str(line).ok()?;
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    match (text("event"), text("layer")) {
        ("result", "hosts") if text("status") == "changed" => Some(format!("{STEP}{} {} : {}", text("host"), text("role"), text("task"))),
        ("result", "cluster") => Some(format!("{STEP}✔ cluster {}", text("condition"))),
        ("result", "releases") => Some(format!("{STEP}+ {}", text("object"))),
        ("finished", _) if event["unreachable"].is_string() => {
            Some(format!("fatal: [{}]: UNREACHABLE! => {}", text("host"), text("unreachable")))
        }
        ("planned" | "connecting" | "connected" | "started" | "output" | "play" | "included", _) => None,
        _ => Some(line.to_owned()),
    }
}

/// Lines of steps that were taken.
fn steps(lines: &[String]) -> impl Iterator<Item = &String> {
    lines.iter().filter(|line| line.starts_with(STEP))
}

/// Runs a command that asks this question, and answers it; its exit code and all that it said.
#[track_caller]
pub fn answered(mut command: Command, question: &str, answer: impl FnOnce() -> &'static str) -> (Option<i32>, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    let (mut keyboard, mut screen) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let (mut said, mut bytes, mut answer) = (String::new(), [0; 4096], Some(answer));
    while let Ok(count) = screen.read(&mut bytes) {
        if count == 0 {
            break;
        }
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if said.contains(question)
            && let Some(answer) = answer.take()
        {
            keyboard.write_all(answer().as_bytes()).expect("it listens");
        }
    }
    let status = child.wait().expect("our own child");
    assert!(answer.is_none(), "it never asked:\n{said}");
    (status.code(), said)
}

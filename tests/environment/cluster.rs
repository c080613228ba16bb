//! The bundled environment, on a network of its own: from nothing to a page that answers, again without a change, killed in the
//! middle, and gone. Real nodes, a real Kubernetes, a real browser.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use provision::vm::Environment;
use serde_json::{Value, json};

use crate::support::nodes::{Turn, root_or_skip};
use crate::vm::destroy::{difference, snapshot};

const NODES: [&str; 3] = ["control", "worker-1", "worker-2"];

/// A copy of the bundled environment; its machines go when it is dropped.
struct Bundled {
    folder: tempfile::TempDir,
    name: String,
    network: String,
    _turn: Turn,
}

impl Bundled {
    fn new(number: u32) -> Option<Self> {
        if !root_or_skip() {
            return None;
        }
        let turn = Turn::alone();
        let project = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::Builder::new().prefix("provision-test-").tempdir().expect("a folder");
        let network = format!("10.215.{}", (std::process::id() + number) % 250 + 1);
        let bundled = Self { folder, name: format!("t-cluster-{number}-{}", std::process::id()), network, _turn: turn };
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
        let machines = fs::read_to_string(project.join("vms/dev.yaml")).expect("the machines");
        bundled.write("vms/dev.yaml", &machines.replace("192.168.60", &bundled.network));
        bundled.write("values.yaml", &format!("service: {{externalIPs: [{}]}}\n", bundled.address("2")));
        let environment = fs::read_to_string(project.join("provision.yaml")).expect("the environment");
        let environment = environment
            .replace("name: dev\n", &format!("name: {}\n", bundled.name))
            .replace("charts/phishing/values-dev.yaml", "values.yaml");
        bundled.write("provision.yaml", &environment);
        Some(bundled)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn address(&self, last: &str) -> String {
        format!("{}.{last}", self.network)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command.args(arguments).current_dir(self.path()).env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent")).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("provision runs")
    }

    #[track_caller]
    fn expect(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    /// `up` that ends well; its story.
    #[track_caller]
    fn up(&self) -> String {
        self.expect(0, &["up", "--yes"]).1
    }

    #[track_caller]
    fn proves_no_change(&self) {
        self.expect(0, &["plan", "--detailed-exitcode"]);
    }

    fn on(&self, node: &str, script: &str) -> String {
        self.expect(0, &["ssh", node, "--", script]).0
    }

    /// Every file of a node's system with its time of change and size.
    fn listing(&self, node: &str) -> BTreeSet<String> {
        let text = self.on(node, "find /etc /usr /opt /root -xdev -printf '%p %C@ %s %m\\n'");
        assert!(text.lines().count() > 1000, "{text}");
        text.lines().map(str::to_owned).collect()
    }

    /// Requests in the API server's audit log by which one of our clients changed something.
    fn writes(&self) -> Vec<String> {
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

    fn kubectl(&self, words: &[&str]) -> String {
        self.expect(0, &[&["kubectl"], words].concat()).0
    }

    fn page(&self) -> String {
        format!("http://{}/", self.address("2"))
    }

    #[track_caller]
    fn answers(&self) {
        let url = format!("{}predict", self.page());
        let answer = curl(&["--json", r#"{"url":"http://192.0.2.7/paypal/webscr/login.php"}"#, &url]);
        assert_eq!(answer["predictions"][0]["verdict"], "phishing", "{answer}");
    }

    /// Starts `up` and kills it when its story says this, after a while.
    fn killed_at(&self, word: &str, after: Duration) {
        let mut child = self.command(&["up", "--yes"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("provision runs");
        let story = BufReader::new(child.stderr.take().expect("piped"));
        let mut told = String::new();
        let seen = story.lines().map_while(Result::ok).any(|line| {
            told.push_str(&line);
            told.push('\n');
            // A layer's own line, or a task's with its hosts; never a line of the plan.
            (line.starts_with("    ") && !line.starts_with("     ") && !["=", "~", "?", "!"].iter().any(|sign| line[4..].starts_with(sign))
                || line.starts_with("  ✔"))
                && line.contains(word)
        });
        assert!(seen, "`up` ended before {word:?}:\n{told}");
        std::thread::sleep(after);
        child.kill().expect("it still runs");
        child.wait().expect("it ended");
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
        let _ = self.run(&["destroy", "--yes"]);
    }
}

/// JSON that a server answers.
#[track_caller]
fn curl(arguments: &[&str]) -> Value {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"])
        .args(arguments)
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A headless Chromium, driven by its own driver.
struct Browser {
    driver: std::process::Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn open() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs: tests/run installs it");
        let mut said = BufReader::new(driver.stdout.take().expect("piped"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(said.read_line(&mut line).expect("it says its port") > 0, "chromedriver ended");
            if let Some(port) = line
                .split("on port ")
                .nth(1)
                .and_then(|rest| rest.trim_end().trim_end_matches('.').parse::<u16>().ok())
                .filter(|port| *port != 0)
            {
                break port;
            }
        };
        // It goes on talking: nobody may close its pipe.
        std::thread::spawn(move || said.lines().map_while(Result::ok).for_each(drop));
        let profile = tempfile::tempdir().expect("a profile");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let answer = curl(&["--json", &wanted.to_string(), &format!("http://127.0.0.1:{port}/session")]);
        let id = answer["value"]["sessionId"].as_str().expect("a session");
        Self { driver, session: format!("http://127.0.0.1:{port}/session/{id}"), _profile: profile }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        curl(&["--json", &body.to_string(), &format!("{}/{path}", self.session)])["value"].clone()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("element", &json!({"using": "css selector", "value": selector}));
        found
            .as_object()
            .and_then(|found| found.values().next())
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {selector}"))
            .to_owned()
    }

    fn text(&self, selector: &str) -> String {
        let element = self.element(selector);
        curl(&[&format!("{}/element/{element}/text", self.session)])["value"].as_str().expect("a text").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("curl").args(["--silent", "--max-time", "10", "--request", "DELETE", &self.session]).output();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

#[test]
fn the_bundled_environment_becomes_a_cluster_that_answers_and_goes_without_a_trace() {
    let Some(bundled) = Bundled::new(1) else { return };
    let own = Environment::new(&bundled.name, bundled.path()).expect("its name");
    let before = snapshot(&own);

    let story = bundled.up();
    assert!(story.contains("✔ release") && story.contains(&format!("page        {}", bundled.page())), "{story}");
    assert!(story.contains("✔ cluster    pods reach each other on all nodes"), "{story}");
    bundled.answers();
    let status: Value = serde_json::from_str(&bundled.expect(0, &["status", "--json"]).0).expect("JSON");
    assert_eq!(status["url"], bundled.page());
    assert!(status["nodes"].as_array().expect("nodes").iter().all(|node| node["state"] == "ready"), "{status}");

    // Pods run on both workers, and a node may use what its file says.
    let hosts = bundled.kubectl(&["--namespace", "phishing", "get", "pods", "--output", "jsonpath={.items[*].spec.nodeName}"]);
    assert_eq!(hosts.split_whitespace().collect::<BTreeSet<_>>(), BTreeSet::from(["worker-1", "worker-2"]));
    let memory = bundled.kubectl(&["get", "node", "worker-1", "--output", "jsonpath={.status.allocatable.memory}"]);
    let mebibytes = memory.trim_end_matches("Ki").parse::<f64>().expect("kibibytes") / 1024.0;
    assert!((mebibytes / 3072.0 - 1.0).abs() < 0.05, "{memory}");

    // Again: nothing changes, on no node and not in the cluster.
    let (listings, writes): (Vec<_>, _) = (NODES.map(|node| bundled.listing(node)).into(), bundled.writes());
    // What is to be absent now was there before, by these names.
    for name in ["\"provision/", "\"kubectl/"] {
        assert!(writes.iter().any(|write| write.starts_with(name)), "no write of {name}: {writes:?}");
    }
    let begun = Instant::now();
    let again = bundled.up();
    eprintln!("the second `up` took {:.1} s", begun.elapsed().as_secs_f64());
    assert!(again.starts_with("No changes: "), "{again}");
    assert!(again.contains("6 objects"), "{again}");
    for (node, before) in NODES.iter().zip(listings) {
        let after = bundled.listing(node);
        assert_eq!(after.symmetric_difference(&before).collect::<Vec<_>>(), Vec::<&String>::new(), "{node}");
    }
    let more: Vec<String> = bundled.writes().split_off(writes.len());
    assert_eq!(more, Vec::<String>::new());
    bundled.proves_no_change();

    // A volume of the default class holds what a pod writes.
    bundled.write("volume.yaml", VOLUME);
    bundled.kubectl(&["apply", "--filename", "volume.yaml"]);
    bundled.kubectl(&["wait", "pod/writer", "--for", "jsonpath={.status.phase}=Succeeded", "--timeout", "60s"]);
    bundled.kubectl(&["delete", "--filename", "volume.yaml", "--timeout", "60s"]);

    // In a browser, as a person.
    let browser = Browser::open();
    browser.post("url", &json!({"url": bundled.page()}));
    let field = browser.element("#url");
    browser.post(&format!("element/{field}/value"), &json!({"text": "http://192.0.2.7/paypal/webscr/login.php"}));
    let button = browser.element("button");
    browser.post(&format!("element/{button}/click"), &json!({}));
    assert_eq!(browser.text("#verdict").to_lowercase(), "phishing");
    drop(browser);

    // One node goes and comes back; the others are not touched, and the cluster is whole.
    bundled.expect(0, &["destroy", "--yes", "worker-2"]);
    assert_eq!(bundled.kubectl(&["get", "nodes", "--output", "name"]).lines().collect::<Vec<_>>(), ["node/control", "node/worker-1"]);
    let listing = bundled.listing("worker-1");
    let story = bundled.up();
    let changed = story.lines().filter(|line| line.contains(" : ") && (line.starts_with("    control") || line.starts_with("    worker")));
    assert!(changed.clone().count() > 10 && changed.clone().all(|line| line.starts_with("    worker-2 ")), "{story}");
    assert_eq!(bundled.listing("worker-1").symmetric_difference(&listing).collect::<Vec<_>>(), Vec::<&String>::new());
    bundled.proves_no_change();
    bundled.answers();

    // A node's file and a value of the release drift: `up` does what `plan` says, entry by entry.
    bundled.on("worker-1", "echo '# drift' >> /etc/containerd/config.toml");
    bundled.write("values.yaml", &format!("service: {{externalIPs: [{}]}}\nreplicaCount: 3\n", bundled.address("2")));
    let (plan, _) = bundled.expect(2, &["plan", "--json", "--detailed-exitcode"]);
    let (up, _) = bundled.expect(0, &["up", "--yes", "--json"]);
    super::entries::agree(&plan, &up);
    for entry in [r#""host":"worker-1","position""#, r#""layer":"releases","release":"phishing","object":"Deployment phishing/phishing""#] {
        assert!(plan.contains(entry) && up.contains(entry), "{plan}");
    }
    bundled.proves_no_change();

    bundled.expect(0, &["destroy", "--yes"]);
    assert_eq!(difference(&own, &before), Vec::<String>::new());
}

#[test]
fn a_killed_up_is_completed_by_the_next() {
    let Some(bundled) = Bundled::new(2) else { return };
    bundled.killed_at("containerd : Configure containerd", Duration::from_millis(50));
    bundled.killed_at("control_plane : Describe the cluster", Duration::from_secs(4));
    bundled.killed_at("✔ cluster", Duration::ZERO);
    bundled.killed_at("+ ConfigMap", Duration::ZERO);
    bundled.up();
    bundled.proves_no_change();
    bundled.answers();
    let objects =
        bundled.kubectl(&["get", "all,configmaps,serviceaccounts,poddisruptionbudgets", "--namespace", "phishing", "--output", "name"]);
    for object in [
        "deployment.apps/phishing",
        "service/phishing",
        "configmap/phishing",
        "serviceaccount/phishing",
        "poddisruptionbudget.policy/phishing",
    ] {
        assert!(objects.lines().any(|line| line == object), "{object} is missing:\n{objects}");
    }
    // No token outlives a join for long, and none was made twice for nothing.
    let nodes = bundled.kubectl(&["get", "nodes", "--output", "name"]);
    assert_eq!(nodes.lines().count(), 3, "{nodes}");
}

const VOLUME: &str = r#"apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: volume}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  containers:
    - name: writer
      image: docker.io/library/busybox:1.35.0
      command: [/bin/sh, -c, "echo kept > /volume/file && cat /volume/file"]
      volumeMounts: [{name: volume, mountPath: /volume}]
  volumes:
    - name: volume
      persistentVolumeClaim: {claimName: volume}
"#;

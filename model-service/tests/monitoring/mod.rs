//! The chart's alerts and dashboard: promtool's unit tests, and a real Prometheus that scrapes the real service, both on loopback.
//!
//! Needs promtool and prometheus (Debian's package `prometheus`, which tests/run installs).

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::shipped;

fn chart(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/phishing/files").join(file)
}

#[test]
fn each_alert_fires_where_it_must_and_not_where_it_must_not() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/monitoring/alerts.yaml");
    for (words, file) in [(["check", "rules"], &chart("alerts.yaml")), (["test", "rules"], &tests)] {
        let done = Command::new("promtool").args(words).arg(file).output();
        let done = done.unwrap_or_else(|error| panic!("run promtool: {error}; install Debian's package `prometheus`"));
        assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    }
    // Every alert has a case in which it fires.
    let (alerts, cases) = (fs::read_to_string(chart("alerts.yaml")).unwrap(), fs::read_to_string(tests).unwrap());
    let names: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(cases.contains(&format!("alertname: {name}\n        exp_alerts:\n")), "no case in which {name} fires");
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The real program with these arguments, and its address.
fn started(arguments: &[&str]) -> (Running, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_model-service"));
    let mut process = command.args(arguments).args(["--listen", "127.0.0.1:0"]).env_clear().stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(process.stderr.take().unwrap());
    let running = Running(process);
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "{arguments:?} ended");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON log line: {line}"));
        if let (Some(address), "serving") = (told["address"].as_str(), told["message"].as_str().unwrap_or_default()) {
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return (running, address.to_owned());
        }
    }
}

/// HTTP 1.0: the answer ends with the connection, and is not chunked.
fn ask(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}

/// What the cluster's Prometheus says of each target.
const NAMESPACE: &str = "n";
const RELEASE: &str = "i";

/// A Prometheus on loopback with the chart's alerts.
struct Prometheus {
    address: String,
    _process: Running,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// `targets`: an address and its component each.
    fn scraping(targets: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let targets = targets.iter().map(|(address, component)| {
            let labels = json!({"namespace": NAMESPACE, "app_kubernetes_io_instance": RELEASE, "app_kubernetes_io_component": component});
            json!({"targets": [address], "labels": labels})
        });
        let settings = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [chart("alerts.yaml").canonicalize().unwrap()],
            "scrape_configs": [{"job_name": "phishing", "static_configs": targets.collect::<Vec<_>>()}],
        });
        let file = folder.path().join("prometheus.yml");
        fs::write(&file, settings.to_string()).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(&file).arg("--storage.tsdb.path").arg(folder.path().join("data"));
        command.arg(format!("--web.listen-address={free}")).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap_or_else(|error| panic!("start prometheus: {error}; install Debian's package `prometheus`"));
        Self { address: free.to_string(), _process: Running(process), _folder: folder }
    }

    /// What a query gives now: a list of series. None while the server is still starting.
    fn query(&self, expression: &str) -> Option<Vec<Value>> {
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(expression, NON_ALPHANUMERIC));
        let answer: Value = serde_json::from_str(&ask(&self.address, "GET", &path, "").ok()?).ok()?;
        assert_ne!(answer["status"], "error", "{expression}: {answer}");
        Some(answer["data"]["result"].as_array()?.clone())
    }

    /// Waits until a query gives something to draw: a rate needs two scrapes.
    #[track_caller]
    fn until_told(&self, title: &Value, expression: &str) {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            let series = self.query(expression).unwrap();
            let values: Vec<&str> = series.iter().filter_map(|series| series["value"][1].as_str()).collect();
            if !values.is_empty() && !values.contains(&"NaN") {
                return;
            }
            assert!(Instant::now() < limit, "{title}: {expression}: {series:?}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// Waits until the first series of a query has this value.
    #[track_caller]
    fn until(&self, expression: &str, value: &str) {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let last = self.query(expression);
            if last.iter().flatten().any(|series| series["value"][1] == value) {
                return;
            }
            assert!(Instant::now() < limit, "{expression} is {last:?}, not {value}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

const URLS: [&str; 5] = [
    "http://192.0.2.7/paypal/webscr/login.php",
    "https://www.example.org/",
    "http://login-secure.example.com/signin/verify?account=1",
    "https://docs.example.net/guide/chapter-2.html",
    "https://example.com/a/long/path/of/many/parts/that/goes/on/for/a/while?and=has&a=query",
];

#[test]
fn ten_predictions_are_quiet_the_eleventh_fires_and_every_panel_has_data() {
    let model = shipped();
    let (_service, address) = started(&["serve", "--admin", "127.0.0.1:0", "--model", model.to_str().unwrap()]);
    let (_full, full) = started(&["serve", "--admin", "127.0.0.1:0", "--queue", "0", "--model", model.to_str().unwrap()]);
    let (_app, app) = started(&["app", "--model-service", &format!("http://{address}")]);
    let prometheus = Prometheus::scraping(&[(&address, "model-service"), (&full, "model-service"), (&app, "app")]);
    let post = |address: &str, path: &str, body: Value| ask(address, "POST", path, &body.to_string()).unwrap();
    // A crowded machine may have it refuse for a moment.
    let predict = |body: &Value| {
        let mut tried = (0..100).map(|_| post(&address, "/predict", body.clone()));
        let refused = |answer: &String| answer.contains("overloaded").then(|| std::thread::sleep(Duration::from_millis(100))).is_some();
        tried.find(|answer| !refused(answer)).unwrap()
    };
    let sum = "sum(model_service_predictions_total)";
    // Counters are there before the first prediction: a scrape of each knows where they began.
    prometheus.until("count(up == 1)", "3");
    prometheus.until(sum, "0");

    for url in URLS.iter().chain(&URLS) {
        assert!(predict(&json!({"url": url})).contains("verdict"));
    }
    // What is no prediction.
    for path in ["/", "/healthz", "/readyz", "/metrics", "/version", "/nowhere"].iter().cycle().take(120) {
        ask(&address, "GET", path, "").unwrap();
    }
    ask(&address, "POST", "/predict", "{").unwrap();
    prometheus.until(sum, "10");
    prometheus.until(r#"sum(app_http_requests_total{route="/"})"#, "20");
    // Some rounds of the rules, which are a second apart, have seen it.
    std::thread::sleep(Duration::from_secs(3));
    let firing = r#"ALERTS{alertname=~"Phishing.*"}"#;
    assert_eq!(prometheus.query(firing), Some(vec![]));

    // The eleventh is a person's.
    let answer: Value = serde_json::from_str(&post(&app, "/api/predict", json!({"url": URLS[0]}))).unwrap();
    let vote = json!({"id": answer["id"], "url": URLS[0], "verdict": answer["verdict"], "feedback": "yes"});
    assert!(post(&app, "/api/feedback", vote).contains("success"));
    prometheus.until(r#"sum(feedback_yes_total{app_kubernetes_io_component="app"})"#, "1");
    prometheus.until(r#"ALERTS{alertname="PhishingManyPredictions", alertstate="firing"}"#, "1");

    // Drift is told from 200 predictions on.
    let many: Vec<String> = (0..250).map(|number| format!("http://host-{number}.example.com/path/{number}")).collect();
    assert!(predict(&json!({"urls": many})).contains("host-249"));

    for _ in 0..5 {
        assert!(post(&full, "/predict", json!({"url": URLS[0]})).contains("overloaded"));
    }

    let dashboard: Value = serde_json::from_slice(&fs::read(chart("dashboard.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap().iter().map(|target| (&panel["title"], target)));
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter().map(|annotation| (&annotation["name"], annotation));
    let mut asked = 0;
    for (title, target) in targets.chain(annotations) {
        let expression = target["expr"].as_str().unwrap();
        let concrete = expression.replace("$__rate_interval", "1m").replace("$namespace", NAMESPACE).replace("$release", RELEASE);
        // What stands in for a series that is not there would do so for a misspelt one.
        let concrete = concrete.replace(" or vector(0)", "");
        assert!(!concrete.contains('$'), "{concrete}");
        prometheus.until_told(title, &concrete);
        asked += 1;
    }
    assert!(asked > 12, "{asked}");
    // What the dashboard's variables choose from.
    for (variable, label) in [("namespace", "namespace"), ("release", "app_kubernetes_io_instance")] {
        let list = dashboard["templating"]["list"].as_array().unwrap();
        let query = list.iter().find(|one| one["name"] == variable).unwrap()["query"]["query"].as_str().unwrap();
        let metric = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(&format!(", {label})"))).unwrap();
        assert!(prometheus.query(metric).unwrap().iter().all(|series| series["metric"][label].is_string()), "{query}");
    }
}

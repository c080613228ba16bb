//! The page as a program and as a person see it.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// JSON that a server answers.
#[track_caller]
pub fn curl(arguments: &[&str]) -> Value {
    send(arguments, "")
}

/// The same, with what `@-` stands for.
#[track_caller]
fn send(arguments: &[&str], body: &str) -> Value {
    let mut curl = Command::new("curl")
        .args(["--silent", "--show-error", "--fail-with-body", "--max-time", "60"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl runs");
    // curl reads all of it before it says anything, or has ended.
    let _ = curl.stdin.take().expect("piped").write_all(body.as_bytes());
    let output = curl.wait_with_output().expect("curl ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
/// A driver that listens, what it goes on to say, and its port. `None`: it ended.
fn listening() -> Option<(Child, BufReader<ChildStdout>, u16)> {
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
        if said.read_line(&mut line).expect("it says its port") == 0 {
            break None;
        }
        let port = line.split("on port ").nth(1).and_then(|rest| rest.trim_end().trim_end_matches('.').parse::<u16>().ok());
        if port.is_some_and(|port| port != 0) {
            break port;
        }
    };
    if port.is_none() {
        driver.wait().expect("it ended");
    }
    Some((driver, said, port?))
}

/// A headless Chromium, driven by its own driver.
pub struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    pub fn open() -> Self {
        // It asks for any port of IPv4 and takes the same of IPv6: where somebody has that one, it ends.
        let (driver, said, port) = (0..5).find_map(|_| listening()).expect("chromedriver listens");
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
        // An element that comes late is waited for.
        let wanted =
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}, "timeouts": {"implicit": 10_000}}}});
        let answer = curl(&["--json", &wanted.to_string(), &format!("http://127.0.0.1:{port}/session")]);
        let id = answer["value"]["sessionId"].as_str().expect("a session");
        Self { driver, session: format!("http://127.0.0.1:{port}/session/{id}"), _profile: profile }
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        send(&["--json", "@-", &format!("{}/{path}", self.session)], &body.to_string())["value"].clone()
    }

    pub fn element(&self, selector: &str) -> String {
        let found = self.post("element", &json!({"using": "css selector", "value": selector}));
        found
            .as_object()
            .and_then(|found| found.values().next())
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {selector}"))
            .to_owned()
    }

    pub fn click(&self, selector: &str) {
        self.post(&format!("element/{}/click", self.element(selector)), &json!({}));
    }

    pub fn write(&self, selector: &str, text: &str) {
        self.post(&format!("element/{}/value", self.element(selector)), &json!({ "text": text }));
    }

    pub fn get(&self, path: &str) -> Value {
        curl(&[&format!("{}/{path}", self.session)])["value"].clone()
    }

    pub fn text(&self, selector: &str) -> String {
        let element = self.element(selector);
        self.get(&format!("element/{element}/text")).as_str().expect("a text").to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = Command::new("curl").args(["--silent", "--max-time", "10", "--request", "DELETE", &self.session]).output();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

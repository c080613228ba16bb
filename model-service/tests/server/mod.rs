//! The real program on a free port of loopback, and what it answers.

use std::io::{BufRead, BufReader, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::shipped;

/// It ends with the test.
pub struct Server {
    pub process: Child,
    pub address: String,
    /// The administration's address.
    pub admin: String,
}

impl Server {
    pub fn start(arguments: &[&str]) -> Self {
        Self::of(&shipped(), arguments)
    }

    pub fn of(model: &Path, arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_model-service"));
        program.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--model"]).arg(model).args(arguments).env_clear();
        Self::run(&mut program)
    }

    /// The app alone, beside a model service at `upstream`.
    pub fn app(upstream: &str, arguments: &[&str]) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_model-service"));
        program.args(["app", "--listen", "127.0.0.1:0", "--model-service", upstream]).args(arguments).env_clear();
        Self::run(&mut program)
    }

    /// Waits for the line that tells the address.
    pub fn run(program: &mut Command) -> Self {
        // A debug build on a crowded machine may take seconds for what takes milliseconds.
        program.env("MODEL_TIMEOUT_MS", "20000");
        let mut process = program.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let told = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it served");
            let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON log line: {line}"));
            assert_ne!(told["level"], "ERROR", "{line}");
            if told["message"] == "serving" {
                break told;
            }
        };
        let [address, admin] = ["address", "admin"].map(|name| told[name].as_str().unwrap_or_default().to_owned());
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address, admin }
    }

    pub fn connect(&self) -> TcpStream {
        connect(&self.address)
    }

    pub fn admin(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        send(connect(&self.admin), method, path, headers, b"")
    }

    pub fn metrics(&self, accept: &str) -> Answer {
        self.send("GET", "/metrics", &[&format!("accept: {accept}")], b"")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        send(self.connect(), method, path, headers, body)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn json(&self, body: &[u8]) -> Answer {
        self.send("POST", "/predict", &["content-type: application/json"], body)
    }

    pub fn form(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, &["content-type: application/x-www-form-urlencoded", "accept: text/html,*/*"], body)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &["content-type: application/json"], body.to_string().as_bytes())
    }

    /// MB of the process at its peak, less what it has of files (proc(5)): a debug build's program is larger than the released one.
    pub fn peak_without_files(&self) -> u64 {
        let told = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let [peak, of_files] = ["VmHWM:", "RssFile:"].map(|key| {
            let line = told.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
        });
        peak - of_files
    }

    /// With the 10 MB that the released program has of files at most.
    #[track_caller]
    pub fn is_within_forty_megabytes(&self) {
        let peak = self.peak_without_files() + 10;
        assert!(peak <= 40, "{peak} MB");
    }

    pub fn terminate(&self) {
        let done = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

pub fn send(mut stream: TcpStream, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        head.extend([header, "\r\n"]);
    }
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    // A server that refuses a body need not read it to the end.
    let _ = stream.write_all(body);
    Answer::read(stream)
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn read(stream: TcpStream) -> Self {
        Self::take(&mut BufReader::new(stream))
    }

    /// The next one of several.
    pub fn take(reader: &mut impl BufRead) -> Self {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "the answer's head is cut: {head}");
        }
        let length: usize = header_of(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: String::from_utf8(body).unwrap() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header_of(&self.head, name)
    }

    /// Has these versions on it.
    #[track_caller]
    pub fn is_by(&self, model_id: &str, model_version: &str, app: &str, canary: &str) {
        let told = ["x-model-id", "x-model-version", "x-app-version", "x-canary"].map(|name| self.header(name));
        assert_eq!(told, [model_id, model_version, app, canary].map(Some), "{}", self.head);
    }

    pub fn value(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The JSON of a good answer, whose type says that it is.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!((self.status, self.header("content-type")), (200, Some("application/json")), "{}", self.body);
        self.value()
    }

    pub fn code(&self) -> (u16, String) {
        (self.status, self.value()["error"]["code"].as_str().unwrap().to_owned())
    }
}

fn header_of<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(": ")).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

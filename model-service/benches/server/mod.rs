//! A server as a process of its own, which tells its address in the first line of its log.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

pub struct Server {
    pub process: Child,
    pub address: String,
}

impl Server {
    /// The service with the shipped model.
    pub fn service(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_model-service"));
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/v2.onnx");
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--model"]).arg(model).args(arguments);
        Self::start(command)
    }

    pub fn start(mut command: Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it ended before it served");
            if let Some(address) = serde_json::from_str::<Value>(&line).unwrap()["address"].as_str() {
                break address.to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address }
    }

    /// A line of its status by proc(5), in kB: `VmRSS`, `VmHWM`.
    pub fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

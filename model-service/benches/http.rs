//! Latency of `POST /predict` under an open loop of 2,000 requests a second, beside a bare axum handler, in turns within one run.
//!
//! `cargo bench -p model-service --profile service --bench http`; the goal is 1.3 for the ratio of the 99th percentiles. A request's time
//! counts from when it was due, so a server that falls behind is not spared. What else the machine does strikes single rounds: told are
//! medians of the rounds' percentiles, and the median of the ratios of two rounds side by side.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints a table, and may stop at what cannot be")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const RATE: u32 = 2_000;
const CONNECTIONS: u32 = 32;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_secs(1);
/// As long as the service's own answer.
const BARE: &str =
    r#"{"predictions":[{"url":"https://summer-stone30.example/mybank/billing","verdict":"phishing","probability":0.9876543}]}"#;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("bare") {
        return bare();
    }
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/v2.onnx");
    let mut service = Command::new(env!("CARGO_BIN_EXE_model-service"));
    service.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--model"]).arg(model).stderr(Stdio::piped());
    let mut bare = Command::new(std::env::current_exe().unwrap());
    bare.arg("bare").stderr(Stdio::piped());
    let servers = [Server::start(service), Server::start(bare)];
    for server in &servers {
        load(&server.address, Duration::from_millis(300)); // connections and caches were cold
    }
    let rounds: Vec<[Vec<f64>; 2]> = (0..ROUNDS)
        .map(|_| {
            servers.each_ref().map(|server| {
                let mut times = load(&server.address, ROUND);
                times.sort_by(f64::total_cmp);
                times
            })
        })
        .collect();
    println!("{RATE} requests/s, {ROUNDS} rounds of {ROUND:?} each, µs from when a request was due");
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let of = |times: &Vec<f64>| times[((times.len() - 1) as f64 * q) as usize] * 1e6;
        let pairs: Vec<[f64; 2]> = rounds.iter().map(|round| round.each_ref().map(of)).collect();
        let [service, bare] = [0, 1].map(|one| median(pairs.iter().map(|pair| pair[one])));
        let ratio = median(pairs.iter().map(|[service, bare]| service / bare));
        println!("{name}   service {service:8.0}   bare {bare:8.0}   ratio {ratio:.2}");
    }
    println!("resident: service {}, bare {}", servers[0].resident(), servers[1].resident());
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Reads a body and answers with a constant.
fn bare() {
    let handler = axum::routing::post(async |body: axum::body::Bytes| {
        std::hint::black_box(body);
        ([("content-type", "application/json")], BARE)
    });
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let said = serde_json::json!({"address": listener.local_addr().unwrap().to_string()});
        std::io::stderr().write_all(format!("{said}\n").as_bytes()).unwrap();
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, axum::Router::new().route("/predict", handler)).await.unwrap();
    });
}

struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let address = serde_json::from_str::<Value>(&line).unwrap()["address"].as_str().unwrap().to_owned();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { process, address }
    }

    fn resident(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Seconds of each request, from when it was due.
fn load(address: &str, long: Duration) -> Vec<f64> {
    let start = Instant::now() + Duration::from_millis(20);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS).map(|worker| scope.spawn(move || connection(address, start, worker, long))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn connection(address: &str, start: Instant, worker: u32, long: Duration) -> Vec<f64> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(&stream);
    let body = r#"{"urls":["https://summer-stone30.example/mybank/billing/billing.php?session=f0d4214"]}"#;
    let request =
        format!("POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (mut times, mut line) = (Vec::new(), String::new());
    let period = Duration::from_secs(1) / RATE;
    for number in (worker..).step_by(CONNECTIONS as usize) {
        let due = period * number;
        if due >= long {
            return times;
        }
        let due = start + due;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        (&stream).write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line).unwrap();
            if let Some(told) = line.strip_prefix("content-length: ") {
                length = told.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
            assert!(!line.starts_with("HTTP/1.1") || line.starts_with("HTTP/1.1 200"), "{line}");
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        times.push(due.elapsed().as_secs_f64());
    }
    times
}

//! Latency of `POST /predict` under an open loop of 2,000 requests a second, beside a bare axum handler, in turns within one run.
//!
//! `cargo bench -p model-service --profile service --bench http`; fails where the ratio of the 99th percentiles is above 1.3. A request's time
//! counts from when it was due, so a server that falls behind is not spared. What else the machine does strikes for some time: a round is a
//! turn of each, who is first changes, and told is the median of the rounds' ratios. An open loop has no beginning, and who begins a turn
//! has slept through the other's with caches that it must fill: turns of 5 s make the first 20 ms 0.4 % of the requests, and all are counted.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints a table, and may stop at what cannot be")]

mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use model_service as _; // the bare handler has the same allocator

use self::server::Server;

const RATE: u32 = 2_000;
const CONNECTIONS: u32 = 32;
const ROUNDS: usize = 15;
/// Of each server in a round: 10,000 requests.
const TURN: Duration = Duration::from_secs(5);
/// As long as the service's own answer.
const BARE: &str =
    r#"{"predictions":[{"url":"https://summer-stone30.example/mybank/billing","verdict":"phishing","probability":0.9876543}]}"#;

/// The largest ratio of the 99th percentiles.
const MOST: f64 = 1.3;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("bare") {
        bare();
        return ExitCode::SUCCESS;
    }
    let mut bare = Command::new(std::env::current_exe().unwrap());
    bare.arg("bare");
    let servers = [Server::service(&[]), Server::start(bare)].map(Loaded::of);
    for server in &servers {
        load(server); // caches were cold
    }
    let rounds: Vec<[Vec<f64>; 2]> = (0..ROUNDS).map(|number| round(number, &servers)).collect();
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("{RATE} requests/s, {ROUNDS} rounds of {TURN:?} each, µs from when a request was due; load {}", busy.trim());
    let mut told = f64::INFINITY;
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
        let of = |times: &Vec<f64>| times[((times.len() - 1) as f64 * q) as usize] * 1e6;
        let pairs: Vec<[f64; 2]> = rounds.iter().map(|round| round.each_ref().map(of)).collect();
        let [service, bare] = [0, 1].map(|one| sorted(pairs.iter().map(|pair| pair[one]))[ROUNDS / 2]);
        let ratios = sorted(pairs.iter().map(|[service, bare]| service / bare));
        let [least, ratio, most] = [ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]];
        told = ratio;
        println!("{name:>5}   service {service:8.0}   bare {bare:8.0}   ratio {ratio:.2} ({least:.2}, {most:.2})");
    }
    let [service, bare] = servers.each_ref().map(Loaded::processor);
    println!("processor time a request, µs of user and system: service {service:.0?}, bare {bare:.0?}");
    println!("resident: service {} kB, bare {} kB", servers[0].server.memory("VmRSS"), servers[1].server.memory("VmRSS"));
    if told <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Seconds of the requests of each server, sorted.
fn round(number: usize, servers: &[Loaded; 2]) -> [Vec<f64>; 2] {
    let mut taken = [Vec::new(), Vec::new()];
    for one in [number % 2, 1 - number % 2] {
        taken[one] = sorted(load(&servers[one]).into_iter());
    }
    taken
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
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

struct Loaded {
    server: Server,
    connections: Vec<TcpStream>,
}

impl Loaded {
    fn of(server: Server) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(&server.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        Self { connections: (0..CONNECTIONS).map(connect).collect(), server }
    }

    /// User and system time since its start for each of the requests, in µs.
    fn processor(&self) -> [f64; 2] {
        let told = std::fs::read_to_string(format!("/proc/{}/stat", self.server.process.id())).unwrap();
        // proc_pid_stat(5): fields 14 and 15, of which the second ends the only one with spaces, in ticks of 10 ms.
        let fields: Vec<&str> = told.rsplit_once(") ").unwrap().1.split(' ').collect();
        let requests = (1 + ROUNDS) as f64 * f64::from(RATE) * TURN.as_secs_f64();
        [11, 12].map(|field| fields[field].parse::<f64>().unwrap() * 1e4 / requests)
    }
}

/// The seconds that each request of a turn took from when it was due.
fn load(server: &Loaded) -> Vec<f64> {
    let start = Instant::now() + Duration::from_millis(20);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..).zip(&server.connections).map(|(worker, stream)| scope.spawn(move || connection(stream, start, worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn connection(mut stream: &TcpStream, start: Instant, worker: u32) -> Vec<f64> {
    let mut reader = BufReader::new(stream);
    let body = r#"{"urls":["https://summer-stone30.example/mybank/billing/billing.php?session=f0d4214"]}"#;
    let request =
        format!("POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (mut times, mut line) = (Vec::new(), String::new());
    let period = Duration::from_secs(1) / RATE;
    for number in (worker..).step_by(CONNECTIONS as usize) {
        let in_turn = period * number;
        if in_turn >= TURN {
            return times;
        }
        let due = start + in_turn;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        stream.write_all(request.as_bytes()).unwrap();
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

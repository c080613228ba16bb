//! Latency of `POST /predict` under an open loop of 2,000 requests a second, beside a bare axum handler, in turns within one run.
//!
//! `cargo bench -p model-service --profile service --bench http`; fails where the ratio of the 99th percentiles is above 1.3. A request's time
//! counts from when it was due, so a server that falls behind is not spared. What else the machine does strikes for some time: the two take
//! turns of 100 ms, the percentiles are of all turns of a round together, and told is the median of the rounds' ratios. An open loop has no
//! beginning: who begins a turn has slept through the other's, and its first 20 ms are not counted. Told is also how much that leaves out.

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
const ROUNDS: usize = 7;
/// Of each server in a round: 10,000 requests.
const TURNS: usize = 50;
const TURN: Duration = Duration::from_millis(100);
/// Before each turn, under the same load.
const BEGINNING: Duration = Duration::from_millis(20);
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
    let rounds: Vec<[Times; 2]> = (0..ROUNDS).map(|_| round(&servers)).collect();
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("{RATE} requests/s, {ROUNDS} rounds of {TURNS} turns of {TURN:?} each, µs from when a request was due; load {}", busy.trim());
    let mut told = f64::INFINITY;
    let rows: [(&str, f64, fn(&Times) -> &Vec<f64>); 4] = [
        ("p99 with beginnings", 0.99, |times| &times.all),
        ("p50", 0.5, |times| &times.counted),
        ("p90", 0.9, |times| &times.counted),
        ("p99", 0.99, |times| &times.counted),
    ];
    for (name, q, times) in rows {
        let of = |round: &Times| times(round)[((times(round).len() - 1) as f64 * q) as usize] * 1e6;
        let pairs: Vec<[f64; 2]> = rounds.iter().map(|round| round.each_ref().map(of)).collect();
        let [service, bare] = [0, 1].map(|one| sorted(pairs.iter().map(|pair| pair[one]))[ROUNDS / 2]);
        let ratios = sorted(pairs.iter().map(|[service, bare]| service / bare));
        let [least, ratio, most] = [ratios[0], ratios[ROUNDS / 2], ratios[ROUNDS - 1]];
        told = ratio;
        println!("{name:>19}   service {service:8.0}   bare {bare:8.0}   ratio {ratio:.2} ({least:.2}, {most:.2})");
    }
    let [service, bare] = servers.each_ref().map(Loaded::processor);
    println!("processor time a request, µs of user and system: service {service:.0?}, bare {bare:.0?}");
    println!("resident: service {}, bare {}", servers[0].server.memory("VmRSS"), servers[1].server.memory("VmRSS"));
    if told <= MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Seconds of the requests of a round, sorted.
struct Times {
    all: Vec<f64>,
    /// Without each turn's beginning.
    counted: Vec<f64>,
}

/// Of each server.
fn round(servers: &[Loaded; 2]) -> [Times; 2] {
    let mut taken = [Vec::new(), Vec::new()];
    for turn in 0..TURNS {
        // Who is first changes too.
        for one in [turn % 2, 1 - turn % 2] {
            taken[one].extend(load(&servers[one]));
        }
    }
    taken.map(|taken| Times {
        all: sorted(taken.iter().map(|(_, seconds)| *seconds)),
        counted: sorted(taken.iter().filter(|(due, _)| *due >= BEGINNING).map(|(_, seconds)| *seconds)),
    })
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
        let requests = (1 + ROUNDS * TURNS) as f64 * f64::from(RATE) * (BEGINNING + TURN).as_secs_f64();
        [11, 12].map(|field| fields[field].parse::<f64>().unwrap() * 1e4 / requests)
    }
}

/// When in its turn each request was due, and the seconds it took from then.
fn load(server: &Loaded) -> Vec<(Duration, f64)> {
    let start = Instant::now() + Duration::from_millis(20);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..).zip(&server.connections).map(|(worker, stream)| scope.spawn(move || connection(stream, start, worker))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn connection(mut stream: &TcpStream, start: Instant, worker: u32) -> Vec<(Duration, f64)> {
    let mut reader = BufReader::new(stream);
    let body = r#"{"urls":["https://summer-stone30.example/mybank/billing/billing.php?session=f0d4214"]}"#;
    let request =
        format!("POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (mut times, mut line) = (Vec::new(), String::new());
    let period = Duration::from_secs(1) / RATE;
    for number in (worker..).step_by(CONNECTIONS as usize) {
        let in_turn = period * number;
        if in_turn >= BEGINNING + TURN {
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
        times.push((in_turn, due.elapsed().as_secs_f64()));
    }
    times
}

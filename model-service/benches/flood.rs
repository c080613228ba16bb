//! More clients than the service can answer: how long who is answered waits, and what the process takes of memory meanwhile; fails where
//! one in a hundred of those answered waited over 0.25 s, nobody was answered, or the memory was over 40 MB.
//!
//! `cargo bench -p model-service --profile service --bench flood -- [CLIENTS] [SECONDS] [journal]` (4,000 for 20 s). A closed loop: each
//! client asks for one URL, waits for its answer, and asks again; at once, or when `Retry-After` of a 503 is over. A request's time counts
//! from its beginning, a new connection's included. Each client and each connection is a file: `ulimit -n` must allow them.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints a table, and may stop at what cannot be")]

mod server;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use self::server::Server;

/// A client gives up a request after so long, and tells it.
const PATIENCE: Duration = Duration::from_secs(60);
const BODY: &str = r#"{"urls":["https://summer-stone30.example/mybank/billing/billing.php?session=f0d4214"]}"#;

/// kB that the process may have had at most.
const MOST: u64 = 40 * 1024;
/// Seconds that the 99th percentile of those answered may take: the rest is told to come back. Without the limits it was 1.28.
const LATEST: f64 = 0.25;

/// What clients have seen, in seconds.
#[derive(Default)]
struct Seen {
    answered: Vec<f64>,
    refused: Vec<f64>,
    broken: usize,
}

struct Answer {
    status: u16,
    retry_after: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let mut numbers = arguments.iter().filter_map(|argument| argument.parse::<u64>().ok());
    let (clients, seconds) = (numbers.next().unwrap_or(4_000), numbers.next().unwrap_or(20));
    let folder = tempfile::tempdir().unwrap();
    let journal = ["--journal", folder.path().to_str().unwrap()];
    let is_kept = arguments.iter().any(|argument| argument == "journal");
    let server = Server::service(if is_kept { &journal } else { &[] });
    let seen = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let until = Instant::now() + Duration::from_secs(seconds);
        let clients: Vec<_> = (0..clients).map(|_| tokio::spawn(client(server.address.clone(), until))).collect();
        let mut all = Seen::default();
        for client in clients {
            let seen = client.await.unwrap();
            all.answered.extend(seen.answered);
            all.refused.extend(seen.refused);
            all.broken += seen.broken;
        }
        all
    });
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap();
    println!("{clients} clients, {seconds} s, journal: {is_kept}; load {}", busy.trim());
    let [answered, _] = [("200", seen.answered), ("503", seen.refused)].map(|(name, mut times)| {
        times.sort_by(f64::total_cmp);
        let last = times.len().checked_sub(1)?;
        let [p50, p99, longest] = [0.5, 0.99, 1.0].map(|share| times[(last as f64 * share) as usize]);
        println!("{name}   {:8} times   p50 {p50:.3} s   p99 {p99:.3} s   longest {longest:.3} s", times.len());
        Some(p99)
    });
    println!("connections that broke, or were silent for {PATIENCE:?}: {}", seen.broken);
    let [end, most] = ["VmRSS", "VmHWM"].map(|key| server.memory(key));
    println!("resident: {end} kB at the end, {most} kB at most");
    let is_within = most <= MOST && answered.is_some_and(|p99| p99 <= LATEST);
    if is_within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn client(address: String, until: Instant) -> Seen {
    let (mut seen, mut connection) = (Seen::default(), None);
    while Instant::now() < until {
        let began = Instant::now();
        let Ok(Ok(answer)) = timeout(PATIENCE, ask(&address, &mut connection)).await else {
            connection = None;
            seen.broken += 1;
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let took = began.elapsed().as_secs_f64();
        match answer.status {
            200 => seen.answered.push(took),
            503 => seen.refused.push(took),
            status => panic!("{status}"),
        }
        sleep(answer.retry_after).await;
    }
    seen
}

/// By the connection, or a new one; it is left where the server keeps it.
async fn ask(address: &str, connection: &mut Option<BufReader<TcpStream>>) -> std::io::Result<Answer> {
    let mut stream = match connection.take() {
        Some(stream) => stream,
        None => BufReader::new(TcpStream::connect(address).await?),
    };
    let head = "POST /predict HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{BODY}", BODY.len()).as_bytes()).await?;
    let (mut answer, mut length, mut is_kept) = (Answer { status: 0, retry_after: Duration::ZERO }, 0, true);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let told = line.trim_end();
        match told.split_once(": ") {
            None if answer.status == 0 => answer.status = told.split(' ').nth(1).unwrap().parse().unwrap(),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("retry-after", value)) => answer.retry_after = Duration::from_secs(value.parse().unwrap()),
            Some(("connection", "close")) => is_kept = false,
            _ => {}
        }
    }
    stream.read_exact(&mut vec![0; length]).await?;
    *connection = is_kept.then_some(stream);
    Ok(answer)
}

//! What three nodes take to boot beside one: `cargo bench --bench boot` (as root; see README.md here).
//!
//! From the machines file's content to sshd's first byte of every node, first made and then started again; one, three, one, three …

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use provision::vm::machines::{Declared, DeclaredMachine, Defaults, Memory};
use provision::vm::{Container, Environment, Machines, NodeName, Nodes, Options, Provider};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// One boot of some nodes.
struct Sample {
    made: Duration,
    started: Duration,
    /// Processor time of the nodes from their making to their readiness, where the machine counts it by groups (version 1).
    cpu: Option<Duration>,
}

fn main() {
    if !nix::unistd::geteuid().is_root() {
        say("skipped: this needs root");
        return;
    }
    let program = std::env::var_os("PROVISION").unwrap_or_else(|| env!("CARGO_BIN_EXE_provision").into());
    let pairs = std::env::var("PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(9);
    // The base image, and what the first of all boots finds cold.
    boot(&program, 1);
    let (mut one, mut three) = (Vec::new(), Vec::new());
    for _ in 0..pairs {
        one.push(boot(&program, 1));
        three.push(boot(&program, 3));
    }
    say("nodes   made ms   started ms   cpu ms of the nodes");
    row(1, &one);
    row(3, &three);
    let ratio = |of: fn(&Sample) -> Duration| {
        median(one.iter().zip(&three).map(|(one, three)| of(three).as_secs_f64() / of(one).as_secs_f64()).collect())
    };
    say(&format!("ratio   {:>7.2}   {:>10.2}   (median of {pairs} pairs)", ratio(|sample| sample.made), ratio(|sample| sample.started)));
}

fn boot(program: &std::ffi::OsStr, count: u8) -> Sample {
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::new(&format!("t-{}-boot", std::process::id()), folder.path()).expect("a name");
    let third = u8::try_from(std::process::id() % 250 + 1).expect("it is below 251");
    let options = Options { program: PathBuf::from(program), ..Options::new().expect("the path of this program") };
    let provider = Container::new(environment, &machines(third, count), options);
    let time = |doing: &str| {
        let begun = Instant::now();
        if let Err(error) = provider.ensure(&|_| {}) {
            _ = provider.destroy(&Nodes::All);
            panic!("{doing}: {error}");
        }
        begun.elapsed()
    };
    let made = time("make the nodes");
    let cpu = used();
    provider.stop(&Nodes::All).expect("the nodes stop");
    let started = time("start the nodes");
    provider.destroy(&Nodes::All).expect("the nodes go");
    Sample { made, started, cpu }
}

fn machines(third: u8, count: u8) -> Machines {
    let machine = |(name, last): (&&str, u8)| DeclaredMachine {
        name: NodeName::try_from(*name).expect("a name"),
        count: None,
        address: Some(Ipv4Addr::new(10, 212, third, last)),
        own: Defaults { memory: Some(Memory(1 << 30)), ..Defaults::default() },
    };
    let declared = Declared {
        networks: vec![format!("10.212.{third}.0/24").parse().expect("a network")],
        defaults: Defaults::default(),
        machines: NAMES[..usize::from(count)].iter().zip(2..).map(machine).collect(),
    };
    Machines::check(&declared).expect("machines without mistakes")
}

/// What the groups of this benchmark's nodes have used.
fn used() -> Option<Duration> {
    let ours = format!("provision-t-{}-boot-", std::process::id());
    let groups = std::fs::read_dir(Path::new("/sys/fs/cgroup/cpuacct")).ok()?.flatten();
    let nanoseconds = groups
        .filter(|group| group.file_name().to_string_lossy().starts_with(&ours))
        .filter_map(|group| std::fs::read_to_string(group.path().join("cpuacct.usage")).ok()?.trim().parse::<u64>().ok());
    Some(Duration::from_nanos(nanoseconds.sum()))
}

fn row(count: usize, samples: &[Sample]) {
    let milliseconds = |of: fn(&Sample) -> Duration| median(samples.iter().map(|sample| of(sample).as_secs_f64() * 1000.0).collect());
    let cpu = samples.iter().all(|sample| sample.cpu.is_some()).then(|| milliseconds(|sample| sample.cpu.unwrap_or_default()));
    let cpu = cpu.map_or_else(|| "not counted here".to_owned(), |cpu| format!("{cpu:.0}"));
    say(&format!("{count:>5}   {:>7.0}   {:>10.0}   {cpu}", milliseconds(|sample| sample.made), milliseconds(|sample| sample.started)));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn say(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}

//! Time a URL of the kernel and of tract beside onnxruntime (PyPI), one URL at a time, one thread, in turns within one run.
//!
//! `PYTHON=$(model-service/training/environment.sh)/python cargo bench -p model-service --profile service --bench onnxruntime`; it
//! fails where the kernel's median is over 0.15 of onnxruntime's time.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints a table, and may stop at what cannot be")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use model_service::model::{Model, Wanted};
use model_service::preprocessing::ids;

const ROUNDS: usize = 15;
const GOAL: f64 = 0.15;

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("models/v2.onnx");
    let sample = std::fs::read_to_string(folder.join("training/sample.csv")).unwrap();
    let short: Vec<String> = sample.lines().skip(1).step_by(4).map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect();
    let long: Vec<String> = short.iter().map(|url| url.repeat(200_usize.div_ceil(url.len()) + 1)).collect();
    println!("median of {ROUNDS} rounds    µs/URL: onnxruntime      tract     kernel   kernel/onnxruntime (smallest, largest)");
    let mut is_met = true;
    for (name, urls) in [("sample.csv", &short), ("all 200 positions", &long)] {
        let [kernel, tract] = [Wanted::Kernel, Wanted::Tract].map(|wanted| Model::load_with(&path, wanted).unwrap());
        let mut theirs = Theirs::start(folder, &path, urls);
        let mut rounds: Vec<[f64; 3]> = (0..=ROUNDS).map(|_| [theirs.pass(), pass(&tract, urls), pass(&kernel, urls)]).collect();
        rounds.remove(0); // caches were cold
        let of = |value: fn(&[f64; 3]) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let [onnxruntime, tract, kernel] =
            [of(|r| r[0]), of(|r| r[1]), of(|r| r[2])].map(|times| times[ROUNDS / 2] * 1e6 / urls.len() as f64);
        let ratios = of(|round| round[2] / round[0]);
        println!(
            "{name:<22} {onnxruntime:26.2} {tract:10.2} {kernel:10.2}   {:.4} ({:.4}, {:.4})",
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
        is_met &= ratios[ROUNDS / 2] <= GOAL;
    }
    if is_met {
        return ExitCode::SUCCESS;
    }
    println!("the kernel takes more than {GOAL} of onnxruntime's time");
    ExitCode::FAILURE
}

/// Seconds of one pass, pre-processing included.
fn pass(model: &Model, urls: &[String]) -> f64 {
    let started = Instant::now();
    for url in urls {
        std::hint::black_box(model.probabilities(std::slice::from_ref(url)).unwrap());
    }
    started.elapsed().as_secs_f64()
}

struct Theirs {
    process: std::process::Child,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Theirs {
    fn start(folder: &Path, model: &Path, urls: &[String]) -> Self {
        let mut process = Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()))
            .arg(folder.join("benches/theirs.py"))
            .arg(model)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let rows: Vec<Vec<i32>> = urls.iter().map(|url| ids(url.as_bytes()).to_vec()).collect();
        writeln!(process.stdin.as_ref().unwrap(), "{}", serde_json::to_string(&rows).unwrap()).unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap()).lines();
        println!("onnxruntime {}", said.next().expect("pip install onnxruntime numpy").unwrap());
        Self { process, said }
    }

    /// Seconds of one pass over ready ids.
    fn pass(&mut self) -> f64 {
        writeln!(self.process.stdin.as_ref().unwrap(), "go").unwrap();
        self.said.next().unwrap().unwrap().parse().unwrap()
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

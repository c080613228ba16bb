//! `up` killed at any moment: a plain re-run ends in the state of one that nobody killed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::bundled::{Bundled, NODES};
use super::state::{State, difference};

/// The state that an `up` of this process ended in which nobody killed; `now` is one.
pub fn unkilled(now: Option<State>) -> Option<State> {
    static SEEN: Mutex<Option<State>> = Mutex::new(None);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if now.is_some() {
        *seen = now;
    }
    seen.clone()
}

/// Where no other test has seen it: from an environment of its own.
pub fn unkilled_state(bundled: &Bundled) -> State {
    unkilled(None).unwrap_or_else(|| {
        bundled.up();
        let state = bundled.state(&NODES);
        bundled.destroy();
        unkilled(Some(state.clone()));
        state
    })
}

/// `cargo test --test main twenty_kills -- --ignored --nocapture`; KILLS=N for another number, SEED=N for the moments of a
/// run that was seen.
#[test]
#[ignore = "the better part of an hour"]
fn twenty_kills() {
    let Some(bundled) = Bundled::new() else { return };
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}: a number")));
    let kills = number("KILLS").unwrap_or(20);
    let seed = number("SEED").unwrap_or_else(|| u64::from(std::process::id()) << 20 | kills);
    let begun = Instant::now();
    bundled.up();
    let whole = begun.elapsed();
    let wanted = bundled.state(&NODES);
    eprintln!("seed {seed}; an `up` that nobody killed took {:.1} s; its state has {} parts", whole.as_secs_f64(), wanted.len());
    eprintln!("{:>4} {:>7}  {:<60} {:>7}  then", "kill", "at", "it had said", "again");
    let mut random = Random(seed);
    let mut wrong = Vec::new();
    for kill in 1..=kills {
        bundled.destroy();
        let at = whole.mul_f64(random.next());
        let (said, ended) = killed_after(&bundled, at);
        let begun = Instant::now();
        let verdict = completed(&bundled, &wanted);
        let last: String = said.trim().chars().take(60).collect();
        let row = format!(
            "{kill:>4} {:>5.1} s  {last:<60} {:>5.1} s  {}{}",
            at.as_secs_f64(),
            begun.elapsed().as_secs_f64(),
            if ended { "(it had ended) " } else { "" },
            verdict.as_ref().err().map_or("equal", String::as_str)
        );
        eprintln!("{row}");
        wrong.extend(verdict.err().map(|_| row));
    }
    assert!(wrong.is_empty(), "seed {seed}: {} of {kills}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Starts `up` and kills it; the last thing that it said, and whether it had ended by then.
fn killed_after(bundled: &Bundled, at: Duration) -> (String, bool) {
    let mut begun = bundled.begin_up();
    std::thread::sleep(at);
    let ended = !begun.runs();
    if !ended {
        begun.signal(Signal::SIGKILL);
    }
    let last = begun.last();
    begun.ended();
    (last, ended)
}

/// Runs `up` again, and compares what is there then.
pub fn completed(bundled: &Bundled, wanted: &State) -> Result<(), String> {
    let ends_well = |arguments: &[&str]| {
        let output = bundled.command(arguments).output().map_err(|error| error.to_string())?;
        let said = || format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if output.status.success() { Ok(()) } else { Err(format!("{arguments:?} ended with {}:\n{}", output.status, said())) }
    };
    ends_well(&["up", "--yes"])?;
    ends_well(&["plan", "--detailed-exitcode"])?;
    let differs = difference(wanted, &bundled.state(&NODES));
    if differs.is_empty() { Ok(()) } else { Err(format!("another state:\n{}", differs.join("\n"))) }
}

/// Numbers below 1 that go by a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

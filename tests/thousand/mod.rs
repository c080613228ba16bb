//! A thousand mistakes: whatever a user writes is accepted or refused with its place, never a panic, a hang or a stack's end.
//!
//! `MUTATIONS=20000 SEED=7 cargo test --test main thousand -- --nocapture` for more; `REPORTS=FILE` keeps what was told.

mod chance;
mod command_line;
mod mutation;
mod typos;
mod world;

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chance::Chance;
use provision::source::{Diagnostic, Sources};
use world::{Told, World};

/// Of the processor's time, in an unoptimised build: whoever waits longer thinks that it hangs.
const HANG: Duration = Duration::from_secs(5);
/// What the main thread of a program has (`ulimit -s`).
const STACK: usize = 8 << 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Does it on a stack as a program's, and says what was at work where the process is about to end.
fn on_a_stack<Answer: Send + 'static>(work: impl FnOnce(&Mutex<String>) -> Answer + Send + 'static) -> Answer {
    let doing = Arc::new(Mutex::new(String::new()));
    let of_worker = Arc::clone(&doing);
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || work(&of_worker)).expect("a thread");
    let (mut last, mut since) = (String::new(), Instant::now());
    while !worker.is_finished() {
        std::thread::sleep(Duration::from_millis(20));
        let now = doing.lock().map_or_else(|held| held.into_inner().clone(), |held| held.clone());
        if now != last {
            (last, since) = (now, Instant::now());
        }
        // A loop without an end: a thread cannot be ended, the test can.
        assert!(since.elapsed() < 24 * HANG, "hangs: {last}");
    }
    match worker.join() {
        Ok(answer) => answer,
        Err(panic) => {
            let doing = doing.lock().map_or_else(|held| held.into_inner().clone(), |held| held.clone());
            eprintln!("at work: {doing}");
            std::panic::resume_unwind(panic)
        }
    }
}

/// Of this thread (`/proc/PID/schedstat`, proc(5)).
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux has it");
    Duration::from_nanos(text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok()).expect("a number"))
}

/// What is wrong with an error's form.
fn formless((mistake, sources): &(Diagnostic, Arc<Sources>)) -> Option<&'static str> {
    let Diagnostic { message, span, .. } = mistake;
    let Some(file) = sources.file(span.file) else {
        // Of a file that cannot be read, or of no file: the message has to name it.
        return (!message.contains('`') && !message.contains('/')).then_some("names nothing");
    };
    let lines = file.text.lines().count() as u32;
    match span.line {
        0 => None,
        line if line > lines + 1 => Some("a line that is not there"),
        _ if span.column == 0 => Some("no column"),
        line if line <= lines && !file.secret && sources.line(*span).is_none() => Some("no source line"),
        _ => None,
    }
}

/// Mutates a file at a time, and looks at what is told. Answers what is wrong.
fn mutate(world: &World, chance: &mut Chance, times: u64, limit: Duration, doing: &Mutex<String>) -> Vec<String> {
    let begun = Instant::now();
    let originals: Vec<Vec<u8>> = world.files.iter().map(|file| world.read(file)).collect();
    let mut reports = std::env::var_os("REPORTS").map(|path| std::fs::File::options().create(true).append(true).open(path).expect("open"));
    let trail = std::env::temp_dir().join(format!("provision-thousand-{}", std::process::id()));
    let (mut wrong, mut accepted) = (Vec::new(), 0);
    let mut done = 0;
    while done < times && begun.elapsed() < limit {
        done += 1;
        let index = chance.below(world.files.len());
        let (file, original) = (&world.files[index], &originals[index]);
        let (content, what) = if chance.one_in(100) {
            (None, "removed".to_owned())
        } else {
            let (content, what) = mutation::mutated(chance, original, &originals);
            (Some(content), what)
        };
        let what = format!("{}: {what}", file.display());
        doing.lock().expect("nobody panics here").clone_from(&what);
        // A stack's end ends the process: what was at work stays in this file.
        std::fs::write(&trail, &what).expect("written");
        world.write(file, content.as_deref());
        let before = processor_time();
        let told = world.check();
        let took = processor_time().saturating_sub(before);
        if took > HANG {
            wrong.push(format!("{what}: took {took:?}"));
        }
        wrong.extend(told.errors().filter_map(|mistake| Some(format!("{what}: {}: {}", formless(mistake)?, mistake.0.render(&mistake.1)))));
        accepted += u64::from(told.is_accepted());
        if told.report.len() > 1_000_000 {
            wrong.push(format!("{what}: a report of {} bytes", told.report.len()));
        }
        if let Some(reports) = &mut reports {
            let Told { report, .. } = &told;
            let cut: String = report.chars().take(3000).collect();
            writeln!(reports, "=== {what} ({took:?})\n{cut}").expect("written");
        }
        world.write(file, Some(original));
    }
    let _ = std::fs::remove_file(trail);
    eprintln!("{done} mutations, {accepted} accepted, {:?}", begun.elapsed());
    // On a machine that is very busy there were too few to tell.
    assert!(accepted < done || done < 20, "nothing was refused");
    wrong
}

fn run(world: fn() -> World, share: u64) {
    let seed = number("SEED", 1);
    let times = number("MUTATIONS", u64::MAX);
    let limit = Duration::from_secs(if times == u64::MAX { share } else { 86_400 });
    eprintln!("SEED={seed}");
    let wrong = on_a_stack(move |doing| {
        let world = world();
        let told = world.check();
        assert!(told.is_accepted(), "{}", told.report);
        mutate(&world, &mut Chance::new(seed), times, limit, doing)
    });
    assert!(wrong.is_empty(), "SEED={seed}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_bundled_environment_with_any_slip_is_accepted_or_refused_with_its_place() {
    run(World::bundled, 8);
}

#[test]
fn an_ansible_project_with_any_slip_is_accepted_or_refused_with_its_place() {
    run(World::ansible, 8);
}

//! Commands: what they get, how they are found again, how they end.

use std::time::{Duration, Instant};

use provision::program::Bytes;
use provision::system::apply::{Cancel, NoContent, Stream};
use provision::system::{Accept, Action, Command, ErrorKind};

use super::{Notes, apply, apply_with};

fn shell(line: &str) -> Command {
    Command::new(format!("run {line}"), ["/bin/sh", "-c", line])
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(&bytes.0).into_owned()
}

#[test]
fn a_command_gets_its_folder_environment_umask_and_stdin() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let mut command = shell("pwd; echo $TASK/$OWN; umask; cat; echo err >&2");
    command.directory = Some(folder.path().canonicalize().expect("is there"));
    command.environment = vec![("OWN".into(), "own".into())];
    command.umask = Some(0o027);
    command.stdin = Some(Bytes(b"in".as_slice().into()));
    let mut notes = Notes::default();
    let outcomes = apply(&[Action::Run(command.clone())], &mut notes).expect("runs");
    let place = command.directory.expect("was given").display().to_string();
    assert_eq!(text(&outcomes[0].stdout), format!("{place}\nfrom the task/own\n0027\nin"));
    assert_eq!((text(&outcomes[0].stderr).as_str(), outcomes[0].rc), ("err\n", Some(0)));
    let lines: Vec<&str> = notes.lines.iter().filter(|(stream, _)| *stream == Stream::Stdout).map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, [place.as_str(), "from the task/own", "0027", "in"]);
}

#[test]
fn without_stdin_there_is_nothing_to_read() {
    let outcomes = apply(&[Action::Run(shell("cat; echo done"))], &mut Notes::default()).expect("runs");
    assert_eq!(text(&outcomes[0].stdout), "done\n");
}

#[test]
fn the_child_is_recorded_before_it_becomes_the_program() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let mark = folder.path().join("mark");
    let command = shell(&format!("echo $$; cut -d' ' -f5,22 /proc/$$/stat; touch {}", mark.display()));
    let mut notes = Notes::default();
    let outcomes = apply(&[Action::Run(command.clone())], &mut notes).expect("runs");
    let (label, child) = notes.children[0].clone();
    assert_eq!(label, command.label);
    assert_eq!(text(&outcomes[0].stdout), format!("{0}\n{0} {1}\n", child.group, child.start_time));
    assert!(!child.is_alive());

    std::fs::remove_file(&mark).expect("was made");
    let mut refusing = Notes { refuses: true, ..Notes::default() };
    let failure = apply(&[Action::Run(command)], &mut refusing).expect_err("is not run");
    assert_eq!(failure.error.message, "the journal is full");
    assert!(!mark.exists());
}

#[test]
fn statuses_are_judged_by_what_is_accepted() {
    let failure = apply(&[Action::Run(shell("echo why >&2; exit 3"))], &mut Notes::default()).expect_err("fails");
    assert_eq!(failure.error.message, "run echo why >&2; exit 3: sh exited with 3: why");
    assert_eq!(failure.error.details.get("rc"), Some(&3_i64.into()));
    for (accept, line) in [(Accept::Any, "exit 9"), (Accept::Codes(vec![0, 3]), "exit 3")] {
        let mut command = shell(line);
        command.accept = accept;
        apply(&[Action::Run(command)], &mut Notes::default()).expect("is accepted");
    }
    let mut killed = shell("kill -9 $$");
    killed.accept = Accept::Any;
    let outcomes = apply(&[Action::Run(killed)], &mut Notes::default()).expect("is accepted");
    assert_eq!(outcomes[0].rc, Some(-9));
}

#[test]
fn a_program_that_is_not_there_is_an_error_with_its_number() {
    let failure = apply(&[Action::Run(Command::new("run nosuch", ["/no/such/program"]))], &mut Notes::default()).expect_err("is not there");
    assert_eq!(failure.error.message, "run nosuch: No such file or directory (os error 2)");
    assert_eq!(failure.error.details.get("rc"), Some(&2_i64.into()));
}

#[test]
fn output_larger_than_a_pipe_is_whole() {
    let outcomes =
        apply(&[Action::Run(shell("head -c 3000000 /dev/zero; head -c 100000 /dev/zero >&2"))], &mut Notes::default()).expect("runs");
    assert_eq!((outcomes[0].stdout.0.len(), outcomes[0].stderr.0.len()), (3_000_000, 100_000));
}

#[test]
fn a_daemon_that_keeps_the_output_open_is_not_waited_for() {
    let started = Instant::now();
    let outcomes = apply(&[Action::Run(shell("sleep 30 & echo $!"))], &mut Notes::default()).expect("runs");
    assert!(started.elapsed() < Duration::from_secs(10));
    let id: i32 = text(&outcomes[0].stdout).trim().parse().expect("is a process id");
    let daemon = nix::unistd::Pid::from_raw(id);
    nix::sys::signal::kill(daemon, nix::sys::signal::Signal::SIGTERM).expect("was left alone, is ended by this test");
}

#[test]
fn cancelling_ends_the_whole_group() {
    let cancel = Cancel::default();
    let later = cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        later.set();
    });
    let mut notes = Notes::default();
    let started = Instant::now();
    // A child that ignores TERM, below one that does not.
    let line = "(trap '' TERM; echo $(exec sh -c 'echo $PPID'); sleep 60; sleep 60) & wait";
    let actions = [Action::Run(shell(line)), Action::Run(shell("echo never"))];
    let failure = apply_with(&actions, &mut notes, &mut NoContent, &cancel).expect_err("is cancelled");
    stopper.join().expect("ended");
    assert_eq!((failure.error.kind.clone(), failure.index), (ErrorKind::Interrupted, 0));
    let took = started.elapsed();
    assert!(took < Duration::from_secs(4), "{took:?}");
    let stubborn: i32 = notes.lines[0].1.trim().parse().expect("is a process id");
    std::thread::sleep(Duration::from_millis(100));
    let state = std::fs::read_to_string(format!("/proc/{stubborn}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "still there: {state}");
    assert!(!notes.children[0].1.is_alive());
}

#[test]
fn a_timeout_ends_the_command_and_says_so() {
    let mut command = shell("echo started; sleep 60");
    command.timeout = Some(Duration::from_millis(300));
    let mut notes = Notes::default();
    let failure = apply(&[Action::Run(command)], &mut notes).expect_err("takes too long");
    assert_eq!(failure.error.message, "run echo started; sleep 60: still running after 0.3 s");
    assert_eq!(failure.error.details.get("stdout"), Some(&"started\n".into()));
    assert!(!notes.children[0].1.is_alive());
}

#[test]
fn a_child_of_a_former_run_is_found_and_ended() {
    use std::os::unix::process::CommandExt;
    let mut process = std::process::Command::new("sleep").arg("60").process_group(0).spawn().expect("starts");
    let group = process.id() as i32;
    let stat = std::fs::read_to_string(format!("/proc/{group}/stat")).expect("runs");
    let start_time = stat.rsplit(' ').nth(52 - 22).and_then(|field| field.trim().parse().ok()).expect("has a start time");
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("reads").trim().to_owned();
    let child = provision::system::apply::Child { group, start_time, boot_id };
    assert!(child.is_alive());
    assert!(!provision::system::apply::Child { start_time: start_time + 1, ..child.clone() }.is_alive());
    assert!(!provision::system::apply::Child { boot_id: "another".into(), ..child.clone() }.end());
    assert!(child.end());
    process.wait().expect("ended");
    assert!(!child.is_alive());
}

#[test]
fn waits_are_cancelled_too() {
    let cancel = Cancel::default();
    cancel.set();
    let actions = [Action::Sleep { duration: Duration::from_mins(1) }];
    let failure = apply_with(&actions, &mut Notes::default(), &mut NoContent, &cancel).expect_err("is cancelled");
    assert_eq!(failure.error.kind, ErrorKind::Interrupted);
}

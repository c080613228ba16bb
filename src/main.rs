//! Parse arguments → cli → exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // The agent on this machine and the workers of other users are this very file.
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("agent") => provision::agent::main(words),
        Some("--self-check") => match provision::self_check::answer(std::env::args().skip(1)) {
            Some(true) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        // Before any thread or runtime: the supervisor leaves the session and unshares namespaces.
        Some("supervise") => provision::vm::supervisor::main(&std::env::args_os().skip(2).collect::<Vec<_>>()),
        _ => ExitCode::from(provision::cli::main(std::env::args_os()).code()),
    }
}

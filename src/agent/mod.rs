//! What runs on the node: evaluate, plan, apply, journal, stream events.

mod about;
mod cleared;
mod clock;
pub mod context;
mod controlled;
pub mod executor;
mod facts;
mod fault;
mod feasible;
pub mod found;
pub mod frame;
mod handlers;
mod include;
mod item;
mod job;
pub mod journal;
pub mod link;
mod lock;
mod lookup;
pub mod machine;
pub mod mask;
mod meta;
pub mod performers;
pub mod port;
mod predictions;
mod probe;
mod python;
mod reboot;
mod resume;
pub mod scope;
pub mod session;
mod signals;
mod sources;
pub mod state;
mod task;
pub mod worker;

/// The agent's command line: `agent run` (a session on stdin and stdout), `agent worker` (the same as another user),
/// `agent job` (a call that goes on by itself) or `agent probe` (in a pod: proves the cluster's network).
/// The first word is left out or not: the agent may be a part of the controller's binary.
pub fn main(arguments: impl Iterator<Item = String>) -> std::process::ExitCode {
    use std::process::ExitCode;
    let mut words = arguments.skip_while(|word| word == "agent");
    match words.next().as_deref() {
        Some("worker") => match worker::run(words.next().as_deref() == Some("locked")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Some("job") => match job::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Some("run") => {
            session::run();
            ExitCode::SUCCESS
        }
        Some("probe") if probe::run(&words.collect::<Vec<_>>()) => ExitCode::SUCCESS,
        _ => ExitCode::from(2),
    }
}

//! The agent's own binary: static, small, nothing of the controller inside.

use std::process::ExitCode;

fn main() -> ExitCode {
    match provision::self_check::answer(std::env::args().skip(1)) {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => provision::agent::main(std::env::args().skip(1)),
    }
}

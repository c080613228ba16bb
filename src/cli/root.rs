//! Root for the steps that need it: where sudo wants a password and somebody sits there, it asks, once, and is told why.

use std::io::IsTerminal;
use std::process::Command;

use super::Exit;
use super::machines::told;
use crate::report;
use crate::vm::{Container, Kind};

/// Whether sudo gives root without a word.
pub fn is_ready(container: &Container) -> bool {
    container.become_root().is_ok()
}

/// Makes sure of it; `why` begins a sentence: `Making machines`. The error was told.
pub fn ready(container: &Container, why: &str) -> Result<(), Exit> {
    let Err(error) = container.become_root() else { return Ok(()) };
    if error.kind != Kind::Privilege || !std::io::stdin().is_terminal() {
        return Err(told(&error));
    }
    report::live::clear();
    report::line(&format!("{why} needs root: sudo asks for your password."));
    match Command::new("sudo").arg("-v").status() {
        Ok(status) if status.success() => container.become_root().map_err(|error| told(&error)),
        _ => Err(told(&error)),
    }
}

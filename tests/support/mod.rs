//! What integration tests share: real nodes, real servers, bad links.

pub mod kube;
pub mod nodes;
pub mod person;
pub mod proxy;
pub mod sshd;

use std::process::Command;

/// Standard output and error of a command that ends so.
#[track_caller]
pub fn expect(code: i32, command: &mut Command) -> (String, String) {
    let output = command.output().expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{stdout}\n{stderr}");
    (stdout, stderr)
}

//! Checkouts, by this machine's git. Nothing is written: no lock, no refreshed index, no monitor of files.

use std::process::{Command, Output, Stdio};

use crate::system::checkout::{Checkout, Question};
use crate::system::{Error, Result};

pub(super) fn checkout(question: &Question) -> Result<Checkout> {
    let commit = asked(question, &["rev-parse", "HEAD"])?;
    let head = said(&commit).trim_end().to_owned();
    if head.is_empty() {
        return Err(refused(question, &commit));
    }
    let on_branch = asked(question, &["symbolic-ref", "--quiet", "HEAD"])?.status.success();
    let url = said(&asked(question, &["ls-remote", "--get-url", &question.remote])?).trim_end().to_owned();
    let mut checkout = Checkout { head, on_branch, url, ..Checkout::default() };
    if question.bare {
        return Ok(checkout);
    }
    let status = asked(question, &["status", "--porcelain"])?;
    if !status.status.success() {
        return Err(refused(question, &status));
    }
    checkout.modified = said(&status).lines().filter(|line| !line.starts_with("??")).map(str::to_owned).collect();
    if question.folder.join(".gitmodules").exists() {
        let status = asked(question, &["submodule", "status"])?;
        checkout.submodules = said(&status).lines().map(str::to_owned).collect();
    }
    Ok(checkout)
}

fn asked(question: &Question, words: &[&str]) -> Result<Output> {
    let mut command = Command::new(&question.program);
    command.args(["--no-optional-locks", "-c", "core.fsmonitor=false"]).args(words);
    command.current_dir(&question.folder).envs(question.environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command.output().map_err(|error| Error::io(format_args!("run {} in {}", question.program, question.folder.display()), &error))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refused(question: &Question, output: &Output) -> Error {
    let why = String::from_utf8_lossy(&output.stderr);
    let folder = question.folder.display();
    let error = Error::failed(format!("read the checkout {folder}: {}", why.lines().next().unwrap_or("git says nothing")));
    if why.contains("dubious ownership") {
        return error.hint(format!("act as its owner with `become_user`, or run `git config --global --add safe.directory {folder}`"));
    }
    error
}

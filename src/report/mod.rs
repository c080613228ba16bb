//! What a person or a program sees: events → text, JSON lines. stdout is data, stderr is the story.

pub mod delivery;
pub mod entry;
pub mod failure;
mod json;
pub mod live;
pub mod plan;
mod secret;
mod story;
mod text;

pub use secret::{ask_secret, put_back};
pub use story::{Format, Story};

use std::io::{BufRead, IsTerminal, Write};

use tokio::signal::unix::{SignalKind, signal};

use crate::project::Files;

/// One line on stderr. The only way to it.
pub fn line(text: &str) {
    // A reader that went away (a closed pipe) is no reason to stop the work.
    live::above(|| drop(writeln!(std::io::stderr().lock(), "{text}")));
}

/// One line on stdout. The only way to it.
pub fn data(text: &str) {
    live::above(|| drop(writeln!(std::io::stdout().lock(), "{text}")));
}

/// One line of a plan: data where the plan is what was asked for (`provision plan`), else a part of the story.
pub fn planned(as_data: bool, text: &str) {
    if as_data { data(text) } else { line(text) }
}

/// An error's sentence, and what to type next.
pub fn error(message: &str, hint: Option<&str>) {
    line(&format!("error: {message}"));
    if let Some(hint) = hint {
        line(&format!("hint: {hint}"));
    }
}

/// Shows every mistake and warning of the user's files; answers whether there is a mistake.
pub fn mistakes(files: &Files) -> bool {
    let text = files.diagnostics.render(&files.sources);
    if !text.trim().is_empty() {
        line(text.trim_end());
    }
    files.diagnostics.has_errors()
}

/// A question on stderr, without an end of line.
pub fn ask(question: &str) {
    live::clear();
    let mut stderr = std::io::stderr().lock();
    let _ = write!(stderr, "{question}");
    let _ = stderr.flush();
}

/// Asks a question whose answer is yes or no; `None` without a terminal; Ctrl-C is a no.
pub async fn confirm(question: &str) -> Option<bool> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    // Heard from before the question is there: a Ctrl-C that comes with it is meant for it.
    let mut interrupt = signal(SignalKind::interrupt()).ok()?;
    let _asking = live::asking();
    ask(question);
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread of its own: nothing waits for it when Ctrl-C ends the question.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line);
        let _ = answer.send(read.is_ok() && matches!(line.trim().to_lowercase().as_str(), "y" | "yes"));
    });
    tokio::select! {
        answer = answered => Some(answer.unwrap_or(false)),
        _ = interrupt.recv() => {
            line("");
            Some(false)
        }
    }
}

/// A question whose answer may be seen; `None` where the input ends.
pub fn ask_plain(question: &str) -> Option<String> {
    let _asking = live::asking();
    ask(question);
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim_end_matches(['\n', '\r']).to_owned())
}

//! `raw`: run a line as it is, through the login shell's own words.

use super::{Context, Entry, Mode, Module, Outcome, Plan};
use crate::program::{Bytes, Value};
use crate::system::{Accept, Action, ActionOutcome, Command, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Raw>(&["raw", "ansible.builtin.raw"]);

arguments! {
    /// Run a line through `/bin/sh` on the node; nothing else is done or looked at. Arguments and results as in
    /// `ansible.builtin.raw`, with `environment:` besides. `shell` does the same and says more.
    pub struct Raw [free_form("_raw_params")] {
        /// The line as free text.
        raw_params as "_raw_params": String [required],
        /// The shell: absolute path; default `/bin/sh`.
        executable: Option<String>,
    }
}

impl Module for Raw {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        if context.mode == Mode::Check {
            return Ok(Plan::done(Outcome { skipped: true, ..Outcome::ok() }));
        }
        let shell = self.executable.as_deref().unwrap_or("/bin/sh");
        let line = self.raw_params.trim();
        let first = line.lines().next().unwrap_or_default();
        let label = if line.contains('\n') { format!("run {first} …") } else { format!("run {first}") };
        let mut command = Command::new(label.clone(), [shell, "-c", &self.raw_params]);
        command.accept = Accept::Any;
        Ok(Plan::act(vec![Action::Run(command)], unknown(&label)).reporting(|outcomes| Ok(report(outcomes.first()))))
    }
}

/// What a line gave that nobody looks into: `rc`, `stdout`, `stderr` and their lines.
pub(super) fn report(done: Option<&ActionOutcome>) -> Outcome {
    let done = done.cloned().unwrap_or_default();
    let text = |bytes: &Bytes| String::from_utf8_lossy(&bytes.0).into_owned();
    let mut outcome = Outcome { changed: true, failed: done.rc != Some(0), ..Outcome::ok() }.with("rc", done.rc.map(i64::from));
    for (name, text) in [("stdout", text(&done.stdout)), ("stderr", text(&done.stderr))] {
        outcome = outcome.with(&format!("{name}_lines"), crate::system::words::lines(&text)).with(name, text);
    }
    if outcome.failed { outcome.with("msg", "non-zero return code") } else { outcome }
}

/// The same before it ran.
pub(super) fn unknown(because: &str) -> Outcome {
    let names = ["rc", "stdout", "stdout_lines", "stderr", "stderr_lines"];
    names.into_iter().fold(Outcome::changed(), |outcome, name| outcome.with(name, Value::unknown(because)))
}

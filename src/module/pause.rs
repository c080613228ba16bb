//! `pause`: the run stands still for a time, or until somebody says so.

use std::time::Duration;

use super::{Controlled, Engine, EngineModule, Entry, Mode, Outcome};
use crate::program::{Clock, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Pause>(&["pause", "ansible.builtin.pause"]);

arguments! {
    /// Wait for a time, or for an answer at the terminal, once for all hosts. Arguments and results as in `ansible.builtin.pause`. Where
    /// no terminal is, nobody is asked and the run goes on; Ctrl-C ends the run.
    pub struct Pause {
        /// Whole minutes.
        minutes: Option<String> [checked(check)],
        /// Whole seconds.
        seconds: Option<String> [checked(check)],
        /// What is shown, and asked where no time is given.
        prompt: Option<String>,
        /// Show what is typed.
        echo: bool [default("yes")],
    }
    rules { mutually_exclusive(&["minutes", "seconds"]) }
}

/// Parts of seconds and minutes do not count.
fn whole(text: &str) -> Option<i64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number as i64)
}

fn check(text: &str) -> std::result::Result<(), String> {
    whole(text).map(drop).ok_or_else(|| format!("{text:?} is no number"))
}

impl EngineModule for Pause {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let number = |text: &Option<String>| match text {
            Some(text) => whole(text).map(Some).ok_or_else(|| Error::failed(format!("{text:?} is no number of seconds or minutes"))),
            None => Ok(None),
        };
        let (minutes, seconds) = (number(&self.minutes)?, number(&self.seconds)?);
        let unit = if self.seconds.is_some() { "seconds" } else { "minutes" };
        let limit = minutes.map(|minutes| minutes.saturating_mul(60)).or(seconds).map(|seconds| seconds.max(1) as u64);
        let outcome = Outcome::ok().with("rc", 0_i64).with("stderr", "").with("echo", self.echo);
        if engine.mode() == Mode::Plan {
            let names: &[&str] = if limit.is_none() { &["stdout", "start", "stop", "delta", "user_input"] } else { &["stdout", "start", "stop", "delta"] };
            let outcome = names.iter().fold(outcome, |outcome, name| outcome.with(name, Value::unknown("the pause")));
            return Ok(Controlled::Done(if limit.is_none() { outcome } else { outcome.with("user_input", "") }));
        }
        let (start, mut typed) = (engine.clock()?, Value::text(""));
        match limit {
            Some(seconds) => {
                let prompt = self.prompt.as_ref().map(|prompt| format!(": {prompt}")).unwrap_or_default();
                engine.wait(Duration::from_secs(seconds), &format!("pause for {seconds} s{prompt}"))?;
            }
            None => {
                let hidden = if self.echo { "" } else { " (output is hidden)" };
                let prompt = self.prompt.as_deref().filter(|prompt| !prompt.is_empty()).unwrap_or("Press enter to continue, Ctrl+C to interrupt");
                match engine.prompt(&format!("{prompt}{hidden}"), self.echo)? {
                    Some(text) => typed = text,
                    None => engine.warn("Not waiting for response to prompt as stdin is not interactive"),
                }
            }
        }
        let stop = engine.clock()?;
        let moment = |clock: &Clock| {
            let second = crate::template::strftime(clock, "%Y-%m-%d %H:%M:%S").map_err(|error| Error::failed(error.message))?;
            Ok::<_, Error>(format!("{second}.{:06}", clock.microseconds))
        };
        let span = |clock: &Clock| clock.seconds as f64 + f64::from(clock.microseconds) / 1e6;
        let passed = (span(&stop) - span(&start)).max(0.0);
        let shown = if unit == "minutes" { passed / 60.0 } else { passed };
        let shown = Value::Float((shown * 100.0).round() / 100.0);
        let shown = super::arguments::text(&shown).map_err(Error::failed)?;
        let outcome = outcome.with("stdout", format!("Paused for {shown} {unit}")).with("user_input", typed);
        let outcome = outcome.with("start", moment(&start)?).with("stop", moment(&stop)?).with("delta", passed as i64);
        Ok(Controlled::Done(outcome))
    }
}

//! `wait_for_connection`: go on when the host can be reached.

use std::time::Duration;

use super::{Controlled, Engine, EngineModule, Entry, Mode, Outcome};
use crate::program::Value;
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<WaitForConnection>(&["wait_for_connection", "ansible.builtin.wait_for_connection"]);

arguments! {
    /// Wait until the host can be reached, over a new connection. Arguments and results as in `ansible.builtin.wait_for_connection`.
    /// Where it is the first thing that a host is asked for, the run also begins with so much patience.
    pub struct WaitForConnection {
        /// Seconds of one attempt; ours have their own limit.
        connect_timeout: i64 [default("5")],
        /// Seconds before the first attempt.
        delay: i64 [default("0")],
        /// Seconds between attempts; ours have their own interval.
        sleep: i64 [default("1")],
        /// Seconds until it must be reached.
        timeout: i64 [default("600")],
    }
}

impl EngineModule for WaitForConnection {
    fn run(&self, engine: &mut dyn Engine) -> Result<Controlled> {
        let seconds = |number: i64| Duration::from_secs(number.max(0) as u64);
        Ok(match engine.mode() {
            Mode::Check => Controlled::Done(Outcome { skipped: true, ..Outcome::ok() }),
            // A host that plans can be reached.
            Mode::Plan => Controlled::Done(Outcome::ok().with("elapsed", Value::unknown("the way to the host"))),
            Mode::Apply => Controlled::Reconnect { delay: seconds(self.delay), timeout: seconds(self.timeout) },
        })
    }
}

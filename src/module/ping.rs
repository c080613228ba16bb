//! `ping`: whether the agent answers.

use super::{Context, Entry, Module, Outcome, Plan};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Ping>(&["ping", "ansible.builtin.ping"]);

arguments! {
    /// Answer `pong`. Arguments and results as in `ansible.builtin.ping`.
    pub struct Ping {
        /// What to answer; `crash` fails on purpose.
        data: String [default("pong")],
    }
}

impl Module for Ping {
    fn plan(&self, _context: &Context<'_>) -> Result<Plan> {
        if self.data == "crash" {
            return Err(Error::failed("boom"));
        }
        Ok(Plan::done(Outcome::ok().with("ping", self.data.as_str())))
    }
}

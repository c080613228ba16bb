//! `fail`: end a host's work with a message.

use super::{Controlled, Engine, EngineModule, Entry, Outcome};
use crate::program::Value;
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Fail>(&["fail", "ansible.builtin.fail"]);

arguments! {
    /// Fail with a message. Arguments and results as in `ansible.builtin.fail`.
    pub struct Fail {
        /// Why.
        msg: Value [default("Failed as requested from task")],
    }
}

impl EngineModule for Fail {
    fn run(&self, _engine: &mut dyn Engine) -> Result<Controlled> {
        Ok(Controlled::Done(Outcome { failed: true, ..Outcome::ok() }.with("msg", self.msg.clone())))
    }
}

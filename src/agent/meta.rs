//! Actions of `meta` that one host runs for its batch, as the others take them.

use std::sync::Arc;

use super::executor::Executor;
use super::frame::{Answer, Question};
use super::item::Stop;
use super::port::Ended;
use crate::program::{Position, Task, Value};
use crate::template::Error;

impl Executor {
    /// Another host has run the task for this one too: what an action of `meta` is to each host of the batch.
    pub fn follow_meta(&mut self, task: &Task, at: &Position, result: &Value) -> Result<(), Ended> {
        let is_for_all = |word: &&str| matches!(*word, "clear_host_errors" | "clear_facts" | "refresh_inventory");
        let Some(word) = task.meta().filter(is_for_all) else { return Ok(()) };
        if result.get("skipped").is_some_and(Value::is_truthy) {
            return Ok(());
        }
        if let Value::Unknown(cause) = result {
            self.predictions.taint(at, 0, cause);
            self.absorb_opaque(cause);
            return Ok(());
        }
        match word {
            "clear_host_errors" => self.clearings += 1,
            "clear_facts" => self.state.clear_facts(),
            "refresh_inventory" => self.take_inventory(None)?,
            _ => {}
        }
        Ok(())
    }

    /// All sources of the inventory are read again, once no host is before this task.
    pub fn refresh_inventory(&mut self, at: &Position) -> Result<(), Stop> {
        if self.keeps_order() && self.finishing == 0 {
            self.port.reach(at, self.state.dirty)?;
        }
        match self.port.ask(Question::Refresh)? {
            Answer::Error { message, hint } => {
                let error = Error::failed(format!("read the inventory again: {message}"));
                Err(Stop::Error(match hint {
                    Some(hint) => error.hint(hint),
                    None => error,
                }))
            }
            _ => Ok(self.take_inventory(None)?),
        }
    }

    /// Before a step: what tasks before it have added to the inventory, once no host is before it.
    pub fn take_additions(&mut self, at: &Position) -> Result<(), Ended> {
        if !std::mem::take(&mut self.adds) {
            return Ok(());
        }
        self.take_inventory((self.keeps_order() && self.finishing == 0).then(|| at.clone()))
    }

    /// What the inventory now says of this host holds at once, also in the play in hand.
    fn take_inventory(&mut self, position: Option<Position>) -> Result<(), Ended> {
        match self.port.ask(Question::Inventory { position })? {
            Answer::Program(program) => {
                self.masker.learn_program(&program);
                let mut own = (*self.program).clone();
                own.take_inventory(&program);
                self.program = Arc::new(own);
                Ok(())
            }
            Answer::Error { message, .. } => Err(Ended::Refused(message)),
            _ => Ok(()),
        }
    }
}

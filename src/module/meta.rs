//! `meta`: actions on the run itself.

use super::engine::Meta as Action;
use super::{Controlled, Engine, EngineModule, Entry};
use crate::system::Result;

/// The registry's entry.
pub static MODULE: Entry = Entry::engine::<Meta>(&["meta", "ansible.builtin.meta"]);

arguments! {
    /// Do something to the run itself. Arguments as in `ansible.builtin.meta`.
    pub struct Meta [free_form("free_form")] {
        /// What to do.
        free_form: Word [required],
    }
}

choices! {
    /// The actions' names.
    pub enum Word {
        /// Run the notified handlers now.
        FlushHandlers = "flush_handlers",
        /// Do nothing.
        Noop = "noop",
        /// Forget the facts of all hosts of the batch.
        ClearFacts = "clear_facts",
        /// Bring back the hosts of the batch that failed or could not be reached.
        ClearHostErrors = "clear_host_errors",
        /// Read the inventory's sources again.
        RefreshInventory = "refresh_inventory",
        /// End the play for all hosts, without failing.
        EndPlay = "end_play",
        /// End this host's part of the play, without failing.
        EndHost = "end_host",
        /// Open a new connection.
        ResetConnection = "reset_connection",
        /// End the batch of hosts (`serial`).
        EndBatch = "end_batch",
        /// End the role's tasks.
        EndRole = "end_role",
    }
}

impl EngineModule for Meta {
    fn run(&self, _engine: &mut dyn Engine) -> Result<Controlled> {
        Ok(Controlled::Meta(match self.free_form {
            Word::FlushHandlers => Action::FlushHandlers,
            Word::Noop => Action::Noop,
            Word::ClearFacts => Action::ClearFacts,
            Word::ClearHostErrors => Action::ClearHostErrors,
            Word::RefreshInventory => Action::RefreshInventory,
            Word::EndPlay => Action::EndPlay,
            Word::EndHost => Action::EndHost,
            Word::ResetConnection => Action::ResetConnection,
            Word::EndBatch => Action::EndBatch,
            Word::EndRole => Action::EndRole,
        }))
    }
}

//! `dpkg_selections`: what dpkg is to do with packages.

use super::{Choice, Context, Entry, Module, Outcome, Plan};
use crate::program::Bytes;
use crate::system::{Action, Command, Effect, Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<DpkgSelections>(&["dpkg_selections", "ansible.builtin.dpkg_selections"]);

arguments! {
    /// Hold a package back, or let it go. Arguments and results as in `ansible.builtin.dpkg_selections`. Source: dpkg(1).
    pub struct DpkgSelections {
        /// The package.
        name: String [required],
        /// What dpkg is to do with it.
        selection: Selection [required],
    }
}

choices! {
    /// dpkg's words.
    pub enum Selection {
        /// Install it, and newer versions of it.
        Install = "install",
        /// Leave it as it is.
        Hold = "hold",
        /// Remove it with the next work of `dselect-upgrade`.
        Deinstall = "deinstall",
        /// The same, with its configuration.
        Purge = "purge",
    }
}

impl Module for DpkgSelections {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let (name, wanted) = (self.name.as_str(), self.selection.word());
        let current = match context.system.package(name)? {
            Some(package) => package.selection,
            // It was removed and left configuration.
            None if context.system.package_residue(name)? => "deinstall".to_owned(),
            None => {
                let message = format!("Failed to find package '{name}' to perform selection '{wanted}'.");
                return Err(Error::failed(message).hint(format!("install it first: `apt: name={name}`")));
            }
        };
        let outcome = Outcome { changed: current != wanted, ..Outcome::ok() }.with("before", current).with("after", wanted);
        if !outcome.changed {
            return Ok(Plan::done(outcome));
        }
        let effect = Effect::PackageSelection { name: name.to_owned(), selection: wanted.to_owned() };
        let mut command = Command::new(format!("select {wanted} for {name}"), ["dpkg", "--set-selections"]).effect(effect);
        command.stdin = Some(Bytes(format!("{name} {wanted}\n").into_bytes().into()));
        Ok(Plan::act(vec![Action::Run(command)], outcome))
    }
}

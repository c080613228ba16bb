//! `package`: packages, whatever manages them.

use super::apt::Apt;
use super::{Arguments, Context, Entry, Module, Plan, Rest};
use crate::program::Value;
use crate::system::{Error, FactRequest, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<Package>(&["package", "ansible.builtin.package"]);

arguments! {
    /// Install, upgrade and remove packages with the machine's own package manager: `apt` so far. Arguments as in
    /// `ansible.builtin.package`; all others are the package manager's own.
    pub struct Package [open] {
        /// Names.
        name: Option<Value> [kind(super::Kind::List(Box::new(super::Kind::Text)))],
        /// `present`, `absent`, `latest`, and what else the manager knows. Both are called required in Ansible's documentation, and
        /// neither is: what is not given is the manager's own default.
        state: Option<String>,
        /// The package manager, if not the machine's own.
        manager as "use": String [default("auto")],
        /// The manager's own arguments.
        others: Rest,
    }
}

impl Module for Package {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let manager = if self.manager == "auto" { own(context)? } else { self.manager.clone() };
        if manager.rsplit('.').next() != Some("apt") {
            let hint = "only apt is supported; write the manager's own command with `command`";
            return Err(Error::failed(format!("the package manager of this machine is `{manager}`, for which there is no module")).hint(hint));
        }
        let mut raw = self.others.0.clone();
        raw.extend(self.name.clone().map(|name| ("name".into(), name)));
        raw.extend(self.state.as_deref().map(|state| ("state".into(), state.into())));
        let apt = Apt::construct(&mut raw).map_err(|error| {
            let failed = Error::failed(error.to_string());
            error.hint.into_iter().fold(failed, Error::hint)
        })?;
        apt.plan(context)
    }
}

fn own(context: &Context<'_>) -> Result<String> {
    let subset = ["!all", "!min", "pkg_mgr"].map(str::to_owned).to_vec();
    let facts = context.system.facts(&FactRequest { subset, ..FactRequest::default() })?;
    match facts.get("ansible_pkg_mgr") {
        Some(Value::Text(name)) => Ok(name.as_str().to_owned()),
        Some(Value::Unknown(cause)) => Err(Error::unknown(std::sync::Arc::clone(cause))),
        _ => Err(Error::failed("Could not detect a package manager. Try using the \"use\" option.")),
    }
}

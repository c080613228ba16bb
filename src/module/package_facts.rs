//! `package_facts`: the packages of the machine as facts.

use super::{Context, Entry, Module, Outcome, Plan};
use crate::program::{Map, Value};
use crate::system::{Error, Result};

/// The registry's entry.
pub static MODULE: Entry = Entry::system::<PackageFacts>(&["package_facts", "ansible.builtin.package_facts"]);

/// What ansible-core reads, and its other names for some of it.
const MANAGERS: [&str; 7] = ["apk", "apt", "pacman", "pkg", "pkg_info", "portage", "rpm"];
const OTHER_NAMES: [(&str, &str); 7] = [
    ("dnf", "rpm"),
    ("dnf5", "rpm"),
    ("yum", "rpm"),
    ("zypper", "rpm"),
    ("pkg5", "pkg"),
    ("pkgng", "pkg"),
    ("openbsd_pkg", "pkg_info"),
];

arguments! {
    /// Find what packages are installed; of the managers apt is read here. Results as in `ansible.builtin.package_facts`:
    /// `ansible_facts.packages`, by name a list of `name`, `version`, `arch`, `category`, `origin` and `source`.
    pub struct PackageFacts {
        /// Whose packages: `apt`, or `auto` for whatever there is.
        manager: Vec<String> [default("auto")],
        /// Of several managers the first that has packages, or all.
        strategy: Strategy [default("first")],
    }
}

choices! {
    /// Which of several managers.
    pub enum Strategy {
        /// The first that has packages.
        First = "first",
        /// Each.
        All = "all",
    }
}

impl Module for PackageFacts {
    fn plan(&self, context: &Context<'_>) -> Result<Plan> {
        let named: Vec<String> = self.manager.iter().map(|name| name.to_lowercase()).collect();
        let is_auto = named.iter().any(|name| name == "auto");
        let is_known = |name: &str| name == "auto" || MANAGERS.contains(&name) || OTHER_NAMES.iter().any(|(other, _)| *other == name);
        let unknown: Vec<&str> = named.iter().map(String::as_str).filter(|name| !is_known(name)).collect();
        if !unknown.is_empty() {
            let message = if is_auto {
                "Could not auto detect a usable package manager, check warnings for details.".to_owned()
            } else {
                format!("Unsupported package managers requested: {}", unknown.join(", "))
            };
            return Err(Error::failed(message).hint("`manager: auto` takes what the machine has"));
        }
        let asked: Vec<&str> = if is_auto { MANAGERS.to_vec() } else { named.iter().map(|name| own_name(name)).collect() };
        let has_apt = asked.contains(&"apt") && context.system.executable("apt-cache")?.is_some();
        let packages: Value = match context.system.inventory() {
            _ if !has_apt => return Err(undetected(&named)),
            Ok(packages) if packages.is_empty() => return Err(undetected(&named)),
            Ok(packages) => packages.into(),
            // What an earlier task of a plan installs.
            Err(error) => match error.unknown_cause() {
                Some(cause) => Value::unknown(std::sync::Arc::clone(cause)),
                None => return Err(error),
            },
        };
        let facts: Map = [("packages".into(), packages)].into_iter().collect();
        let mut outcome = Outcome { facts: Some(facts), ..Outcome::ok() };
        let before_apt = asked.iter().filter(|name| **name != "apt");
        outcome.warnings.extend(before_apt.filter(|_| !is_auto).map(|name| format!("Packages of {name} are not read here, those of apt are")));
        Ok(Plan::done(outcome))
    }
}

/// `dnf` is rpm's.
fn own_name(name: &str) -> &str {
    OTHER_NAMES.iter().find(|(other, _)| *other == name).map_or(name, |(_, own)| own)
}

fn undetected(named: &[String]) -> Error {
    let shown: Vec<String> = named.iter().map(|name| format!("'{name}'")).collect();
    Error::failed(format!(
        "Could not detect a supported package manager from the following list: [{}], or the required Python library is not installed. \
         Check warnings for details.",
        shown.join(", ")
    ))
    .hint("packages of apt are read here; ask another manager with `command`")
}

//! What a host's agent may ask of the controller: what stands in its program, and nothing else. A node that somebody took speaks for its
//! agent, and gets no more.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Value;

/// Found by the compiler; the controller keeps it, no node is sent it. `None` stands for what only the run knows: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// Variables of other hosts: the host and the name.
    pub variables: BTreeSet<(Option<Arc<str>>, Option<Arc<str>>)>,
    /// Hosts that tasks are delegated to.
    pub delegates: BTreeSet<Option<Arc<str>>>,
    /// Modules of these tasks. `None`: of any task that there is.
    pub delegated: BTreeSet<Option<Arc<str>>>,
    /// Modules of all tasks.
    pub modules: BTreeSet<Arc<str>>,
    /// Tasks may set variables of the hosts that they are delegated to.
    pub sets_facts: bool,
    /// Lookups that only the controller can make, and their terms.
    pub lookups: BTreeSet<(Arc<str>, Vec<Option<Arc<str>>>)>,
    /// The name of a lookup may be one that only the run knows.
    pub looks_up_anything: bool,
}

impl Asks {
    /// `name`: `None` for all variables of the host.
    pub fn may_read(&self, host: &str, name: Option<&str>) -> bool {
        let is = |said: &Option<Arc<str>>, asked: Option<&str>| said.as_deref().is_none_or(|said| Some(said) == asked);
        // How to reach a host that a task is done on, which the agent asks by itself.
        (name == Some("ansible_host") && self.is_delegate(host))
            || self.variables.iter().any(|(of, variable)| is(of, Some(host)) && is(variable, name))
    }

    /// Whether a module's call may be done on another host.
    pub fn may_delegate(&self, host: &str, module: &str) -> bool {
        let is_module = |said: &Option<Arc<str>>| said.as_deref().is_none_or(|said| said == module);
        // Facts of a host are not the doing of a task.
        self.is_delegate(host) && (module == "setup" || self.delegated.iter().any(is_module))
    }

    /// Whether any task may be done on another host.
    pub fn is_delegate(&self, host: &str) -> bool {
        self.delegates.iter().any(|said| said.as_deref().is_none_or(|said| said == host))
    }

    /// Whether a lookup stands somewhere with each of these terms.
    pub fn may_look_up(&self, plugin: &str, terms: &[Value]) -> bool {
        let said: Vec<&Vec<Option<Arc<str>>>> = self.lookups.iter().filter(|(name, _)| **name == *plugin).map(|(_, terms)| terms).collect();
        let is_open = said.iter().any(|terms| terms.iter().any(Option::is_none));
        let stands =
            |term: &Value| term.as_str().is_some_and(|term| said.iter().any(|terms| terms.iter().flatten().any(|said| **said == *term)));
        self.looks_up_anything || (!said.is_empty() && (is_open || terms.iter().all(stands)))
    }

    /// Takes in what a program may ask that was compiled anew.
    pub fn extend(&mut self, other: &Self) {
        self.variables.extend(other.variables.iter().cloned());
        self.delegates.extend(other.delegates.iter().cloned());
        self.delegated.extend(other.delegated.iter().cloned());
        self.modules.extend(other.modules.iter().cloned());
        self.sets_facts |= other.sets_facts;
        self.lookups.extend(other.lookups.iter().cloned());
        self.looks_up_anything |= other.looks_up_anything;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(text: &str) -> Option<Arc<str>> {
        Some(text.into())
    }

    #[test]
    fn what_is_written_out_is_all_that_may_be_asked() {
        let asks = Asks {
            variables: [(some("db"), some("port")), (None, some("address"))].into(),
            delegates: [some("db")].into(),
            delegated: [some("command")].into(),
            lookups: [("pipe".into(), vec![some("date")])].into(),
            ..Asks::default()
        };
        assert!(asks.may_read("db", Some("port")) && asks.may_read("web", Some("address")) && asks.may_read("db", Some("ansible_host")));
        assert!(!asks.may_read("web", Some("port")) && !asks.may_read("db", None) && !asks.may_read("web", Some("ansible_host")));
        assert!(asks.may_delegate("db", "command") && asks.may_delegate("db", "setup"));
        assert!(!asks.may_delegate("db", "copy") && !asks.may_delegate("localhost", "command"));
        assert!(asks.may_look_up("pipe", &[Value::text("date")]));
        assert!(!asks.may_look_up("pipe", &[Value::text("id")]) && !asks.may_look_up("env", &[Value::text("date")]));
    }

    #[test]
    fn what_only_the_run_knows_may_be_anything() {
        let asks = Asks {
            variables: [(None, None)].into(),
            delegates: [None].into(),
            delegated: [None].into(),
            lookups: [("env".into(), vec![None])].into(),
            ..Asks::default()
        };
        assert!(asks.may_read("db", None) && asks.may_delegate("localhost", "copy") && asks.may_look_up("env", &[Value::text("HOME")]));
    }
}

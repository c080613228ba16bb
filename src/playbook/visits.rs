//! Whose machines a play's tasks work on besides their own hosts'.

use std::sync::Arc;

use crate::program::{Fragments, Keywords, Play, Tree, any_keywords};

/// Where `delegate_to` and `connection` of a play take its tasks.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    /// To the controller.
    pub controller: bool,
    /// To hosts that a run finds out.
    anyone: bool,
    /// To these.
    named: Vec<Arc<str>>,
}

impl Visits {
    /// Tasks that it may include count as its own.
    pub fn of(play: &Play, fragments: &Fragments) -> Self {
        let mut visits = Self::default();
        let sections = [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers];
        let found = std::cell::RefCell::new(&mut visits);
        let add = |keywords: &Keywords| {
            found.borrow_mut().add(keywords);
            false
        };
        add(&play.keywords);
        let included = fragments.tasks.values().map(|steps| &***steps);
        for steps in sections.into_iter().map(Vec::as_slice).chain(included) {
            any_keywords(steps, &add);
        }
        visits
    }

    fn add(&mut self, keywords: &Keywords) {
        match keywords.delegate_to.as_ref().map(|tree| tree.literal().and_then(crate::program::Value::as_str)) {
            Some(Some("localhost")) => self.controller = true,
            Some(Some(name)) => self.named.push(name.into()),
            Some(None) => (self.anyone, self.controller) = (true, true),
            None => {}
        }
        // `ssh` is where the task would go anyway.
        self.controller |= keywords.connection.as_ref().is_some_and(|tree| !matches!(tree, Tree::Literal(_)) || is_local(tree));
    }

    /// Whether a task may work on one of these hosts' machines for another host.
    pub fn may_reach(&self, hosts: &[Arc<str>]) -> bool {
        self.anyone || hosts.iter().any(|host| self.named.contains(host) || (self.controller && &**host == "localhost"))
    }
}

fn is_local(tree: &Tree) -> bool {
    tree.literal().and_then(crate::program::Value::as_str).is_some_and(|word| word.rsplit('.').next() == Some("local"))
}

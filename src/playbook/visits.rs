//! Whether a play's tasks work on the controller besides their own hosts' machines.

use crate::program::{Fragments, Keywords, Play, Tree, any_keywords};

/// Whether `delegate_to` or `connection` may take tasks of a play to the controller. Tasks that it may include count as its own.
pub fn visits_controller(play: &Play, fragments: &Fragments) -> bool {
    let sections = [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers];
    let included = fragments.tasks.values().map(|steps| &***steps);
    let mut steps = sections.into_iter().map(Vec::as_slice).chain(included);
    is_visit(&play.keywords) || steps.any(|steps| any_keywords(steps, &is_visit))
}

fn is_visit(keywords: &Keywords) -> bool {
    let may_be = |tree: &Tree, is: fn(&str) -> bool| tree.literal().is_none_or(|value| value.as_str().is_some_and(is));
    keywords.delegate_to.as_ref().is_some_and(|tree| may_be(tree, |host| host == "localhost"))
        // `ssh` is where the task would go anyway.
        || keywords.connection.as_ref().is_some_and(|tree| may_be(tree, |word| word.rsplit('.').next() == Some("local")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Value;

    #[test]
    fn a_name_that_the_run_finds_out_may_be_the_controllers() {
        let of =
            |delegate_to: Option<Tree>, connection: Option<Tree>| is_visit(&Keywords { delegate_to, connection, ..Keywords::default() });
        let literal = |text: &str| Some(Tree::Literal(Value::text(text)));
        let list = Some(Tree::List(vec![Tree::Literal(Value::Null)]));
        assert!(of(literal("localhost"), None) && of(list.clone(), None) && of(None, literal("ansible.builtin.local")) && of(None, list));
        assert!(!of(literal("db"), None) && !of(None, literal("ssh")) && !of(None, None));
    }
}

//! `--start-at-task`: the play that a run begins with.

use crate::program::{Keywords, Play, RoleScope, Settings, Step, Tree, Value, tags};

/// Whether the task is in the play, among those that tags choose. What is included at run time is not looked into, and no run begins in
/// a `rescue` (ansible-core, executor/play_iterator.py).
pub fn is_in(play: &Play, settings: &Settings) -> bool {
    let Some(wanted) = settings.start_at_task.as_deref() else { return false };
    let search = Search { wanted, settings };
    [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks].into_iter().any(|steps| search.steps(steps, &[&play.keywords], None))
}

struct Search<'run> {
    wanted: &'run str,
    settings: &'run Settings,
}

impl Search<'_> {
    fn steps(&self, steps: &[Step], around: &[&Keywords], role: Option<&RoleScope>) -> bool {
        steps.iter().any(|step| match step {
            Step::Task(task) => self.is_one(task.name.as_ref(), &task.module_as_written, around, &task.keywords, role),
            Step::Include(include) => self.is_one(include.name.as_ref(), include.module(), around, &include.keywords, role),
            Step::Block(block) => {
                let around = [around, &[&block.keywords]].concat();
                let role = block.role.as_ref().or(role);
                [&block.block, &block.always].into_iter().any(|steps| self.steps(steps, &around, role))
            }
        })
    }

    fn is_one(&self, name: Option<&Tree>, module: &str, around: &[&Keywords], own: &Keywords, role: Option<&RoleScope>) -> bool {
        tags::is_named(self.wanted, name, module, role.map(|role| &*role.name)) && self.is_chosen(around, own)
    }

    /// Tags that are templates may be any.
    fn is_chosen(&self, around: &[&Keywords], own: &Keywords) -> bool {
        let trees = around.iter().copied().chain([own]).flat_map(|keywords| &keywords.tags);
        let texts: Option<Vec<&str>> = trees.map(|tree| tree.literal().and_then(Value::as_str)).collect();
        texts.is_none_or(|texts| {
            let own: Vec<String> = texts.iter().flat_map(|text| text.split(',')).map(|tag| tag.trim().to_owned()).collect();
            tags::takes(&own, &self.settings.tags, &self.settings.skip_tags)
        })
    }
}

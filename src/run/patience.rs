//! When a host is needed for the first time, and how long it may take until it answers: as long as its own tasks would wait for it.

use std::time::Duration;

use crate::module::{Entry, find};
use crate::program::{Keywords, Play, Program, Step, Task, Tree, Value};

/// What a host's part of the run begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Something that needs the host.
    Needs,
    /// A `wait_for_connection` of so long.
    Waits(Duration),
    /// Something else comes before, which may even make the machine: tasks that are done elsewhere, another host's plays, tasks that
    /// may be skipped or that go on without it.
    Other,
}

/// `has_plays_before`: another host's plays come before this one's first.
pub fn of(program: &Program, has_plays_before: bool) -> First {
    if has_plays_before {
        return First::Other;
    }
    program.plays.iter().find_map(of_play).unwrap_or(First::Other)
}

/// `None`: the play has nothing to do.
fn of_play(play: &std::sync::Arc<Play>) -> Option<First> {
    // What comes of it concerns the others too: the task that finds it out tells.
    if play.is_ended_by_failures() {
        return Some(First::Other);
    }
    let gathers = !matches!(&play.gather_facts, Some(Tree::Literal(value)) if !value.is_truthy());
    if goes_elsewhere(&play.keywords) {
        return Some(First::Other);
    }
    if gathers {
        return Some(First::Needs);
    }
    [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks].into_iter().find_map(|steps| of_steps(steps))
}

fn of_steps(steps: &[Step]) -> Option<First> {
    let step = steps.first()?;
    Some(match step {
        Step::Task(task) => of_task(task),
        Step::Block(block) if goes_elsewhere(&block.keywords) => First::Other,
        Step::Block(block) => of_steps(&block.block).unwrap_or(First::Other),
        Step::Include(_) => First::Other,
    })
}

fn of_task(task: &Task) -> First {
    if goes_elsewhere(&task.keywords) || find(&task.module).is_some_and(Entry::is_of_the_run) {
        return First::Other;
    }
    if &*task.module == "wait_for_connection" {
        let number = |name: &str, usual: u64| {
            let given = task.arguments.named.iter().find(|argument| *argument.name == *name);
            let value = given.and_then(|argument| argument.value.literal());
            value
                .and_then(|value| match value {
                    Value::Int(number) => u64::try_from(*number).ok(),
                    other => other.as_str()?.trim().parse().ok(),
                })
                .unwrap_or(usual)
        };
        return First::Waits(Duration::from_secs(number("delay", 0).saturating_add(number("timeout", 600))));
    }
    First::Needs
}

/// Whether what stands below may be done without its host.
fn goes_elsewhere(keywords: &Keywords) -> bool {
    keywords.delegate_to.is_some() || keywords.connection.is_some() || keywords.ignore_unreachable.is_some() || !keywords.when.is_empty()
}

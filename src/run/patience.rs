//! How long a host may take until it answers for the first time: as long as its own tasks would wait for it.

use std::time::Duration;

use crate::module::{Entry, find};
use crate::program::{Program, Step, Task, Value};

/// The wait of a `wait_for_connection` that comes before anything else is asked of the host.
pub fn of(program: &Program) -> Option<Duration> {
    for play in &program.plays {
        for steps in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks] {
            match first(steps) {
                First::Waits(limit) => return Some(limit),
                First::Acts => return None,
                First::Nothing => {}
            }
        }
    }
    None
}

enum First {
    Waits(Duration),
    Acts,
    Nothing,
}

fn first(steps: &[Step]) -> First {
    for step in steps {
        let found = match step {
            Step::Task(task) => of_task(task),
            Step::Block(block) => first(&block.block),
            Step::Include(_) => First::Acts,
        };
        if !matches!(found, First::Nothing) {
            return found;
        }
    }
    First::Nothing
}

fn of_task(task: &Task) -> First {
    if task.keywords.delegate_to.is_some() {
        return First::Nothing;
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
    if find(&task.module).is_some_and(Entry::is_of_the_run) { First::Nothing } else { First::Acts }
}

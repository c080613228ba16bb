//! `--tags`, `--skip-tags` and `--start-at-task` that choose nothing: a slip of a letter, said before hosts are connected to.

use std::collections::BTreeSet;

use crate::playbook::{Compiled, start};
use crate::program::glob::glob;
use crate::program::tags;
use crate::program::{Keywords, Program, Settings, Step, Tree, Value};
use crate::source::{Diagnostic, Diagnostics};

/// Tags that are always there.
const SPECIAL: [&str; 5] = ["all", "always", "never", "tagged", "untagged"];

/// A tag that nothing has is a warning (Ansible says nothing); a task to start at that no play has
/// is a mistake (Ansible says it after the run).
pub fn check(compiled: &Compiled, settings: &Settings, diagnostics: &mut Diagnostics) {
    if settings.tags.is_empty() && settings.skip_tags.is_empty() && settings.start_at_task.is_none() {
        return;
    }
    let mut words = Words::default();
    compiled.programs.values().for_each(|program| words.program(program));
    if !words.open_tags {
        for (flag, given) in [("--tags", &settings.tags), ("--skip-tags", &settings.skip_tags)] {
            for tag in given.iter().filter(|tag| !SPECIAL.contains(&&***tag) && !words.tags.contains(&***tag)) {
                let known = words.tags.iter().map(String::as_str);
                let warning = Diagnostic::nowhere(format!("{flag} {tag}: no play, block or task has the tag `{tag}`")).as_warning();
                let warning = warning.suggest(tag, known.chain(SPECIAL));
                diagnostics.push(if warning.label.is_none() {
                    warning.hint("`provision playbook --list-tags FILE` lists them")
                } else {
                    warning
                });
            }
        }
    }
    if let Some(wanted) = settings.start_at_task.as_deref()
        && !compiled.programs.is_empty()
        && !compiled.plays.iter().any(|play| start::is_in(&play.play, settings))
    {
        let mistake = Diagnostic::nowhere(format!("--start-at-task {wanted}: no task is named `{wanted}`"));
        diagnostics.push(if words.included.iter().any(|name| glob(wanted, name)) {
            mistake.hint("it stands in what is included at run time, where no run can begin: name the include, or write import_tasks")
        } else {
            let mistake = mistake.suggest(wanted, words.names.iter().map(String::as_str));
            if mistake.label.is_none() { mistake.hint("`provision playbook --list-tasks FILE` lists them") } else { mistake }
        });
    }
}

/// All tags and names, as far as they are written out.
#[derive(Default)]
struct Words {
    tags: BTreeSet<String>,
    names: BTreeSet<String>,
    /// Names in what is included at run time.
    included: BTreeSet<String>,
    open_tags: bool,
}

impl Words {
    fn program(&mut self, program: &Program) {
        for play in &program.plays {
            self.keywords(&play.keywords);
            for section in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks, &play.handlers] {
                self.steps(section, None);
            }
        }
        let names = std::mem::take(&mut self.names);
        program.fragments.tasks.values().for_each(|steps| self.steps(steps, None));
        self.included.append(&mut std::mem::replace(&mut self.names, names));
        for role in program.fragments.roles.values() {
            self.steps(&role.dependencies, None);
            role.validations.values().for_each(|step| self.steps(std::slice::from_ref(step), None));
        }
    }

    fn steps(&mut self, steps: &[Step], role: Option<&str>) {
        for step in steps {
            match step {
                Step::Block(block) => {
                    self.keywords(&block.keywords);
                    let role = block.role.as_ref().map(|role| &*role.name).or(role);
                    [&block.block, &block.rescue, &block.always].into_iter().for_each(|steps| self.steps(steps, role));
                }
                Step::Task(task) => {
                    self.keywords(&task.keywords);
                    self.name(task.name.as_ref(), role);
                }
                Step::Include(include) => {
                    self.keywords(&include.keywords);
                    self.keywords(&include.apply);
                    self.name(include.name.as_ref(), role);
                }
            }
        }
    }

    fn keywords(&mut self, keywords: &Keywords) {
        for tree in &keywords.tags {
            match tree.literal().and_then(Value::as_str) {
                Some(text) => self.tags.extend(text.split(',').map(|tag| tag.trim().to_owned())),
                None => self.open_tags = true,
            }
        }
    }

    fn name(&mut self, name: Option<&Tree>, role: Option<&str>) {
        if let Some(name) = name.and_then(tags::written) {
            self.names.extend(role.map(|role| format!("{role} : {name}")));
            self.names.insert(name.to_owned());
        }
    }
}

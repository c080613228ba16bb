//! The keywords of plays, roles, blocks and tasks: what is supported, and why the rest is not.
//!
//! One table: the parser, the messages and `docs/keywords.md` all come from it.

use std::fmt::Write as _;

/// Where a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Play,
    /// An entry of `roles:` or of a role's `dependencies:`.
    Role,
    Block,
    Task,
    Handler,
    /// `import_playbook`.
    Import,
}

impl Place {
    /// "a play", for messages.
    pub fn article(self) -> &'static str {
        match self {
            Place::Play => "a play",
            Place::Role => "a role",
            Place::Block => "a block",
            Place::Task => "a task",
            Place::Handler => "a handler",
            Place::Import => "import_playbook",
        }
    }
}

/// What is done with a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As Ansible has it.
    Yes,
    /// With a limit, which the text says.
    Partly(&'static str),
    /// Refused before the first connection, for this reason.
    No(&'static str),
}

/// One keyword.
#[derive(Clone, Copy, Debug)]
pub struct Keyword {
    pub name: &'static str,
    pub places: &'static [Place],
    pub support: Support,
}

use Place::{Block, Handler, Import, Play, Role, Task};

const EVERYWHERE: &[Place] = &[Play, Role, Block, Task, Handler, Import];
const BELOW_PLAY: &[Place] = &[Role, Block, Task, Handler];
const TASKS: &[Place] = &[Task, Handler];
const ACCELERATE: Support =
    Support::No("Ansible took it out long ago: one session per host is what `provision` always has; delete the line");

const fn yes(name: &'static str, places: &'static [Place]) -> Keyword {
    Keyword { name, places, support: Support::Yes }
}

const fn with(name: &'static str, places: &'static [Place], support: Support) -> Keyword {
    Keyword { name, places, support }
}

/// Every keyword that `ansible-doc -t keyword -l` of ansible-core 2.19 lists, and those it forgets (`listen`, `local_action`,
/// `import_playbook`, `user`).
pub const KEYWORDS: &[Keyword] = &[
    with("accelerate", &[Play], ACCELERATE),
    with("accelerate_ipv6", &[Play], ACCELERATE),
    with("accelerate_port", &[Play], ACCELERATE),
    with(
        "action",
        TASKS,
        Support::Partly("the module's name must stand there: a template in its place is refused, since the arguments could not be checked"),
    ),
    yes("always", &[Block]),
    yes("any_errors_fatal", EVERYWHERE),
    yes("args", TASKS),
    with(
        "async",
        TASKS,
        Support::Partly(
            "the task may take so many seconds, as with `timeout`; with `poll: 0` it goes on by itself, also after the run, until they are over",
        ),
    ),
    yes("become", EVERYWHERE),
    yes("become_exe", EVERYWHERE),
    yes("become_flags", EVERYWHERE),
    yes("become_method", EVERYWHERE),
    yes("become_user", EVERYWHERE),
    yes("block", &[Block]),
    yes("changed_when", TASKS),
    yes("check_mode", EVERYWHERE),
    with(
        "collections",
        &[Play, Role, Block, Task, Handler],
        Support::Partly("modules and roles are looked for in the named collections; plugins inside collections are not read"),
    ),
    yes("connection", EVERYWHERE),
    with(
        "debugger",
        EVERYWHERE,
        Support::No(
            "the interactive debugger stops a run at a prompt; `provision plan` and `-vvv` show what a task would do (`never` is accepted)",
        ),
    ),
    yes("delay", TASKS),
    yes("delegate_facts", BELOW_PLAY),
    yes("delegate_to", BELOW_PLAY),
    yes("diff", EVERYWHERE),
    yes("environment", EVERYWHERE),
    yes("fact_path", &[Play]),
    yes("failed_when", TASKS),
    yes("force_handlers", &[Play]),
    yes("gather_facts", &[Play]),
    yes("gather_subset", &[Play]),
    yes("gather_timeout", &[Play]),
    yes("handlers", &[Play]),
    yes("hosts", &[Play]),
    yes("ignore_errors", EVERYWHERE),
    yes("ignore_unreachable", EVERYWHERE),
    yes("import_playbook", &[Import]),
    yes("listen", &[Handler]),
    yes("local_action", TASKS),
    yes("loop", TASKS),
    yes("loop_control", TASKS),
    yes("max_fail_percentage", &[Play]),
    yes("module_defaults", EVERYWHERE),
    yes("name", EVERYWHERE),
    yes("no_log", EVERYWHERE),
    yes("notify", &[Block, Task, Handler]),
    yes("order", &[Play]),
    with(
        "poll",
        TASKS,
        Support::Partly("there is nothing to ask for: a task's end is told when it comes; `0` beside `async`: nobody waits for it"),
    ),
    yes("port", EVERYWHERE),
    yes("post_tasks", &[Play]),
    yes("pre_tasks", &[Play]),
    yes("register", TASKS),
    yes("remote_user", EVERYWHERE),
    yes("rescue", &[Block]),
    yes("retries", TASKS),
    yes("roles", &[Play]),
    yes("run_once", EVERYWHERE),
    yes("serial", &[Play]),
    with(
        "strategy",
        &[Play],
        Support::Partly("`linear`, `free` and `host_pinned` (as `free`); `debug` and strategies of collections are refused"),
    ),
    yes("tags", EVERYWHERE),
    yes("tasks", &[Play]),
    yes("throttle", EVERYWHERE),
    yes("timeout", EVERYWHERE),
    yes("until", TASKS),
    with("user", &[Play], Support::Partly("the old name of `remote_user`")),
    yes("vars", EVERYWHERE),
    yes("vars_files", &[Play]),
    with(
        "vars_prompt",
        &[Play],
        Support::Partly("nothing is asked in the middle of a run: each variable must be given with `-e` or have a default"),
    ),
    yes("when", &[Role, Block, Task, Handler, Import]),
];

/// The keyword of a name.
pub fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// The names that may stand at a place.
pub fn names(place: Place) -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().filter(move |keyword| keyword.places.contains(&place)).map(|keyword| keyword.name)
}

/// The table as a page of the docs.
pub fn documentation() -> String {
    let mut page = String::from(
        "# Keywords\n\n\
         Every keyword that ansible-core 2.19 lists (`ansible-doc -t keyword -l`), and what `provision` does with it. A playbook that uses\n\
         one that is not supported is told so, by file and line, before the first connection. This page is written from\n\
         `src/playbook/keyword.rs`; a test keeps the two equal.\n\n\
         | keyword | play | role | block | task | handler | |\n|---|---|---|---|---|---|---|\n",
    );
    for keyword in KEYWORDS {
        let _ = write!(page, "| `{}` ", keyword.name);
        for place in [Play, Role, Block, Task, Handler] {
            page.push_str(if keyword.places.contains(&place) { "| x " } else { "| " });
        }
        let note = match keyword.support {
            Support::Yes => "yes".to_owned(),
            Support::Partly(limit) => format!("partly: {limit}"),
            Support::No(reason) => format!("**no**: {reason}"),
        };
        let _ = writeln!(page, "| {note} |");
    }
    page.push_str(
        "\n`with_…`: items, list, indexed_items, nested, cartesian, together, dict, fileglob, first_found, subelements, sequence,\n\
         lines, random_choice, flattened, inventory_hostnames, vars, varnames, file, template, env, pipe.\n\n\
         `meta`: every action of ansible-core. `refresh_inventory` reads the inventory's sources again, scripts too; as there, a file of\n\
         variables that was read stays as it was. A plan cannot know what a source will say once steps before it have changed something:\n\
         it shows the task as unknown. `clear_host_errors` tries a host that could not be reached once more; one whose link was lost in\n\
         the middle of a play comes back in the plays after it.\n\n\
         `connection: local` (`ansible_connection` among the variables too) has a play's or a task's work done on the controller. `remote_user`:\n\
         a run has one session a host. It is `root`'s if any of the host's plays names `root`, else the first one's that is named; as root\n\
         it acts as whom a play or a task names, and else a task that names another fails in the plan. `ansible_user` beats both, as there.\n\n\
         `any_errors_fatal`: a failure in a block with `rescue` is one of all hosts, and all do the `rescue`. Whom it brings back stays for the\n\
         next plays; ansible-core leaves out there who had not failed by itself.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keywords.md");

    #[test]
    fn the_page_of_the_docs_is_the_table() {
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(PAGE, documentation()).expect("write docs/keywords.md");
        }
        let page = std::fs::read_to_string(PAGE).expect("docs/keywords.md is there");
        assert!(page == documentation(), "docs/keywords.md is not what the table says: run UPDATE_DOCS=1 cargo test keyword");
    }

    #[test]
    fn the_table_is_sorted_and_has_each_name_once() {
        assert!(KEYWORDS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}

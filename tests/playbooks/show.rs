//! A program as text: one line a step, indented as it nests.

use std::fmt::Write as _;
use std::path::Path;

use provision::playbook::Compiled;
use provision::program::{Block, Include, Included, Keywords, Layer, Loop, Play, Program, Step, Task, Tree};

pub fn programs(compiled: &Compiled, folder: &Path) -> String {
    let mut out = String::new();
    for (index, play) in compiled.plays.iter().enumerate() {
        let batches: Vec<String> = play.batches.iter().map(|batch| batch.join(" ")).collect();
        let _ = writeln!(out, "play {index} {:?} ({}): {}", play.name, play.pattern, batches.join(" | "));
    }
    for program in compiled.programs.values() {
        out.push_str(&one(program));
    }
    out.replace(&folder.display().to_string(), "FOLDER")
}

fn one(program: &Program) -> String {
    let mut out = format!("\nhost {}\n", program.host);
    for layer in program.inventory.iter().filter(|layer| !layer.variables.is_empty()) {
        let _ = writeln!(out, "  inventory {}", show_layer(layer));
    }
    for (id, layer) in program.layers.iter().enumerate() {
        let _ = writeln!(out, "  layer {id} {}", show_layer(layer));
    }
    for play in &program.plays {
        show_play(&mut out, play);
    }
    for (path, steps) in &program.fragments.tasks {
        let _ = writeln!(out, "  fragment {path}");
        show_steps(&mut out, steps, 2);
    }
    for (path, layer) in &program.fragments.vars {
        let _ = writeln!(out, "  vars file {path} {}", show_layer(layer));
    }
    for (name, role) in &program.fragments.roles {
        let _ = writeln!(
            out,
            "  role {name} tasks {:?} handlers {:?} vars {:?} defaults {:?}",
            role.tasks, role.handlers, role.vars, role.defaults
        );
        for (name, validation) in &role.validations {
            let _ = writeln!(out, "    validation of {name}");
            show_steps(&mut out, std::slice::from_ref(validation), 3);
        }
    }
    for (path, file) in &program.files {
        let _ = writeln!(out, "  file {path} {}", show_file(file));
    }
    let _ = writeln!(out, "  published {:?}", program.published);
    out
}

fn show_file(file: &provision::program::File) -> String {
    use provision::program::File;
    match file {
        File::Plain { sha256, size, content, .. } => {
            format!("{size} bytes {}{}", &sha256[..8], if content.is_some() { " sent" } else { "" })
        }
        File::Directory { entries, .. } => format!("folder {}", entries.join(" ")),
        File::Symlink { target } => format!("link to {target}"),
    }
}

fn show_layer(layer: &Layer) -> String {
    let variables: Vec<String> = layer.variables.iter().map(|variable| format!("{}={}", variable.name, show(&variable.value))).collect();
    format!("[{}] {}", layer.origin, variables.join(" "))
}

pub fn show(tree: &Tree) -> String {
    match tree {
        Tree::Literal(value) => value.to_json(false).to_string(),
        Tree::Template(template) => format!("<{}>", template.source),
        Tree::Expression(template) => format!("({})", template.source),
        Tree::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        Tree::Map(entries) => {
            format!("{{{}}}", entries.iter().map(|(key, value)| format!("{}: {}", show(key), show(value))).collect::<Vec<_>>().join(", "))
        }
    }
}

fn show_play(out: &mut String, play: &Play) {
    let name = play.name.as_ref().map(show).unwrap_or_default();
    let _ = writeln!(out, "  play {} {name} batch {} ({})", play.index, play.batch, play.batch_hosts.join(" "));
    let keywords = show_keywords(&play.keywords);
    if !keywords.is_empty() {
        let _ = writeln!(out, "    {keywords}");
    }
    let _ = writeln!(out, "    role defaults {:?} role vars {:?} strategy {:?}", play.role_defaults, play.role_vars, play.strategy);
    for file in &play.vars_files {
        let _ = writeln!(out, "    vars_files {}", file.candidates.iter().map(show).collect::<Vec<_>>().join(" or "));
    }
    for (name, steps) in [
        ("pre_tasks", &play.pre_tasks),
        ("roles", &play.roles),
        ("tasks", &play.tasks),
        ("post_tasks", &play.post_tasks),
        ("handlers", &play.handlers),
    ] {
        if !steps.is_empty() {
            let _ = writeln!(out, "    {name}");
            show_steps(out, steps, 3);
        }
    }
}

fn show_steps(out: &mut String, steps: &[Step], depth: usize) {
    let indent = "  ".repeat(depth);
    for step in steps {
        match step {
            Step::Task(task) => {
                let _ = writeln!(out, "{indent}{}", show_task(task));
            }
            Step::Include(include) => {
                let _ = writeln!(out, "{indent}{}", show_include(include));
            }
            Step::Block(block) => show_block(out, block, depth),
        }
    }
}

fn show_block(out: &mut String, block: &Block, depth: usize) {
    let indent = "  ".repeat(depth);
    let mut line = match &block.role {
        Some(role) => format!(
            "role {} defaults {:?} vars {:?} parameters {:?} duplicates {}",
            role.name, role.defaults, role.vars, role.parameters, role.allow_duplicates
        ),
        None => "block".to_owned(),
    };
    if let Some(name) = &block.name {
        let _ = write!(line, " {}", show(name));
    }
    let _ = writeln!(out, "{indent}{line} {}", show_keywords(&block.keywords));
    show_steps(out, &block.block, depth + 1);
    for (name, steps) in [("rescue", &block.rescue), ("always", &block.always)] {
        if !steps.is_empty() {
            let _ = writeln!(out, "{indent}{name}");
            show_steps(out, steps, depth + 1);
        }
    }
}

fn list(out: &mut String, name: &str, trees: &[Tree]) {
    if !trees.is_empty() {
        let _ = write!(out, " {name}={}", trees.iter().map(show).collect::<Vec<_>>().join("; "));
    }
}

fn one_of(out: &mut String, name: &str, tree: Option<&Tree>) {
    if let Some(tree) = tree {
        let _ = write!(out, " {name}={}", show(tree));
    }
}

fn show_task(task: &Task) -> String {
    let mut out = format!("{} {}", task.module, task.name.as_ref().map(show).unwrap_or_default());
    if let Some(free) = &task.arguments.free_form {
        let _ = write!(out, " free={}", show(free));
    }
    for argument in &task.arguments.named {
        let _ = write!(out, " {}: {}", argument.name, show(&argument.value));
    }
    one_of(&mut out, "splat", task.arguments.splat.as_ref());
    show_loop(&mut out, task.looping.as_ref());
    if let Some(register) = &task.register {
        let _ = write!(out, " register={register}");
    }
    list(&mut out, "changed_when", &task.changed_when);
    list(&mut out, "failed_when", &task.failed_when);
    list(&mut out, "until", &task.until);
    one_of(&mut out, "retries", task.retries.as_ref());
    one_of(&mut out, "delay", task.delay.as_ref());
    list(&mut out, "listen", &task.listen);
    out.push_str(&show_keywords(&task.keywords));
    out
}

fn show_include(include: &Include) -> String {
    let mut out = match &include.what {
        Included::Tasks(name) => format!("include_tasks {}", show(name)),
        Included::Role { name, tasks_from, .. } => {
            format!("include_role {} {}", show(name), tasks_from.as_ref().map(show).unwrap_or_default())
        }
    };
    show_loop(&mut out, include.looping.as_ref());
    out.push_str(&show_keywords(&include.keywords));
    let _ = write!(out, " search {}", include.search.join(":"));
    out
}

fn show_loop(out: &mut String, looping: Option<&Loop>) {
    let Some(looping) = looping else { return };
    let _ = write!(out, " {}={}", looping.with.as_ref().map_or("loop".to_owned(), |with| format!("with_{with}")), show(&looping.items));
    one_of(out, "loop_var", looping.loop_var.as_ref());
    one_of(out, "label", looping.label.as_ref());
}

fn show_keywords(keywords: &Keywords) -> String {
    let mut out = String::new();
    if !keywords.vars.variables.is_empty() {
        let _ = write!(out, " vars={}", show_layer(&keywords.vars));
    }
    list(&mut out, "when", &keywords.when);
    list(&mut out, "tags", &keywords.tags);
    list(&mut out, "environment", &keywords.environment);
    list(&mut out, "notify", keywords.notify.as_deref().unwrap_or_default());
    for (module, arguments) in &keywords.module_defaults {
        let _ = write!(out, " module_defaults={}:{}", show(module), show(arguments));
    }
    for (name, tree) in [
        ("become", &keywords.become_),
        ("become_user", &keywords.become_user),
        ("check_mode", &keywords.check_mode),
        ("no_log", &keywords.no_log),
        ("ignore_errors", &keywords.ignore_errors),
        ("any_errors_fatal", &keywords.any_errors_fatal),
        ("run_once", &keywords.run_once),
        ("delegate_to", &keywords.delegate_to),
        ("delegate_facts", &keywords.delegate_facts),
        ("connection", &keywords.connection),
        ("remote_user", &keywords.remote_user),
        ("timeout", &keywords.timeout),
    ] {
        one_of(&mut out, name, tree.as_ref());
    }
    out
}

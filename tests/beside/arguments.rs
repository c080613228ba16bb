//! Every module's arguments beside those of ansible-core: names, aliases, types, choices, defaults, what is required, and rules.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use provision::module::arguments::{boolean, text};
use provision::module::{Entry, Field, Kind, MODULES, Rule, Spec};
use provision::program::Value;
use serde_json::Value as Json;

/// What differs, as `module.argument` or `module rule`, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("copy.content", "no secret: differences show it, as Ansible's do"),
    ("async_status._async_dir", "Ansible's controller gives it to its module"),
    (
        "add_host required one of: name host",
        "the same two arguments, by other names in Ansible's documentation than its plugin looks for: `name`, else `hostname`, else `host`",
    ),
    (
        "add_host.name",
        "the same two arguments, by other names in Ansible's documentation than its plugin looks for: `name`, else `hostname`, else `host`",
    ),
    (
        "add_host.host",
        "the same two arguments, by other names in Ansible's documentation than its plugin looks for: `name`, else `hostname`, else `host`",
    ),
    ("add_host.group", "Ansible's plugin takes the first that is given of `groupname`, `groups`, `group`"),
    ("add_host.groupname", "Ansible's plugin takes the first that is given of `groupname`, `groups`, `group`"),
    ("add_host.groups", "Ansible's plugin takes the first that is given of `groupname`, `groups`, `group`"),
    ("assemble.src", "a path on the controller with `remote_src: no`; the plan expands it where it is one of the node"),
    ("assert.fail_msg", "any value, as the plugin takes it; the default stands here, there it is in the code"),
    ("assert.success_msg", "any value, as the plugin takes it; the default stands here, there it is in the code"),
    ("assert.that", "expressions, which must not be evaluated as templates first"),
    ("command.free_form", "the free text, `_raw_params` inside"),
    ("copy.content", "what is no text becomes JSON or a text, by the plugin"),
    ("copy.src", "a path on the controller; the plan expands it where `remote_src` makes it one of the node"),
    ("debug mutually exclusive: msg var", "the plugin checks it, not a specification"),
    ("debug.msg", "any value: the plugin prints it"),
    ("deb822_repository.install_python_debian", "of ansible-core 2.20; nothing is needed here"),
    ("fail.msg", "any value: the plugin prints it"),
    ("file._diff_peek", "between plugins only"),
    ("hostname.use", "ways of other systems than Linux; refused before the first connection"),
    ("include_vars.free-form", "the free text, `_raw_params` inside"),
    ("include_vars mutually exclusive: file depth", "the plugin checks it, not a specification"),
    ("include_vars mutually exclusive: file dir", "the plugin checks it, not a specification"),
    ("include_vars mutually exclusive: file extensions", "the plugin checks it, not a specification"),
    ("include_vars mutually exclusive: file files_matching", "the plugin checks it, not a specification"),
    ("include_vars mutually exclusive: file ignore_files", "the plugin checks it, not a specification"),
    ("include_vars mutually exclusive: file ignore_unknown_extensions", "the plugin checks it, not a specification"),
    ("include_vars required one of: file dir", "the plugin checks it, not a specification"),
    ("include_vars.dir", "a path on the controller"),
    ("include_vars.file", "a path on the controller"),
    ("include_vars.extensions", "a set: the order says nothing"),
    ("lineinfile required if state=present, any false: line", "the module checks it; here it is told before anything is touched"),
    ("lineinfile required if backrefs=True, any false: regexp", "the module checks it; here it is told before anything is touched"),
    (
        "lineinfile required if state=absent, any true: line search_string regexp",
        "the module checks it; here it is told before anything is touched",
    ),
    ("pause mutually exclusive: minutes seconds", "the plugin checks it, not a specification"),
    ("uri.headers", "none by default, either way"),
    ("package.name", "a text or a list, which goes to the package manager's module"),
    ("package.state", "required by its documentation only: what is not given is the manager's own default"),
    ("raw._raw_params", "the free text, `_raw_params` inside"),
    ("raw.free_form", "the free text, `_raw_params` inside"),
    ("reboot.boot_time_command", "its default depends on the node, in the code"),
    ("reboot.reboot_command", "its default depends on the node, in the code"),
    ("reboot.test_command", "its default depends on the node, in the code"),
    ("reboot.connect_timeout", "the plugin takes the old names too"),
    ("reboot.post_reboot_delay", "the plugin takes the old names too"),
    ("reboot.pre_reboot_delay", "the plugin takes the old names too"),
    ("reboot.reboot_timeout", "the plugin takes the old names too"),
    ("script mutually exclusive: _raw_params cmd", "the plugin checks it, not a specification"),
    ("script required one of: _raw_params cmd", "the plugin checks it, not a specification"),
    ("script._raw_params", "the free text, `_raw_params` inside"),
    ("script.free_form", "the free text, `_raw_params` inside"),
    (
        "service required one of: state enabled",
        "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there",
    ),
    ("service.daemon_reexec", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    ("service.daemon_reload", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    ("service.force", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    ("service.masked", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    ("service.name", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    ("service.no_block", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    ("service.scope", "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there"),
    (
        "service required by enabled: name",
        "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there",
    ),
    (
        "service required by masked: name",
        "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there",
    ),
    (
        "service required by state: name",
        "the plugin passes arguments of `systemd_service` on where systemd runs, `name` is not required there",
    ),
    ("set_fact.key_value", "any names"),
    ("setup.parallel", "of `gather_facts`, which is `setup` here"),
    ("shell.free_form", "the free text, `_raw_params` inside"),
    ("shell._raw_params", "`shell` is `command` with `_uses_shell`, there as here"),
    ("shell._uses_shell", "`shell` is `command` with `_uses_shell`, there as here"),
    ("shell.argv", "`shell` is `command` with `_uses_shell`, there as here"),
    ("shell.strip_empty_ends", "`shell` is `command` with `_uses_shell`, there as here"),
    ("shell mutually exclusive: _raw_params cmd argv", "`shell` is `command` with `_uses_shell`, there as here"),
    ("shell required one of: _raw_params cmd argv", "`shell` is `command` with `_uses_shell`, there as here"),
    ("shell.executable", "`shell` is `command` with `_uses_shell`, there as here"),
    ("user.ssh_key_comment", "its default depends on the node, in the code"),
    ("unarchive.src", "a path on the controller; the plan expands it where `remote_src` makes it one of the node"),
    ("unarchive.copy", "given or not: it may not stand beside `remote_src`"),
    ("unarchive mutually exclusive: copy remote_src", "the plugin checks it, not a specification"),
    ("sysctl.attributes", "a new file may be given an owner and a mode here"),
    ("sysctl.group", "a new file may be given an owner and a mode here"),
    ("sysctl.mode", "a new file may be given an owner and a mode here"),
    ("sysctl.owner", "a new file may be given an owner and a mode here"),
    ("sysctl.selevel", "a new file may be given an owner and a mode here"),
    ("sysctl.serole", "a new file may be given an owner and a mode here"),
    ("sysctl.setype", "a new file may be given an owner and a mode here"),
    ("sysctl.seuser", "a new file may be given an owner and a mode here"),
    ("sysctl.unsafe_writes", "a new file may be given an owner and a mode here"),
    ("template.src", "a path on the controller; the plan expands it where `remote_src` makes it one of the node"),
    ("template.checksum", "the plugin passes it to `copy`"),
    ("template.comment_end_string", "Jinja2's own defaults, written out"),
    ("template.comment_start_string", "Jinja2's own defaults, written out"),
    ("template.newline_sequence", "the same three, as YAML gives them: written `\\n` and as the character"),
    ("validate_argument_spec.argument_spec", "its documentation names no type; a mapping is required"),
    ("validate_argument_spec.provided_arguments", "its documentation names no type; a mapping is required"),
    ("validate_argument_spec.validate_args_context", "ansible-core gives it to its own tasks, and documents it not"),
];

/// Modules of collections by their names there, as `ansible.posix` 2.1 and `community.general` 11.4 declare them: the oracle has
/// ansible-core only.
fn of_collections() -> Json {
    serde_json::from_str(include_str!("collections.json")).expect("JSON")
}

/// What arguments.py says of these.
fn said(python: &std::path::Path, modules: &[&str]) -> Json {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/beside/arguments.py");
    let output = Command::new(python).arg(script).args(modules).output().expect("Python runs");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// One line an argument: `str, required, = default, choices …, aliases …`.
type Shown = BTreeMap<String, String>;

fn line(kind: &str, required: bool, default: Option<String>, choices: BTreeSet<String>, aliases: BTreeSet<String>, secret: bool) -> String {
    let list = |name: &str, words: BTreeSet<String>| {
        if words.is_empty() { String::new() } else { format!(", {name} {}", words.into_iter().collect::<Vec<_>>().join(" ")) }
    };
    let required = if required { ", required" } else { "" };
    let default = default.map(|default| format!(", = {default}")).unwrap_or_default();
    let secret = if secret { ", secret" } else { "" };
    format!("{kind}{required}{default}{secret}{}{}", list("choices", choices), list("aliases", aliases))
}

/// A default as both sides may write it: `yes` for a truth, commas in a list. Nothing and an empty text are no default.
fn default(kind: &str, value: &Value) -> Option<String> {
    let written = match value {
        Value::Null => return None,
        value if kind == "bool" => if boolean(value).expect("a truth") { "yes" } else { "no" }.to_owned(),
        Value::List(items) => items.iter().filter_map(|item| text(item).ok()).collect::<Vec<_>>().join(","),
        other => text(other).expect("a scalar"),
    };
    let says_nothing = written.is_empty() || kind == "bool" && written == "no";
    (!says_nothing).then_some(written)
}

fn our_kind(kind: &Kind) -> (String, BTreeSet<String>) {
    let plain = |name: &str| (name.to_owned(), BTreeSet::new());
    match kind {
        Kind::Text => plain("str"),
        Kind::Path => plain("path"),
        Kind::Bool => plain("bool"),
        Kind::Int => plain("int"),
        Kind::Float => plain("float"),
        Kind::Dict => plain("dict"),
        Kind::Raw => plain("raw"),
        Kind::List(inner) => {
            let (kind, choices) = our_kind(inner);
            (format!("list of {kind}"), choices)
        }
        Kind::Choice(words) => ("str".to_owned(), words.iter().map(|word| (*word).to_owned()).collect()),
    }
}

fn our_field(field: &Field) -> String {
    let (kind, choices) = our_kind(&field.kind);
    let default = field.default.and_then(|written| default(&kind, &Value::text(written)));
    let aliases = field.aliases.iter().map(|alias| (*alias).to_owned()).collect();
    line(&kind, field.required, default, choices, aliases, field.secret)
}

fn their_field(option: &Json) -> String {
    let words = |json: &Json| json.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect();
    let kind = match option["type"].as_str().unwrap_or("str") {
        "list" => format!("list of {}", option["elements"].as_str().unwrap_or("raw")),
        other => other.to_owned(),
    };
    let default = default(&kind, &Value::from(option["default"].clone()));
    let secret = option["no_log"] == true;
    line(&kind, option["required"] == true, default, words(&option["choices"]), words(&option["aliases"]), secret)
}

fn our_rule(rule: &Rule) -> String {
    match rule {
        Rule::MutuallyExclusive(names) => format!("mutually exclusive: {}", names.join(" ")),
        Rule::RequiredOneOf(names) => format!("required one of: {}", names.join(" ")),
        Rule::RequiredTogether(names) => format!("required together: {}", names.join(" ")),
        Rule::RequiredIf { argument, value, names, any } => format!("required if {argument}={value}, any {any}: {}", names.join(" ")),
        Rule::RequiredBy { argument, names } => format!("required by {argument}: {}", names.join(" ")),
    }
}

fn their_rule(rule: &Json) -> String {
    let words = |from: usize| rule.as_array().into_iter().flatten().skip(from).filter_map(Json::as_str).collect::<Vec<_>>().join(" ");
    let inner = |at: usize| rule[at].as_array().into_iter().flatten().filter_map(Json::as_str).collect::<Vec<_>>().join(" ");
    match rule[0].as_str().expect("its kind") {
        "required_if" => {
            let value = rule[2].as_str().map_or_else(|| rule[2].to_string(), str::to_owned);
            format!("required if {}={value}, any {}: {}", words(1).split(' ').next().unwrap_or_default(), rule[4] == true, inner(3))
        }
        "required_by" => format!("required by {}: {}", rule[1].as_str().unwrap_or_default(), inner(2)),
        kind => format!("{}: {}", kind.replace('_', " "), words(1)),
    }
}

fn ours(module: &str, spec: &Spec) -> Shown {
    let inside = |field: &Field| field.inside.map(|inside| inside().fields).unwrap_or_default();
    let fields = spec.fields.iter().flat_map(|field| {
        let inner = inside(field).into_iter().map(|inner| (format!("{module}.{}.{}", field.name, inner.name), our_field(&inner)));
        std::iter::once((format!("{module}.{}", field.name), our_field(field))).chain(inner)
    });
    fields.chain(spec.rules.iter().map(|rule| (format!("{module} {}", our_rule(rule)), String::new()))).collect()
}

fn theirs(module: &str, spec: &Json) -> Shown {
    let fields = spec["options"].as_object().into_iter().flatten();
    let fields = fields.map(|(name, option)| (format!("{module}.{name}"), their_field(option)));
    let rules = spec["rules"].as_array().into_iter().flatten();
    fields.chain(rules.map(|rule| (format!("{module} {}", their_rule(rule)), String::new()))).collect()
}

#[test]
fn every_module_takes_the_arguments_that_ansibles_takes() {
    let Some(python) = crate::oracle::ansible("python") else { return };
    let collections = of_collections();
    // `artifact` is ours alone.
    let modules: Vec<_> = MODULES.iter().filter(|entry| entry.name() != "artifact").collect();
    let declared = |entry: &Entry| entry.names.iter().find_map(|name| collections.get(name));
    let core: Vec<&str> = modules.iter().filter(|entry| declared(entry).is_none()).map(|entry| entry.name()).collect();
    let documented = said(&python, &core);
    let mut stale: BTreeSet<&str> = DIFFERENT.iter().map(|(place, _)| *place).collect();
    let (mut different, mut compared) = (Vec::new(), 0);
    for entry in modules {
        let spec = declared(entry).unwrap_or(&documented[entry.name()]);
        let (ours, theirs) = (ours(entry.name(), entry.spec()), theirs(entry.name(), spec));
        for place in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            compared += 1;
            let (our, their) = (ours.get(place), theirs.get(place));
            if our != their && !stale.remove(place.as_str()) && !DIFFERENT.iter().any(|(known, _)| known == place) {
                different.push(format!("{place}\n    ansible: {}\n    ours:    {}", their.map_or("-", |it| it), our.map_or("-", |it| it)));
            }
        }
    }
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    assert!(stale.is_empty(), "these are equal now: {stale:?}");
    assert!(compared > 240, "only {compared} arguments were compared");
}

#[test]
#[ignore = "wants the collections: ANSIBLE_COLLECTIONS_PATH=… cargo test --workspace --test main what_is_kept_of_collections -- --ignored"]
fn what_is_kept_of_collections_is_theirs() {
    let Some(python) = crate::oracle::ansible("python") else { return };
    let kept = of_collections();
    let modules: Vec<&str> = kept.as_object().expect("a mapping").keys().map(String::as_str).collect();
    assert_eq!(said(&python, &modules), kept);
}

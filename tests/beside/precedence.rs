//! Precedence beside ansible-core: every level of its list against every other, seen from many places of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// Ansible's list from the least to the greatest, each level by what it is called here; facts and extra vars stand apart, below.
const LEVELS: [&str; 21] = [
    "role_defaults",
    "inventory_all",
    "inventory_parent",
    "inventory_child",
    "inventory_group_vars_all",
    "playbook_group_vars_all",
    "inventory_group_vars_child",
    "playbook_group_vars_child",
    "inventory_host",
    "inventory_host_vars",
    "playbook_host_vars",
    "play_vars",
    "vars_prompt",
    "vars_files",
    "role_vars",
    "block_vars",
    "task_vars",
    "include_vars",
    "set_fact",
    "role_params",
    "include_params",
];

/// Facts of the machine, one for each level that may hide it.
const FACTS: [&str; 21] = [
    "ansible_system",
    "ansible_kernel",
    "ansible_machine",
    "ansible_architecture",
    "ansible_os_family",
    "ansible_pkg_mgr",
    "ansible_service_mgr",
    "ansible_distribution",
    "ansible_distribution_version",
    "ansible_distribution_release",
    "ansible_nodename",
    "ansible_userspace_bits",
    "ansible_processor_vcpus",
    "ansible_memtotal_mb",
    "ansible_domain",
    "ansible_hostname",
    "ansible_user_id",
    "ansible_user_uid",
    "ansible_user_dir",
    "ansible_user_shell",
    "ansible_system_vendor",
];

/// Names that a level sets: one with each other level, one of its own, one with a registered result, one that extra vars set
/// too, and a fact.
fn names(level: usize) -> Vec<String> {
    let pairs = (0..LEVELS.len()).filter(|other| *other != level).map(|other| format!("v_{}_{}", level.min(other), level.max(other)));
    let own = ["alone", "registered", "extra"].map(|kind| format!("{kind}_{level}"));
    pairs.chain(own).chain([FACTS[level].to_owned()]).collect()
}

/// Every name that any level sets.
fn all_names() -> Vec<String> {
    let names: std::collections::BTreeSet<String> = (0..LEVELS.len()).flat_map(names).collect();
    names.into_iter().collect()
}

/// A level's variables as YAML, indented; `suffix` tells two places of one level apart.
fn yaml(level: &str, suffix: &str, indent: usize) -> String {
    let at = LEVELS.iter().position(|known| *known == level).expect("a level of the list");
    names(at).into_iter().fold(String::new(), |mut text, name| {
        _ = writeln!(text, "{:indent$}{name}: {level}{suffix}", "");
        text
    })
}

/// As words of an inventory's line or lines of its section.
fn ini(level: &str, between: &str) -> String {
    yaml(level, "", 0).lines().map(|line| line.replace(": ", "=") + between).collect()
}

/// A task that tells what it sees.
fn view(name: &str, more: &str) -> String {
    format!("- {{name: \"view {name}\", debug: {{msg: \"{{{{ view }}}}\"}}{more}}}\n")
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// `register` of a result for each level's name.
fn registers() -> String {
    (0..LEVELS.len()).fold(String::new(), |mut text, level| {
        _ = writeln!(text, "- {{debug: {{msg: registered}}, register: registered_{level}}}");
        text
    })
}

/// The project; both tools run it as it is.
fn project(folder: &Path) {
    let put = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("below the folder")).expect("makes folders");
        std::fs::write(path, text).expect("writes");
    };
    put(
        "inventory/hosts.ini",
        &format!(
            "[child]\none {}\ntwo\n[parent:children]\nchild\n[sibling]\none\n[all:vars]\nansible_connection=local\n{}\n[parent:vars]\n{}\n[child:vars]\n{}\n",
            ini("inventory_host", " "),
            ini("inventory_all", "\n"),
            ini("inventory_parent", "\n"),
            ini("inventory_child", "\n"),
        ),
    );
    put("inventory/group_vars/all.yml", &yaml("inventory_group_vars_all", "", 0));
    put("inventory/group_vars/child.yml", &(yaml("inventory_group_vars_child", "", 0) + "of_groups: child\n"));
    put("inventory/group_vars/parent.yml", "of_groups: parent\nparent_only: inventory\n");
    put("inventory/group_vars/sibling/a.yml", "of_groups: sibling\nof_files: a\n");
    put("inventory/group_vars/sibling/b.yml", "of_files: b\n");
    put("inventory/host_vars/one.yml", &yaml("inventory_host_vars", "", 0));
    for place in ["a", "b"] {
        let suffix = format!("_{place}");
        put(&format!("{place}/group_vars/all.yml"), &yaml("playbook_group_vars_all", &suffix, 0));
        put(&format!("{place}/group_vars/child.yml"), &yaml("playbook_group_vars_child", &suffix, 0));
        put(&format!("{place}/host_vars/one.yml"), &yaml("playbook_host_vars", &suffix, 0));
    }
    put("a/group_vars/parent.yml", "parent_only: playbook\n");
    let mut text = String::new();
    for name in all_names().iter().map(String::as_str).chain(["of_groups", "of_files", "parent_only", "parameter"]) {
        _ = writeln!(
            text,
            "{name}={{% if {name} is not defined %}}-{{% elif {name} is mapping %}}{{{{ {name}.msg }}}}{{% else %}}{{{{ {name} }}}}{{% endif %}} |"
        );
    }
    put("view.yml", &format!("view: |\n{}", indented(&text, 2)));
    put("vars_file.yml", &yaml("vars_files", "", 0));
    put("included_vars.yml", &yaml("include_vars", "", 0));
    put("extra.yml", &(0..LEVELS.len()).map(|level| format!("extra_{level}: extra_vars\n")).collect::<String>());
    let set_fact = format!("- set_fact:\n{}", yaml("set_fact", "", 4));
    for role in ["r", "dependency"] {
        put(&format!("roles/{role}/defaults/main.yml"), &yaml("role_defaults", &format!("_of_{role}"), 0));
        put(&format!("roles/{role}/vars/main.yml"), &yaml("role_vars", &format!("_of_{role}"), 0));
    }
    put("roles/dependency/tasks/main.yml", &view("dependency-{{ step }}", ""));
    put(
        "roles/r/meta/main.yml",
        &format!("dependencies:\n  - role: dependency\n    vars:\n{}", yaml("role_params", "_of_the_dependency", 6)),
    );
    put("roles/r/handlers/main.yml", &view("handler-{{ step }}", ", listen: look"));
    put(
        "roles/r/tasks/main.yml",
        &format!("{}- {{debug: {{msg: notify}}, changed_when: true, notify: look}}\n", view("role-{{ step }}", "")),
    );
    put(
        "roles/r/tasks/deep.yml",
        &format!(
            "- vars:\n{}  block:\n    - name: view deep-{{{{ step }}}}\n      debug: {{msg: \"{{{{ view }}}}\"}}\n      vars:\n{}{}",
            yaml("block_vars", "", 4),
            yaml("task_vars", "", 8),
            indented(&view("block-{{ step }}", ""), 4),
        ),
    );
    put("tasks/included.yml", &view("included-{{ step }}", ""));
    let play = |step: &str, tasks: &str, head: &str| {
        // Facts stay.
        let gather = step == "inventory";
        format!("- hosts: all\n  gather_facts: {gather}\n  vars:\n    step: {step}\n{head}  tasks:\n{}", indented(tasks, 4))
    };
    let with = |level: &str| yaml(level, "", 4);
    // Each play adds levels to those before; what is set for a host stays.
    let prompt: String =
        names(12).into_iter().map(|name| format!("    - {{name: {name}, private: false, default: vars_prompt}}\n")).collect();
    let files = "  vars_files: [../vars_file.yml]\n";
    let role = |name: &str, parameters: bool| {
        let parameters = if parameters { yaml("role_params", "", 6) } else { String::new() };
        format!("  roles:\n    - role: {name}\n      parameter: of the role\n{parameters}")
    };
    let include = |what: &str, params: bool| {
        let params = if params { format!("  vars:\n{}", yaml("include_params", "", 4)) } else { String::new() };
        format!("- {what}\n{params}")
    };
    let deep = |params: bool| include("include_role: {name: r, tasks_from: deep.yml}", params);
    let plays = [
        play("inventory", &view("inventory", ""), ""),
        play(
            "prompt",
            &(view("prompt", "") + &include("import_tasks: ../tasks/included.yml", true)),
            &format!("{}  vars_prompt:\n{prompt}", with("play_vars")),
        ),
        play("files", &view("files", ""), &format!("{}  vars_prompt:\n{prompt}{files}", with("play_vars"))),
        play("role", &view("after-role", ""), &role("r", false)),
        play("role-files", &view("after-role-files", ""), &format!("{}{files}{}", with("play_vars"), role("r", true))),
        play(
            "dynamic",
            &(include("include_role: {name: r}", false)
                + &view("after-include", "")
                + &include("import_role: {name: r}", true)
                + &view("after-import", "")
                + &deep(false)
                + &include("include_tasks: ../tasks/included.yml", true)
                + &view("after-deep", "")),
            &format!("{}{files}", with("play_vars")),
        ),
        play("public", &(include("include_role: {name: r, public: true}", false) + &view("after-public", "")), ""),
        play(
            "included",
            &(include("include_vars: ../included_vars.yml", false) + &view("after-include-vars", "") + &deep(false)),
            &role("r", false),
        ),
        play("registered", &(registers() + &view("after-register", "") + &deep(false)), &role("r", true)),
        play("set", &(set_fact + &view("after-set-fact", "") + &deep(false)), &role("r", true)),
        play(
            "params",
            &(deep(true) + &view("after-params", "") + &include("include_tasks: ../tasks/included.yml", true)),
            &role("r", true),
        ),
    ];
    for place in ["a", "b"] {
        put(&format!("{place}/site.yml"), &plays.concat());
    }
    // Another playbook's folder gives its own group_vars to its own plays.
    let other = |text: &str| text.replace("step: inventory", "step: other").replace("view inventory", "view other");
    put("b/short.yml", &other(&plays[0]));
    put("a/both.yml", &format!("- import_playbook: ../b/short.yml\n{}", plays[0]));
}

/// What every view of a run told, by host and name.
fn views(program: &Path, first: &[&str], folder: &Path, words: &[&str]) -> BTreeMap<(String, String), String> {
    let results = folder.join("results.jsonl");
    let _ = std::fs::remove_file(&results);
    let ran = Command::new(program)
        .args(first)
        .args(words)
        .args(["-i", "inventory/hosts.ini", "-e", "@view.yml"])
        .current_dir(folder)
        .env("HOME", folder)
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_ROLES_PATH", folder.join("roles"))
        .env("ANSIBLE_PYTHON_INTERPRETER", program.with_file_name("python"))
        .env("ANSIBLE_PIPELINING", "true")
        .env("ANSIBLE_STDOUT_CALLBACK", "oracle_results")
        .env("ANSIBLE_CALLBACK_PLUGINS", Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/oracle"))
        .env("ORACLE_RESULTS", &results)
        .env("PROVISION_AGENT", env!("CARGO_BIN_EXE_provision-agent"))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{} {words:?}:\n{stdout}\n{}", program.display(), String::from_utf8_lossy(&ran.stderr));
    // Ansible's callback writes a file, ours is the output.
    let lines = std::fs::read_to_string(&results).unwrap_or(stdout);
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
    lines
        .filter_map(|line| {
            let name = line["name"].as_str().or_else(|| line["task"].as_str())?.strip_prefix("view ")?.to_owned();
            Some(((line["host"].as_str()?.to_owned(), name), line["result"]["msg"].as_str()?.to_owned()))
        })
        .collect()
}

#[test]
fn variables_win_as_in_ansible() {
    let Some(ansible) = crate::oracle::ansible("ansible-playbook") else { return };
    let mut folder = tempfile::tempdir().expect("a folder");
    // To try things by hand.
    folder.disable_cleanup(std::env::var_os("PROVISION_KEEP_RESULTS").is_some());
    project(folder.path());
    let provision = Path::new(env!("CARGO_BIN_EXE_provision"));
    let runs: [(&str, &[&str]); 3] = [
        ("in one folder, extra vars", &["a/site.yml", "-e", "@extra.yml"]),
        ("of two folders", &["a/site.yml", "b/short.yml"]),
        ("one imports another's", &["a/both.yml"]),
    ];
    let (mut different, mut compared) = (Vec::new(), 0);
    for (name, words) in &runs {
        let theirs = views(&ansible, &[], folder.path(), words);
        let ours = views(provision, &["playbook", "--json"], folder.path(), words);
        assert_eq!(theirs.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>(), "{name}: the same views");
        for (view, theirs) in &theirs {
            compared += theirs.split('|').count();
            let pairs = theirs.split('|').zip(ours[view].split('|'));
            different.extend(
                pairs
                    .filter(|(their, our)| their != our)
                    .map(|(their, our)| format!("{name}, {view:?}: {} is Ansible's, {} ours", their.trim(), our.trim())),
            );
        }
    }
    // Names tell levels by number: v_3_14 is set at LEVELS[3] and LEVELS[14].
    assert!(different.is_empty(), "{} of {compared} differ:\n{}", different.len(), different.join("\n"));
    assert!(compared > 10_000, "only {compared} variables were compared");
}

//! `fetch`, `pause` and `wait_for_connection` beside ansible-core: results, statuses and what each leaves on this machine.

use std::collections::BTreeMap;

use super::local::Project;

/// Registers a task's result and writes all of it that both tools document.
fn keeping(tasks: &[(&str, &str)]) -> String {
    let mut site = String::from("- hosts: all\n  gather_facts: false\n  tasks:\n");
    for (number, (module, arguments)) in tasks.iter().enumerate() {
        site += &format!(
            "    - {{name: task {number}, {module}: {arguments}, register: r, ignore_errors: true}}\n    \
             - copy:\n        dest: '{{{{ root }}}}/{{{{ inventory_hostname }}}}/result-{number:02}'\n        content: >-\n          \
             {{{{ r | dict2items | rejectattr('key', 'in', left_out) | sort(attribute='key') | items2dict | to_nice_json }}}}\n      when: r is defined\n"
        );
    }
    site
}

const LEFT_OUT: &str = "left_out: [invocation, exception, diff, deprecations, warnings, src, start, stop, stdout_lines, stderr_lines]\n";

#[test]
fn fetched_files_and_results_are_ansibles() {
    let src = "'{{ root }}/{{ inventory_hostname }}/";
    let source = |name: &str, more: &str| format!("{{src: {src}{name}', {more}}}");
    let fetch = |name: &str, more: &str| ("fetch", source(name, more));
    let tasks = [
        ("copy", format!("{{dest: {src}small', content: 'of {{{{ inventory_hostname }}}}'}}")),
        ("copy", format!("{{dest: {src}empty', content: ''}}")),
        ("copy", format!("{{dest: {src}large', src: large}}")),
        ("file", format!("{{path: {src}folder', state: directory}}")),
        ("file", format!("{{path: {src}link', src: small, state: link}}")),
        fetch("small", "dest: '{{ root }}/kept'"),
        fetch("small", "dest: '{{ root }}/kept'"),
        fetch("empty", "dest: '{{ root }}/kept/'"),
        fetch("large", "dest: '{{ root }}/kept', validate_checksum: false"),
        fetch("link", "dest: '{{ root }}/kept'"),
        fetch("folder/../small", "dest: '{{ root }}/dotted'"),
        fetch("small", "dest: '{{ root }}/flat-{{ inventory_hostname }}', flat: true"),
        fetch("small", "dest: '{{ root }}/flat/{{ inventory_hostname }}/', flat: true"),
        fetch("large", "dest: '{{ root }}/flat-{{ inventory_hostname }}', flat: true"),
        fetch("large", "dest: '{{ root }}/flat-{{ inventory_hostname }}', flat: true"),
        fetch("small", "dest: '{{ root }}/flat', flat: true"),
        fetch("small", "dest: '{{ of_group }}/', flat: true"),
        fetch("none", "dest: '{{ root }}/kept'"),
        fetch("none", "dest: '{{ root }}/kept', fail_on_missing: false"),
        fetch("folder", "dest: '{{ root }}/kept'"),
        fetch("folder", "dest: '{{ root }}/kept', fail_on_missing: false"),
        ("fetch", source("small", "dest: '{{ root }}/unkept'}, check_mode: true, vars: {a: 1")),
        ("copy", format!("{{dest: {src}small', content: 'anew'}}")),
        fetch("small", "dest: '{{ root }}/kept'"),
        fetch("small", "dest: '~/{{ root | basename }}/at-home-{{ inventory_hostname }}', flat: true"),
    ];
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(module, arguments)| (*module, arguments.as_str())).collect();
    let large = "0123456789abcde\n".repeat(170_000);
    let files = [
        ("site.yml", keeping(&tasks)),
        ("group_vars/all.yml", format!("{LEFT_OUT}of_group: '{{{{ root }}}}/of-group/{{{{ inventory_hostname }}}}'\n")),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let Some(project) = Project::new(&files) else { return };
    project.write("files/large", &large);
    let (theirs, ours, said) = project.both(&["site.yml", "--forks=1"], &[]);
    // Paths on the controller hold the source's.
    let named = |files: &BTreeMap<String, String>, tool: &str| -> BTreeMap<String, String> {
        let root = project.path(tool).display().to_string();
        files
            .iter()
            .map(|(name, text)| {
                // Theirs says nothing of `failed` where it skips.
                let text = if text.contains("\"skipped\": true") { text.replace("    \"failed\": false,\n", "") } else { text.clone() };
                (name.replace(root.trim_start_matches('/'), "ROOT"), text)
            })
            .collect()
    };
    let (of_theirs, of_ours) = (named(&theirs.files, "theirs"), named(&ours.files, "ours"));
    for (name, text) in &of_theirs {
        let short = |text: &str| text.get(..2000).unwrap_or(text).to_owned();
        assert_eq!((name, of_ours.get(name).map(|text| short(text))), (name, Some(short(text))), "{said}");
    }
    assert_eq!(of_theirs, of_ours, "{said}");
    assert_eq!(of_ours.get("kept/one/ROOT/one/small").map(String::as_str), Some("anew"), "{said}");
    assert_eq!((theirs.told, theirs.code), (ours.told, ours.code), "{said}");
}

#[test]
fn pauses_and_waits_for_a_connection_are_ansibles() {
    let tasks = [
        ("pause", "{seconds: 1}"),
        ("pause", "{seconds: 0, prompt: soon}"),
        ("pause", "{prompt: 'who is there?', echo: false}"),
        ("pause", "{}"),
        ("wait_for_connection", "{}"),
        ("wait_for_connection", "{delay: 1, timeout: 5, sleep: 1, connect_timeout: 2}"),
        ("wait_for_connection", "{delay: 5}, check_mode: true, vars: {a: 1}"),
    ];
    let site = keeping(&tasks).replace("{{ r |", "{{ r | combine({'stdout': r.stdout | default('') | regex_replace('[0-9.]+', 'N')}) |");
    let Some(project) = Project::new(&[("site.yml", site.as_str()), ("group_vars/all.yml", LEFT_OUT)]) else { return };
    let (theirs, ours, said) = project.both(&["site.yml"], &[]);
    // How long it took is each tool's own.
    let [theirs_took, ours_took] = [&theirs, &ours].map(|ran| {
        // Of a pause, theirs registers for the first host only, though it is one for all.
        let both = |name: &str| name.starts_with("one/") || name > "two/result-03";
        let mut files: BTreeMap<_, _> = ran.files.clone().into_iter().filter(|(name, _)| both(name)).collect();
        let mut took = Vec::new();
        for (name, text) in &mut files {
            let mut result: serde_json::Value = serde_json::from_str(text).expect("JSON");
            took.extend(result["elapsed"].take().as_i64().map(|seconds| (name.clone(), seconds)));
            *text = result.to_string();
        }
        (files, took)
    });
    assert_eq!(theirs_took.0, ours_took.0, "{said}");
    for (tool, took) in [("theirs", theirs_took.1), ("ours", ours_took.1)] {
        assert_eq!(took.len(), 4, "{tool}: {took:?}");
        assert!(took.iter().all(|(name, seconds)| *seconds >= i64::from(name.ends_with("05"))), "{tool}: {took:?}");
    }
    let tasks = |ran: &super::local::Ran| -> Vec<(String, String)> {
        let told = ran.told.iter().flat_map(|(host, told)| told.iter().map(move |line| (host.clone(), line.clone())));
        told.filter(|(_, line)| line.contains(" task ")).collect()
    };
    assert_eq!((tasks(&theirs), theirs.code), (tasks(&ours), ours.code), "{said}");
    assert!(ours.told["one"].contains(&"ok task 0".to_owned()) && !ours.told["two"].contains(&"ok task 0".to_owned()), "{said}");
    // Theirs says it once.
    assert!(said.matches("Not waiting for response to prompt as stdin is not interactive").count() >= 2, "{said}");
}

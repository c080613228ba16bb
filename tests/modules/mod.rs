//! Modules by case files: `tests/modules/MODULE/CASE.yaml`, one or more YAML documents each.
//!
//! ```yaml
//! name: renamed                      # of a document, where a file has several
//! arguments: {name: worker-1}        # evaluated, as the module gets them
//! system:    {files: {/etc/hostname: "debian\n"}, kernel_hostname: debian}   # keys: src/system/fake/script.rs
//! source:    {path: /project/x, files: {/project/x: {content: hi, mode: '0644'}}}   # the controller's file that `src` named
//! mode: apply                        # apply (default), plan, check
//! plan: [write /etc/hostname]        # sentences of all stages' actions
//! runs: [groupadd -g 2000 devs]      # words of all programs among them, where given
//! result: {changed: true}            # fields of what `register` holds; those not named are not compared
//! predicted: {rc: <unknown>}         # fields of the prediction; `<unknown>` is any unknown
//! check: {changed: true}             # fields of the prediction in Ansible's --check
//! diff: ["-old\n+new\n"]             # each action's diffs, lines that differ only
//! after: {files: {/etc/hostname: "worker-1\n"}, absent: [/x]}   # the machine afterwards
//! again: []                          # the second plan's sentences; empty by default
//! fails: the error's whole text
//! hint: the error's hint
//! ```
//!
//! Every case is also planned on an overlay that absorbed its actions: what `plan` would say of a second task must be what a
//! second run says, or unknown.

mod case;
mod oracle;
mod run;

use std::path::Path;

use provision::module::{ActionKind, MODULES};

/// Of each module that acts on the machine.
const LEAST: usize = 5;

#[test]
fn cases() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules");
    // `PROVISION_CASE=copy/backup` runs those whose path holds the text.
    let only = std::env::var("PROVISION_CASE").unwrap_or_default();
    let mut failures = Vec::new();
    let mut count = 0;
    for case in case::all(&root).expect("case files are well-formed") {
        if !case.place.contains(&only) {
            continue;
        }
        count += 1;
        if let Err(message) = run::run(&case) {
            failures.push(format!("--- {}\n{message}", case.place));
        }
    }
    assert!(count > 0, "no case of that name");
    let all = case::all(&root).expect("as before");
    for entry in MODULES.iter().filter(|entry| matches!(entry.action, ActionKind::System(_))) {
        let of_it = all.iter().filter(|case| entry.names.contains(&case.module.as_str())).count();
        if of_it < LEAST {
            failures.push(format!("--- {}: {of_it} cases, at least {LEAST} are to be", entry.name()));
        }
    }
    assert!(failures.is_empty(), "{} of {count} cases failed\n{}", failures.len(), failures.join("\n"));
}

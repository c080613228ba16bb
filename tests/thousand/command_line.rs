//! Words of the command line: misspelt, cut, garbage.

use std::process::{Command, Stdio};

use provision::playbook;

use super::chance::Chance;
use super::mutation::slip;
use super::world::World;
use super::{number, on_a_stack};

#[test]
fn values_of_flags_are_accepted_or_refused_whatever_they_are() {
    let seed = number("SEED", 1);
    eprintln!("SEED={seed}");
    on_a_stack(move |doing| {
        let mut chance = Chance::new(seed);
        let world = World::bundled();
        let pieces = [
            "control",
            "workers",
            ":",
            "&",
            "!",
            ",",
            "*",
            "~",
            "[0]",
            "[",
            "]",
            "[-1:9]",
            "[9999999999]",
            "@",
            "@nope",
            "=",
            " ",
            "{",
            "}",
            "\"",
            "'",
            "{{ x }}",
            "{{",
            "a=b",
            "\\",
            "\n",
            "é",
            "\0",
            "(",
            ")+",
            "~(a",
            "all",
            "-",
            ".",
            "/",
            "{\"a\": [1",
            "a: b",
            "tagged",
            "x y=z",
        ];
        for _ in 0..number("VALUES", 40) {
            let text: String = (0..chance.below(6)).map(|_| *chance.of(&pieces)).collect();
            let mut options = world.options.clone();
            let mut compile = playbook::Options::default();
            let which = chance.below(4);
            match which {
                0 => options.extra_vars = vec![text.clone()],
                1 => options.limit = Some(text.clone()),
                // Never `~` or `/`: a whole disk is a folder of inventories too.
                2 => options.inventory = vec![format!("inventory/x{text}")],
                _ => {
                    compile.settings.tags = vec![text.as_str().into()];
                    compile.settings.start_at_task = Some(text.as_str().into());
                }
            }
            *doing.lock().expect("nobody panics here") = format!("{which}: {text:?}");
            let told = world.check_with(&options, &compile);
            assert!(told.is_accepted() || told.report.contains("error: "), "{text:?}: {}", told.report);
        }
    });
}

#[test]
fn misspelt_commands_and_flags_are_answered_with_the_right_ones() {
    let seed = number("SEED", 1);
    eprintln!("SEED={seed}");
    let mut chance = Chance::new(seed);
    let words =
        ["playbook", "destroy", "kubeconfig", "status", "ssh-config", "kubectl", "--inventory", "--limit", "--extra-vars", "--skip-tags"];
    let home = tempfile::tempdir().expect("a folder");
    for word in words {
        let slipped = slip(&mut chance, word.trim_start_matches('-'));
        let dashes = if word.starts_with("--") { "--" } else { "" };
        let arguments =
            if dashes.is_empty() { vec![slipped.clone()] } else { vec!["playbook".into(), format!("--{slipped}=x"), "f.yml".into()] };
        let mut command = Command::new(env!("CARGO_BIN_EXE_provision"));
        command.args(&arguments).env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
        let output = command.output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        // A flag that is cut short is that flag, as Python's argparse has it: what it is given is looked at.
        if !dashes.is_empty() && word[2..].starts_with(&slipped) {
            assert_eq!(output.status.code(), Some(3), "SEED={seed} {arguments:?}: {told}");
            assert!(told.contains("there is no") || told.contains("no such file"), "SEED={seed} {arguments:?}: {told}");
            continue;
        }
        assert_eq!(output.status.code(), Some(5), "SEED={seed} {arguments:?}: {told}");
        assert!(told.contains(&format!("'{word}")) || told.contains(&format!("{dashes}{word}")), "SEED={seed} {arguments:?}: {told}");
    }
}

//! A word with one letter off is answered with the right word.

use std::collections::BTreeSet;

use provision::module::MODULES;
use provision::playbook::keyword::KEYWORDS;

use super::chance::Chance;
use super::mutation::{slip, words};
use super::world::World;
use super::{number, on_a_stack};

/// A word in a file, and what it is.
struct Site {
    file: usize,
    start: usize,
    end: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Keyword,
    Module,
    Argument,
    Filter,
    Test,
    Variable,
}

/// Words whose meaning can be told from what stands around them.
fn sites(world: &World) -> Vec<Site> {
    let keywords: BTreeSet<&str> = KEYWORDS.iter().map(|keyword| keyword.name).collect();
    let texts: Vec<String> = world.files.iter().map(|file| String::from_utf8(world.read(file)).unwrap_or_default()).collect();
    let variables: BTreeSet<&str> = texts.iter().flat_map(|text| text.lines()).filter_map(defined).collect();
    let mut sites = Vec::new();
    for (file, text) in texts.iter().enumerate() {
        let path = world.files[file].display().to_string();
        let playbook = (path.contains("tasks/") || path.contains("handlers/") || !path.contains('/')) && path.contains(".y");
        if !playbook && !path.contains("templates/") || path.contains("charts/") || path == "provision.yaml" || path == "artifacts.yaml" {
            continue;
        }
        let mut module: Option<(usize, &'static provision::module::Entry)> = None;
        // A role takes any key: what is no keyword is a variable.
        let mut role: Option<usize> = None;
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            let bare = line.trim_start_matches([' ', '-']);
            let indent = line.len() - bare.len();
            let key = bare.split(':').next().unwrap_or_default().trim_end();
            let has_value = bare.contains(':');
            if module.is_some_and(|(of, _)| indent <= of) {
                module = None;
            }
            if line.trim_start().starts_with("- role:") {
                role = Some(indent);
            } else if role.is_some_and(|of| indent != of) {
                role = None;
            }
            if playbook && has_value && role.is_none() && words(key) == [(0, key.len())] {
                let mut add = |kind| sites.push(Site { file, start: offset + indent, end: offset + indent + key.len(), kind });
                match module {
                    Some((_, entry)) if entry.spec().field(key).is_some() && key.len() > 3 => add(Kind::Argument),
                    Some(_) => {}
                    None if keywords.contains(key) && key.len() > 3 => add(Kind::Keyword),
                    None => {
                        if let Some(entry) = MODULES.iter().find(|entry| entry.names.contains(&key)) {
                            add(Kind::Module);
                            module = Some((indent, entry));
                        }
                    }
                }
            }
            for (start, end) in words(line) {
                let (before, word) = (&line[..start], &line[start..end]);
                let inside = before.matches("{{").count() > before.matches("}}").count();
                let kind = match () {
                    () if inside && before.ends_with("| ") && word.len() > 3 => Kind::Filter,
                    () if inside && before.ends_with(" is ") && word.len() > 3 && word != "not" => Kind::Test,
                    () if before.ends_with("{{ ") && variables.contains(word) && word.len() > 3 => Kind::Variable,
                    () => continue,
                };
                sites.push(Site { file, start: offset + start, end: offset + end, kind });
            }
            offset += line.len();
        }
    }
    sites
}

/// Whether both are one letter apart: `tars` may be meant for `tags` as well as for `vars`.
fn is_slip(slipped: &str, word: &str) -> bool {
    let same = |mut pairs: Box<dyn Iterator<Item = (char, char)> + '_>| pairs.by_ref().take_while(|(one, other)| one == other).count();
    let before = same(Box::new(slipped.chars().zip(word.chars())));
    let behind = same(Box::new(slipped.chars().rev().zip(word.chars().rev())));
    slipped != word && slipped.len().abs_diff(word.len()) <= 1 && before + behind + 1 >= slipped.len().max(word.len())
}

/// The variable that a line of a file may define.
fn defined(line: &str) -> Option<&str> {
    let line = line.trim_start_matches([' ', '-']);
    let name = match line.strip_prefix("register: ") {
        Some(name) => name.trim(),
        None => line.split_once(':')?.0,
    };
    (words(name) == [(0, name.len())]).then_some(name)
}

#[test]
fn a_word_with_a_letter_off_is_answered_with_the_right_one() {
    let seed = number("SEED", 1);
    let times = number("TYPOS", 25);
    eprintln!("SEED={seed}");
    let wrong = on_a_stack(move |_| {
        let mut chance = Chance::new(seed);
        let mut wrong = Vec::new();
        for world in [World::bundled(), World::ansible()] {
            let sites = sites(&world);
            let known: BTreeSet<&str> = KEYWORDS
                .iter()
                .map(|keyword| keyword.name)
                .chain(MODULES.iter().flat_map(|entry| entry.names.iter().copied()))
                .chain(MODULES.iter().flat_map(|entry| entry.spec().fields.iter().map(|field| field.name)))
                .collect();
            for kind in [Kind::Keyword, Kind::Module, Kind::Argument, Kind::Filter, Kind::Test, Kind::Variable] {
                let count = sites.iter().filter(|site| site.kind == kind).count();
                eprintln!("{kind:?}: {count}");
            }
            assert!(sites.len() > 50, "{}", sites.len());
            for _ in 0..times {
                let site = chance.of(&sites);
                let file = &world.files[site.file];
                let text = String::from_utf8(world.read(file)).expect("it was text");
                let word = &text[site.start..site.end];
                let slipped = slip(&mut chance, word);
                // A word of two letters is near everything, so nothing is offered for it.
                if known.contains(slipped.as_str()) || slipped.len() < 3 {
                    continue;
                }
                world.write(file, Some(format!("{}{slipped}{}", &text[..site.start], &text[site.end..]).as_bytes()));
                let told = world.check();
                let is_answered =
                    told.report.contains(&format!("`{word}`")) || told.report.split('`').any(|other| is_slip(&slipped, other));
                if told.is_accepted() || !is_answered {
                    wrong.push(format!("{:?} `{word}` as `{slipped}` in {}\n{}", site.kind, file.display(), told.report));
                }
                world.write(file, Some(text.as_bytes()));
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "SEED={seed}, {} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn mistakes_of_two_files_stand_in_one_report() {
    let seed = number("SEED", 1);
    let times = number("PAIRS", 12);
    eprintln!("SEED={seed}");
    let wrong = on_a_stack(move |_| {
        let mut chance = Chance::new(seed);
        let world = World::bundled();
        let slips = [
            ("provision.yaml", "namespace:", "namspace:"),
            ("vms/dev.yaml", "memory: 3GiB", "memroy: 3GiB"),
            ("artifacts.yaml", "upstream: {", "upstraem: {"),
            ("inventory/hosts.yaml", "children:", "chidlren:"),
            ("inventory/group_vars/workers.yaml", "[model-service", "[model-service: {"),
            ("playbooks/site.yaml", "gather_facts:", "gather_fact:"),
            ("playbooks/roles/worker/tasks/main.yaml", "register:", "registre:"),
            ("playbooks/roles/node/tasks/main.yaml", "sysctl:", "sysctll:"),
            ("playbooks/roles/containerd/templates/config.toml.hbs", "{{/unless}}", "{{/unles}}"),
            ("charts/phishing/templates/app.yaml", "include", "inclde"),
        ];
        let mut wrong = Vec::new();
        for _ in 0..times {
            let (one, other) = (*chance.of(&slips), *chance.of(&slips));
            if one.0 == other.0 {
                continue;
            }
            let originals = [one, other].map(|(file, right, slipped)| {
                let file = std::path::Path::new(file);
                let original = world.read(file);
                let text = String::from_utf8(original.clone()).expect("it is text");
                assert!(text.contains(right), "{} has no {right:?}", file.display());
                world.write(file, Some(text.replacen(right, slipped, 1).as_bytes()));
                (file, original)
            });
            let told = world.check();
            for (file, original) in originals {
                if !told.report.contains(&*file.display().to_string()) {
                    wrong.push(format!("{} is not in the report of {} and {}\n{}", file.display(), one.0, other.0, told.report));
                }
                world.write(file, Some(&original));
            }
        }
        wrong
    });
    assert!(wrong.is_empty(), "SEED={seed}\n{}", wrong.join("\n"));
}

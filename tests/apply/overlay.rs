//! The overlay foretells what the machine is after the same actions: compared with the machine itself.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use provision::system::overlay::Overlay;
use provision::system::{Action, Content, Digest, FileKind, Ownership, Real, System};

use super::{Notes, apply, write};

/// Few names, so that actions meet.
fn place() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "d", "d/a", "d/b", "d/e", "l", "l/a"])
}

fn ownership() -> impl Strategy<Value = Ownership> {
    prop::option::of(prop::sample::select(vec![0o600, 0o644, 0o755])).prop_map(|mode| Ownership { mode, ..Ownership::default() })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        (place(), "[a-c]{0,3}", ownership()).prop_map(|(path, text, wanted)| {
            let Action::WriteFile { path, content, backup, unsafe_writes, validate, .. } = write(Path::new(path), &text) else {
                unreachable!()
            };
            Action::WriteFile { path, content, ownership: wanted, backup, unsafe_writes, validate }
        }),
        (place(), place()).prop_map(|(path, source)| {
            let Action::WriteFile { path, ownership, backup, unsafe_writes, validate, .. } = write(Path::new(path), "") else {
                unreachable!()
            };
            Action::WriteFile { path, content: Content::Node(source.into()), ownership, backup, unsafe_writes, validate }
        }),
        (place(), ownership()).prop_map(|(path, ownership)| Action::MakeDirectory { path: path.into(), ownership }),
        (place(), place()).prop_map(|(path, target)| Action::Symlink {
            path: path.into(),
            target: target.into(),
            ownership: Ownership::default()
        }),
        (place(), place()).prop_map(|(path, target)| Action::HardLink { path: path.into(), target: target.into() }),
        (place(), ownership(), any::<bool>()).prop_map(|(path, ownership, follow)| Action::SetOwnership {
            path: path.into(),
            ownership,
            follow
        }),
        place().prop_map(|path| Action::SetTimes { path: path.into(), accessed: Some(5.0), modified: Some(7.0) }),
        place().prop_map(|path| Action::Remove { path: path.into() }),
    ]
}

/// The same action below a folder.
fn below(folder: &Path, action: Action) -> Action {
    let place = |path: PathBuf| folder.join(path);
    match action {
        Action::WriteFile { path, content, ownership, backup, unsafe_writes, validate } => {
            let content = match content {
                Content::Node(source) => Content::Node(place(source)),
                other => other,
            };
            Action::WriteFile { path: place(path), content, ownership, backup, unsafe_writes, validate }
        }
        Action::MakeDirectory { path, ownership } => Action::MakeDirectory { path: place(path), ownership },
        Action::Symlink { path, target, ownership } => Action::Symlink { path: place(path), target: place(target), ownership },
        Action::HardLink { path, target } => Action::HardLink { path: place(path), target: place(target) },
        Action::SetOwnership { path, ownership, follow } => Action::SetOwnership { path: place(path), ownership, follow },
        Action::SetTimes { path, accessed, modified } => Action::SetTimes { path: place(path), accessed, modified },
        Action::Remove { path } => Action::Remove { path: place(path) },
        other => other,
    }
}

/// Nothing, for what the machine cannot read (links in a circle); never an unknown.
fn answer<T>(answer: provision::system::Result<Option<T>>) -> Option<T> {
    answer.unwrap_or_else(|error| {
        assert_eq!(error.unknown_cause(), None, "everything here is known");
        None
    })
}

/// What can be compared of every path.
fn view(system: &dyn System, folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["", "a", "b", "d", "d/a", "d/b", "d/e", "l", "l/a"] {
        let path = folder.join(name);
        let found = answer(system.metadata(&path));
        let mut line = format!("{name}: {:?}", found.as_ref().map(|found| (found.kind, found.mode, found.uid, found.gid)));
        if let Some(found) = &found {
            let size = if found.kind == FileKind::Directory { 0 } else { found.size };
            // Links to a file that were there before are not counted by a plan.
            line = format!("{line} {size} link {:?} list {:?}", answer(system.read_link(&path)), answer(system.list(&path)));
            let real = system.canonical(&path).expect("is known");
            let regular = answer(system.metadata(&real)).is_some_and(|found| found.kind == FileKind::File);
            if regular {
                line = format!("{line} {:?}", answer(system.digest(&path, Digest::Sha1)));
            }
        }
        lines.push(line);
    }
    lines
}

fn copy(options: &[&str], from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").args(options).arg(from).arg(to).status().expect("cp runs");
    assert!(status.success());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_overlay_foretells_the_machine(before in prop::collection::vec(action(), 0..6), after in prop::collection::vec(action(), 1..6)) {
        let folder = tempfile::tempdir().expect("temporary directory");
        let root = folder.path().canonicalize().expect("is there");
        let real = Real::default();
        for action in before {
            // What cannot be done is not done.
            let _ = apply(&[below(&root, action)], &mut Notes::default());
        }
        let twin = tempfile::tempdir().expect("temporary directory");
        let kept = twin.path().join("kept");
        copy(&["-a"], &root, &kept);
        // Those that fail are left out, as a plan would not have them.
        let possible: Vec<Action> = after
            .into_iter()
            .map(|action| below(&root, action))
            .filter(|action| apply(std::slice::from_ref(action), &mut Notes::default()).is_ok())
            .collect();
        let machine = view(&real, &root);
        // Back to the state before.
        for entry in std::fs::read_dir(&root).expect("is there") {
            let path = entry.expect("reads").path();
            let _ = if path.is_dir() && !path.is_symlink() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        }
        copy(&["-aT"], &kept, &root);
        let mut overlay = Overlay::new(&real);
        for action in &possible {
            overlay.absorb(action, "the test");
        }
        prop_assert_eq!(view(&overlay, &root), machine, "{:#?}", possible);
    }
}

#[test]
fn a_change_through_one_name_of_a_file_shows_through_the_others() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let root = folder.path().canonicalize().expect("is there");
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| root.join(name));
    std::fs::write(&a, "one").expect("writes");
    std::fs::set_permissions(&a, std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("is ours");
    std::fs::hard_link(&a, &b).expect("links");
    std::fs::write(&d, "two").expect("writes");
    let real = Real::default();
    let mut overlay = Overlay::new(&real);
    let mode = |path: &Path, mode| Action::SetOwnership {
        path: path.into(),
        ownership: Ownership { mode: Some(mode), ..Ownership::default() },
        follow: true,
    };
    let shown = |overlay: &Overlay<'_>, path: &Path| {
        let found = overlay.metadata(path).expect("is known").expect("is there");
        (found.mode, String::from_utf8(overlay.read(path).expect("is known").expect("is there")).expect("is text"))
    };
    overlay.absorb(&mode(&a, 0o600), "one name");
    assert_eq!(shown(&overlay, &b), (0o600, "one".into()));
    // A name that the plan gives it, and back through that one.
    overlay.absorb(&Action::HardLink { path: c.clone(), target: b.clone() }, "a third name");
    overlay.absorb(&mode(&c, 0o640), "the third name");
    for path in [&a, &b, &c] {
        assert_eq!(shown(&overlay, path), (0o640, "one".into()));
    }
    assert_eq!(overlay.metadata(&a).expect("is known").expect("is there").links, 3);
    // A name that is written anew or taken away is one of it no more.
    overlay.absorb(&write(&a, "new"), "written");
    overlay.absorb(&mode(&a, 0o400), "written");
    overlay.absorb(&Action::Remove { path: c }, "removed");
    assert_eq!(shown(&overlay, &a), (0o400, "new".into()));
    assert_eq!(shown(&overlay, &b), (0o640, "one".into()));
    assert_eq!(shown(&overlay, &d).1, "two");
}

#[test]
fn links_that_a_plan_makes_a_circle_of_lead_nowhere() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let root = folder.path().canonicalize().expect("is there");
    let [folder, link] = ["d", "l"].map(|name| root.join(name));
    std::fs::create_dir(&folder).expect("is made");
    std::os::unix::fs::symlink(&folder, &link).expect("links");
    let real = Real::default();
    let mut overlay = Overlay::new(&real);
    assert_eq!(overlay.list(&link).expect("is known"), Some(Vec::new()));
    overlay.absorb(&Action::Symlink { path: folder, target: link.clone(), ownership: Ownership::default() }, "turned round");
    for path in [&link, &root.join("d")] {
        assert_eq!(answer(overlay.list(path)), None);
        assert_eq!(answer(overlay.read(path)), None);
    }
}

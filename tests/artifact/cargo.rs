//! Images that a package of the environment's own workspace writes: a program of three lines that copies an image made before.

use std::fs;
use std::path::Path;

use provision::artifact::{Cache, Cancel, ErrorKind, Manifest, Progress, Settings, Store};

use super::{Lab, causes, run};

const NAME: &str = "image/own";
const MAIN: &str = r"fn main() { let words: Vec<String> = std::env::args().collect(); std::fs::copy(&words[1], &words[2]).unwrap(); }";

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("made");
    fs::write(path, text).expect("written");
}

/// An environment with the package, and the image that its program will write.
fn lab() -> Lab {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let lab = Lab::new(&format!(
        "images:\n  made: {{version: 1.2.3, reference: \"registry.example/own:1.2.3\", files: {{/pause: pause}}}}\n  own:\n    version: 1.2.3\n    reference: registry.example/own:{{version}}\n    cargo:\n      folder: own\n      package: own\n      profile: dev\n      target: {{amd64: {triple}, arm64: {triple}}}\n      sources: [own/src, own/Cargo.toml, Cargo.toml, Cargo.lock]\n      arguments: [made.tar, \"{{output}}\"]\n"
    ));
    let made = lab.ensure(&["image/made"]).0.expect("made").remove("image/made").expect("asked for");
    let environment = lab.path().join("environment");
    write(&environment.join("Cargo.toml"), "[workspace]\nmembers = [\"own\"]\nresolver = \"3\"\n");
    write(&environment.join("Cargo.lock"), "version = 4\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n");
    write(&environment.join("own/Cargo.toml"), "[package]\nname = \"own\"\nversion = \"0.1.0\"\nedition = \"2024\"\n");
    write(&environment.join("own/src/main.rs"), MAIN);
    fs::copy(&made.files[0].path, environment.join("made.tar")).expect("copied");
    lab
}

#[test]
fn it_is_built_once_and_again_when_a_source_changed() {
    let lab = lab();
    let lacks = run(lab.store().lacking(&[NAME])).expect("known");
    assert_eq!((lacks[0].name.as_str(), lacks[0].source.as_str(), &lacks[0].note), (NAME, "cargo own", &None));
    let (result, told) = lab.ensure(&[NAME]);
    let first = result.expect("built").remove(NAME).expect("asked for");
    let image = first.image.as_ref().expect("an image");
    assert_eq!(
        (image.reference.as_str(), first.source.as_str(), first.files[0].name.as_str()),
        ("registry.example/own:1.2.3", "built here by Cargo", "own.tar")
    );
    assert_eq!(image.digest, run(lab.store().present("image/made")).expect("whole").expect("there").image.expect("an image").digest);
    assert!(told.iter().any(|step| matches!(step, Progress::Packages { done: 1, total: 1, .. })), "{told:?}");
    let (again, told) = lab.ensure(&[NAME]);
    assert_eq!((again.expect("there").remove(NAME), told.len()), (Some(first.clone()), 0));

    let main = lab.path().join("environment/own/src/main.rs");
    write(&main, "fn main() { nonsense() }");
    assert_eq!(run(lab.store().present(NAME)).expect("whole"), None);
    let error = lab.ensure(&[NAME]).0.expect_err("it does not compile");
    assert!(
        error.to_string().starts_with("build `image/own` 1.2.3: `cargo build` ended with exit status: 101:")
            && error.to_string().contains("nonsense"),
        "{error}"
    );
    assert!(error.hint.expect("one").starts_with("`cargo build -p own --profile dev` in "));
    write(&main, "fn main() { panic!(\"no image today\") }");
    let error = lab.ensure(&[NAME]).0.expect_err("it writes none").to_string();
    assert!(error.contains("no image today"), "{error}");
    write(&main, "fn main() { std::fs::write(std::env::args().nth(2).unwrap(), \"no tar\").unwrap(); }");
    let error = lab.ensure(&[NAME]).0.expect_err("no image").to_string();
    assert!(error.starts_with("read what its program wrote: "), "{error}");
    write(&main, MAIN);
    assert_eq!(run(lab.store().present(NAME)).expect("whole"), Some(first));
    assert_eq!(lab.unfinished(), 0);
}

#[test]
fn a_folder_without_it_takes_the_newest_of_the_cache_or_says_where_it_would_be() {
    let lab = lab();
    fs::rename(lab.path().join("environment"), lab.path().join("elsewhere")).expect("moved");
    let folder = lab.path().join("environment");
    let missing = format!("there is no `own` with a Cargo.toml in {}", folder.display());
    let lacks = run(lab.store().lacking(&[NAME])).expect("known");
    assert_eq!((lacks[0].source.as_str(), lacks[0].note.as_ref()), ("no source that can be reached now", Some(&missing)));
    let (result, told) = lab.ensure(&[NAME]);
    let error = result.expect_err("nowhere");
    assert_eq!((error.kind, error.to_string()), (ErrorKind::NoSource, format!("build `image/own` 1.2.3: {missing}")));
    assert_eq!(
        error.hint.as_deref(),
        Some("run `provision cache fetch image/own` in a checkout that has it; from then on every folder finds it in the cache")
    );
    assert!(causes(&told).is_empty());

    fs::rename(lab.path().join("elsewhere"), &folder).expect("moved");
    let built = lab.ensure(&[NAME]).0.expect("built").remove(NAME);
    fs::remove_dir_all(&folder).expect("ours");
    assert_eq!(run(lab.store().present(NAME)).expect("whole"), built);
}

#[test]
fn the_bundled_layouts_package_stands_in_where_the_folder_has_none() {
    let lab = lab();
    let empty = lab.path().join("empty");
    fs::create_dir(&empty).expect("made");
    let store = |folder: &str| {
        let manifest = Manifest::load(Some(&lab.path().join("artifacts.yaml"))).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let (folder, built_in) = (Some(lab.path().join(folder)), Some(lab.path().join("environment")));
        Store::new(manifest, Cache::at(&lab.cache()).expect("a cache"), Settings { folder, built_in, ..Settings::default() })
            .expect("a store")
    };
    let source = |folder: &str| run(store(folder).lacking(&[NAME])).expect("known")[0].source.clone();
    assert_eq!((source("environment").as_str(), source("empty").as_str()), ("cargo own", "cargo own (built in)"));
    // The same sources make the same image, wherever they lie.
    let made = run(store("empty").ensure(&[NAME], &mut |_| {}, &Cancel::default())).expect("built").remove(NAME);
    assert!(made.is_some());
    assert_eq!(run(store("environment").present(NAME)).expect("whole"), made);
}

//! `provision init`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Folder;

const PARTS: [&str; 5] = ["provision.yaml", "vms", "inventory", "playbooks", "charts"];

/// Every file at or below a path of a folder, with its content's hash.
pub fn tree(root: &Path, path: &Path) -> BTreeMap<PathBuf, String> {
    let whole = root.join(path);
    if !whole.is_dir() {
        return BTreeMap::from([(path.to_owned(), hash(&fs::read(&whole).expect("readable")))]);
    }
    fs::read_dir(&whole).expect("readable").flat_map(|entry| tree(root, &path.join(entry.expect("an entry").file_name()))).collect()
}

fn hash(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

fn bundled() -> BTreeMap<PathBuf, String> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    PARTS.iter().flat_map(|part| tree(project, Path::new(part))).collect()
}

#[test]
fn it_writes_the_bundled_layout_once() {
    let folder = Folder::new(&[]);
    let (_, said) = folder.expect(0, &["init"]);
    assert!(said.starts_with(&format!("Wrote {} files here.\nNext: provision plan\n", bundled().len())), "{said}");
    assert_eq!(tree(folder.path(), Path::new("")), bundled());
    let site = folder.path().join("playbooks/site.yaml");
    let before = fs::metadata(&site).expect("it is there");
    assert_eq!(before.mode() & 0o777, 0o644);

    // What is lacking comes, what is there is left alone.
    fs::remove_file(folder.path().join("playbooks/roles/node/tasks/main.yaml")).expect("removed");
    let (_, said) = folder.expect(0, &["init"]);
    assert!(said.starts_with("Wrote 1 file here.\n"), "{said}");
    let (_, said) = folder.expect(0, &["init"]);
    assert!(said.starts_with("Nothing was written: all parts are there.\n"), "{said}");
    let after = fs::metadata(&site).expect("it is there");
    assert_eq!((after.ino(), after.ctime_nsec()), (before.ino(), before.ctime_nsec()));
    assert_eq!(tree(folder.path(), Path::new("")), bundled());
}

#[test]
fn what_is_the_users_stays() {
    let own = [
        ("vms/dev.yaml", "mine"),
        ("playbooks/site.yml", "mine"),
        ("inventory/production", "mine"),
        ("charts/phishing/values.yaml", "mine"),
        ("charts/other/Chart.yaml", "mine"),
    ];
    let folder = Folder::new(&own);
    let (_, said) = folder.expect(0, &["init"]);
    for kept in [
        "Kept your own vms/dev.yaml: not as the built-in one is vms/dev.yaml.",
        "Kept your own playbooks: not as the built-in one is playbooks/site.yml.",
        "Kept your own inventory: not as the built-in one is inventory/production.",
        "Kept your own charts/phishing: not as the built-in one is charts/phishing/values.yaml.",
    ] {
        assert!(said.contains(kept), "{kept}\n{said}");
    }
    // Nothing is mixed: a part is the user's or ours.
    let mut wanted: BTreeMap<PathBuf, String> = own.iter().map(|(path, content)| (path.into(), hash(content.as_bytes()))).collect();
    wanted.extend(
        bundled().into_iter().filter(|(path, _)| path == Path::new("provision.yaml") || path == Path::new("vms/two-networks.yaml")),
    );
    assert_eq!(tree(folder.path(), Path::new("")), wanted);
}

#[test]
fn a_folder_that_is_named_is_made() {
    let folder = Folder::new(&[]);
    let (_, said) = folder.expect(0, &["init", "a/b"]);
    assert!(said.ends_with("Next: cd a/b && provision plan\n"), "{said}");
    assert_eq!(tree(&folder.path().join("a/b"), Path::new("")), bundled());
    // Root works for whoever owns the place.
    if nix::unistd::geteuid().is_root() {
        let place = folder.path().join("theirs");
        fs::create_dir(&place).expect("made");
        std::os::unix::fs::chown(&place, Some(65534), Some(65534)).expect("given");
        folder.expect(0, &["init", "theirs/new"]);
        for path in ["new", "new/vms", "new/vms/dev.yaml", "new/playbooks/roles/node/tasks"] {
            assert_eq!(fs::metadata(place.join(path)).expect("it is there").uid(), 65534, "{path}");
        }
    }
}

//! Writes: what is kept, what is left behind when they fail.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use provision::program::Bytes;
use provision::system::describe::sha256;
use provision::system::{Action, Content, Ownership};

use super::{Notes, apply, is_root, names, write};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("is there").mode() & 0o7777
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("is there")
}

#[test]
fn a_former_file_keeps_owner_mode_and_acl() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("x");
    std::fs::write(&path, "old").expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("chmod");
    if is_root() {
        std::os::unix::fs::chown(&path, Some(12), Some(34)).expect("chown");
    }
    // An ACL as setfacl -m u:1:r writes it: version 2; user::rw, user:1:r, group::r, mask::r, other::-.
    let entry =
        |tag: u16, bits: u16, id: u32| [tag.to_le_bytes().to_vec(), bits.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()].concat();
    let none = u32::MAX;
    let acl = [2_u32.to_le_bytes().to_vec(), entry(1, 6, none), entry(2, 4, 1), entry(4, 4, none), entry(16, 4, none), entry(32, 0, none)]
        .concat();
    let has_acl = rustix::fs::setxattr(&path, "system.posix_acl_access", &acl, rustix::fs::XattrFlags::empty()).is_ok();
    let has_user = rustix::fs::setxattr(&path, "user.note", b"kept", rustix::fs::XattrFlags::empty()).is_ok();

    apply(&[write(&path, "new")], &mut Notes::default()).expect("writes");

    assert_eq!((read(&path).as_str(), mode(&path)), ("new", 0o640));
    let found = std::fs::metadata(&path).expect("is there");
    if is_root() {
        assert_eq!((found.uid(), found.gid()), (12, 34));
    }
    let mut buffer = [0_u8; 256];
    if has_acl {
        let length = rustix::fs::getxattr(&path, "system.posix_acl_access", &mut buffer[..]).expect("has an ACL");
        assert_eq!(&buffer[..length], &acl);
    }
    if has_user {
        let length = rustix::fs::getxattr(&path, "user.note", &mut buffer[..]).expect("has the attribute");
        assert_eq!(&buffer[..length], b"kept");
    }
    assert_eq!(names(folder.path()), ["x"]);
}

#[test]
fn backups_of_one_second_are_all_kept() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("x");
    std::fs::write(&path, "0").expect("writes");
    for text in ["1", "2", "3"] {
        let Action::WriteFile { path, content, ownership, unsafe_writes, validate, .. } = write(&path, text) else { unreachable!() };
        let kept = Action::WriteFile { path, content, ownership, backup: true, unsafe_writes, validate };
        apply(&[kept], &mut Notes::default()).expect("writes");
    }
    let mut held: Vec<String> = names(folder.path()).iter().map(|name| read(&folder.path().join(name))).collect();
    held.sort();
    assert_eq!(held, ["0", "1", "2", "3"]);
}

#[test]
fn a_batch_is_all_in_place_and_a_new_file_obeys_the_umask() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let sub = folder.path().join("sub");
    let mut actions = vec![
        write(&folder.path().join("a"), "a"),
        Action::MakeDirectory { path: sub.clone(), ownership: Ownership { mode: Some(0o711), ..Ownership::default() } },
    ];
    actions.extend((0..6).map(|index| write(&sub.join(index.to_string()), "b")));
    let mut notes = Notes::default();
    let outcomes = apply(&actions, &mut notes).expect("writes");
    assert_eq!(outcomes.len(), 8);
    assert_eq!(names(&sub), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(mode(&sub), 0o711);
    assert_eq!(mode(&folder.path().join("a")) & 0o777, 0o666 & !current_umask());
    // Renames come after all temporaries.
    let first_done = notes.actions.iter().position(|action| *action == (0, true)).expect("is done");
    assert!(notes.actions[..first_done].contains(&(7, false)), "{:?}", notes.actions);
}

fn current_umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").expect("reads");
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).expect("has a umask");
    u32::from_str_radix(line.trim(), 8).expect("is octal")
}

#[test]
fn fetched_bytes_are_verified_before_anything_is_replaced() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("x");
    std::fs::write(&path, "old").expect("writes");
    let fetch = |digest: String, size| {
        let Action::WriteFile { path, ownership, backup, unsafe_writes, validate, .. } = write(&path, "") else { unreachable!() };
        Action::WriteFile { path, content: Content::Digest { sha256: digest.into(), size }, ownership, backup, unsafe_writes, validate }
    };
    let failure = apply(&[fetch("00".repeat(32), 7)], &mut Notes::default()).expect_err("is refused");
    assert!(failure.error.message.contains("came"), "{}", failure.error.message);
    assert_eq!((read(&path).as_str(), names(folder.path())), ("old", vec!["x".to_owned()]));
    apply(&[fetch(sha256(b"fetched"), 7)], &mut Notes::default()).expect("writes");
    assert_eq!(read(&path), "fetched");
}

#[test]
fn a_refused_file_never_takes_its_place() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("x");
    let validated = |text: &str| {
        let Action::WriteFile { path, ownership, backup, unsafe_writes, .. } = write(&path, "") else { unreachable!() };
        let validate = Some("grep -q good %s".to_owned());
        Action::WriteFile { path, content: Content::Inline(Bytes(text.as_bytes().into())), ownership, backup, unsafe_writes, validate }
    };
    apply(&[validated("good 1")], &mut Notes::default()).expect("is accepted");
    let failure = apply(&[validated("bad")], &mut Notes::default()).expect_err("is refused");
    assert_eq!(failure.error.message, "failed to validate");
    assert_eq!(failure.error.details.get("exit_status"), Some(&1_i64.into()));
    assert_eq!((read(&path).as_str(), names(folder.path())), ("good 1", vec!["x".to_owned()]));
}

#[test]
fn a_backup_is_the_former_file_with_its_times() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("x");
    std::fs::write(&path, "old").expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("chmod");
    let before = std::fs::metadata(&path).expect("is there");
    let Action::WriteFile { path: place, content, ownership, unsafe_writes, validate, .. } = write(&path, "new") else { unreachable!() };
    let outcomes =
        apply(&[Action::WriteFile { path: place, content, ownership, backup: true, unsafe_writes, validate }], &mut Notes::default())
            .expect("writes");
    let backup = outcomes[0].backup.clone().expect("has a backup");
    assert_eq!((read(&path).as_str(), read(&backup).as_str(), mode(&backup)), ("new", "old", 0o604));
    assert_eq!(std::fs::metadata(&backup).expect("is there").mtime_nsec(), before.mtime_nsec());
    assert!(backup.to_string_lossy().ends_with('~'));
}

#[test]
fn what_was_before_the_failed_action_is_done_and_the_rest_is_not() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| folder.path().join(name);
    let actions = [write(&path("a"), "a"), Action::Remove { path: path("none") }, write(&path("no/b"), "b"), write(&path("c"), "c")];
    let failure = apply(&actions, &mut Notes::default()).expect_err("has no folder");
    assert_eq!((failure.index, failure.done.len()), (2, 2));
    assert_eq!(names(folder.path()), ["a"]);
}

#[test]
fn what_a_killed_run_left_is_replaced() {
    let folder = tempfile::tempdir().expect("temporary directory");
    std::fs::write(folder.path().join(".x.provision-new"), "left over").expect("writes");
    apply(&[write(&folder.path().join("x"), "new")], &mut Notes::default()).expect("writes");
    assert_eq!((names(folder.path()), read(&folder.path().join("x")).as_str()), (vec!["x".to_owned()], "new"));
}

/// Who may write to a folder may put anything under the passing name: none of it is waited for, followed or written to.
#[test]
fn what_others_put_under_the_passing_name_is_left_alone() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let (path, passing, target) = (folder.path().join("x"), folder.path().join(".x.provision-new"), folder.path().join("target"));
    nix::unistd::mkfifo(&passing, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    apply(&[write(&path, "one")], &mut Notes::default()).expect("writes beside a pipe");
    std::fs::remove_file(&passing).expect("it is still there");
    std::fs::write(&target, "theirs").expect("writes");
    std::os::unix::fs::symlink(&target, &passing).expect("links");
    apply(&[write(&path, "two")], &mut Notes::default()).expect("writes beside a link");
    assert_eq!((read(&path).as_str(), read(&target).as_str()), ("two", "theirs"));
    assert_eq!(names(folder.path()), [".x.provision-new", "target", "x"]);
}

/// Several names of one machine: nobody takes another's passing file away.
#[test]
fn many_write_one_file_at_once() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = folder.path().join("x");
    std::thread::scope(|scope| {
        for number in 0..6 {
            let path = &path;
            scope.spawn(move || {
                for round in 0..40 {
                    apply(&[write(path, &format!("{number} {round}"))], &mut Notes::default()).expect("writes");
                }
            });
        }
    });
    assert!(read(&path).ends_with(" 39") && names(folder.path()) == ["x"], "{:?}", names(folder.path()));
}

#[test]
fn a_link_is_replaced_not_written_through() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let (target, link) = (folder.path().join("target"), folder.path().join("link"));
    std::fs::write(&target, "old").expect("writes");
    std::os::unix::fs::symlink("target", &link).expect("links");
    apply(&[write(&link, "new")], &mut Notes::default()).expect("writes");
    assert_eq!((read(&target).as_str(), read(&link).as_str()), ("old", "new"));
    assert!(!std::fs::symlink_metadata(&link).expect("is there").is_symlink());
}

#[test]
fn a_bind_mounted_file_is_written_in_place() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("temporary directory");
    let (file, place) = (folder.path().join("file"), folder.path().join("place"));
    std::fs::write(&file, "old").expect("writes");
    std::fs::write(&place, "").expect("writes");
    // A mount namespace of its own would need unshare in this process; the mount is in a temporary folder and is taken away.
    let none = None::<&str>;
    if nix::mount::mount(Some(&file), &place, none, nix::mount::MsFlags::MS_BIND, none).is_err() {
        return;
    }
    let result = apply(&[write(&place, "new")], &mut Notes::default());
    let content = read(&file);
    nix::mount::umount(&place).expect("is unmounted");
    result.expect("writes");
    assert_eq!((content.as_str(), names(folder.path())), ("new", vec!["file".to_owned(), "place".to_owned()]));
}

#[test]
fn links_directories_times_and_removal() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| folder.path().join(name);
    let none = Ownership::default;
    apply(
        &[
            write(&path("a"), "a"),
            Action::HardLink { path: path("hard"), target: path("a") },
            Action::HardLink { path: path("hard"), target: path("a") },
            Action::Symlink { path: path("link"), target: "nowhere".into(), ownership: none() },
            Action::Symlink { path: path("link"), target: "a".into(), ownership: none() },
            Action::SetTimes { path: path("link"), accessed: None, modified: Some(1_000_000_000.5) },
            Action::SetOwnership { path: path("a"), ownership: Ownership { mode: Some(0o4711), ..none() }, follow: false },
            Action::MakeDirectory { path: path("d"), ownership: none() },
            write(&path("d/inside"), "x"),
            Action::Remove { path: path("d") },
        ],
        &mut Notes::default(),
    )
    .expect("is done");
    let found = std::fs::metadata(path("a")).expect("is there");
    assert_eq!((found.nlink(), found.mtime(), found.mtime_nsec(), mode(&path("a"))), (2, 1_000_000_000, 500_000_000, 0o4711));
    assert_eq!(std::fs::read_link(path("link")).expect("is a link"), Path::new("a"));
    assert_eq!(names(folder.path()), ["a", "hard", "link"]);
}

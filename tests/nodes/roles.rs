//! Roles in the shapes of well-known ones, by Ansible and by us on the same two nodes, in folders of their own: the same results
//! task by task, the same counts, the same files; a second time, in check mode and in lists too.

use std::path::Path;

use super::place::{Place, shown};
use crate::support::nodes::TestNodes;

const PLAYBOOKS: [&str; 3] = ["site.yml", "kube.yml", "more.yml"];

#[test]
fn roles_as_people_write_them_run_as_by_ansible() {
    let Some(ansible) = crate::oracle::ansible("ansible-playbook") else { return };
    let Some(nodes) = TestNodes::boot_with_python(&["first", "second"]) else { return };
    let place = Place::new(nodes, ansible, "roles", &[("first", "first"), ("second", "second")]);
    for playbook in PLAYBOOKS {
        // Before anything is there, and twice for real.
        for (round, mode) in [("check", Some("--check")), ("first", None), ("second", None)] {
            // Checked before it exists, a command that was skipped leaves other tasks without its result.
            if mode.is_some() && playbook != "site.yml" {
                continue;
            }
            let words = |root: &'static str| [playbook, "-e", root].into_iter().chain(mode).collect::<Vec<_>>();
            let (their_code, theirs, they_said) = place.theirs(&words("root=/srv/theirs"));
            let (our_code, ours, we_said) = place.ours(&words("root=/srv/ours"));
            let (theirs, ours) = (shown(&theirs), shown(&ours));
            assert!(
                theirs == ours && their_code == our_code,
                "{playbook}, {round}: {their_code} is Ansible's, {our_code} ours\n{}\n{they_said}\n{we_said}",
                similar::TextDiff::from_lines(&theirs, &ours).unified_diff()
            );
            assert!(theirs.lines().count() > 40, "{playbook} ran: {theirs}");
        }
        let (theirs, ours) = (place.files("theirs"), place.files("ours"));
        assert!(theirs == ours, "{playbook}:\n{}", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
        for list in ["--list-tasks", "--list-tags"] {
            let text = |program: &Path, first: &[&str]| {
                let words: Vec<&str> = first.iter().copied().chain([playbook, list, "-e", "root=/x"]).collect();
                String::from_utf8_lossy(&place.command(program, &words).output().expect("it runs").stdout).into_owned()
            };
            let theirs = text(place.ansible(), &[]);
            let ours = text(Path::new(env!("CARGO_BIN_EXE_provision")), &["playbook"]);
            assert!(theirs == ours, "{playbook} {list}:\n{}", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
        }
    }
}

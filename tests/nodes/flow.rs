//! Where plays end, for whom, and what counts, by Ansible and by us on the same nodes.

use super::place::{Place, recap, shown};
use crate::support::nodes::TestNodes;

/// In each folder of its own on the nodes; `root` is where files go.
const PLAYBOOKS: [&str; 14] = [
    "end.yml",
    "clear.yml",
    "clear-include.yml",
    "clear-not.yml",
    "meta.yml",
    "misc.yml",
    "fatal-play.yml",
    "fatal-block.yml",
    "fatal-task.yml",
    "once-fails.yml",
    "percentage.yml",
    "percentage-batch.yml",
    "percentage-exact.yml",
    "batch-fails.yml",
];

#[test]
fn plays_end_where_ansibles_end() {
    let Some(ansible) = crate::oracle::ansible("ansible-playbook") else { return };
    let Some(nodes) = TestNodes::boot_with_python(&["first", "second"]) else { return };
    let hosts = [("h1", "first"), ("h2", "second"), ("h3", "first"), ("h4", "second")];
    let place = Place::new(nodes, ansible, "flow", &hosts);
    let mut different = String::new();
    for playbook in PLAYBOOKS {
        let (their_code, theirs, they_said) = place.theirs(&[playbook, "-e", "root=/srv/theirs"]);
        let (our_code, ours, we_said) = place.ours(&[playbook, "-e", "root=/srv/ours"]);
        let (theirs, ours) = (shown(&theirs), shown(&ours));
        if theirs != ours || their_code != our_code {
            different += &format!(
                "{playbook}: {their_code} is Ansible's, {our_code} ours\n{}\n{they_said}\n{we_said}\n",
                similar::TextDiff::from_lines(&theirs, &ours).unified_diff()
            );
        }
        assert!(theirs.lines().count() >= 2, "{playbook} ran: {theirs}");
    }
    assert!(different.is_empty(), "{different}");
    let (theirs, ours) = (place.files("theirs"), place.files("ours"));
    assert!(theirs == ours, "{}", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
    let behind = ["h4", "h2", ""].join(" behind\n");
    assert_eq!(place.node_file("first", "/srv/ours/order"), behind, "who was brought back comes after the others");
    // As a person reads the end of it.
    let (_, _, said) = place.theirs(&["misc.yml", "-e", "root=/srv/text-theirs"]);
    let ours = place.our_recap(&["misc.yml", "-e", "root=/srv/text-ours"]);
    assert_eq!((ours.len(), &ours), (hosts.len(), &recap(&said)));
    assert!(theirs.contains("Ansible managed") && theirs.contains("one\ntwo"), "{theirs}");
}

/// Nothing listens where `h5` is until a task of `h1` begins to; `h6` is never there.
#[test]
fn hosts_out_of_reach_are_tried_again_where_ansible_tries_them() {
    let Some(ansible) = crate::oracle::ansible("ansible-playbook") else { return };
    let Some(nodes) = TestNodes::boot_with_python(&["first", "second"]) else { return };
    let place = Place::new(nodes, ansible, "cleared", &[("h1", "first"), ("h2", "second"), ("h5", "first"), ("h6", "second")]);
    let mut seen = String::new();
    for playbook in ["same-play.yml", "later-play.yml"] {
        let (their_code, theirs, they_said) = place.theirs(&[playbook, "-e", "root=/srv/theirs"]);
        let (our_code, ours, we_said) = place.ours(&[playbook, "-e", "root=/srv/ours"]);
        let counts = |told: &super::place::Told| told.iter().map(|(host, (_, recap))| format!("{host} {recap}\n")).collect::<String>();
        assert_eq!((their_code, counts(&theirs)), (our_code, counts(&ours)), "{playbook}:\n{they_said}\n{we_said}");
        seen += &counts(&ours);
    }
    assert!(seen.contains("h5 ok=3 changed=3 unreachable=1 ") && seen.contains("h6 ok=0 changed=0 unreachable=3 "), "{seen}");
    let (theirs, ours) = (place.files("theirs"), place.files("ours"));
    assert!(theirs == ours, "{}", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
}

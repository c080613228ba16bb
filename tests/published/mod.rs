//! Playbooks in the style in which people publish them, by ansible-core and by us on equal nodes: the same results of each task and item,
//! the same counts, the same exit code, the same files and units afterwards; checked, run, run again, and by tags and limits.

mod beside;
pub mod told;

use beside::Beside;

/// Runs in order; the state of the nodes is compared after each.
fn run(project: &str, hosts: &[&str], runs: &[&[&str]]) {
    let Some(beside) = Beside::new(project, hosts) else { return };
    let mut different = String::new();
    for words in runs {
        let (theirs, ours) = beside.both(words);
        let round = words.join(" ");
        let texts = [
            ("results", theirs.told.shown(None), ours.told.shown(Some(&theirs.told))),
            ("recap", theirs.recaps.join("\n"), ours.recaps.join("\n")),
            ("exit", theirs.code.to_string(), ours.code.to_string()),
            ("state", beside.state("t"), beside.state("o")),
        ];
        let before = different.len();
        for (what, theirs, ours) in texts {
            if theirs != ours {
                different += &format!("== {project}, {round}: {what}\n{}\n", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
            }
        }
        assert!(!theirs.recaps.is_empty(), "{round} ran: {}", theirs.said);
        if different.len() > before {
            different += &format!("{}\n{}\n", theirs.said, ours.said);
        }
    }
    assert!(different.is_empty(), "{different}");
    for list in ["--list-tasks", "--list-tags", "--list-hosts"] {
        let (mut theirs, mut ours) = beside.listed(&[runs[0][0], list]);
        if list == "--list-hosts" {
            // Ansible lists a set, in no order.
            let sorted = |text: &str| {
                text.lines().collect::<std::collections::BTreeSet<_>>().into_iter().map(|line| line.to_owned() + "\n").collect()
            };
            (theirs, ours) = (sorted(&theirs), sorted(&ours));
        }
        assert!(theirs == ours, "{project} {list}:\n{}", similar::TextDiff::from_lines(&theirs, &ours).unified_diff());
    }
}

const VAULT: [&str; 2] = ["--vault-password-file", "password"];

#[test]
#[ignore = "minutes of Ansible: cargo test --test main published:: -- --ignored"]
fn prerequisites_of_a_cluster_are_what_ansible_makes_of_them() {
    run("kubeadm", &["cp1", "node1", "node2"], &[&["site.yml"], &["site.yml"]]);
}

#[test]
#[ignore = "minutes of Ansible: cargo test --test main published:: -- --ignored"]
fn a_web_tier_with_its_database_is_what_ansible_makes_of_it() {
    run(
        "web",
        &["lb1", "app1", "app2"],
        &[
            &["site.yml", VAULT[0], VAULT[1]],
            &["site.yml", VAULT[0], VAULT[1]],
            &["site.yml", "--limit", "lb", "--skip-tags", "common", VAULT[0], VAULT[1]],
        ],
    );
}

#[test]
#[ignore = "minutes of Ansible: cargo test --test main published:: -- --ignored"]
fn a_hardened_system_is_what_ansible_makes_of_it() {
    run("hardening", &["bastion", "internal"], &[&["site.yml"], &["site.yml", "--diff"]]);
}

#[test]
fn exporters_as_units_are_what_ansible_makes_of_them() {
    run(
        "exporters",
        &["monitor", "web1", "web2"],
        &[&["playbook.yml"], &["playbook.yml", "--tags", "targets", "-e", "{scrape_interval: 5s, exporters_disabled: [queue]}"]],
    );
}

#[test]
#[ignore = "minutes of Ansible: cargo test --test main published:: -- --ignored"]
fn a_rolling_deploy_is_what_ansible_makes_of_it() {
    run(
        "deploy",
        &["proxy", "app1", "app2", "app3"],
        &[&["deploy.yml", "-e", "release=1"], &["deploy.yml", "-e", "release=3", "-e", "broken_on=app2"]],
    );
}

#[test]
#[ignore = "minutes of Ansible: cargo test --test main published:: -- --ignored"]
fn a_playbook_in_the_old_style_is_what_ansible_makes_of_it() {
    run(
        "runner",
        &["ci1", "ci2"],
        &[&["main.yml"], &["main.yml", "-t", "dotfiles", "-e", "shell=zsh", "--start-at-task", "dotfiles of everyone"]],
    );
}

#[test]
#[ignore = "ten minutes of Ansible: cargo test --test main in_other_ways -- --ignored"]
fn published_playbooks_run_in_other_ways_are_what_ansible_makes_of_them() {
    run(
        "kubeadm",
        &["cp1", "node1", "node2"],
        &[
            &["site.yml", "--check", "--diff"],
            &["site.yml"],
            &["site.yml", "--tags", "runtime", "--limit", "kube_node", "-e", "pause_version=9"],
        ],
    );
    run(
        "web",
        &["lb1", "app1", "app2"],
        &[
            &["site.yml", "--check", "--diff", VAULT[0], VAULT[1]],
            &["site.yml", VAULT[0], VAULT[1]],
            &["site.yml", "--tags", "db,app,report", "-e", "@overrides.yml", VAULT[0], VAULT[1]],
        ],
    );
    run(
        "hardening",
        &["bastion", "internal"],
        &[
            &["site.yml", "--check", "--diff"],
            &["site.yml"],
            &["site.yml", "--tags", "permissions,sysctl,ssh", "-e", "@relaxed.json"],
            &["site.yml", "--limit", "!jump", "-e", "audit=no hardening_exceptions=[]"],
        ],
    );
    run(
        "exporters",
        &["monitor", "web1", "web2"],
        &[
            &["playbook.yml", "--check", "--diff"],
            &["playbook.yml"],
            &["playbook.yml"],
            &["playbook.yml", "--limit", "web2", "-e", "exporters_disabled=['queue']"],
        ],
    );
    run(
        "deploy",
        &["proxy", "app1", "app2", "app3"],
        &[
            &["deploy.yml", "--check", "-e", "release=1"],
            &["deploy.yml", "-e", "release=1"],
            &["deploy.yml", "-e", "release=1"],
            &["deploy.yml", "-e", "release=2"],
            &["deploy.yml", "-e", "release=3", "-e", "broken_on=app2"],
            &["rollback.yml", "-e", "@rollback.yaml"],
        ],
    );
    run("runner", &["ci1", "ci2"], &[&["main.yml", "--check", "--diff"], &["main.yml"], &["main.yml"]]);
}

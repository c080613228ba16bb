//! Networks that are taken already are refused by name before anything is made.

use std::path::Path;

use provision::vm::{Environment, Kind, Nodes, Provider as _};

use crate::support::nodes::{TestNodes, container, machines};

#[test]
fn another_environment_with_the_same_network_is_named() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let other = Environment::new(&format!("t-{}-other", std::process::id()), folder.path()).expect("an environment");
    let third = nodes.addresses["a"].octets()[2];
    let file = machines(&[&format!("10.213.{third}.128/25")], &[("a".to_owned(), [10, 213, third, 130].into())]);
    let error = container(&other, &file, &[]).ensure(&|_| {}).expect_err("an overlap");
    assert_eq!(error.kind, Kind::Overlap);
    assert_eq!(
        error.to_string(),
        format!(
            "checking the network 10.213.{third}.128/25: it overlaps 10.213.{third}.0/24 of the environment `{}` in {}, which is up",
            nodes.environment.name,
            nodes.folder.display()
        )
    );
    assert!(!other.names().data_folder().exists() && !folder.path().join(".provision").exists(), "nothing was made");
    // Once that one is gone the network is free.
    nodes.provider.destroy(&Nodes::All).expect("destroying");
    let provider = container(&other, &file, &[]);
    let made = provider.ensure(&|_| {});
    provider.destroy(&Nodes::All).expect("destroying the other");
    made.expect("the network is free");
}

#[test]
fn an_interface_of_this_machine_is_named() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let environment = Environment::new(&format!("t-{}-loop", std::process::id()), folder.path()).expect("an environment");
    let error = container(&environment, &machines(&["127.0.0.0/24"], &[("a".to_owned(), [127, 0, 0, 2].into())]), &[])
        .ensure(&|_| {})
        .expect_err("an overlap");
    assert_eq!(error.to_string(), "checking the network 127.0.0.0/24: this machine reaches 127.0.0.0/8 through the interface lo");
    assert!(!Path::new("/sys/class/net").join(environment.names().bridge()).exists());
}

#[test]
fn two_environments_of_one_name_run_side_by_side() {
    let (Some(one), Some(two)) = (TestNodes::boot(&["a"]), TestNodes::boot(&["a"])) else {
        return;
    };
    assert_ne!(one.addresses["a"], two.addresses["a"]);
    one.ssh("a", "touch /root/one; systemctl restart ssh");
    assert!(!two.ssh_output("a", "test -e /root/one").status.success());
    drop(one);
    assert_eq!(two.ssh("a", "hostname"), "a\n");
}

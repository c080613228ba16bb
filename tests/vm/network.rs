//! Nodes reach each other over two networks, and the world beyond the workstation.

use provision::vm::{Environment, Kind, Nodes, Provider as _};

use crate::support::nodes::{TestNodes, Turn, container, machines, root_or_skip};

#[test]
fn a_node_reaches_what_the_workstation_reaches() {
    let Some(nodes) = TestNodes::boot(&["a"]) else {
        return;
    };
    // A way out by the gateway. What lies beyond the workstation is no address of a test.
    nodes.ssh("a", "ip route get 192.0.2.1 | grep -q ' via ' && grep -q ^nameserver /etc/resolv.conf");
}

#[test]
fn two_networks_of_one_file_reach_each_other() {
    if !root_or_skip() {
        return;
    }
    let _turn = Turn::shared();
    let folder = tempfile::tempdir().expect("a folder");
    for third in (100..250).step_by(2) {
        let environment = Environment::new(&format!("t-{}-two", std::process::id()), folder.path()).expect("an environment");
        let file = machines(
            &[&format!("10.214.{third}.0/24"), &format!("10.214.{}.0/24", third + 1)],
            &[("control".to_owned(), [10, 214, third, 2].into()), ("worker".to_owned(), [10, 214, third + 1, 2].into())],
        );
        let provider = container(&environment, &file, &[]);
        let result = provider.ensure(&|_| {});
        if result.as_ref().is_err_and(|error| error.kind == Kind::Overlap) {
            continue;
        }
        let said = result.map(|nodes| {
            let output = std::process::Command::new("ssh")
                .args(["-q", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i"])
                .arg(environment.key())
                .arg(format!("root@{}", nodes[0].address))
                .arg(format!("bash -c 'exec 3<>/dev/tcp/worker/22; head -c 4 <&3'; bash -c 'exec 3<>/dev/tcp/10.214.{}.1/9' 2>&1 | grep -q refused && echo refused", third + 1))
                .output()
                .expect("running ssh");
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        provider.destroy(&Nodes::All).expect("destroying");
        assert_eq!(said.expect("two networks"), "SSH-refused\n", "the other node, and the other network's gateway");
        return;
    }
    panic!("no free network in 10.214.0.0/16");
}

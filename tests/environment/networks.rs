//! Control plane and workers in two networks, by the project's own file for it; then the workers become smaller.

use super::bundled::{Bundled, NODES};

#[test]
fn workers_in_another_network_join_and_a_node_may_use_what_its_file_says() {
    let Some(bundled) = Bundled::new() else { return };
    let file = "vms/two-networks.yaml";
    bundled.machines_of(file, &[]);
    let story = bundled.up();
    assert!(story.contains("✔ cluster    pods reach each other on all nodes"), "{story}");
    let path = "jsonpath={range .items[*]}{.status.addresses[?(@.type=='InternalIP')].address} {end}";
    let addresses = bundled.kubectl(&["get", "nodes", "--output", path]);
    let workers = bundled.second_network();
    assert_eq!(addresses.trim(), format!("{} {workers}.2 {workers}.3", bundled.address("2")));
    bundled.answers();
    bundled.proves_no_change();

    // Fewer cpus than this machine has, in place: nothing of the nodes starts anew but their kubelet.
    let boots = |bundled: &Bundled| NODES.map(|node| bundled.on(node, "cat /proc/sys/kernel/random/boot_id"));
    let before = boots(&bundled);
    bundled.machines_of(file, &[("memory: 3GiB", "cpus: 1, memory: 2560MiB")]);
    let (plan, _) = bundled.expect(2, &["plan", "--detailed-exitcode"]);
    for node in ["worker-1", "worker-2"] {
        let said = |line: &str| line.contains(&format!("~ {node}")) && line.ends_with("cpus 2 → 1, memory 3 GiB → 2.5 GiB");
        assert!(plan.lines().any(said), "{plan}");
    }
    bundled.up();
    assert_eq!(boots(&bundled), before);
    bundled.may_use("control", 2.0, 2048.0);
    for node in ["worker-1", "worker-2"] {
        bundled.may_use(node, 1.0, 2560.0);
    }
    bundled.answers();
    bundled.proves_no_change();
}

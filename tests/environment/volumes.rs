//! What is only on a node is told before the node goes.

use std::fs;

use serde_json::{Value, json};

use super::Folder;
use crate::support::kube::{ApiServer, TestClient};

/// Nobody listens there.
const DEAF: &str = "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";

fn make(client: &TestClient, object: &Value) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), object.to_string()).expect("written");
    client.kubectl(&["create", "-f", &file.path().display().to_string()]);
}

/// A volume that these nodes can mount, bound to a claim.
fn volume(client: &TestClient, claim: &str, size: &str, nodes: &[&str]) {
    let only = json!([{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": nodes}]}]);
    make(
        client,
        &json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("destroyed-{claim}")}, "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "hostPath": {"path": format!("/var/{claim}")}, "claimRef": {"namespace": "destroyed", "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": only}},
        }}),
    );
    make(
        client,
        &json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim, "namespace": "destroyed"}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "volumeName": format!("destroyed-{claim}"), "resources": {"requests": {"storage": size}},
        }}),
    );
    client.kubectl(&["wait", "-n", "destroyed", &format!("pvc/{claim}"), "--for=jsonpath={.status.phase}=Bound", "--timeout=60s"]);
}

#[test]
fn volumes_that_go_with_a_node_are_named_before_it_goes() {
    let Some(folder) = Folder::new() else { return };
    let Some(server) = ApiServer::shared() else { return };
    let client = server.client();
    folder.expect(0, &["up", "--yes"]);
    client.kubectl(&["create", "namespace", "destroyed"]);
    make(&client, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-1"}}));
    volume(&client, "journal-0", "64Mi", &["worker-1"]);
    volume(&client, "journal-1", "1Gi", &["control"]);
    volume(&client, "shared", "2Gi", &["control", "worker-1"]);
    let kubeconfig = folder.path().join(".provision/kubeconfig");
    fs::copy(&client.kubeconfig, &kubeconfig).expect("copied");

    // A machine that left the file.
    let before = ["provision.yaml", "vms/dev.yaml"].map(|name| (name, fs::read_to_string(folder.path().join(name)).expect("it is there")));
    folder.write("charts/x/Chart.yaml", "apiVersion: v2\nname: x\nversion: 0.1.0\n");
    folder.write("charts/x/templates/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n");
    folder.write("provision.yaml", &format!("{}releases: [{{name: x, chart: charts/x, namespace: x}}]\n", before[0].1));
    folder.write(
        "vms/dev.yaml",
        before[1].1.lines().filter(|line| !line.contains("worker")).fold(String::new(), |text, line| text + line + "\n").as_str(),
    );
    let told = "\n               with worker-1 go the volumes of destroyed/journal-0 (64Mi)\n";
    let (plan, _) = folder.expect(0, &["plan"]);
    assert!(plan.contains("- worker-1") && plan.contains(told), "{plan}");
    let (_, refused) = folder.expect(6, &["up"]);
    assert!(refused.contains(told), "{refused}");
    let (lines, _) = folder.expect(0, &["plan", "--json"]);
    let lost = json!({"event": "planned", "layer": "volumes", "volume": "destroyed/journal-0", "plan": "remove", "size": "64Mi"});
    assert_eq!(
        lines
            .lines()
            .filter(|line| line.contains("volumes"))
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
            .collect::<Vec<_>>(),
        [lost]
    );
    before.iter().for_each(|(name, text)| folder.write(name, text));

    let told = "\n    with worker-1 go the volumes of destroyed/journal-0 (64Mi)\n";
    let (planned, refused) = folder.expect(6, &["destroy", "--json", "worker-1"]);
    assert!(refused.starts_with("  - worker-1, their disks (") && refused.contains(told), "{refused}");
    let planned: Vec<Value> = planned.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let machine = json!({"event": "planned", "layer": "machines", "machine": "worker-1", "plan": "remove", "because": []});
    let lost = json!({"event": "planned", "layer": "volumes", "volume": "destroyed/journal-0", "plan": "remove", "size": "64Mi"});
    assert_eq!(planned, [machine, lost]);
    let (_, all) = folder.expect(6, &["destroy"]);
    let of_all = "with them go the volumes of destroyed/journal-0 (64Mi), destroyed/journal-1 (1Gi), destroyed/shared (2Gi)\n";
    assert!(all.contains(of_all), "{all}");

    let (gone, story) = folder.expect(0, &["destroy", "--yes", "--json", "worker-1"]);
    let at = |text: &str| story.find(text).unwrap_or_else(|| panic!("`{text}` in {story}"));
    assert!(at(told) < at("worker-1 was drained") && at("worker-1 was drained") < at("Gone in"), "{story}");
    let results: Vec<Value> = gone.lines().skip(2).map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        results[0],
        json!({"event": "result", "layer": "machines", "machine": "worker-1", "status": "changed", "outcome": "removed"})
    );
    assert_eq!(results[1]["volume"], "destroyed/journal-0");
    assert!(client.try_kubectl(&["get", "pv", "destroyed-journal-0"]).unwrap_err().contains("NotFound"));

    // Where nobody can say.
    fs::write(&kubeconfig, DEAF).expect("written");
    let (planned, unknown) = folder.expect(6, &["destroy", "--json", "control"]);
    assert!(unknown.contains("the cluster does not answer: which volumes would go with control is not known\n"), "{unknown}");
    assert!(
        planned.contains("{\"event\":\"planned\",\"layer\":\"volumes\",\"plan\":\"unknown\",\"because\":\"the cluster does not answer\"}")
    );
    // Where there is no cluster, there is nothing to say.
    fs::remove_file(&kubeconfig).expect("is there");
    assert!(!folder.expect(6, &["destroy", "control"]).1.contains("volumes"));
}

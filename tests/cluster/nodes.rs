//! Nodes: their state, and taking one out.

use std::time::Duration;

use provision::cluster::{Condition, Drain, ErrorKind};
use serde_json::{Value, json};

use super::{cluster, get};
use crate::support::kube::TestClient;

fn make(client: &TestClient, object: &Value) {
    let folder = tempfile::tempdir().expect("as the test made it");
    let file = folder.path().join("object.json");
    std::fs::write(&file, object.to_string()).expect("as the test made it");
    client.kubectl(&["create", "-f", &file.display().to_string()]);
}

/// A node without a machine; its status is written as a kubelet would.
fn node(client: &TestClient, name: &str, ready: bool) {
    make(client, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": "10.244.9.0/24"}}));
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.168.60.9"}],
        "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "reason": "KubeletNotReady", "message": "container runtime network not ready", "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    client.kubectl(&["patch", "node", name, "--subresource=status", "--type=merge", "-p", &status.to_string()]);
}

/// A pod that runs on a node, Ready.
fn pod(client: &TestClient, namespace: &str, name: &str, node: &str, metadata: Value) {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web"}}, "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "c"}]}});
    for (key, value) in metadata.as_object().expect("as the test made it") {
        pod["metadata"][key] = value.clone();
    }
    make(client, &pod);
    let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    client.kubectl(&["patch", "pod", name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &status.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_seen_as_they_are() {
    let Some((client, cluster)) = cluster().await else { return };
    node(&client, "good", true);
    node(&client, "bad", false);
    let nodes = cluster.nodes().await.unwrap();
    let bad = nodes.iter().find(|node| node.name == "bad").unwrap();
    assert_eq!(
        (bad.ready, &*bad.reason, bad.address.as_deref(), bad.pod_range.as_deref()),
        (false, "container runtime network not ready", Some("192.168.60.9"), Some("10.244.9.0/24"))
    );
    let names = ["good", "bad", "absent"].map(str::to_owned).to_vec();
    let error = cluster.wait(&Condition::NodesReady { names }, Duration::from_millis(500), &mut |_| {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "wait until nodes good, bad, absent Ready: not within 500 ms: 1 of 3 are Ready; bad: container runtime network not ready; absent has not joined"
    );
    cluster.wait(&Condition::NodesReady { names: vec!["good".to_owned()] }, Duration::from_secs(5), &mut |_| {}).await.unwrap();
    assert!(cluster.cordon("good").await.unwrap());
    assert!(!cluster.cordon("good").await.unwrap());
    assert!(cluster.node("good").await.unwrap().unwrap().cordoned);
    assert!(cluster.uncordon("good").await.unwrap());
    assert!(cluster.delete_node("good").await.unwrap() && !cluster.delete_node("good").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_respects_the_budget_and_leaves_what_belongs_to_the_node() {
    let Some((client, cluster)) = cluster().await else { return };
    let there = "drained";
    client.kubectl(&["create", "namespace", there]);
    node(&client, "leaving", true);
    make(
        &client,
        &json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": there}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}),
    );
    pod(&client, there, "web-1", "leaving", json!({}));
    pod(&client, there, "web-2", "leaving", json!({}));
    pod(&client, there, "free", "leaving", json!({"labels": {}}));
    pod(
        &client,
        there,
        "static",
        "leaving",
        json!({"labels": {}, "annotations": {"kubernetes.io/config.mirror": "x"}, "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "leaving", "uid": get(&client, &["node", "leaving"])["metadata"]["uid"], "controller": true}]}),
    );
    make(
        &client,
        &json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": there}, "spec": {"updateStrategy": {"type": "OnDelete"}, "selector": {"matchLabels": {"app": "agent"}}, "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}}}),
    );
    let uid = get(&client, &["daemonset", "agent", "-n", there])["metadata"]["uid"].clone();
    pod(
        &client,
        there,
        "of-daemonset",
        "leaving",
        json!({"labels": {"app": "agent"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": uid, "controller": true}]}),
    );
    // The disruption controller counts.
    let begun = std::time::Instant::now();
    while get(&client, &["pdb", "web", "-n", there])["status"]["disruptionsAllowed"] != 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the budget was not counted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let mut reasons = Vec::new();
    let how = Drain { limit: Duration::from_secs(5), ..Drain::default() };
    assert!(cluster.cordon("leaving").await.unwrap());
    let error = cluster.drain("leaving", &how, &mut |reason| reasons.push(reason.to_owned())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.starts_with(&format!("drain node `leaving`: not within 5 s: pod {there}/web-")), "{text}");
    assert!(text.contains("disruption budget web needs 1 healthy pods and has 1 currently"), "{text}");
    assert!(error.hint.unwrap().contains("provision kubectl uncordon leaving"));
    let on_node = ["pods", "-n", there, "--field-selector", "spec.nodeName=leaving"];
    let left: Vec<String> = get(&client, &on_node)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    // One of the two web pods was allowed to go, and the one without a budget.
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&"static".to_owned()) && left.contains(&"of-daemonset".to_owned()), "{left:?}");
    assert!(reasons.iter().any(|reason| reason.contains("disruption budget")), "{reasons:?}");

    // A second pod elsewhere makes room.
    node(&client, "staying", true);
    pod(&client, there, "web-3", "staying", json!({}));
    let drained = cluster.remove_node("leaving", Duration::from_secs(30), &mut |_| {}).await.unwrap().unwrap();
    assert_eq!(drained.evicted.len(), 1, "{drained:?}");
    assert_eq!(drained.left, [format!("{there}/of-daemonset"), format!("{there}/static")]);
    assert!(client.try_kubectl(&["get", "node", "leaving"]).unwrap_err().contains("NotFound"));
    assert_eq!(cluster.remove_node("leaving", Duration::from_secs(30), &mut |_| {}).await.unwrap(), None);

    // A machine that goes in any case is not kept as a node by what may not be evicted.
    let refused = cluster.remove_node("staying", Duration::from_secs(3), &mut |_| {}).await.unwrap_err();
    assert!(refused.to_string().contains("disruption budget web needs 1 healthy pods and has 1 currently"), "{refused}");
    assert!(client.try_kubectl(&["get", "node", "staying"]).unwrap_err().contains("NotFound"));
}

/// A folder of a node as local-path-provisioner makes one, bound to the claim of a StatefulSet's pod.
fn volume(client: &TestClient, namespace: &str, claim: &str, node: &str) {
    make(
        client,
        &json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": format!("of-{claim}"), "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"]}, "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": format!("/var/local-path/{claim}")}, "claimRef": {"namespace": namespace, "name": claim},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]}},
        }}),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_of_a_node_go_with_it_and_who_waits_for_them_gets_new_ones() {
    let Some((client, cluster)) = cluster().await else { return };
    let there = "volumes";
    client.kubectl(&["create", "namespace", there]);
    node(&client, "going", true);
    node(&client, "kept", true);
    for (claim, node) in [("journal-set-0", "kept"), ("journal-set-1", "going")] {
        volume(&client, there, claim, node);
    }
    make(
        &client,
        &json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "set", "namespace": there}, "spec": {
            "replicas": 2, "podManagementPolicy": "Parallel", "serviceName": "set", "selector": {"matchLabels": {"app": "set"}},
            "template": {"metadata": {"labels": {"app": "set"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "journal"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "1Mi"}}}}],
        }}),
    );
    let claim = |name: &str| {
        let all = get(&client, &["pvc", "-n", there]);
        all["items"].as_array().unwrap().iter().find(|claim| claim["metadata"]["name"] == name).cloned().unwrap_or_default()
    };
    let until = async |what: &str, holds: &dyn Fn() -> bool| {
        let begun = std::time::Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let bound = |name: &str| claim(name)["status"]["phase"] == "Bound";
    until("the claims were bound", &|| bound("journal-set-0") && bound("journal-set-1")).await;
    let before = ["journal-set-0", "journal-set-1"].map(claim);

    let own = async |nodes: &[&str]| cluster.volumes_of(nodes).await.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(own(&["going"]).await, [format!("{there}/journal-set-1 (1Mi)")], "told before it goes");
    assert_eq!(own(&["going", "kept"]).await, [format!("{there}/journal-set-0 (1Mi)"), format!("{there}/journal-set-1 (1Mi)")]);
    assert!(own(&["other"]).await.is_empty());
    let removed = cluster.remove_node("going", Duration::from_secs(30), &mut |_| {}).await.unwrap().unwrap();
    assert_eq!(removed.volumes, [format!("{there}/journal-set-1")]);
    assert!(client.try_kubectl(&["get", "pv", "of-journal-set-1"]).unwrap_err().contains("NotFound"));
    // The pod's successor has another claim of the same name, for a volume that any node may have.
    let fresh = || {
        let after = claim("journal-set-1");
        after["metadata"]["uid"].is_string()
            && after["metadata"]["uid"] != before[1]["metadata"]["uid"]
            && after["status"]["phase"] == "Pending"
    };
    until("there is a new claim", &fresh).await;
    assert_eq!(claim("journal-set-0")["metadata"]["uid"], before[0]["metadata"]["uid"], "another node's stay");
    assert!(bound("journal-set-0"));
}

/// Nobody provisions here, as where a provisioner was interrupted by the end of the node.
#[tokio::test(flavor = "multi_thread")]
async fn claims_that_wait_for_a_node_that_left_may_go_elsewhere() {
    let Some((client, cluster)) = cluster().await else { return };
    let there = "waiting";
    client.kubectl(&["create", "namespace", there]);
    for name in ["ended", "lasting"] {
        node(&client, name, true);
        make(
            &client,
            &json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": format!("on-{name}"), "namespace": there,
                "annotations": {"volume.kubernetes.io/selected-node": name, "kept": "yes"}},
                "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "nobodys", "resources": {"requests": {"storage": "1Mi"}}}}),
        );
    }
    cluster.remove_node("ended", Duration::from_secs(30), &mut |_| {}).await.unwrap().unwrap();
    let annotations = |name: &str| get(&client, &["pvc", name, "-n", there])["metadata"]["annotations"].clone();
    assert_eq!(annotations("on-ended"), json!({"kept": "yes"}));
    assert_eq!(annotations("on-lasting"), json!({"volume.kubernetes.io/selected-node": "lasting", "kept": "yes"}));
}

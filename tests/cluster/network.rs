//! The network's proof: what it makes, what it waits for, when it is asked for again. The kubelets are played by the test,
//! on a server of its own: the proof is about all nodes that there are.

use std::time::Duration;

use provision::cluster::{Cluster, ErrorKind, Probe};
use serde_json::{Value, json};

use super::get;
use crate::support::kube::{ApiServer, TestClient};

fn probe(circumstances: &str) -> Probe {
    Probe { image: "registry.k8s.io/pause:3.10.2".to_owned(), folder: Some("/var/tmp/provision-0".to_owned()), program: "agent".to_owned(), circumstances: circumstances.to_owned() }
}

fn probes(client: &TestClient) -> Vec<Value> {
    get(client, &["pods", "-n", "kube-system", "-l", "provision.dev/network-probe"])["items"].as_array().unwrap().clone()
}

fn node(client: &TestClient, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.json");
    std::fs::write(&file, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}).to_string()).unwrap();
    client.kubectl(&["create", "-f", &file.display().to_string()]);
}

/// Writes each new pod's status as its kubelet would, until `ready` pods were.
async fn play_kubelet(client: &TestClient, ready: usize) -> Vec<Value> {
    let mut done: Vec<Value> = Vec::new();
    while done.len() < ready {
        for pod in probes(client) {
            if done.iter().all(|other| other["metadata"]["name"] != pod["metadata"]["name"]) {
                let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
                client.kubectl(&["patch", "pod", pod["metadata"]["name"].as_str().unwrap(), "-n", "kube-system", "--subresource=status", "--type=merge", "-p", &status.to_string()]);
                done.push(pod);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_made_once_and_again_after_a_change() {
    let Some(server) = tokio::task::spawn_blocking(ApiServer::alone).await.unwrap() else { return };
    let client = server.client();
    let cluster = Cluster::connect(&client.kubeconfig).await.unwrap();
    let doubt = async |circumstances: &str| cluster.network_doubt(&probe(circumstances)).await.unwrap();
    node(&client, "control");
    node(&client, "worker-1");
    assert_eq!(doubt("1").await.as_deref(), Some("it was not proven yet"));

    // Nobody runs the pods: it says what it waits for, and leaves nothing.
    let error = cluster.prove_network(&probe("1"), Duration::from_secs(2), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "prove the network between pods: not within 2 s: 0 of 2 nodes are proven; on control: Pending on control");
    assert_eq!(probes(&client), [Value::Null; 0]);
    assert_eq!(doubt("1").await.as_deref(), Some("it was not proven yet"));

    // Cancelled in the middle: what it left goes with the next.
    let cut = tokio::time::timeout(Duration::from_millis(1500), cluster.prove_network(&probe("1"), Duration::from_secs(30), &mut |_| {})).await;
    assert!(cut.is_err());
    let left: Vec<Value> = probes(&client).into_iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let probe_one = probe("1");
    let mut reasons = Vec::new();
    let mut hear = |reason: &str| reasons.push(reason.to_owned());
    let proof = cluster.prove_network(&probe_one, Duration::from_secs(60), &mut hear);
    let kubelet = async {
        while probes(&client).iter().any(|pod| left.contains(&pod["metadata"]["name"])) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        play_kubelet(&client, 2).await
    };
    let (proof, pods) = tokio::join!(proof, kubelet);
    proof.unwrap();
    let of = |path: &str| pods.iter().map(|pod| pod.pointer(path).cloned().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(of("/spec/nodeName"), ["control", "worker-1"]);
    assert_eq!(of("/spec/volumes/0/hostPath/path"), ["/var/tmp/provision-0", "/var/tmp/provision-0"]);
    let command = pods[0].pointer("/spec/containers/0/command").unwrap();
    assert_eq!((&command[0], &command[1], &command[2], &command[4]), (&json!("/probe/agent"), &json!("probe"), &json!("kubernetes.default"), &json!("2")));
    assert_eq!(probes(&client), [Value::Null; 0]);
    assert!(get(&client, &["services", "-n", "kube-system"])["items"].as_array().unwrap().iter().all(|service| !service["metadata"]["name"].as_str().unwrap().contains("probe")));

    let writes = client.writes().len();
    assert_eq!(doubt("1").await, None);
    assert_eq!(client.writes().len(), writes, "a look wrote");
    assert_eq!(doubt("2").await.as_deref(), Some("circumstances is another than when it was proven"));
    node(&client, "worker-2");
    assert_eq!(doubt("1").await.as_deref(), Some("node.worker-2 is new"));
    client.kubectl(&["delete", "node", "worker-2", "worker-1"]);
    assert_eq!(doubt("1").await.as_deref(), Some("node.worker-1 is gone"));
    // Made anew under its old name, it is another one.
    node(&client, "worker-1");
    assert_eq!(doubt("1").await.as_deref(), Some("node.worker-1 is another than when it was proven"));
}

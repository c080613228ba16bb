//! The network's proof: what it makes, what it waits for, when it is asked for again. The kubelets are played by the test,
//! on a server of its own: the proof is about all nodes that there are.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use provision::cluster::{Cluster, ErrorKind, Probe};
use serde_json::{Value, json};

use super::get;
use crate::support::kube::{ApiServer, TestClient};
use crate::support::nodes::root_or_skip;

fn probe(circumstances: &str) -> Probe {
    Probe {
        image: "registry.k8s.io/pause:3.10.2".to_owned(),
        folder: Some("/var/tmp/provision-0".to_owned()),
        program: "agent".to_owned(),
        circumstances: circumstances.to_owned(),
    }
}

fn probes(client: &TestClient) -> Vec<Value> {
    get(client, &["pods", "-n", "kube-system", "-l", "provision.dev/network-probe"])["items"]
        .as_array()
        .expect("as the test made it")
        .clone()
}

fn node(client: &TestClient, name: &str) {
    let folder = tempfile::tempdir().expect("as the test made it");
    let file = folder.path().join("node.json");
    std::fs::write(&file, json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}).to_string())
        .expect("as the test made it");
    client.kubectl(&["create", "-f", &file.display().to_string()]);
}

/// Writes each new pod's status as its kubelet would, until `ready` pods were.
async fn play_kubelet(client: &TestClient, ready: usize) -> Vec<Value> {
    let mut done: Vec<Value> = Vec::new();
    while done.len() < ready {
        for pod in probes(client) {
            if done.iter().all(|other| other["metadata"]["name"] != pod["metadata"]["name"]) {
                let status = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
                client.kubectl(&[
                    "patch",
                    "pod",
                    pod["metadata"]["name"].as_str().expect("as the test made it"),
                    "-n",
                    "kube-system",
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &status.to_string(),
                ]);
                done.push(pod);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    done
}

/// The word of the agent that the pods run, with a resolv.conf of its own, as a pod's.
#[test]
fn the_probe_s_program_asks_the_pod_s_name_server_and_serves_the_kubelet() {
    if !root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let resolv = folder.path().join("resolv.conf");
    std::fs::write(&resolv, "search kube-system.svc.cluster.test svc.cluster.test cluster.test\nnameserver 127.53.0.1\n").unwrap();
    // Every name ends at this machine; a name outside of the cluster's domain is not answered.
    let names = std::net::UdpSocket::bind("127.53.0.1:53").unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = names.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            if answer.windows(8).any(|part| part == b"\x07cluster") {
                (answer[2], answer[3], answer[7]) = (0x81, 0x80, 1);
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 127, 0, 0, 1]);
                names.send_to(&answer, from).unwrap();
            }
        }
    });
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let script =
        format!("mount --bind {} /etc/resolv.conf && exec \"$0\" probe kubernetes.default peers.kube-system \"$@\"", resolv.display());
    let run = |count: &str| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, env!("CARGO_BIN_EXE_provision-agent"), count, &port]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut answer = String::new();
        let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        (line.trim().to_owned(), answer.lines().next().unwrap().to_owned())
    };
    assert_eq!(run("1"), ("kubernetes.default was resolved and 1 probes were reached".to_owned(), "HTTP/1.1 200 OK".to_owned()));
    assert_eq!(run("2"), ("1 of 2 probes have an address".to_owned(), "HTTP/1.1 503 Not Yet".to_owned()));
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
    assert_eq!(
        error.to_string(),
        "prove the network between pods: not within 2 s: 0 of 2 nodes are proven; on control: Pending on control"
    );
    assert_eq!(probes(&client), [Value::Null; 0]);
    assert_eq!(doubt("1").await.as_deref(), Some("it was not proven yet"));

    // Cancelled in the middle: what it left goes with the next.
    let both = async {
        while probes(&client).len() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let probe_one = probe("1");
    let mut deaf = |_: &str| {};
    tokio::select! {
        ended = cluster.prove_network(&probe_one, Duration::from_mins(1), &mut deaf) => panic!("it was to be cancelled: {ended:?}"),
        () = both => {}
    }
    let left: Vec<Value> = probes(&client).into_iter().map(|pod| pod["metadata"]["name"].clone()).collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let mut reasons = Vec::new();
    let mut hear = |reason: &str| reasons.push(reason.to_owned());
    let proof = cluster.prove_network(&probe_one, Duration::from_mins(1), &mut hear);
    let kubelet = async {
        while probes(&client).iter().any(|pod| left.contains(&pod["metadata"]["name"])) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        play_kubelet(&client, 2).await
    };
    let (proof, mut pods) = tokio::join!(proof, kubelet);
    pods.sort_by_key(|pod| pod["metadata"]["name"].to_string());
    proof.unwrap();
    let of = |path: &str| pods.iter().map(|pod| pod.pointer(path).cloned().unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(of("/spec/nodeName"), ["control", "worker-1"]);
    assert_eq!(of("/spec/volumes/0/hostPath/path"), ["/var/tmp/provision-0", "/var/tmp/provision-0"]);
    let command = pods[0].pointer("/spec/containers/0/command").unwrap();
    assert_eq!(
        (&command[0], &command[1], &command[2], &command[4]),
        (&json!("/probe/agent"), &json!("probe"), &json!("kubernetes.default"), &json!("2"))
    );
    assert_eq!(probes(&client), [Value::Null; 0]);
    assert!(
        get(&client, &["services", "-n", "kube-system"])["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|service| !service["metadata"]["name"].as_str().unwrap().contains("probe"))
    );

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

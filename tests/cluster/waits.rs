//! Conditions: what holds, what does not and why, and how long that is waited for.

use std::time::{Duration, Instant};

use provision::cluster::{Cluster, Condition, ErrorKind};
use serde_json::json;

use super::{applied, cluster, get, release};
use crate::support::kube::TestClient;

fn web(namespace: &str) -> Condition {
    Condition::DeploymentAvailable { namespace: namespace.to_owned(), name: "web".to_owned() }
}

/// Writes a pod's status as its kubelet would.
fn say(client: &TestClient, namespace: &str, pod: &str, status: &serde_json::Value) {
    client.kubectl(&[
        "patch",
        "pod",
        pod,
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
        &json!({"status": status}).to_string(),
    ]);
}

fn pods(client: &TestClient, namespace: &str) -> Vec<String> {
    let list = get(client, &["pods", "-n", namespace]);
    list["items"].as_array().expect("a list").iter().map(|pod| pod["metadata"]["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_at_its_limit_with_the_last_reason() {
    let Some((client, cluster)) = cluster().await else { return };
    applied(&cluster, &release("slow", 1)).await;
    let (begun, mut reasons) = (Instant::now(), Vec::new());
    let error = cluster.wait(&web("slow"), Duration::from_secs(6), &mut |reason| reasons.push(reason.to_owned())).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let pod = &pods(&client, "slow")[0];
    let last = format!("1 of 1 updated, 0 available; pod {pod}: Pending: the scheduler has chosen no node yet");
    assert_eq!(error.to_string(), format!("wait until Deployment slow/web available: not within 6 s: {last}"));
    assert_eq!(error.hint.as_deref(), Some("run `provision kubectl -n slow describe deployment web`"));
    assert_eq!(reasons.last(), Some(&last));
    // Each reason once, not once a look.
    assert!(reasons.windows(2).all(|pair| pair[0] != pair[1]), "{reasons:?}");

    // The kubelet's words, as it would write them.
    let never = json!({"phase": "Pending", "containerStatuses": [{"name": "web", "image": "web:1", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ErrImageNeverPull", "message": "Container image \"web:1\" is not present with pull policy of Never"}}}]});
    say(&client, "slow", pod, &never);
    let error = cluster.wait(&web("slow"), Duration::from_secs(2), &mut |_| {}).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("pod {pod}: ErrImageNeverPull: Container image \"web:1\" is not present with pull policy of Never")),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_as_soon_as_the_condition_holds() {
    let Some((client, cluster)) = cluster().await else { return };
    applied(&cluster, &release("soon", 2)).await;
    let waiting = tokio::spawn(async move {
        let done = cluster.wait(&web("soon"), Duration::from_mins(1), &mut |_| {}).await;
        (done, Instant::now())
    });
    let begun = Instant::now();
    while pods(&client, "soon").len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the controllers made no pods");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for pod in pods(&client, "soon") {
        assert!(!waiting.is_finished());
        say(
            &client,
            "soon",
            &pod,
            &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
        );
    }
    let (done, at) = waiting.await.unwrap();
    done.unwrap();
    assert!(at.elapsed() < Duration::from_secs(5));
    // A roll-out that is not yet seen does not count as done.
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_and_who_does_not_answer_are_reasons() {
    let Some((client, cluster)) = cluster().await else { return };
    let error = cluster.wait(&web("nowhere"), Duration::from_millis(300), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "wait until Deployment nowhere/web available: not within 300 ms: it is not there");
    cluster.wait(&Condition::ApiAnswers, Duration::from_secs(5), &mut |_| {}).await.unwrap();

    let kubeconfig = std::fs::read_to_string(&client.kubeconfig).unwrap();
    let port = kubeconfig.split("127.0.0.1:").nth(1).unwrap().split('\'').next().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let silent = Cluster::from_kubeconfig(&kubeconfig.replace(port, &closed)).await.unwrap();
    let mut reasons = Vec::new();
    let error =
        silent.wait(&Condition::ApiAnswers, Duration::from_secs(1), &mut |reason| reasons.push(reason.to_owned())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut);
    assert!(error.to_string().contains("refused"), "{error}");
    assert_eq!(reasons.len(), 1, "{reasons:?}");

    let stranger = Cluster::from_kubeconfig(&kubeconfig.replace("token: token-", "token: wrong-")).await.unwrap();
    let begun = Instant::now();
    let error = stranger.wait(&Condition::core_dns(), Duration::from_secs(30), &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10), "a wait that cannot end well went on");
}

#[tokio::test]
async fn without_a_kubeconfig_the_hint_is_what_makes_one() {
    let error = Cluster::connect(std::path::Path::new("/nowhere/kubeconfig")).await.unwrap_err();
    assert_eq!(error.to_string(), "read /nowhere/kubeconfig: there is no such file: the cluster was not made yet");
    assert_eq!((error.kind, error.hint.as_deref()), (ErrorKind::Kubeconfig, Some("run `provision up`")));
}

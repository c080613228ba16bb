//! Releases, conditions and nodes on a real API server (see `support/kube.rs`).

mod commands;
mod network;
mod nodes;
mod release;
mod waits;

use provision::cluster::{Cluster, Conflicts, Release};
use serde_json::{Value, json};

use crate::support::kube::{ApiServer, TestClient};

/// A server, a user of it, and the cluster as that user sees it.
async fn cluster() -> Option<(TestClient, Cluster)> {
    let server = tokio::task::spawn_blocking(ApiServer::shared).await.expect("it starts")?;
    let client = server.client();
    let cluster = Cluster::connect(&client.kubeconfig).await.expect("a kubeconfig");
    Some((client, cluster))
}

/// A release as a chart renders one: what needs others stands first.
fn release(name: &str, replicas: u32) -> Release {
    let labels = json!({"app": name});
    let objects = vec![
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app.kubernetes.io/managed-by": "Helm", "app": name}}, "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "web", "image": "web:1", "ports": [{"containerPort": 8080}], "resources": {"limits": {"cpu": "1000m", "memory": "64Mi"}},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}},
            }]}},
        }}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "creationTimestamp": null}, "data": {"threshold": "0.5"}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"token": "s3cret"}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web"}}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": labels}}}),
    ];
    Release { name: name.to_owned(), environment: "dev".to_owned(), namespace: name.to_owned(), objects, conflicts: Conflicts::Refuse }
}

/// Plans, applies; answers what was told.
async fn applied(cluster: &Cluster, release: &Release) -> Vec<String> {
    let plan = cluster.plan(release).await.expect("planned");
    let mut told = Vec::new();
    cluster.apply(&plan, &mut |change| told.push(change.to_string())).await.expect("applied");
    told
}

/// A plan's lines without what stays.
fn lines(plan: &provision::cluster::ReleasePlan) -> Vec<String> {
    plan.changes.iter().map(ToString::to_string).filter(|line| !line.starts_with("= ")).collect()
}

/// An object as JSON.
fn get(client: &TestClient, words: &[&str]) -> Value {
    serde_json::from_str(&client.kubectl(&[&["get", "-o", "json"], words].concat())).expect("JSON")
}

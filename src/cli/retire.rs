//! Nodes leave the cluster before their machines go.

use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::report;

/// For a node's pods to move elsewhere.
const DRAIN: Duration = Duration::from_secs(60);
/// A control plane that does not answer by then is as good as gone.
const ANSWER: Duration = Duration::from_secs(3);

/// Drains nodes and deletes their Node objects, where there is a cluster that answers. What does not succeed is told.
pub async fn retire(kubeconfig: &Path, names: impl Iterator<Item = &str>) {
    let names: Vec<&str> = names.collect();
    if names.is_empty() || !kubeconfig.exists() {
        return;
    }
    let Ok(cluster) = Cluster::connect(kubeconfig).await else { return };
    if !matches!(tokio::time::timeout(ANSWER, cluster.version()).await, Ok(Ok(_))) {
        return;
    }
    for name in names {
        match cluster.remove_node(name, DRAIN, &mut |reason| report::line(&format!("    drain {name}: {reason}"))).await {
            Ok(Some(drained)) => {
                report::line(&format!("    {name} was drained and has left the cluster"));
                if !drained.volumes.is_empty() {
                    report::line(&format!("    with {name} went the volumes of {}", drained.volumes.join(", ")));
                }
            }
            Ok(None) => {}
            Err(error) => report::line(&format!("    {error}; {name} leaves the cluster with what runs on it")),
        }
    }
}

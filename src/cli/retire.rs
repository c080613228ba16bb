//! Nodes leave the cluster before their machines go.

use std::path::Path;
use std::time::Duration;

use crate::cluster::{Cluster, OwnVolume};
use crate::report;

/// For a node's pods to move elsewhere.
const DRAIN: Duration = Duration::from_secs(60);
/// A control plane that does not answer by then is as good as gone.
const ANSWER: Duration = Duration::from_secs(3);

/// The cluster of a kubeconfig, if it answers. `Ok(None)`: there is none.
async fn answering(kubeconfig: &Path) -> Result<Option<Cluster>, ()> {
    if !kubeconfig.exists() {
        return Ok(None);
    }
    let cluster = Cluster::connect(kubeconfig).await.map_err(|_| ())?;
    match tokio::time::timeout(ANSWER, cluster.version()).await {
        Ok(Ok(_)) => Ok(Some(cluster)),
        _ => Err(()),
    }
}

/// The claims whose volumes are on these nodes only; `None`: a cluster is there, and nobody answers.
pub async fn volumes(kubeconfig: &Path, names: &[&str]) -> Option<Vec<OwnVolume>> {
    let Some(cluster) = answering(kubeconfig).await.ok()? else { return Some(Vec::new()) };
    tokio::time::timeout(ANSWER, cluster.volumes_of(names)).await.ok()?.ok()
}

/// What a user would miss: claims whose volumes are on these nodes only. `None` where nobody can say.
pub fn lost(going: &[&str], volumes: Option<&[OwnVolume]>) -> Option<String> {
    let with = if let [one] = going { one } else { "them" };
    match volumes {
        None => Some(format!("the cluster does not answer: which volumes would go with {with} is not known")),
        Some([]) => None,
        Some(volumes) => {
            let claims: Vec<String> = volumes.iter().map(ToString::to_string).collect();
            Some(format!("with {with} go the volumes of {}", claims.join(", ")))
        }
    }
}

/// Drains nodes and deletes their Node objects, where there is a cluster that answers. What does not succeed is told.
pub async fn retire(kubeconfig: &Path, names: impl Iterator<Item = &str>) {
    let names: Vec<&str> = names.collect();
    if names.is_empty() {
        return;
    }
    let Ok(Some(cluster)) = answering(kubeconfig).await else { return };
    // What leaves one is not to go to another that leaves too. A node that cannot be cordoned says so when it is drained.
    for name in &names {
        _ = cluster.cordon(name).await;
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

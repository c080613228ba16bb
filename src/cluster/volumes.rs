//! Volumes that are a folder or a disk of one node: they go with it.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::{Cluster, Error, Result, patiently};

/// The label by which a volume says whose it is.
const HOST_NAME: &str = "kubernetes.io/hostname";

impl Cluster {
    /// Removes the volumes that no other node can mount, with their claims, and has the pods that wait for them made anew, which get
    /// new claims: a pod of a StatefulSet would else wait for ever. Answers the claims, `namespace/name`.
    pub(super) async fn forget_volumes(&self, node: &str) -> Result<Vec<String>> {
        let doing = format!("remove the volumes of node `{node}`");
        let failed = |error: kube::Error| Error::api(&doing, &error);
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let all = ListParams::default();
        let there = patiently(|| volumes.list(&all)).await.map_err(failed)?.items;
        let mut forgotten = Vec::new();
        for volume in there.iter().filter(|volume| is_bound_to(volume, node)) {
            let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            let claim = claim.and_then(|claim| Some((claim.namespace.clone()?, claim.name.clone()?, claim.uid.clone())));
            if let Some((namespace, name, uid)) = &claim {
                let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
                // Another claim of the same name is not this volume's.
                let how = DeleteParams {
                    preconditions: Some(Preconditions { uid: uid.clone(), resource_version: None }),
                    ..DeleteParams::default()
                };
                if gone(patiently(async || claims.delete(name, &how).await.map(drop)).await).map_err(failed)? {
                    forgotten.push(format!("{namespace}/{name}"));
                }
            }
            // Its provisioner would empty the folder on the node, which is not there by then, and keep the object until it had.
            let (name, freed) = (volume.name_any(), json!({"metadata": {"finalizers": null}}));
            gone(patiently(async || volumes.delete(&name, &DeleteParams::default()).await.map(drop)).await).map_err(failed)?;
            gone(patiently(async || volumes.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&freed)).await.map(drop)).await)
                .map_err(failed)?;
            if let Some((namespace, name, _)) = &claim {
                self.restart_waiting(namespace, name).await.map_err(failed)?;
            }
        }
        Ok(forgotten)
    }

    /// Deletes pods that have a claim and no node yet.
    async fn restart_waiting(&self, namespace: &str, claim: &str) -> kube::Result<()> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let nowhere = ListParams::default().fields("spec.nodeName=");
        for pod in patiently(|| pods.list(&nowhere)).await?.items.iter().filter(|pod| uses(pod, claim)) {
            gone(patiently(async || pods.delete(&pod.name_any(), &DeleteParams::default()).await.map(drop)).await)?;
        }
        Ok(())
    }
}

/// Whether something was there; what another has removed, or put another in its place, is no error.
fn gone(done: kube::Result<()>) -> kube::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether each of the places where a volume may be mounted is this node.
fn is_bound_to(volume: &PersistentVolume, node: &str) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let terms = affinity.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    !terms.is_empty()
        && terms.iter().all(|term| {
            term.match_expressions.iter().flatten().any(|expression| {
                let values = expression.values.as_deref().unwrap_or_default();
                expression.key == HOST_NAME && expression.operator == "In" && values.len() == 1 && values[0] == node
            })
        })
}

fn uses(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let claims = volumes.into_iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.into_iter().any(|used| used.claim_name == claim)
}

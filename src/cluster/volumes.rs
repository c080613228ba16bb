//! Volumes that are a folder or a disk of one node: they go with it.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::json;

use super::{Cluster, Error, Result, patiently};

/// The label by which a volume says whose it is.
const HOST_NAME: &str = "kubernetes.io/hostname";
/// Where a claim of a class with `WaitForFirstConsumer` is to get its volume: written by the scheduler, read by the provisioner.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// A claim whose volume goes with some nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnVolume {
    pub namespace: String,
    /// The PersistentVolumeClaim's.
    pub name: String,
    /// The volume's capacity as Kubernetes writes it: `64Mi`.
    pub size: String,
}

impl OwnVolume {
    /// `namespace/name`.
    pub fn claim(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl std::fmt::Display for OwnVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.claim(), self.size)
    }
}

impl Cluster {
    /// The claims whose volumes no other node can mount than these: what is in them goes with the nodes. Sorted; reads only.
    pub async fn volumes_of(&self, nodes: &[&str]) -> Result<Vec<OwnVolume>> {
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let all = ListParams::default();
        let there = patiently(|| volumes.list(&all)).await;
        let there = there.map_err(|error| Error::api(format!("list the volumes of {}", nodes.join(", ")), &error))?.items;
        let released = |volume: &PersistentVolume| volume.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Released"));
        let mut found: Vec<OwnVolume> =
            there.iter().filter(|volume| is_bound_to(volume, nodes) && !released(volume)).filter_map(claimed).collect();
        found.sort();
        Ok(found)
    }

    /// Removes the volumes that no other node can mount, with their claims, and has the pods that wait for them made anew, which get
    /// new claims: a pod of a StatefulSet would else wait for ever. Answers the claims, `namespace/name`.
    pub(super) async fn forget_volumes(&self, node: &str) -> Result<Vec<String>> {
        let doing = format!("remove the volumes of node `{node}`");
        let failed = |error: kube::Error| Error::api(&doing, &error);
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let all = ListParams::default();
        let there = patiently(|| volumes.list(&all)).await.map_err(failed)?.items;
        let mut forgotten = Vec::new();
        for volume in there.iter().filter(|volume| is_bound_to(volume, &[node])) {
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

    /// Claims that were to get their volume on a node which is gone may get it elsewhere: the scheduler chooses a place once, and a provisioner
    /// that was interrupted there may never say that it could not.
    pub(super) async fn free_claims(&self, node: &str) -> Result<()> {
        let failed = |error: kube::Error| Error::api(format!("free the claims that wait for node `{node}`"), &error);
        let all: Api<PersistentVolumeClaim> = Api::all(self.client.clone());
        let everywhere = ListParams::default();
        for claim in patiently(|| all.list(&everywhere)).await.map_err(failed)?.items {
            let bound = claim.spec.as_ref().is_some_and(|spec| spec.volume_name.as_ref().is_some_and(|volume| !volume.is_empty()));
            if bound || claim.annotations().get(SELECTED_NODE).is_none_or(|selected| selected != node) {
                continue;
            }
            let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default());
            let (name, freed) = (claim.name_any(), json!({"metadata": {"annotations": {SELECTED_NODE: null}}}));
            gone(patiently(async || claims.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&freed)).await.map(drop)).await)
                .map_err(failed)?;
        }
        Ok(())
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

fn claimed(volume: &PersistentVolume) -> Option<OwnVolume> {
    let spec = volume.spec.as_ref()?;
    let claim = spec.claim_ref.as_ref()?;
    let size = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage")).map_or_else(String::new, |size| size.0.clone());
    Some(OwnVolume { namespace: claim.namespace.clone()?, name: claim.name.clone()?, size })
}

/// Whether each of the places where a volume may be mounted is one of these nodes.
fn is_bound_to(volume: &PersistentVolume, nodes: &[&str]) -> bool {
    let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let terms = affinity.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default();
    !terms.is_empty()
        && terms.iter().all(|term| {
            term.match_expressions.iter().flatten().any(|expression| {
                let values = expression.values.as_deref().unwrap_or_default();
                let ours = !values.is_empty() && values.iter().all(|value| nodes.contains(&value.as_str()));
                expression.key == HOST_NAME && expression.operator == "In" && ours
            })
        })
}

fn uses(pod: &Pod, claim: &str) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let claims = volumes.into_iter().flatten().filter_map(|volume| volume.persistent_volume_claim.as_ref());
    claims.into_iter().any(|used| used.claim_name == claim)
}

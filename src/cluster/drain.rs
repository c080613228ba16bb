//! Draining a node: its pods are evicted, as their disruption budgets allow.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::wait::seconds;
use super::{Cluster, Error, ErrorKind, Result, patiently};

/// How often evictions that a budget refused are tried again, and pods that end are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// The annotation of pods that the kubelet runs from files.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// How to drain.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Longest time in all.
    pub limit: Duration,
    /// Seconds that a pod has to end, instead of its own.
    pub grace: Option<u32>,
}

impl Default for Drain {
    fn default() -> Self {
        Self { limit: Duration::from_mins(2), grace: None }
    }
}

/// What a drain did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// `namespace/name` of the pods that went.
    pub evicted: Vec<String>,
    /// Pods that stay with their node: of DaemonSets, and mirrors of files on it.
    pub left: Vec<String>,
    /// `namespace/name` of the claims whose volumes were the node's own, and went with it.
    pub volumes: Vec<String>,
}

impl Cluster {
    /// Evicts a node's pods and waits until they are gone. Pods of DaemonSets and mirror pods stay. On a node whose
    /// kubelet does not speak nobody ends them: there the eviction is all. Cordon first. At the limit the error names
    /// the pod and the budget.
    pub async fn drain(&self, node: &str, how: &Drain, reason: &mut (dyn FnMut(&str) + Send)) -> Result<Drained> {
        let doing = format!("drain node `{node}`");
        let speaks = self.node(node).await?.is_some_and(|node| node.ready);
        let api: Api<Pod> = Api::all(self.client.clone());
        let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let end = Instant::now() + how.limit;
        let mut drained = Drained::default();
        let mut last = String::new();
        loop {
            let pods = patiently(|| api.list(&on_node)).await.map_err(|error| Error::api(&doing, &error))?.items;
            let (staying, going): (Vec<Pod>, Vec<Pod>) = pods.into_iter().partition(stays);
            let mut waiting = None;
            for pod in &going {
                if pod.metadata.deletion_timestamp.is_some() {
                    if speaks {
                        waiting = waiting.or_else(|| Some(format!("pod {} is ending", called(pod))));
                    }
                    continue;
                }
                match self.evict(pod, how).await {
                    Ok(()) => {
                        drained.evicted.push(called(pod));
                        waiting = waiting.or_else(|| Some(format!("pod {} is ending", called(pod))));
                    }
                    // A budget's refusal is what a user can mend: it is told before all else.
                    Err(kube::Error::Api(status)) if status.code == 429 => {
                        waiting = Some(format!("pod {}: {}", called(pod), refusal(&status)));
                    }
                    Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                    // Its namespace is being deleted, and the pod with it.
                    Err(kube::Error::Api(status)) if status.is_forbidden() && status.message.contains("being terminated") => {}
                    Err(error) => {
                        return Err(Error::api(format!("{doing}: evict pod {}", called(pod)), &error)
                            .hint(format!("run `provision kubectl uncordon {node}` to take it back")));
                    }
                }
            }
            let Some(why) = waiting else {
                drained.left = staying.iter().map(called).collect();
                return Ok(drained);
            };
            if why != last {
                reason(&why);
                last = why;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late = Error::new(ErrorKind::TimedOut, doing).because(format!("not within {}", seconds(how.limit))).because(last);
                return Err(late.hint(format!(
                    "give its pods room elsewhere or loosen their budget, then again; `provision kubectl uncordon {node}` takes it back"
                )));
            }
            sleep(INTERVAL.min(left)).await;
        }
    }

    async fn evict(&self, pod: &Pod, how: &Drain) -> kube::Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default());
        let name = pod.name_any();
        // Nobody needs what has ended; a budget does not count it.
        if matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed")) {
            return api.delete(&name, &DeleteParams::default()).await.map(drop);
        }
        // kube's own request has the options under a key that the server does not read.
        let mut eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
        if let Some(grace) = how.grace {
            eviction["deleteOptions"] = json!({"gracePeriodSeconds": grace});
        }
        api.create_subresource::<Value, Value>("eviction", &name, &PostParams::default(), &eviction).await.map(drop)
    }
}

fn called(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())
}

fn stays(pod: &Pod) -> bool {
    pod.annotations().contains_key(MIRROR)
        || pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet" && owner.controller == Some(true))
}

/// The budget's words, where the server passes them on.
fn refusal(status: &kube::core::Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    match causes.map(|cause| &cause.message).find(|message| !message.is_empty()) {
        Some(cause) => format!("{} ({cause})", status.message.trim_end_matches('.')),
        None => status.message.clone(),
    }
}

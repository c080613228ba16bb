//! Named conditions of a cluster, and what keeps one from holding.

use std::fmt;

use futures::stream::{BoxStream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::api::{Api, WatchParams};
use serde::de::DeserializeOwned;

use super::{Cluster, Error, ErrorKind, ObjectId, Result, object};

/// What may be waited for. `Display` is its name, as the screen shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The API server answers, and says that it is ready.
    ApiAnswers,
    /// Nodes of these names are there and Ready.
    NodesReady {
        names: Vec<String>,
    },
    /// A Deployment's last specification has rolled out: all its pods are new and available.
    DeploymentAvailable {
        namespace: String,
        name: String,
    },
    /// The same of a DaemonSet, on every node that it is meant for.
    DaemonSetRolledOut {
        namespace: String,
        name: String,
    },
    StatefulSetRolledOut {
        namespace: String,
        name: String,
    },
    /// A definition's kind is served.
    Established {
        name: String,
    },
    /// An object is not there any more.
    Gone {
        object: ObjectId,
    },
}

impl Condition {
    /// The cluster's DNS.
    pub fn core_dns() -> Self {
        Self::DeploymentAvailable { namespace: "kube-system".to_owned(), name: "coredns".to_owned() }
    }

    /// The condition that an object of a release is waited for with; None where being there is all.
    pub fn of(object: &ObjectId) -> Option<Self> {
        let namespace = object.namespace.clone().unwrap_or_default();
        let name = object.name.clone();
        match (object.group(), &*object.kind) {
            ("apps", "Deployment") => Some(Self::DeploymentAvailable { namespace, name }),
            ("apps", "DaemonSet") => Some(Self::DaemonSetRolledOut { namespace, name }),
            ("apps", "StatefulSet") => Some(Self::StatefulSetRolledOut { namespace, name }),
            _ => None,
        }
    }

    /// What to type to see more of it.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::ApiAnswers => "run `provision status` to see whether the control plane runs".to_owned(),
            Self::NodesReady { .. } => "run `provision kubectl describe nodes`".to_owned(),
            Self::DeploymentAvailable { namespace, name } => format!("run `provision kubectl -n {namespace} describe deployment {name}`"),
            Self::DaemonSetRolledOut { namespace, name } => format!("run `provision kubectl -n {namespace} describe daemonset {name}`"),
            Self::StatefulSetRolledOut { namespace, name } => format!("run `provision kubectl -n {namespace} describe statefulset {name}`"),
            Self::Established { name } => format!("run `provision kubectl describe crd {name}`"),
            Self::Gone { object } => format!("run `provision kubectl get {} -o yaml` to see its finalizers", object.for_kubectl()),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiAnswers => f.write_str("the API server answers"),
            Self::NodesReady { names } if names.len() > 4 => write!(f, "{} nodes Ready", names.len()),
            Self::NodesReady { names } => write!(f, "node{} {} Ready", if names.len() == 1 { "" } else { "s" }, names.join(", ")),
            Self::DeploymentAvailable { namespace, name } if namespace == "kube-system" && name == "coredns" => {
                f.write_str("CoreDNS available")
            }
            Self::DeploymentAvailable { namespace, name } => write!(f, "Deployment {namespace}/{name} available"),
            Self::DaemonSetRolledOut { namespace, name } => write!(f, "DaemonSet {namespace}/{name} rolled out"),
            Self::StatefulSetRolledOut { namespace, name } => write!(f, "StatefulSet {namespace}/{name} rolled out"),
            Self::Established { name } => write!(f, "kind {name} served"),
            Self::Gone { object } => write!(f, "{object} gone"),
        }
    }
}

/// How a condition stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Holds,
    /// Why it does not hold yet.
    Not(String),
}

impl Cluster {
    /// How a condition stands now. Errors are only those that waiting does not mend.
    pub(super) async fn standing(&self, condition: &Condition) -> Result<Standing> {
        match self.look(condition).await {
            Err(error) if matches!(error.kind, ErrorKind::Unreachable) => {
                Ok(Standing::Not(error.causes.last().unwrap_or(&error.doing).clone()))
            }
            standing => standing,
        }
    }

    async fn look(&self, condition: &Condition) -> Result<Standing> {
        match condition {
            Condition::ApiAnswers => {
                self.version().await?;
                // Made by the server itself behind its start: with it, storage and access work.
                let system = ObjectId {
                    api_version: "v1".to_owned(),
                    kind: "Namespace".to_owned(),
                    namespace: None,
                    name: "kube-system".to_owned(),
                };
                Ok(if self.live(&system).await?.is_some() { Standing::Holds } else { Standing::Not("it is still starting".to_owned()) })
            }
            Condition::NodesReady { names } => {
                let nodes = self.nodes().await?;
                let missing: Vec<String> = names
                    .iter()
                    .filter_map(|name| match nodes.iter().find(|node| node.name == *name) {
                        None => Some(format!("{name} has not joined")),
                        Some(node) if node.ready => None,
                        Some(node) => Some(format!("{name}: {}", node.reason)),
                    })
                    .collect();
                Ok(if missing.is_empty() {
                    Standing::Holds
                } else {
                    Standing::Not(format!("{} of {} are Ready; {}", names.len() - missing.len(), names.len(), missing.join("; ")))
                })
            }
            Condition::DeploymentAvailable { namespace, name } => {
                let found: Option<Deployment> = self.workload(namespace, name).await?;
                let Some(found) = found else { return Ok(Standing::Not("it is not there".to_owned())) };
                let selector = found.spec.as_ref().map(|spec| spec.selector.clone());
                self.with_pods(deployment(&found), namespace, selector).await
            }
            Condition::DaemonSetRolledOut { namespace, name } => {
                let found: Option<DaemonSet> = self.workload(namespace, name).await?;
                let Some(found) = found else { return Ok(Standing::Not("it is not there".to_owned())) };
                let selector = found.spec.as_ref().map(|spec| spec.selector.clone());
                self.with_pods(daemon_set(&found), namespace, selector).await
            }
            Condition::StatefulSetRolledOut { namespace, name } => {
                let found: Option<StatefulSet> = self.workload(namespace, name).await?;
                let Some(found) = found else { return Ok(Standing::Not("it is not there".to_owned())) };
                let selector = found.spec.as_ref().map(|spec| spec.selector.clone());
                self.with_pods(stateful_set(&found), namespace, selector).await
            }
            Condition::Established { name } => {
                let id = ObjectId {
                    api_version: "apiextensions.k8s.io/v1".to_owned(),
                    kind: "CustomResourceDefinition".to_owned(),
                    namespace: None,
                    name: name.clone(),
                };
                let Some(live) = self.live(&id).await? else { return Ok(Standing::Not("it is not there".to_owned())) };
                let conditions = live.pointer("/status/conditions").and_then(|conditions| conditions.as_array());
                let established = conditions
                    .into_iter()
                    .flatten()
                    .any(|one| object::text(one, &["type"]) == Some("Established") && object::text(one, &["status"]) == Some("True"));
                Ok(if established { Standing::Holds } else { Standing::Not("the API server has not taken it up".to_owned()) })
            }
            Condition::Gone { object: id } => {
                let Some(live) = self.live(id).await? else { return Ok(Standing::Holds) };
                let finalizers = |path: &str| {
                    live.pointer(path)
                        .and_then(|list| list.as_array())
                        .filter(|list| !list.is_empty())
                        .map(|list| serde_json::Value::from(list.clone()).to_string())
                };
                let rest = finalizers("/metadata/finalizers").or_else(|| finalizers("/spec/finalizers"));
                let said = live.pointer("/status/conditions").and_then(|conditions| conditions.as_array()).into_iter().flatten();
                let said: Vec<&str> = said
                    .filter(|one| object::text(one, &["status"]) == Some("True"))
                    .filter_map(|one| object::text(one, &["message"]))
                    .collect();
                Ok(Standing::Not(match (said.last(), rest) {
                    (Some(message), _) => (*message).to_owned(),
                    (None, Some(finalizers)) => format!("its finalizers have not ended: {finalizers}"),
                    (None, None) => "it is still there".to_owned(),
                }))
            }
        }
    }

    async fn workload<K>(&self, namespace: &str, name: &str) -> Result<Option<K>>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        api.get_opt(name).await.map_err(|error| Error::api(format!("read {} {namespace}/{name}", K::kind(&())), &error))
    }

    async fn with_pods(&self, standing: Standing, namespace: &str, selector: Option<LabelSelector>) -> Result<Standing> {
        let Standing::Not(reason) = standing else { return Ok(standing) };
        let labels = selector.and_then(|selector| selector.match_labels).unwrap_or_default();
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let pods = if labels.is_empty() { None } else { self.why_not_ready(namespace, &labels.join(",")).await };
        Ok(Standing::Not(match pods {
            Some(pods) => format!("{reason}; {pods}"),
            None => reason,
        }))
    }

    /// Says something whenever the condition may have changed; ends after half a minute at the latest.
    pub(super) fn stirrings<'cluster>(&'cluster self, condition: &Condition) -> BoxStream<'cluster, ()> {
        match condition {
            Condition::NodesReady { .. } => watch::<Node>(Api::all(self.client.clone()), None),
            Condition::DeploymentAvailable { namespace, name } => {
                watch::<Deployment>(Api::namespaced(self.client.clone(), namespace), Some(name))
            }
            Condition::DaemonSetRolledOut { namespace, name } => {
                watch::<DaemonSet>(Api::namespaced(self.client.clone(), namespace), Some(name))
            }
            Condition::StatefulSetRolledOut { namespace, name } => {
                watch::<StatefulSet>(Api::namespaced(self.client.clone(), namespace), Some(name))
            }
            Condition::ApiAnswers | Condition::Established { .. } | Condition::Gone { .. } => futures::stream::pending().boxed(),
        }
    }
}

/// Seconds after which the server ends a watch: less than the time in which it must say something.
const WATCH: u32 = 25;

fn watch<K>(api: Api<K>, name: Option<&str>) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static,
{
    let how = WatchParams::default().timeout(WATCH);
    let how = match name {
        Some(name) => how.fields(&format!("metadata.name={name}")),
        None => how,
    };
    futures::stream::once(async move {
        match api.watch_metadata(&how, "0").await {
            Ok(events) => events.filter_map(async |event| event.ok().map(drop)).boxed(),
            // Then the interval is all there is.
            Err(_) => futures::stream::empty().boxed(),
        }
    })
    .flatten()
    .boxed()
}

fn seen(generation: Option<i64>, observed: Option<i64>) -> bool {
    observed.unwrap_or_default() >= generation.unwrap_or_default()
}

fn deployment(found: &Deployment) -> Standing {
    let status = found.status.clone().unwrap_or_default();
    if !seen(found.meta().generation, status.observed_generation) {
        return Standing::Not("its controller has not seen it yet".to_owned());
    }
    let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (updated, available, all) =
        (status.updated_replicas.unwrap_or(0), status.available_replicas.unwrap_or(0), status.replicas.unwrap_or(0));
    if updated >= wanted && available >= wanted && all <= updated {
        return Standing::Holds;
    }
    let failed = status.conditions.iter().flatten().find(|condition| {
        (condition.type_ == "ReplicaFailure" && condition.status == "True")
            || (condition.type_ == "Progressing" && condition.status == "False")
    });
    let failed = failed.and_then(|condition| condition.message.as_deref()).map(|message| format!("; {message}")).unwrap_or_default();
    let old = if all > updated { format!(", {} old still there", all - updated) } else { String::new() };
    Standing::Not(format!("{updated} of {wanted} updated, {available} available{old}{failed}"))
}

fn daemon_set(found: &DaemonSet) -> Standing {
    let status = found.status.clone().unwrap_or_default();
    if !seen(found.meta().generation, status.observed_generation) {
        return Standing::Not("its controller has not seen it yet".to_owned());
    }
    let (wanted, updated, available) =
        (status.desired_number_scheduled, status.updated_number_scheduled.unwrap_or(0), status.number_available.unwrap_or(0));
    if updated >= wanted && available >= wanted {
        return Standing::Holds;
    }
    Standing::Not(format!("on {wanted} nodes: {updated} updated, {available} available"))
}

fn stateful_set(found: &StatefulSet) -> Standing {
    let status = found.status.clone().unwrap_or_default();
    if !seen(found.meta().generation, status.observed_generation) {
        return Standing::Not("its controller has not seen it yet".to_owned());
    }
    let wanted = found.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let (updated, ready) = (status.updated_replicas.unwrap_or(0), status.ready_replicas.unwrap_or(0));
    if ready >= wanted && (updated >= wanted || status.current_revision == status.update_revision) {
        return Standing::Holds;
    }
    Standing::Not(format!("{updated} of {wanted} updated, {ready} ready"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_available_when_only_its_new_pods_are_left() {
        let standing = |generation: i64, status: serde_json::Value| {
            let found =
                json!({"metadata": {"generation": generation}, "spec": {"replicas": 2, "selector": {}, "template": {}}, "status": status});
            deployment(&serde_json::from_value(found).unwrap())
        };
        let done = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(standing(2, done.clone()), Standing::Holds);
        assert_eq!(standing(3, done), Standing::Not("its controller has not seen it yet".to_owned()));
        let old = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 3});
        assert_eq!(standing(2, old), Standing::Not("2 of 2 updated, 3 available, 1 old still there".to_owned()));
        let failing =
            json!({"observedGeneration": 2, "conditions": [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]});
        assert_eq!(standing(2, failing), Standing::Not("0 of 2 updated, 0 available; exceeded quota".to_owned()));
    }

    #[test]
    fn a_condition_has_the_name_that_the_screen_shows() {
        let names = |count: usize| Condition::NodesReady { names: (0..count).map(|index| format!("n{index}")).collect() }.to_string();
        assert_eq!((&*names(1), &*names(2), &*names(5)), ("node n0 Ready", "nodes n0, n1 Ready", "5 nodes Ready"));
        assert_eq!(Condition::core_dns().to_string(), "CoreDNS available");
    }
}

//! The cluster's nodes: how they are, and how one is taken out.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};

use super::{Cluster, Drain, Drained, Error, Result, patiently};

/// A node as the API server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    pub name: String,
    pub uid: String,
    pub ready: bool,
    /// Why it is not Ready; empty where it is.
    pub reason: String,
    /// No new pods are put on it.
    pub cordoned: bool,
    /// Has the control plane's role.
    pub control_plane: bool,
    /// `InternalIP`.
    pub address: Option<String>,
    /// The range that its pods' addresses are of.
    pub pod_range: Option<String>,
    /// `v1.36.4`.
    pub kubelet: String,
    /// The kernel's, of the boot in which the kubelet last spoke.
    pub boot: String,
}

impl From<&Node> for NodeState {
    fn from(node: &Node) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let spec = node.spec.clone().unwrap_or_default();
        let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
        let ready = condition.is_some_and(|condition| condition.status == "True");
        let reason = match condition {
            _ if ready => String::new(),
            None => "its kubelet has said nothing yet".to_owned(),
            Some(condition) if condition.status == "Unknown" => "its kubelet does not speak any more".to_owned(),
            Some(condition) => condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_default(),
        };
        let info = status.node_info.unwrap_or_default();
        Self {
            name: node.name_any(),
            uid: node.uid().unwrap_or_default(),
            ready,
            reason,
            cordoned: spec.unschedulable.unwrap_or_default(),
            control_plane: node.labels().contains_key("node-role.kubernetes.io/control-plane"),
            address: status.addresses.into_iter().flatten().find(|address| address.type_ == "InternalIP").map(|address| address.address),
            pod_range: spec.pod_cidr,
            kubelet: info.kubelet_version,
            boot: info.boot_id,
        }
    }
}

impl Cluster {
    pub(super) fn node_api(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    /// All nodes, by name.
    pub async fn nodes(&self) -> Result<Vec<NodeState>> {
        let (api, all) = (self.node_api(), ListParams::default());
        let list = patiently(|| api.list(&all)).await.map_err(|error| Error::api("list the nodes", &error))?;
        let mut nodes: Vec<NodeState> = list.items.iter().map(NodeState::from).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    /// One node, if it is there.
    pub async fn node(&self, name: &str) -> Result<Option<NodeState>> {
        let api = self.node_api();
        let found = patiently(|| api.get_opt(name)).await.map_err(|error| Error::api(format!("read node `{name}`"), &error))?;
        Ok(found.as_ref().map(NodeState::from))
    }

    /// No new pods on this node. Answers whether that was changed.
    pub async fn cordon(&self, name: &str) -> Result<bool> {
        self.set_cordoned(name, true).await
    }

    /// New pods again. Answers whether that was changed.
    pub async fn uncordon(&self, name: &str) -> Result<bool> {
        self.set_cordoned(name, false).await
    }

    async fn set_cordoned(&self, name: &str, cordoned: bool) -> Result<bool> {
        let (api, doing) = (self.node_api(), format!("{} node `{name}`", if cordoned { "cordon" } else { "uncordon" }));
        let node = patiently(|| api.get(name)).await.map_err(|error| Error::api(&doing, &error))?;
        if NodeState::from(&node).cordoned == cordoned {
            return Ok(false);
        }
        let done = patiently(async || if cordoned { api.cordon(name).await } else { api.uncordon(name).await }).await;
        done.map(|_| true).map_err(|error| Error::api(doing, &error))
    }

    /// Removes the Node object: the cluster forgets the machine. Answers whether it was there.
    pub async fn delete_node(&self, name: &str) -> Result<bool> {
        let api = self.node_api();
        match patiently(async || api.delete(name, &DeleteParams::default()).await).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
            Err(error) => Err(Error::api(format!("delete node `{name}`"), &error)),
            Ok(_) => Ok(true),
        }
    }

    /// Takes a node out of the cluster for good: cordon, drain within `limit`, forget the volumes that are its own, delete its object,
    /// that also where the drain did not come to its end (its error is answered): the machine goes in any case. The machine itself is
    /// not touched. A node that the cluster does not know is out already: None. `reason` hears what a drain waits for.
    pub async fn remove_node(&self, name: &str, limit: Duration, reason: &mut (dyn FnMut(&str) + Send)) -> Result<Option<Drained>> {
        if self.node(name).await?.is_none() {
            return Ok(None);
        }
        self.cordon(name).await?;
        let drained = self.drain(name, &Drain { limit, ..Drain::default() }, reason).await;
        let forgotten = self.forget_volumes(name).await;
        self.delete_node(name).await?;
        self.free_claims(name).await?;
        let drained = drained?;
        Ok(Some(Drained { volumes: forgotten?, ..drained }))
    }
}

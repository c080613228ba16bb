//! Whether the cluster's network carries: DNS from a pod on each node, pod to pod across nodes.
//!
//! The proof is a pod on every node that runs `provision-agent probe` ([`crate::agent`]'s word; the file comes from the node or
//! from an image) and is Ready once it resolved a Service's name and fetched some kilobytes from each other pod. The proof
//! costs seconds and writes, so what it was made for (nodes, DNS, the network's DaemonSets) is kept in a ConfigMap, and it is
//! made again only when that changed.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::object::MANAGED_BY_LABEL;
use super::pods::is_ready;
use super::wait::seconds;
use super::{Cluster, Error, ErrorKind, MANAGER, Result, patiently};

const NAMESPACE: &str = "kube-system";
/// The ConfigMap that holds what was proven.
const RECORD: &str = "provision-network";
/// The label of a proof's pods and Service; its value names the run.
const PROBE_LABEL: &str = "provision.dev/network-probe";
/// The port on which probes answer each other and the kubelet: none that Kubernetes or its network plugins use.
const PORT: u16 = 19777;
/// What the probes look up: it is in every cluster, and its answer comes through a Service.
const LOOKED_UP: &str = "kubernetes.default";
/// A proof by an older program does not count where this number is another.
const VERSION: u32 = 1;

/// How probes run on the nodes.
#[derive(Clone, Debug)]
pub struct Probe {
    /// An image that every node has; nothing of it runs unless `folder` is None.
    pub image: String,
    /// The folder of the node that holds the agent; None: the agent is in the image.
    pub folder: Option<String>,
    /// The agent's file: its name in `folder`, or its path in the image.
    pub program: String,
    /// What else asks for a new proof when it changes: times at which nodes booted, say.
    pub circumstances: String,
}

impl Cluster {
    /// Why the network must be proven (again); None: nothing changed since it was. Only reads.
    pub async fn network_doubt(&self, probe: &Probe) -> Result<Option<String>> {
        let facts = self.network_facts(probe).await?;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let record =
            patiently(|| api.get_opt(RECORD)).await.map_err(|error| Error::api("read the record of the network's proof", &error))?;
        let Some(proven) = record.and_then(|record| record.data) else { return Ok(Some("it was not proven yet".to_owned())) };
        let new = facts.iter().find(|(fact, value)| proven.get(*fact) != Some(value)).map(|(fact, _)| {
            if proven.contains_key(fact) { format!("{fact} is another than when it was proven") } else { format!("{fact} is new") }
        });
        Ok(new.or_else(|| proven.keys().find(|fact| !facts.contains_key(*fact)).map(|fact| format!("{fact} is gone"))))
    }

    /// Proves it: every node's pod resolves a name and reaches every other pod, within `limit`. What it made is removed,
    /// also after a failure; what a killed run left, too. `reason` hears what it waits for.
    pub async fn prove_network(&self, probe: &Probe, limit: Duration, reason: &mut (dyn FnMut(&str) + Send)) -> Result<()> {
        let facts = self.network_facts(probe).await?;
        let nodes: Vec<String> = self.nodes().await?.into_iter().map(|node| node.name).collect();
        self.remove_probes(PROBE_LABEL).await?;
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let run = hex::encode(&Sha256::digest(format!("{since:?}{}", std::process::id()))[..4]);
        let selector = format!("{PROBE_LABEL}={run}");
        let proof = self.watch_probes(probe, &nodes, &run, &selector, limit, reason).await;
        let removed = self.remove_probes(&selector).await;
        proof.and(removed)?;
        let record = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": RECORD, "namespace": NAMESPACE, "labels": {MANAGED_BY_LABEL: MANAGER}},
            "data": facts,
        });
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let (patch, how) = (Patch::Apply(&record), PatchParams::apply(MANAGER).force());
        let written = patiently(|| api.patch(RECORD, &how, &patch)).await;
        written.map(drop).map_err(|error| Error::api("write the record of the network's proof", &error))
    }

    async fn watch_probes(
        &self,
        probe: &Probe,
        nodes: &[String],
        run: &str,
        selector: &str,
        limit: Duration,
        reason: &mut (dyn FnMut(&str) + Send),
    ) -> Result<()> {
        let doing = "prove the network between pods";
        let how = PatchParams::apply(MANAGER);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
        let name = format!("provision-probe-{run}");
        let service = service(&name, run);
        patiently(async || services.patch(&name, &how, &Patch::Apply(&service)).await)
            .await
            .map_err(|error| Error::api(format!("{doing}: make Service {name}"), &error))?;
        let made = nodes.iter().enumerate().map(async |(index, node)| {
            let pod = pod(probe, &format!("{name}-{index}"), &name, node, nodes.len(), run, limit);
            patiently(async || pods.patch(&format!("{name}-{index}"), &how, &Patch::Apply(&pod)).await)
                .await
                .map_err(|error| Error::api(format!("{doing}: make a pod on {node}"), &error))
        });
        join_all(made).await.into_iter().collect::<Result<Vec<_>>>()?;
        let (ours, end) = (ListParams::default().labels(selector), Instant::now() + limit);
        let mut last = String::new();
        loop {
            let there = patiently(|| pods.list(&ours)).await.map_err(|error| Error::api(doing, &error))?.items;
            let waiting: Vec<&Pod> = there.iter().filter(|pod| !is_ready(pod)).collect();
            if waiting.is_empty() && there.len() >= nodes.len() {
                return Ok(());
            }
            let why = match waiting.first() {
                Some(pod) => {
                    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or("?");
                    format!(
                        "{} of {} nodes are proven; on {node}: {}",
                        there.len() - waiting.len(),
                        nodes.len(),
                        self.probe_says(&pods, pod).await
                    )
                }
                None => "the probes' pods are gone".to_owned(),
            };
            if why != last {
                reason(&why);
                last = why;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let late = Error::new(ErrorKind::TimedOut, doing).because(format!("not within {}", seconds(limit))).because(last);
                return Err(
                    late.hint("run `provision kubectl -n kube-system get pods -o wide` to see whether DNS and the network's pods run")
                );
            }
            sleep(Duration::from_millis(500).min(left)).await;
        }
    }

    /// The probe's own last word where it runs; else why it does not.
    async fn probe_says(&self, pods: &Api<Pod>, pod: &Pod) -> String {
        let running = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
        if running {
            let how = kube::api::LogParams { tail_lines: Some(1), limit_bytes: Some(2000), ..kube::api::LogParams::default() };
            if let Ok(text) = pods.logs(&pod.name_any(), &how).await
                && !text.trim().is_empty()
            {
                return text.trim().to_owned();
            }
        }
        self.why(pod).await.unwrap_or_default()
    }

    async fn remove_probes(&self, selector: &str) -> Result<()> {
        let ours = ListParams::default().labels(selector);
        let how = DeleteParams::background().grace_period(0);
        let failed = |error: kube::Error| Error::api("remove the probes of the network", &error);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        patiently(|| pods.delete_collection(&how, &ours)).await.map_err(failed)?;
        let services: Api<Service> = Api::namespaced(self.client.clone(), NAMESPACE);
        for service in patiently(|| services.list(&ours)).await.map_err(failed)?.items {
            match patiently(async || services.delete(&service.name_any(), &DeleteParams::default()).await).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                result => drop(result.map_err(failed)?),
            }
        }
        Ok(())
    }

    /// What a proof holds for, by name.
    async fn network_facts(&self, probe: &Probe) -> Result<BTreeMap<String, String>> {
        let doing = "look at the cluster's network";
        let sets: Api<DaemonSet> = Api::all(self.client.clone());
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut facts = BTreeMap::from([("version".to_owned(), VERSION.to_string())]);
        if !probe.circumstances.is_empty() {
            facts.insert("circumstances".to_owned(), digest(&probe.circumstances));
        }
        for node in self.nodes().await? {
            let identity = format!("{} {} {:?} {:?}", node.uid, node.boot, node.address, node.pod_range);
            facts.insert(format!("node.{}", node.name), digest(&identity));
        }
        let all = ListParams::default();
        for set in patiently(|| sets.list(&all)).await.map_err(|error| Error::api(doing, &error))?.items {
            // A network plugin or the Services' proxy; others have their own network and no part in it.
            let host = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()?.host_network).unwrap_or_default();
            if host {
                let identity = format!("{:?} {:?}", set.uid(), set.metadata.generation);
                facts.insert(format!("daemonset.{}.{}", set.namespace().unwrap_or_default(), set.name_any()), digest(&identity));
            }
        }
        if let Some(dns) = patiently(|| deployments.get_opt("coredns")).await.map_err(|error| Error::api(doing, &error))? {
            facts.insert("coredns".to_owned(), digest(&format!("{:?} {:?}", dns.uid(), dns.metadata.generation)));
        }
        Ok(facts)
    }
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

/// Its name has every probe's address, whether it is ready or not.
fn service(name: &str, run: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {MANAGED_BY_LABEL: MANAGER, PROBE_LABEL: run}},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": true, "selector": {PROBE_LABEL: run}},
    })
}

fn pod(probe: &Probe, name: &str, service: &str, node: &str, count: usize, run: &str, limit: Duration) -> Value {
    let program = match &probe.folder {
        Some(_) => format!("/probe/{}", probe.program),
        None => probe.program.clone(),
    };
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {MANAGED_BY_LABEL: MANAGER, PROBE_LABEL: run}},
        "spec": {
            // No scheduler: it has no opinion on which nodes are to be proven.
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "restartPolicy": "Never",
            // It ends by itself even if nobody comes back for it.
            "activeDeadlineSeconds": limit.as_secs() + 60,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "containers": [{
                "name": "probe",
                "image": probe.image,
                "imagePullPolicy": "IfNotPresent",
                "command": [program, "probe", LOOKED_UP, format!("{service}.{NAMESPACE}"), count.to_string(), PORT.to_string()],
                "readinessProbe": {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 3},
                // The agent's folder is its login user's alone.
                "securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": false},
                "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
            }],
        },
    });
    if let Some(folder) = &probe.folder {
        pod["spec"]["volumes"] = json!([{"name": "probe", "hostPath": {"path": folder, "type": "Directory"}}]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "probe", "mountPath": "/probe", "readOnly": true}]);
    }
    pod
}

//! From hosts to what runs on them: the kubeconfig, a cluster that is whole, and the releases of provision.yaml.
//!
//! A plan is dry runs and reads; [`Delivery::make`] writes only what the plan showed to change, and waits for named conditions.

mod render;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use render::{Rendered, page, render};

use crate::cluster::{self, Change, Cluster, Condition, Conflicts, ObjectId, Probe, Release, ReleasePlan, kubeconfig};
use crate::run::reach::{Placed, Reach};

/// Where kubeadm leaves the administrator's kubeconfig.
const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// A cluster that answers at all does so within this time; a plan does not wait longer.
const GLANCE: Duration = Duration::from_secs(3);
/// For one look at a condition.
const LOOK: Duration = Duration::from_secs(1);
/// The API server of a control plane that was just started.
const API: Duration = Duration::from_secs(120);
/// Nodes after their join, with their network.
const NODES: Duration = Duration::from_secs(180);
/// A rollout: images are there already, so this is starting and probing pods.
const ROLLOUT: Duration = Duration::from_secs(300);
/// From ready pods to rules on every node.
const PAGE: Duration = Duration::from_secs(60);
const NETWORK: Duration = Duration::from_secs(120);

/// The condition that a proof of the pods' network shows.
pub const NETWORK_PROVEN: &str = "pods reach each other on all nodes";

/// What one environment has above its hosts.
pub struct Delivery {
    pub environment: String,
    /// The first control plane.
    pub control: Arc<str>,
    /// Every node's name, control planes too.
    pub nodes: Vec<String>,
    /// `.provision/kubeconfig`.
    pub kubeconfig: PathBuf,
    pub releases: Vec<Rendered>,
    /// An image that every node has, for the pods that prove the network; `None`: it is not proven.
    pub probe_image: Option<String>,
}

/// What would be done.
#[derive(Debug, Default)]
pub struct Planned {
    pub releases: Vec<ReleasePlan>,
    /// Why it cannot be known yet.
    pub unknown: Option<String>,
    /// Why the network would be proven (again).
    pub doubt: Option<String>,
    /// Workloads that are as they should be written and do not run so: they would be waited for.
    pub waits: Vec<Wait>,
    /// The objects of each release, where the cluster could not be asked.
    pub expected: Vec<(String, Vec<ObjectId>)>,
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    pub condition: String,
    pub reason: String,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition, self.reason)
    }
}

impl Planned {
    pub fn proves_no_change(&self) -> bool {
        self.unknown.is_none() && self.doubt.is_none() && self.waits.is_empty() && self.releases.iter().all(ReleasePlan::is_unchanged)
    }

    /// Nothing stops an apply, as far as can be seen.
    pub fn is_good(&self) -> bool {
        self.releases.iter().all(|plan| plan.problems().next().is_none())
    }

    /// Objects of all releases.
    pub fn objects(&self) -> usize {
        self.releases.iter().map(|plan| plan.changes.len()).sum()
    }
}

/// A step that goes on or is done.
#[derive(Clone, Debug)]
pub enum Step {
    /// A condition is waited for, and does not hold for this reason.
    Waiting { condition: String, reason: String },
    /// It holds.
    Holds { condition: String, elapsed: Duration },
    /// An object was written.
    Object { release: String, change: Box<Change> },
    /// A release is in the cluster and runs.
    Released { release: String, revision: u64, changed: usize, objects: usize, elapsed: Duration },
}

/// What did not work, and what to type next.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<cluster::Error> for Failure {
    fn from(error: cluster::Error) -> Self {
        Self { message: error.to_string(), hint: error.hint }
    }
}

impl Delivery {
    /// Compares with the cluster, if there is one; writes nothing.
    pub async fn plan(&self) -> Planned {
        self.compare().await.unwrap_or_else(|cause| self.unknown(cause))
    }

    /// What can be said before the cluster can be asked.
    pub fn unknown(&self, cause: String) -> Planned {
        let expected = self.releases.iter().map(|rendered| (rendered.name.clone(), self.release(rendered).expected()));
        Planned { unknown: Some(cause), expected: expected.collect(), ..Planned::default() }
    }

    async fn compare(&self) -> Result<Planned, String> {
        if !self.kubeconfig.exists() {
            return Err("there is no cluster yet".to_owned());
        }
        let cluster = Cluster::connect(&self.kubeconfig).await.map_err(|error| error.to_string())?;
        match tokio::time::timeout(GLANCE, cluster.version()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err(format!("the API server does not answer within {} s", GLANCE.as_secs())),
        }
        for condition in self.conditions() {
            if let Some(wait) = fails(&cluster, &condition).await {
                return Err(wait.to_string());
            }
        }
        let mut planned = Planned::default();
        for rendered in &self.releases {
            let plan = cluster.plan(&self.release(rendered)).await.map_err(|error| error.to_string())?;
            if plan.is_unchanged() {
                for condition in plan.conditions() {
                    planned.waits.extend(fails(&cluster, &condition).await);
                }
            }
            planned.releases.push(plan);
        }
        if let Some(probe) = self.probe(None) {
            planned.doubt = cluster.network_doubt(&probe).await.map_err(|error| error.to_string())?;
        }
        Ok(planned)
    }

    /// Conditions of a whole cluster.
    fn conditions(&self) -> Vec<Condition> {
        vec![Condition::ApiAnswers, Condition::NodesReady { names: self.nodes.clone() }, Condition::core_dns()]
    }

    /// Pods of an image that is there run the agent that is there.
    fn probe(&self, agent: Option<Placed>) -> Option<Probe> {
        let image = self.probe_image.clone()?;
        let (folder, program) = agent.map(|agent| (Some(agent.folder), agent.name)).unwrap_or_default();
        Some(Probe { image, folder, program, circumstances: String::new() })
    }

    fn release(&self, rendered: &Rendered) -> Release {
        Release {
            name: rendered.name.clone(),
            environment: self.environment.clone(),
            namespace: rendered.namespace.clone(),
            objects: rendered.objects.clone(),
            conflicts: Conflicts::Refuse,
        }
    }

    /// Makes it so: kubeconfig, cluster, releases, each waited for. Where `planned` could know what would be written, nothing else
    /// is. Answers how many objects were written.
    pub async fn make(&self, reach: &Reach, planned: &Planned, told: &mut (dyn FnMut(Step) + Send)) -> Result<usize, Failure> {
        self.fetch_kubeconfig(reach).await?;
        let cluster = Cluster::connect(&self.kubeconfig).await?;
        for condition in self.conditions() {
            let limit = match condition {
                Condition::ApiAnswers => API,
                Condition::NodesReady { .. } => NODES,
                _ => ROLLOUT,
            };
            wait(&cluster, &condition, limit, told).await?;
        }
        if let Some(probe) = self.probe(reach.placed(&self.control))
            && cluster.network_doubt(&probe).await?.is_some()
        {
            let begun = Instant::now();
            let condition = NETWORK_PROVEN.to_owned();
            let name = condition.clone();
            cluster
                .prove_network(&probe, NETWORK, &mut |reason| told(Step::Waiting { condition: name.clone(), reason: reason.to_owned() }))
                .await?;
            told(Step::Holds { condition, elapsed: begun.elapsed() });
        }
        let mut written = 0;
        for rendered in &self.releases {
            let begun = Instant::now();
            let plan = cluster.plan(&self.release(rendered)).await?;
            if let Some(shown) = planned.releases.iter().find(|shown| shown.release() == rendered.name) {
                as_shown(&plan, shown)?;
            }
            let mut changed = 0;
            let revision = cluster
                .apply(&plan, &mut |change| {
                    changed += 1;
                    told(Step::Object { release: rendered.name.clone(), change: Box::new(change.clone()) });
                })
                .await?;
            for condition in plan.conditions() {
                wait(&cluster, &condition, ROLLOUT, told).await?;
            }
            told(Step::Released {
                release: rendered.name.clone(),
                revision,
                changed,
                objects: plan.changes.len(),
                elapsed: begun.elapsed(),
            });
            written += changed;
        }
        if let Some(url) = page(&self.releases) {
            self.wait_for_page(&url, told).await?;
        }
        Ok(written)
    }

    /// Pods are ready before every node forwards to them: what the last lines name must answer when they are read.
    async fn wait_for_page(&self, url: &str, told: &mut (dyn FnMut(Step) + Send)) -> Result<(), Failure> {
        let begun = Instant::now();
        let condition = format!("{url} answers");
        let client = reqwest::Client::builder().no_proxy().timeout(GLANCE).build();
        let client = client.map_err(|error| Failure { message: format!("ask {url}: {error}"), hint: None })?;
        let mut last = String::new();
        loop {
            let reason = match client.get(url).send().await {
                Ok(answer) if answer.status().is_success() => break,
                Ok(answer) => answer.status().to_string(),
                Err(error) => chain(&error),
            };
            if begun.elapsed() > PAGE {
                return Err(Failure {
                    message: format!("wait until {condition}: not within {} s: {reason}", PAGE.as_secs()),
                    hint: Some("run `provision kubectl get services,endpointslices -A` to see what it leads to".to_owned()),
                });
            }
            if reason != last {
                told(Step::Waiting { condition: condition.clone(), reason: reason.clone() });
                last = reason;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        told(Step::Holds { condition, elapsed: begun.elapsed() });
        Ok(())
    }

    /// The administrator's kubeconfig from the control plane, kept beside the project.
    async fn fetch_kubeconfig(&self, reach: &Reach) -> Result<(), Failure> {
        let failed = |cause: String, hint: Option<String>| Failure { message: format!("read {ADMIN} of {}: {cause}", self.control), hint };
        // Only root may read it; whoever logs in as somebody else may become root without a password, or fetches it himself.
        let script = format!("if [ -r {ADMIN} ]; then exec cat {ADMIN}; else exec sudo -n cat {ADMIN}; fi");
        let words = ["/bin/sh", "-c", &script].map(str::to_owned);
        let output = reach.run(&self.control, &words).await.map_err(|error| failed(error.message, error.hint))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let hint = format!("see whether the control plane was built: `provision ssh {} -- ls -l {ADMIN}`", self.control);
            return Err(failed(if said.is_empty() { output.status.to_string() } else { said }, Some(hint)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        kubeconfig::store(&self.kubeconfig, &text, &self.environment)?;
        Ok(())
    }
}

/// Nothing is written that the plan did not show: something else may have changed the cluster since.
fn as_shown(plan: &ReleasePlan, shown: &ReleasePlan) -> Result<(), Failure> {
    let beyond: Vec<String> = plan.beyond(shown).map(|change| change.to_string().lines().next().unwrap_or_default().to_owned()).collect();
    if beyond.is_empty() {
        return Ok(());
    }
    Err(Failure {
        message: format!("apply release `{}`: this was not in the plan: {}", plan.release(), beyond.join(", ")),
        hint: Some("the cluster has changed since: run `provision plan` to see it, `provision up` to apply it".to_owned()),
    })
}

/// Why a condition does not hold now; one look.
async fn fails(cluster: &Cluster, condition: &Condition) -> Option<Wait> {
    let mut reason = String::new();
    let limit = if *condition == Condition::ApiAnswers { GLANCE } else { LOOK };
    let error = cluster.wait(condition, limit, &mut |last| last.clone_into(&mut reason)).await.err()?;
    Some(Wait { condition: condition.to_string(), reason: if reason.is_empty() { error.to_string() } else { reason } })
}

/// An error's last cause says most: `connection refused`.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

async fn wait(cluster: &Cluster, condition: &Condition, limit: Duration, told: &mut (dyn FnMut(Step) + Send)) -> Result<(), Failure> {
    let begun = Instant::now();
    let name = condition.to_string();
    cluster.wait(condition, limit, &mut |reason| told(Step::Waiting { condition: name.clone(), reason: reason.to_owned() })).await?;
    told(Step::Holds { condition: name, elapsed: begun.elapsed() });
    Ok(())
}

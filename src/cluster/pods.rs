//! Why a pod does not run, in one line.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, LogParams};

use super::Cluster;

/// Longest reason of one pod, in characters: a line of a terminal or two.
const LONGEST: usize = 300;
/// So many pods are named.
const NAMED: usize = 2;

impl Cluster {
    /// What keeps the pods of a selector from being ready: ``pod web-1: ErrImageNeverPull: … ``, of at most two pods.
    pub(super) async fn why_not_ready(&self, namespace: &str, selector: &str) -> Option<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let pods = api.list(&ListParams::default().labels(selector)).await.ok()?.items;
        let mut reasons = Vec::new();
        for pod in &pods {
            if reasons.len() < NAMED
                && let Some(reason) = self.why(pod).await
            {
                reasons.push(format!("pod {}: {reason}", pod.metadata.name.as_deref().unwrap_or("?")));
            }
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Why a pod is not ready, with the last line of a container that ended; None: it is ready.
    pub(super) async fn why(&self, pod: &Pod) -> Option<String> {
        let (reason, ended) = reason(pod)?;
        let last = match ended {
            Some(container) => self.last_line(pod, container).await.map(|line| format!("; it said: {line}")),
            None => None,
        };
        let whole = format!("{reason}{}", last.unwrap_or_default());
        Some(if whole.chars().count() > LONGEST { whole.chars().take(LONGEST - 1).chain(['…']).collect() } else { whole })
    }

    /// The last line that a container wrote, of the run before this one if there was one.
    async fn last_line(&self, pod: &Pod, container: &ContainerStatus) -> Option<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref()?);
        let previous = container.restart_count > 0 && container.state.as_ref().is_none_or(|state| state.terminated.is_none());
        let how = LogParams {
            container: Some(container.name.clone()),
            tail_lines: Some(1),
            limit_bytes: Some(2000),
            previous,
            ..LogParams::default()
        };
        let text = api.logs(pod.metadata.name.as_deref()?, &how).await.ok()?;
        text.lines().rfind(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
    }
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Why a pod is not ready, and the container whose last words tell more.
fn reason(pod: &Pod) -> Option<(String, Option<&ContainerStatus>)> {
    if is_ready(pod) {
        return None;
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return Some(("it is being deleted".to_owned(), None));
    }
    let Some(status) = &pod.status else { return Some(("nothing is known of it yet".to_owned(), None)) };
    let containers = || status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    if let Some(found) = containers().find_map(trouble) {
        return Some(found);
    }
    if let Some(reason) = &status.reason {
        return Some((joined(reason, status.message.as_deref()), None));
    }
    let conditions = status.conditions.iter().flatten();
    if let Some(condition) = conditions.clone().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False") {
        return Some((joined(condition.reason.as_deref().unwrap_or("not scheduled"), condition.message.as_deref()), None));
    }
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let phase = status.phase.as_deref().unwrap_or("Pending");
    Some((
        match (phase, node) {
            ("Pending", None) => "Pending: the scheduler has chosen no node yet".to_owned(),
            ("Pending", Some(node)) => {
                let waiting =
                    containers().find_map(|container| container.state.as_ref()?.waiting.as_ref()?.reason.as_deref()).unwrap_or("Pending");
                format!("{waiting} on {node}")
            }
            ("Running", _) => match containers()
                .find(|container| !container.ready && container.state.as_ref().is_some_and(|state| state.running.is_some()))
            {
                Some(container) => format!("container {} runs, and is not ready", container.name),
                None => "it runs, and is not ready".to_owned(),
            },
            (phase, _) => phase.to_owned(),
        },
        None,
    ))
}

/// A container that does not go on by itself.
fn trouble(container: &ContainerStatus) -> Option<(String, Option<&ContainerStatus>)> {
    let state = container.state.as_ref()?;
    let ended = state.terminated.as_ref().filter(|end| end.exit_code != 0);
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        if matches!(reason, "ContainerCreating" | "PodInitializing" | "") {
            return None;
        }
        let before = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        return Some(match before {
            Some(before) => {
                (format!("{reason}: container {} {}", container.name, ending(before)), before.message.is_none().then_some(container))
            }
            None => (joined(reason, waiting.message.as_deref()), None),
        });
    }
    ended.map(|end| (format!("container {} {}", container.name, ending(end)), end.message.is_none().then_some(container)))
}

fn ending(end: &k8s_openapi::api::core::v1::ContainerStateTerminated) -> String {
    let how = match end.reason.as_deref() {
        Some("OOMKilled") => "was killed: out of memory".to_owned(),
        _ => match end.signal.filter(|signal| *signal != 0) {
            Some(signal) => format!("was ended by signal {signal}"),
            None => format!("ended with {}", end.exit_code),
        },
    };
    match end.message.as_deref().and_then(|message| message.lines().rfind(|line| !line.trim().is_empty())) {
        Some(message) => format!("{how}: {}", message.trim()),
        None => how,
    }
}

fn joined(reason: &str, message: Option<&str>) -> String {
    match message {
        Some(message) if !message.is_empty() => format!("{reason}: {message}"),
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn why(status: Value) -> Option<(String, bool)> {
        let pod: Pod = serde_json::from_value(
            json!({"metadata": {"name": "web-1"}, "spec": {"containers": [], "nodeName": "worker-1"}, "status": status}),
        )
        .unwrap();
        reason(&pod).map(|(reason, container)| (reason, container.is_some()))
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"phase": "Running", "containerStatuses": [{"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last}]})
    }

    #[test]
    fn each_state_has_its_words() {
        let never = container(
            json!({"waiting": {"reason": "ErrImageNeverPull", "message": "Container image \"web:1\" is not present"}}),
            Value::Null,
        );
        assert_eq!(why(never), Some(("ErrImageNeverPull: Container image \"web:1\" is not present".to_owned(), false)));
        let crashing = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        let silent = container(crashing.clone(), json!({"terminated": {"exitCode": 1}}));
        assert_eq!(why(silent), Some(("CrashLoopBackOff: container web ended with 1".to_owned(), true)));
        let speaking = container(crashing, json!({"terminated": {"exitCode": 1, "message": "first\nno model\n"}}));
        assert_eq!(why(speaking), Some(("CrashLoopBackOff: container web ended with 1: no model".to_owned(), false)));
        let hungry = container(json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}), Value::Null);
        assert_eq!(why(hungry), Some(("container web was killed: out of memory".to_owned(), true)));
        let creating = json!({"phase": "Pending", "containerStatuses": [{"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]});
        assert_eq!(why(creating), Some(("ContainerCreating on worker-1".to_owned(), false)));
        assert_eq!(why(container(json!({"running": {}}), Value::Null)), Some(("container web runs, and is not ready".to_owned(), false)));
        assert_eq!(
            why(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"})),
            Some(("Evicted: low on memory".to_owned(), false))
        );
        assert_eq!(why(json!({"conditions": [{"type": "Ready", "status": "True"}]})), None);
    }
}

//! What stands above the hosts, told: the cluster and its releases.

use serde_json::{Value, json};

use super::entry;
use super::plan::many;
use crate::cluster::{ReleasePlan, Verdict};
use crate::delivery::{NETWORK_PROVEN, Planned, Step};

/// What stands for the cluster as a whole.
const CLUSTER: &str = "the cluster is whole";

/// A step as one JSON line.
pub fn json(step: &Step) -> Value {
    match step {
        Step::Waiting { condition, reason } => json!({"event": "waiting", "layer": "cluster", "condition": condition, "reason": reason}),
        Step::Holds { condition, elapsed } => entry::condition_holds(condition, elapsed.as_millis() as u64),
        Step::Object { release, change } => entry::object_written(release, change),
        Step::Released { release, revision, changed, objects, elapsed } => json!({
            "event": "released", "layer": "releases", "release": release, "revision": revision, "changed": changed, "objects": objects,
            "milliseconds": elapsed.as_millis() as u64,
        }),
    }
}

/// The plan's lines of data.
pub fn plan_json(planned: &Planned) -> Vec<Value> {
    let mut lines = Vec::new();
    if let Some(cause) = &planned.unknown {
        lines.push(entry::condition(CLUSTER, "unknown", cause));
        for (release, objects) in &planned.expected {
            lines.extend(objects.iter().map(|object| entry::object_unknown(release, &object.to_string(), cause)));
        }
    }
    if let Some(doubt) = &planned.doubt {
        lines.push(entry::condition(NETWORK_PROVEN, "prove", doubt));
    }
    lines.extend(planned.waits.iter().map(|wait| entry::condition(&wait.condition, "wait", &wait.reason)));
    for plan in &planned.releases {
        let changes = plan.changes.iter().filter(|change| change.verdict != Verdict::Unchanged);
        lines.extend(changes.map(|change| entry::object(plan.release(), change)));
    }
    lines
}

/// The plan's lines for a reader; none where nothing would change.
pub fn plan_text(planned: &Planned) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(cause) = &planned.unknown {
        lines.push(format!("  {:<12} ? known on the way: {cause}", "cluster"));
        for (index, (release, objects)) in planned.expected.iter().enumerate() {
            let count = format!("{} {}", objects.len(), many(objects.len(), "object"));
            lines.push(format!("  {:<12} ? {release}: {count}", if index == 0 { "releases" } else { "" }));
        }
    }
    if let Some(doubt) = &planned.doubt {
        lines.push(format!("  {:<12} ~ prove that {NETWORK_PROVEN}: {doubt}", "cluster"));
    }
    for wait in &planned.waits {
        lines.push(format!("  {:<12} ~ wait until {}: {}", "cluster", wait.condition, wait.reason));
    }
    for plan in planned.releases.iter().filter(|plan| !plan.is_unchanged()) {
        lines.push(format!("  {:<12} {}", "release", title(plan)));
        let changes = plan.changes.iter().filter(|change| change.verdict != Verdict::Unchanged);
        lines.extend(changes.flat_map(|change| change.to_string().lines().map(|line| format!("    {line}")).collect::<Vec<_>>()));
    }
    lines
}

fn title(plan: &ReleasePlan) -> String {
    let changes = plan.changes.iter().filter(|change| change.verdict != Verdict::Unchanged).count();
    format!("{}: {changes} of {} objects, revision {}", plan.release(), plan.changes.len(), plan.revision())
}

//! What stands above the hosts, told: the cluster and its releases.

use serde_json::{Value, json};

use crate::cluster::{ReleasePlan, Verdict};
use crate::delivery::{Planned, Step};

/// A step as one JSON line.
pub fn json(step: &Step) -> Value {
    match step {
        Step::Waiting { condition, reason } => json!({"event": "waiting", "layer": "cluster", "condition": condition, "reason": reason}),
        Step::Holds { condition, elapsed } => {
            json!({"event": "holds", "layer": "cluster", "condition": condition, "milliseconds": elapsed.as_millis() as u64})
        }
        Step::Object { release, change } => json!({"event": "object", "layer": "releases", "release": release, "change": change}),
        Step::Released { release, revision, changed, objects, elapsed } => json!({
            "event": "released", "layer": "releases", "release": release, "revision": revision, "changed": changed, "objects": objects, "milliseconds": elapsed.as_millis() as u64,
        }),
    }
}

/// The plan's lines of data.
pub fn plan_json(planned: &Planned) -> Vec<Value> {
    let mut lines = Vec::new();
    if let Some(cause) = &planned.unknown {
        lines.push(json!({"event": "plan", "layer": "cluster", "change": "unknown", "because": cause}));
    }
    if let Some(doubt) = &planned.doubt {
        lines.push(json!({"event": "plan", "layer": "cluster", "change": "prove the network", "because": doubt}));
    }
    for wait in &planned.waits {
        lines.push(json!({"event": "plan", "layer": "releases", "change": "wait", "because": wait}));
    }
    for plan in &planned.releases {
        for change in plan.changes.iter().filter(|change| change.verdict != Verdict::Unchanged) {
            lines.push(json!({"event": "plan", "layer": "releases", "release": plan.release(), "change": change.to_string()}));
        }
    }
    lines
}

/// The plan's lines for a reader; none where nothing would change.
pub fn plan_text(planned: &Planned) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(cause) = &planned.unknown {
        lines.push(format!("  {:<12} ? known on the way: {cause}", "cluster"));
    }
    if let Some(doubt) = &planned.doubt {
        lines.push(format!("  {:<12} ~ prove the pods' network: {doubt}", "cluster"));
    }
    for wait in &planned.waits {
        lines.push(format!("  {:<12} ~ wait: {wait}", "release"));
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

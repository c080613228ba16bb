//! Entries of a plan, and what came of them, as JSON lines.
//!
//! `provision plan --json` prints a line `"event": "planned"` for everything that would change or may. `provision up --json` prints the
//! same lines first, and for everything that it changed a line `"event": "result"` with the same `layer` and the same name in it:
//!
//! | `layer` | name | `plan` | `status` |
//! |---|---|---|---|
//! | `workstation` | `package` | `install` | `changed` |
//! | `artifacts` | `artifact` | `fetch` | `changed` |
//! | `machines` | `machine` | `make`, `start`, `resize`, `replace`, `remove` | `changed` |
//! | `volumes` | `volume` | `remove`, `unknown` | `changed` |
//! | `hosts` | `host`, `position`, `item`, `handler` | `change`, `unknown`, `failure`, `ran` | `ok`, `changed`, `skipped`, `failed`, `unreachable` |
//! | `cluster` | `condition` | `prove`, `wait`, `unknown` | `ok` |
//! | `releases` | `release`, `object` | `create`, `update`, `delete`, `conflict`, `refused`, `unknown` | `changed` |
//!
//! `volumes` are claims whose volumes are on machines only that go. `provision destroy --json` prints the lines of both.
//!
//! `because` says why something is unknown or would be done. A host whose machine does not run yet, and the objects of a cluster that is
//! not there, are `unknown`: hosts are planned, and the plan told, as soon as their machines run.

use serde_json::{Map, Value, json};

use crate::agent::frame::{ItemResult, Status};
use crate::artifact::Lack;
use crate::cluster::{Change, FieldChange, OwnVolume, Verdict};
use crate::run::plan::Word;

/// One object of keys over another.
fn with(mut line: Value, more: Value) -> Value {
    if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
        line.extend(more);
    }
    line
}

pub fn package(name: &str) -> Value {
    json!({"event": "planned", "layer": "workstation", "package": name, "plan": "install"})
}

pub fn package_installed(name: &str) -> Value {
    json!({"event": "result", "layer": "workstation", "package": name, "status": "changed"})
}

pub fn artifact(lack: &Lack) -> Value {
    json!({
        "event": "planned", "layer": "artifacts", "artifact": lack.name, "plan": "fetch",
        "version": lack.version, "source": lack.source, "bytes": lack.size, "note": lack.note,
    })
}

pub fn artifact_fetched(name: &str, version: &str, source: &str, bytes: u64, milliseconds: u64) -> Value {
    json!({
        "event": "result", "layer": "artifacts", "artifact": name, "status": "changed",
        "version": version, "source": source, "bytes": bytes, "milliseconds": milliseconds,
    })
}

/// `None` for a machine that stays as it is.
pub fn machine(name: &str, change: &crate::vm::Change) -> Option<Value> {
    use crate::vm::Change::{Keep, Make, Remove, Replace, Resize, Start};
    let (plan, because): (_, &[String]) = match change {
        Make => ("make", &[]),
        Start => ("start", &[]),
        Resize(differences) => ("resize", differences),
        Replace(differences) => ("replace", differences),
        Remove => ("remove", &[]),
        Keep => return None,
    };
    Some(json!({"event": "planned", "layer": "machines", "machine": name, "plan": plan, "because": because}))
}

/// `outcome`: `made`, `started`, `resized`, `removed`.
pub fn machine_changed(name: &str, outcome: &str) -> Value {
    json!({"event": "result", "layer": "machines", "machine": name, "status": "changed", "outcome": outcome})
}

/// A machine that `destroy` would remove.
pub fn machine_removed(name: &str) -> Value {
    json!({"event": "planned", "layer": "machines", "machine": name, "plan": "remove", "because": []})
}

/// Claims whose volumes would go with their machines; `None`: the cluster cannot be asked.
pub fn volumes(volumes: Option<&[OwnVolume]>) -> Vec<Value> {
    volumes.map_or_else(|| vec![volumes_unknown("the cluster does not answer")], |volumes| volumes.iter().map(volume).collect())
}

fn volume(volume: &OwnVolume) -> Value {
    json!({"event": "planned", "layer": "volumes", "volume": volume.claim(), "plan": "remove", "size": volume.size})
}

fn volumes_unknown(because: &str) -> Value {
    json!({"event": "planned", "layer": "volumes", "plan": "unknown", "because": because})
}

pub fn volume_gone(volume: &OwnVolume) -> Value {
    json!({"event": "result", "layer": "volumes", "volume": volume.claim(), "status": "changed", "outcome": "removed"})
}

/// A host that cannot be asked yet.
pub fn host_unknown(host: &str, because: &str) -> Value {
    json!({"event": "planned", "layer": "hosts", "host": host, "plan": "unknown", "because": because})
}

/// What names an item of a task in a plan and in a run.
fn task_keys(host: &str, item: &ItemResult) -> Value {
    json!({
        "layer": "hosts",
        "host": host,
        "position": item.position.to_string(),
        "task": item.name,
        "role": item.role,
        "handler": item.handler,
        "item": item.label.as_ref().map(|label| label.to_json(false)),
    })
}

/// What gave the variables that it read, where that was asked for.
fn reads(item: &ItemResult) -> Value {
    if item.reads.is_empty() {
        return json!({});
    }
    let reads: serde_json::Map<String, Value> = item.reads.iter().map(|(name, origin)| (name.to_string(), json!(origin))).collect();
    json!({"variables": reads})
}

pub fn task(host: &str, item: &ItemResult) -> Value {
    let plan = match Word::of(item) {
        Word::Change => "change",
        Word::Unknown => "unknown",
        Word::Failure => "failure",
        Word::OfTheRun => "of the run",
        Word::Ran => "ran",
        Word::Unchanged => "unchanged",
    };
    let because = if let Status::Unknown(cause) = &item.status { Some(cause) } else { None };
    let more = json!({"plan": plan, "because": because, "actions": item.actions, "delegated_to": item.delegated_to});
    with(with(with(json!({"event": "planned"}), task_keys(host, item)), more), reads(item))
}

pub fn task_done(host: &str, result: &ItemResult) -> Value {
    let (status, cause) = match &result.status {
        Status::Ok => ("ok", None),
        Status::Changed => ("changed", None),
        Status::Skipped => ("skipped", None),
        Status::Failed => ("failed", None),
        Status::Unreachable => ("unreachable", None),
        Status::Unknown(cause) => ("unknown", Some(cause)),
    };
    let differences = result.diff.iter().map(|(before, after, before_header, after_header)| {
        json!({"before": before, "after": after, "before_header": before_header, "after_header": after_header})
    });
    let more = json!({
        "status": status,
        "because": cause,
        "ignored": result.ignored,
        "actions": result.actions,
        "delegated_to": result.delegated_to,
        "attempts": result.attempts,
        "milliseconds": result.elapsed,
        "result": result.result.as_ref().map(|value| value.to_json(false)),
        "diff": differences.collect::<Vec<_>>(),
    });
    with(with(with(json!({"event": "result"}), task_keys(host, result)), more), reads(result))
}

/// `plan`: `unknown`, `prove` or `wait`.
pub fn condition(condition: &str, plan: &str, because: &str) -> Value {
    json!({"event": "planned", "layer": "cluster", "condition": condition, "plan": plan, "because": because})
}

pub fn condition_holds(condition: &str, milliseconds: u64) -> Value {
    json!({"event": "result", "layer": "cluster", "condition": condition, "status": "ok", "milliseconds": milliseconds})
}

/// An object of a release whose cluster is not there yet; `object` as `Deployment shop/web`.
pub fn object_unknown(release: &str, object: &str, because: &str) -> Value {
    json!({"event": "planned", "layer": "releases", "release": release, "object": object, "plan": "unknown", "because": because})
}

pub fn object(release: &str, change: &Change) -> Value {
    let because = match &change.verdict {
        Verdict::Conflict(fields) => {
            fields.iter().map(|conflict| format!("{} is managed by `{}`", conflict.field, conflict.manager)).collect()
        }
        Verdict::Refused(reason) => vec![reason.clone()],
        _ => Vec::new(),
    };
    with(object_keys("planned", release, change), json!({"plan": word(&change.verdict), "because": because, "fields": fields(change)}))
}

pub fn object_written(release: &str, change: &Change) -> Value {
    with(object_keys("result", release, change), json!({"status": "changed", "action": word(&change.verdict), "fields": fields(change)}))
}

fn object_keys(event: &str, release: &str, change: &Change) -> Value {
    json!({
        "event": event, "layer": "releases", "release": release, "object": change.object.to_string(),
        "api_version": change.object.api_version, "kind": change.object.kind, "namespace": change.object.namespace, "name": change.object.name,
    })
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Create => "create",
        Verdict::Update(_) => "update",
        Verdict::Unchanged => "unchanged",
        Verdict::Delete => "delete",
        Verdict::Conflict(_) => "conflict",
        Verdict::Refused(_) => "refused",
    }
}

/// Fields of an update; a secret's values are masked where they were compared.
fn fields(change: &Change) -> Vec<Value> {
    let Verdict::Update(fields) = &change.verdict else { return Vec::new() };
    let shown = |field: &FieldChange| {
        let mut line = Map::new();
        line.insert("field".to_owned(), field.path.as_str().into());
        line.insert("from".to_owned(), field.from.clone().unwrap_or_default());
        line.insert("to".to_owned(), field.to.clone().unwrap_or_default());
        Value::Object(line)
    };
    fields.iter().map(shown).collect()
}

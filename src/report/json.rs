//! The story as JSON lines on stdout.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::{data, entry};
use crate::agent::frame::{Event, Recap};
use crate::run::{Happening, HostResult};

/// One happening, one line.
pub fn line(happening: &Happening) {
    let value = match happening {
        Happening::Connecting { host } => json!({"event": "connecting", "host": host}),
        Happening::Connected { host, hello } => json!({"event": "connected", "host": host, "user": hello.user, "boot_id": hello.boot_id}),
        Happening::Waiting { host, holder, doing } => {
            json!({"event": "waiting", "host": host, "for": holder.who, "since": holder.since, "doing": doing})
        }
        Happening::Restarting { host } => json!({"event": "restarting", "host": host}),
        Happening::Returned { host, seconds } => json!({"event": "returned", "host": host, "seconds": seconds}),
        Happening::Finished { host, result } => finished(host, result),
        Happening::Event { host, event } => match event {
            Event::Play { index } => json!({"event": "play", "host": host, "play": index}),
            Event::Started { position, name, doing } => {
                json!({"event": "started", "host": host, "position": position.to_string(), "task": name, "doing": doing})
            }
            Event::Output { line, error, .. } => json!({"event": "output", "host": host, "line": line, "stderr": error}),
            Event::Included { position, name } => {
                json!({"event": "included", "host": host, "position": position.to_string(), "file": name})
            }
            Event::Warning { message } => json!({"event": "warning", "host": host, "message": message}),
            Event::Item(result) => entry::task_done(host, result),
        },
    };
    data(&value.to_string());
}

fn counts(recap: &Recap) -> serde_json::Value {
    json!({
        "ok": recap.ok, "changed": recap.changed, "unreachable": recap.unreachable, "failed": recap.failed,
        "skipped": recap.skipped, "rescued": recap.rescued, "ignored": recap.ignored,
    })
}

fn finished(host: &str, result: &HostResult) -> serde_json::Value {
    json!({
        "event": "finished",
        "host": host,
        "counts": counts(&result.summary.recap),
        "reason": result.summary.reason,
        "unreachable": result.unreachable.as_ref().map(|failure| &failure.message),
        "hint": result.unreachable.as_ref().and_then(|failure| failure.hint.as_ref()),
        "pending_handlers": result.summary.pending_handlers,
    })
}

/// The last line.
pub fn recap(results: &BTreeMap<Arc<str>, HostResult>) {
    let hosts: serde_json::Map<String, serde_json::Value> =
        results.iter().map(|(name, result)| (name.to_string(), counts(&result.summary.recap))).collect();
    data(&json!({"event": "recap", "hosts": hosts}).to_string());
}

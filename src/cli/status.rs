//! `provision status`: what is there now, probed.

use clap::Args;

use super::Exit;
use super::begin::page_of;
use super::machines::Folder;
use crate::report;

/// Say what is there now: every machine, probed, within 3 s
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    folder: Folder,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn run(self) -> Exit {
        let (ours, project) = match self.folder.open() {
            Ok(opened) => opened,
            Err(exit) => return exit,
        };
        let nodes = ours.status();
        let url = page_of(&project);
        if self.json {
            let nodes: Vec<serde_json::Value> = nodes
                .iter()
                .map(|node| serde_json::json!({"name": node.name.as_str(), "address": node.address.to_string(), "state": node.state.to_string(), "reason": node.reason}))
                .collect();
            report::data(&serde_json::json!({ "environment": ours.environment.name, "nodes": nodes, "url": url }).to_string());
            return Exit::Success;
        }
        for node in &nodes {
            let reason = node.reason.as_ref().map(|reason| format!("  {reason}")).unwrap_or_default();
            let stray = if node.in_file { "" } else { "  (not in the file any more: provision destroy it)" };
            report::data(&format!("{:<16} {:<15} {}{reason}{stray}", node.name.as_str(), node.address, node.state));
        }
        if let Some(url) = url {
            report::data(&format!("{:<16} {url}", "page"));
        }
        Exit::Success
    }
}

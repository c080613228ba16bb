//! Patterns of hosts where there is no more than `groups`: the lookup `inventory_hostnames`.

use std::sync::Arc;

use crate::program::{Map, Value};
use crate::project::Inventory;

/// The hosts that patterns as in `hosts:` choose: `all`, `!web`, `&db`.
pub fn hosts_of(groups: &Map, patterns: &[String]) -> Vec<Arc<str>> {
    let groups = groups.iter().map(|(name, hosts)| {
        let hosts = hosts.as_list().unwrap_or_default().iter().filter_map(Value::as_str).map(Arc::from).collect();
        (Arc::from(&*name.text()), hosts)
    });
    Inventory::of_groups(groups).select_all(patterns.iter().map(String::as_str)).hosts
}

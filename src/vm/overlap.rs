//! Networks that are in use already, by another environment or by this machine: refused before anything is made.

use std::net::Ipv4Addr;

use serde::Deserialize;

use super::address::Network;
use super::environment::Names;
use super::error::{Error, Kind};
use super::host::{Record, all_addresses, link_exists};
use super::process::run;

/// Someone who has a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub network: Network,
    pub by: Claimant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimant {
    /// Another environment that is up: its name and folder.
    Environment(String, String),
    /// An interface of this machine, by address or route.
    Interface(String),
}

/// Refuse networks that others have. Reads only.
pub fn check(names: &Names, networks: &[Network]) -> Result<(), Error> {
    refuse(networks, &claims(names))
}

/// Everything that others than this environment have.
fn claims(names: &Names) -> Vec<Claim> {
    let others: Vec<Record> = Record::all().into_iter().filter(|record| record.environment.names() != *names).collect();
    let live: Vec<&Record> = others.iter().filter(|record| link_exists(&record.environment.names().bridge())).collect();
    let mut found: Vec<Claim> = Vec::new();
    for record in &live {
        let by = Claimant::Environment(record.environment.name.clone(), record.environment.folder.display().to_string());
        found.extend(record.networks.iter().map(|network| Claim { network: *network, by: by.clone() }));
    }
    let known = |link: &str| link == names.bridge() || live.iter().any(|record| record.environment.names().bridge() == link);
    for (link, address, prefix) in all_addresses() {
        if !known(&link) {
            found.push(Claim { network: Network::around(address, prefix), by: Claimant::Interface(link) });
        }
    }
    for (link, network) in routes() {
        if !known(&link) {
            found.push(Claim { network, by: Claimant::Interface(link) });
        }
    }
    found
}

fn refuse(networks: &[Network], claims: &[Claim]) -> Result<(), Error> {
    for network in networks {
        let Some(claim) = claims.iter().find(|claim| claim.network.overlaps(network)) else {
            continue;
        };
        let error = Error::new(Kind::Overlap, format!("checking the network {network}"));
        return Err(match &claim.by {
            Claimant::Environment(name, folder) => error
                .because(format!("it overlaps {} of the environment `{name}` in {folder}, which is up", claim.network))
                .hint(format!("take another network in the machines file, or run `provision destroy` in {folder}")),
            Claimant::Interface(link) => error
                .because(format!("this machine reaches {} through the interface {link}", claim.network))
                .hint("take another network in the machines file"),
        });
    }
    Ok(())
}

/// Routes of this machine other than the default ones: interface and destination.
fn routes() -> Vec<(String, Network)> {
    #[derive(Deserialize)]
    struct Route {
        dst: String,
        dev: Option<String>,
    }
    let text = run("ip", &["-j", "-4", "route", "show"]).unwrap_or_default();
    let routes: Vec<Route> = serde_json::from_str(&text).unwrap_or_default();
    routes
        .into_iter()
        .filter_map(|route| {
            let network = match route.dst.parse::<Network>() {
                Ok(network) => network,
                Err(_) => Network::around(route.dst.parse::<Ipv4Addr>().ok()?, 32),
            };
            (network.prefix() > 0).then_some((route.dev?, network))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_is_named_with_the_way_out() {
        let claims = [
            Claim { network: "10.9.0.0/16".parse().unwrap(), by: Claimant::Interface("eth0".into()) },
            Claim { network: "192.168.60.0/24".parse().unwrap(), by: Claimant::Environment("dev".into(), "/home/me/a".into()) },
        ];
        let error = refuse(&["192.168.60.0/25".parse().unwrap()], &claims).unwrap_err();
        assert_eq!(
            error.to_string(),
            "checking the network 192.168.60.0/25: it overlaps 192.168.60.0/24 of the environment `dev` in /home/me/a, which is up"
        );
        assert_eq!(error.hint.unwrap(), "take another network in the machines file, or run `provision destroy` in /home/me/a");
        let error = refuse(&["10.9.3.0/24".parse().unwrap()], &claims).unwrap_err();
        assert_eq!(error.to_string(), "checking the network 10.9.3.0/24: this machine reaches 10.9.0.0/16 through the interface eth0");
        assert!(refuse(&["10.10.0.0/24".parse().unwrap()], &claims).is_ok());
    }
}

//! Our SSH against real OpenSSH servers.

mod bootstrap;
mod commands;
mod host_keys;
mod links;
mod logins;
mod terminals;

use std::path::PathBuf;

use provision::ssh::{Connection, Connector, HostKeyPolicy, Patience, Request, Result, Surroundings, Target};

use crate::support::sshd::Sshd;

/// Surroundings with nothing in them: no home, no agent, no configuration.
fn surroundings(server: &Sshd) -> Surroundings {
    let mut surroundings = Surroundings::current();
    surroundings.person.home = server.folder().join("home");
    surroundings.agent = None;
    surroundings
}

fn pinned(server: &Sshd) -> HostKeyPolicy {
    HostKeyPolicy::Pinned(vec![server.host_key("ed25519").parse().expect("a public key")])
}

/// The user's key and the pinned host key, on 127.0.0.1.
fn request(server: &Sshd) -> Request {
    Request {
        name: "node".to_owned(),
        host: Some("127.0.0.1".to_owned()),
        port: Some(server.port()),
        private_key: Some(server.user_key()),
        pinned: Some(pinned(server)),
        arguments: vec!["-Fnone".to_owned()],
        ..Request::default()
    }
}

fn target(server: &Sshd) -> Target {
    Target::resolve(&request(server), &surroundings(server)).expect("a valid request")
}

async fn connect(target: &Target) -> Result<Connection> {
    Connector::default().connect(target, Patience::NONE).await
}

/// The agent that this build made.
fn agent() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_provision-agent"))
}

//! Reaching a host: connections, known hosts, jump hosts, commands, terminals, the agent's start.
//!
//! [`Target`] says where and as whom ([`Request`] and OpenSSH's configuration make one), [`Connector`] connects, a
//! [`Connection`] runs commands and opens tunnels, a [`Link`] is a connection, this machine, or the `ssh` program, and
//! [`bootstrap()`] starts the agent over a link and gives a [`Transport`]: the bytes to and from it.
//!
//! Only this module knows russh: each of its minor releases is a breaking one.

pub mod agent;
pub mod authentication;
pub mod bootstrap;
pub mod config;
pub mod connection;
pub mod connector;
pub mod error;
pub mod known_hosts;
pub mod link;
pub mod process;
pub mod target;
pub mod terminal;
#[cfg(test)]
mod xz;

pub use agent::AgentBinaries;
pub use authentication::{Ask, Keyring, Question};
pub use bootstrap::{AgentStart, Started, bootstrap};
pub use connection::Connection;
pub use connector::{Connector, Patience};
pub use error::{Error, ErrorKind, Result};
pub use known_hosts::HostKeyPolicy;
pub use link::Link;
pub use process::{Command, Ending, Output, Process, Status, Transport};
pub use target::{Request, Surroundings, Target};

//! Integration tests: one binary, a module a subject.

#![allow(clippy::print_stderr, reason = "what a failed test saw stands beside its failure")]

mod apply;
mod architecture;
#[cfg(feature = "controller")]
mod artifact;
mod beside;
#[cfg(feature = "controller")]
mod built_in;
#[cfg(feature = "controller")]
mod chart;
#[cfg(feature = "controller")]
mod cluster;
#[cfg(feature = "controller")]
mod engine;
#[cfg(feature = "controller")]
mod environment;
mod expressions;
mod facts;
#[cfg(feature = "controller")]
mod fuzz;
#[cfg(feature = "controller")]
mod inventory;
#[cfg(feature = "controller")]
mod mistakes;
mod modules;
#[cfg(feature = "controller")]
mod nodes;
mod oracle;
#[cfg(feature = "controller")]
mod playbooks;
#[cfg(feature = "controller")]
mod project;
#[cfg(feature = "controller")]
mod published;
#[cfg(feature = "controller")]
mod ssh;
#[cfg(feature = "controller")]
mod static_agent;
#[cfg(feature = "controller")]
#[allow(dead_code, reason = "each subject uses its part of it")]
mod support;
mod template;
#[cfg(feature = "controller")]
mod thousand;
#[cfg(feature = "controller")]
mod vault;
#[cfg(feature = "controller")]
mod vm;
#[cfg(feature = "controller")]
mod yaml;

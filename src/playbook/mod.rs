//! Playbooks: from YAML files to a program for each host, with every mistake that can be seen beforehand.

pub mod absent;
pub mod action;
pub mod again;
pub mod argument_specs;
pub mod artifact;
pub mod check;
pub mod closure;
pub mod compile;
pub mod connection;
pub mod doubt;
pub mod early;
pub mod fetch;
pub mod file;
pub mod found;
pub mod fragment;
pub mod include;
pub mod inherit;
pub mod keyword;
mod known;
pub mod list;
pub mod loader;
mod made;
pub mod modules;
mod newcomers;
pub mod pattern;
pub mod play;
pub mod possible;
pub mod reference;
pub mod role;
pub mod start;
pub mod task;
mod visits;
pub mod walk;

pub use crate::project::extra;
pub use crate::source::free_form;
pub use compile::{Compiled, Options, PlaySummary, compile};

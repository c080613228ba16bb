//! `provision`: from a folder of YAML to machines, a cluster and a monitored service.
//!
//! # How work reaches a node
//!
//! A playbook is compiled, for each host, to a typed [`program::Program`]: plays, tasks, an ordered stack of variable
//! scopes, fragments that may be included, files by content hash, each with its place in the user's text. One SSH
//! connection and one session a host: a static agent, pushed once and named by its SHA-256, takes the program on its
//! standard input and sends events back ([`agent::frame`]). It evaluates conditions, loops, `register` and handlers on the
//! node, so the time on the wire does not grow with the number of tasks.
//!
//! A module ([`module`]) is one file: typed arguments and a pure plan over [`system::System`]. It never writes: the engine
//! applies the [`system::Action`]s, so check mode, diff, no_log, become and the journal are the engine's.
//!
//! # What holds
//!
//! - Variables stay lazy: [`program::Tree`]s are evaluated on the node, at the point of use, in Ansible's precedence
//!   ([`agent::scope`]). Only what comes from a user's file is ever a template; values that come from a node never are.
//! - Agents run ahead through tasks that change nothing; before the first action at a [`program::Position`] they need the
//!   controller's word that every other host of the batch is past everything before it ([`run`]).
//! - A plan runs the same program over an overlay ([`system::overlay`]) that answers reads as after the planned actions;
//!   what cannot be known is an error kind that passes through `?`. An apply of a plan stops before an action that was
//!   neither predicted nor lies after something unknown.
//! - `now()` and `strftime` read the controller's clock in its zone, asked for once in a session and only where something reads it
//!   ([`agent`]). What holds to a plan sees it stand at the plan's moment.
//! - Before a task's first action its intent is on the node's disk, after the last one its record ([`agent::journal`]). After a
//!   run that did not end, "was changed", finished commands' results and owed handlers are given back. A run that changes
//!   nothing writes nothing.
//! - A host that cannot be reached has an agent on the controller in its place, which does what needs no machine; where a task needs it, the
//!   run's state goes up, the host is tried again behind all that came before, and the run goes on there ([`run`]). So it does after a
//!   restart of the machine.
//! - What is wrong in the user's text is an error before anything is touched where every run reaches it. Where a condition may leave it out it
//!   is a warning, and the program carries a [`program::Mistake`] in its place: who reaches it fails there ([`playbook::doubt`]).
//! - Secrets are marked values; they and every text that holds one are masked before anything leaves the agent
//!   ([`agent::mask`]). A node is sent only what its own program can read, and of what the run finds or makes on the controller a file
//!   whose name the controller knows by itself and has told it: what a node says names none ([`run`]).
//!
//! - Default paths that a folder has not are parts of the bundled layout, which this program carries ([`project::built_in`]); each is the
//!   user's or built in as a whole, and the plan says which.
//! - Artifacts ([`artifact`]) are files by content: a playbook names one, the compiler takes its files from the cache by digest,
//!   and which source gave it never reaches the task.
//! - Above the hosts ([`delivery`]) a plan is reads and dry runs: releases ([`chart`], rendered before anything is touched) go to
//!   the API server by server-side apply ([`cluster`]), only what a dry run showed to change; waits have names and last reasons.
//!
//! # Who may import whom
//!
//! Imports go one way; a test reads the sources against this table.
//!
//! ```text
//! both sides of the wire
//! program
//! template   program
//! system     program
//! module     program system template
//! agent      program system template module
//!
//! the controller's side
//! source     program
//! chart      program source
//! artifact   program source
//! project    program source vm
//! playbook   program module project source template
//! error
//! vm         error
//! ssh        program
//! cluster    error program source chart
//! run        program module template agent playbook ssh
//! delivery   program project playbook run chart cluster
//! up         program run cluster delivery
//! report     program agent artifact project playbook run vm ssh cluster delivery up
//! cli        program agent artifact source project playbook run vm ssh cluster chart delivery report up
//! ```

pub mod agent;
#[cfg(feature = "controller")]
pub mod artifact;
#[cfg(feature = "controller")]
pub mod chart;
#[cfg(feature = "controller")]
pub mod cli;
#[cfg(feature = "controller")]
pub mod cluster;
#[cfg(feature = "controller")]
pub mod delivery;
#[cfg(feature = "controller")]
pub mod error;
pub mod module;
#[cfg(feature = "controller")]
pub mod playbook;
pub mod program;
#[cfg(feature = "controller")]
pub mod project;
#[cfg(feature = "controller")]
pub mod report;
#[cfg(feature = "controller")]
pub mod run;
pub mod self_check;
pub mod source;
#[cfg(feature = "controller")]
pub mod ssh;
pub mod system;
pub mod template;
#[cfg(feature = "controller")]
pub mod up;
#[cfg(feature = "controller")]
pub mod vm;

//! What integration tests share: real nodes, real servers, bad links.

pub mod kube;
pub mod nodes;
pub mod person;
pub mod proxy;
pub mod sshd;

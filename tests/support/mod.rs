//! What integration tests share: real nodes, real servers, bad links.

pub mod nodes;
pub mod proxy;
pub mod sshd;

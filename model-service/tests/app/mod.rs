//! The app: its interface, its page in a browser, the experiment. In one process with the model service, and beside it.

pub(crate) mod api;
mod axe;
mod experiment;
mod explain;
mod page;
mod peers;
mod upstream;

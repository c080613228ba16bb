//! The engine on real nodes: what gate A of the first milestone asks to be seen.

mod accounts;
mod connection;
mod fetch;
mod flags;
mod found;
mod impostor;
mod jobs;
mod lab;
mod language;
mod large;
mod origins;
mod plan;
mod property;
mod settings;
mod survival;
mod terminal;
mod web;
mod wire;

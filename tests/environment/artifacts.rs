//! A file that is not what its checksum says comes to no node.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Folder;
use super::bundled::LISTING;
use crate::artifact::server::{Answer, Server};
use crate::artifact::tool;

/// Changes one bit in the middle.
fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

/// The only file below a folder that is so large.
fn blob(folder: &Path, size: u64) -> std::path::PathBuf {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.into_iter().find(|path| fs::metadata(path).is_ok_and(|about| about.len() == size)).expect("it is there")
}

#[test]
fn a_flipped_byte_is_refused_by_name_and_nothing_is_installed() {
    let Some(folder) = Folder::new() else { return };
    folder.expect(0, &["up", "--yes"]);
    let site = fs::read_to_string(folder.path().join("playbooks/site.yaml")).expect("readable");
    folder.write("playbooks/site.yaml", &format!("{site}    - {{name: tool, artifact: {{name: tool, dest: /usr/local/bin/}}}}\n"));
    let listings = || ["control", "worker-1"].map(|node| folder.expect(0, &["ssh", node, "--", LISTING]).0);
    let before = listings();
    let refused = |said: &[&str]| {
        let (_, story) = folder.expect(1, &["up", "--yes"]);
        assert!(said.iter().all(|said| story.contains(said)), "{story}");
        // Not a byte, on no node; whole lines would be too long to show.
        assert!(listings() == before, "something was installed:\n{story}");
    };

    // On its way here.
    let whole = b"#!/bin/sh\necho whole\n".repeat(1000);
    let mut flipped = whole.clone();
    flip(&mut flipped);
    let answers = |bytes: &[u8]| Server::start(&[("/v1.2.3/tool", &[Answer::Whole(bytes.to_vec())])]);
    let server = answers(&flipped);
    folder.write("artifacts.yaml", &tool(&server.url(), &whole, "cache, upstream"));
    refused(&["error: fetch `tool` 1.2.3 for ", "refused: ", "hint: somebody changed the file, or `sha256` of `tool` in artifacts.yaml"]);
    drop(server);

    // In the cache, whence it goes to nodes.
    let server = answers(&whole);
    folder.write("artifacts.yaml", &tool(&server.url(), &whole, "cache, upstream"));
    folder.expect(0, &["cache", "fetch", "tool"]);
    let path = blob(&folder.path().join(".cache/provision/artifacts/blobs"), whole.len() as u64);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("ours");
    fs::write(&path, &flipped).expect("written");
    refused(&["error: check `tool` in the cache: ", " is damaged: its SHA-256 is ", "hint: run `provision cache clean tool`"]);

    folder.expect(0, &["cache", "clean", "tool"]);
    folder.expect(0, &["up", "--yes"]);
    for node in ["control", "worker-1"] {
        assert_eq!(folder.expect(0, &["ssh", node, "--", "tool | head -n 1"]).0, "whole\n");
    }
}

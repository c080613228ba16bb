//! A release build of the controller carries the agent: `provision-agent`, static, without the controller's features.
//!
//! A nested cargo builds it for this machine's architecture, and for every other whose musl target is installed
//! (`rustup target add aarch64-unknown-linux-musl`), into a target folder of its own, so that neither waits for the other.
//! Debug builds embed no agent: they find it beside themselves (`ssh::AgentBinaries::find`).
//!
//! Every build of the controller carries the bundled layout (`project::built_in`), packed: one tar, the same bytes from the same files.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

#[path = "src/ssh/xz.rs"]
mod xz;

/// `uname -m` on a node, and the target that runs there.
const TARGETS: &[(&str, &str)] = &[("x86_64", "x86_64-unknown-linux-musl"), ("aarch64", "aarch64-unknown-linux-musl")];

/// The bundled layout, and what Cargo needs to build the model service of it. `artifacts.yaml` is part of `artifact::read`.
const BUILT_IN: [&str; 12] = [
    "provision.yaml",
    "vms",
    "inventory",
    "playbooks",
    "charts",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    "model-service/Cargo.toml",
    "model-service/src",
    "model-service/models",
    "model-service/versions",
];

/// Cargo reads the workspace's manifest only where the files of targets that it names without a path are there: benches are, without
/// what a user's machine has no use for.
fn stand_ins() -> Vec<String> {
    let manifest = std::fs::read_to_string("Cargo.toml").expect("the manifest is there");
    let benches = manifest.split("[[bench]]").skip(1).filter_map(|bench| bench.split("name = \"").nth(1)?.split('"').next());
    benches.map(|name| format!("benches/{name}.rs")).collect()
}

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    if std::env::var_os("CARGO_FEATURE_CONTROLLER").is_some() {
        for path in BUILT_IN.into_iter().chain(["src/vm/workstation.yaml"]) {
            println!("cargo::rerun-if-changed={path}");
        }
        write_if_new(&out.join("built_in.tar.gz"), &built_in());
    }
    // The agent's own build has no controller and ends here: nothing nests twice.
    let embed = variable("PROFILE") == "release" && std::env::var_os("CARGO_FEATURE_CONTROLLER").is_some();
    println!("cargo::rerun-if-changed=build.rs");
    if embed {
        // The nested cargo knows by itself what an edit of the controller's files does not touch.
        for path in ["src", "Cargo.toml", "Cargo.lock"] {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let agents = if embed { build_agents(&out) } else { Vec::new() };
    let mut table = String::from("static EMBEDDED: &[Embedded] = &[\n");
    for (architecture, file) in agents {
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("read {}: {error}", file.display()));
        let packed = out.join(format!("agent-{architecture}.xz"));
        write_if_new(&packed, &xz::pack(&bytes, architecture));
        let digest = hex(&Sha256::digest(&bytes));
        let size = bytes.len();
        writeln!(
            table,
            "    Embedded {{ architecture: {architecture:?}, digest: {digest:?}, size: {size}, xz: include_bytes!({:?}) }},",
            packed.to_string_lossy()
        )
        .expect("a string takes every text");
    }
    table.push_str("];\n");
    write_if_new(&out.join("embedded_agent.rs"), table.as_bytes());
}

fn build_agents(out: &Path) -> Vec<(&'static str, PathBuf)> {
    let own = variable("CARGO_CFG_TARGET_ARCH");
    let mut agents = Vec::new();
    for (architecture, target) in TARGETS {
        if has_std(target) {
            agents.push((*architecture, build(out, target, architecture, &own)));
        } else if *architecture == own && variable("CARGO_CFG_TARGET_OS") == "linux" {
            println!("cargo::warning=without `rustup target add {target}` the agent is linked statically with this system's glibc");
            agents.push((*architecture, build(out, &format!("{architecture}-unknown-linux-gnu"), architecture, &own)));
        }
    }
    assert!(!agents.is_empty(), "no target for the agent is installed: run `rustup target add {own}-unknown-linux-musl`");
    agents
}

/// Whether the toolchain can build for a target.
fn has_std(target: &str) -> bool {
    let output = Command::new(variable("RUSTC")).args(["--print", "target-libdir", "--target", target]).output();
    let folder =
        output.ok().filter(|output| output.status.success()).map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    folder.is_some_and(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with("libstd-"))
    })
}

fn build(out: &Path, target: &str, architecture: &str, own: &str) -> PathBuf {
    let folder = out.join("agent-target");
    let run = |offline: bool| {
        let mut command = Command::new(variable("CARGO"));
        command.current_dir(variable("CARGO_MANIFEST_DIR"));
        command
            .args(["build", "--profile", "agent", "--no-default-features", "--bin", "provision-agent", "--target", target, "--target-dir"])
            .arg(&folder);
        if offline {
            command.arg("--offline");
        }
        clean_environment(&mut command);
        let mut flags = String::new();
        if target.ends_with("-gnu") {
            flags.push_str("-C target-feature=+crt-static");
        }
        // Rust's own linker makes static binaries for any architecture; a compiler of this machine's only for its own.
        if architecture != own || variable("HOST") != variable("TARGET") || !variable("HOST").contains("linux") {
            command.env(format!("CARGO_TARGET_{}_LINKER", target.to_uppercase().replace('-', "_")), "rust-lld");
        }
        if !flags.is_empty() {
            command.env("RUSTFLAGS", flags);
        }
        command.output().unwrap_or_else(|error| panic!("run cargo for the agent: {error}"))
    };
    // What the agent needs is a part of what the controller needed, and lies here already; but for targets' own parts.
    let mut output = run(true);
    if !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("--offline") {
        output = run(false);
    }
    assert!(output.status.success(), "build the agent for {target}:\n{}", String::from_utf8_lossy(&output.stderr));
    folder.join(target).join("agent/provision-agent")
}

/// What cargo tells a build script is about another package, another target and other flags.
fn clean_environment(command: &mut Command) {
    const SETTINGS: &[&str] =
        &["CARGO_HOME", "CARGO_HTTP_", "CARGO_MAKEFLAGS", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_TERM_"];
    const OF_THE_BUILD: &[&str] =
        &["DEBUG", "HOST", "NUM_JOBS", "OPT_LEVEL", "OUT_DIR", "PROFILE", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTC_LINKER", "TARGET"];
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        let ours = name.starts_with("CARGO_") && !SETTINGS.iter().any(|setting| name.starts_with(setting));
        if ours || name.starts_with("DEP_") || OF_THE_BUILD.contains(&&*name) {
            command.env_remove(&*name);
        }
    }
}

/// The bundled layout as a packed tar.
fn built_in() -> Vec<u8> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    BUILT_IN.iter().for_each(|path| files(&root, Path::new(path), &mut paths));
    paths.sort();
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &Path, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes).expect("memory takes every file");
    };
    for path in paths {
        let bytes = std::fs::read(root.join(&path)).unwrap_or_else(|error| panic!("read {}: {error}", path.display()));
        add(&path, &bytes);
    }
    let play = "src/vm/workstation.yaml";
    add(Path::new("workstation/play.yaml"), &std::fs::read(root.join(play)).unwrap_or_else(|error| panic!("read {play}: {error}")));
    stand_ins().iter().for_each(|path| add(Path::new(path), b"// Stands here so that Cargo can read the workspace.\n"));
    gzip(&archive.into_inner().expect("memory takes every file"))
}

/// The files of a path below the root, which may be a folder.
fn files(root: &Path, path: &Path, found: &mut Vec<PathBuf>) {
    let whole = root.join(path);
    if !whole.is_dir() {
        found.push(path.to_owned());
        return;
    }
    let entries = std::fs::read_dir(&whole).unwrap_or_else(|error| panic!("read {}: {error}", whole.display()));
    entries.flatten().for_each(|entry| files(root, &path.join(entry.file_name()), found));
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A file that stays as it is compiles nothing anew.
fn write_if_new(path: &Path, bytes: &[u8]) {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return;
    }
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}

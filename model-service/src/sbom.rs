//! `model-service sbom`: what a build is made of, as CycloneDX 1.6 JSON, from what Cargo says of it. The same input gives the same bytes.
//!
//! `cargo tree` knows which crates this package has with these features on this target, where `cargo metadata` answers for the whole
//! workspace; Cargo.lock has their checksums.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

#[derive(clap::Args)]
pub struct Arguments {
    /// What `cargo tree --package model-service --target T --edges normal --prefix depth --format '|{p}|{l}'` says
    #[arg(long)]
    tree: PathBuf,
    /// Checksums of the crates
    #[arg(long, default_value = "Cargo.lock")]
    lock: PathBuf,
    /// Model that is in the image too
    #[arg(long)]
    model: Option<PathBuf>,
    /// Version to tell instead of the package's
    #[arg(long)]
    version: Option<String>,
    #[arg(long)]
    output: PathBuf,
}

/// A crate as a line of the tree has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    /// As its manifest has it; empty where that names none.
    license: String,
}

impl Crate {
    /// Package URL (purl-spec, type cargo).
    fn purl(&self) -> String {
        format!("pkg:cargo/{}@{}", self.name, self.version.replace('+', "%2B"))
    }
}

pub fn write(arguments: &Arguments) -> Result<()> {
    let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()));
    let edges = edges(&read(&arguments.tree)?).with_context(|| format!("read `{}`", arguments.tree.display()))?;
    let mut components = vec![];
    if let Some(path) = &arguments.model {
        let content = fs::read(path).with_context(|| format!("read `{}`", path.display()))?;
        components.push(model(path, &content));
    }
    let bill = bill(&edges, &checksums(&read(&arguments.lock)?), arguments.version.as_deref(), components)?;
    fs::write(&arguments.output, bill.to_string() + "\n").with_context(|| format!("write `{}`", arguments.output.display()))
}

/// Every crate with what it depends on, and the package itself first. A crate's own dependencies stand where it is named first.
fn edges(tree: &str) -> Result<(Crate, BTreeMap<Crate, BTreeSet<Crate>>)> {
    let mut found: BTreeMap<Crate, BTreeSet<Crate>> = BTreeMap::new();
    let mut path: Vec<Crate> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        // `1|serde v1.0.228|MIT OR Apache-2.0`; `(proc-macro)`, a folder, or `(*)` may follow the version.
        let mut fields = line.splitn(3, '|');
        let (depth, package, license) = (fields.next(), fields.next(), fields.next());
        let mut words = package.unwrap_or_default().split(' ');
        let (Some(Ok(depth)), Some(name), Some(version)) = (depth.map(str::parse::<usize>), words.next(), words.next()) else {
            bail!("this is no line of `cargo tree`: {line}");
        };
        let license = license.unwrap_or_default().trim_end_matches(" (*)").replace('/', " OR ");
        let this = Crate { name: name.to_owned(), version: version.trim_start_matches('v').to_owned(), license };
        path.truncate(depth);
        if let Some(parent) = path.last() {
            found.entry(parent.clone()).or_default().insert(this.clone());
        }
        found.entry(this.clone()).or_default();
        path.push(this);
    }
    let root = path.first().context("it is empty")?.clone();
    Ok((root, found))
}

/// SHA-256 by name and version, of crates that come from a registry.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |package: &str, key: &str| {
        package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')).map(str::to_owned)
    };
    let packages = lock.split("[[package]]");
    packages.filter_map(|package| Some(((value(package, "name")?, value(package, "version")?), value(package, "checksum")?))).collect()
}

fn model(path: &Path, content: &[u8]) -> Value {
    let digest = hex::encode(Sha256::digest(content));
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    json!({
        "type": "machine-learning-model",
        "bom-ref": format!("model:{digest}"),
        "name": name,
        "version": digest[..12],
        "hashes": [{"alg": "SHA-256", "content": digest}],
    })
}

fn bill(
    (root, edges): &(Crate, BTreeMap<Crate, BTreeSet<Crate>>),
    checksums: &BTreeMap<(String, String), String>,
    version: Option<&str>,
    mut components: Vec<Value>,
) -> Result<Value> {
    let models: Vec<Value> = components.iter().map(|component| component["bom-ref"].clone()).collect();
    for one in edges.keys().filter(|one| *one != root) {
        let mut component = described(one, "library", &one.version);
        if let Some(checksum) = checksums.get(&(one.name.clone(), one.version.clone())) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        components.push(component);
    }
    let dependencies: Vec<Value> = edges
        .iter()
        .map(|(one, on)| {
            let models = models.iter().filter(|_| one == root).cloned();
            let on: Vec<Value> = models.chain(on.iter().map(|on| json!(on.purl()))).collect();
            json!({"ref": one.purl(), "dependsOn": on})
        })
        .collect();
    if components.is_empty() {
        bail!("describe {}: it depends on nothing, which cannot be", root.name);
    }
    Ok(json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": described(root, "application", version.unwrap_or(&root.version))},
        "components": components,
        "dependencies": dependencies,
    }))
}

fn described(one: &Crate, kind: &str, version: &str) -> Value {
    let mut component = json!({"type": kind, "bom-ref": one.purl(), "name": one.name, "version": version, "purl": one.purl()});
    if !one.license.is_empty() {
        component["licenses"] = json!([{"expression": one.license}]);
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "0|own v0.1.0 (/folder/own)|Apache-2.0\n1|a v1.0.0+x|MIT/Apache-2.0\n2|b v2.0.0 (proc-macro)|\n1|c v3.0.0|MIT\n2|a v1.0.0+x|MIT/Apache-2.0 (*)\n";

    #[test]
    fn a_tree_is_read_with_its_edges() {
        let (root, edges) = edges(TREE).expect("a tree");
        let shown: Vec<String> = edges
            .iter()
            .map(|(one, on)| format!("{} > {}", one.purl(), on.iter().map(Crate::purl).collect::<Vec<_>>().join(" ")))
            .collect();
        assert_eq!(root.name, "own");
        assert_eq!(
            shown,
            [
                "pkg:cargo/a@1.0.0%2Bx > pkg:cargo/b@2.0.0",
                "pkg:cargo/b@2.0.0 > ",
                "pkg:cargo/c@3.0.0 > pkg:cargo/a@1.0.0%2Bx",
                "pkg:cargo/own@0.1.0 > pkg:cargo/a@1.0.0%2Bx pkg:cargo/c@3.0.0",
            ]
        );
        assert_eq!(edges.keys().next().map(|one| one.license.as_str()), Some("MIT OR Apache-2.0"));
        assert!(super::edges("serde v1\n").is_err());
    }

    #[test]
    fn crates_have_the_checksums_of_the_lock() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0+x\"\nchecksum = \"abc\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let edges = edges(TREE).expect("a tree");
        let bill = bill(&edges, &checksums(lock), Some("1.2.3"), vec![]).expect("a bill");
        assert_eq!(bill["components"][0]["hashes"][0]["content"], "abc");
        assert!(bill["components"][1].get("hashes").is_none());
        assert_eq!(bill["metadata"]["component"]["version"], "1.2.3");
    }
}

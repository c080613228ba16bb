//! `artifacts.yaml`: what is built in, what a user lays over it, and each mistake with its place.

use std::fs;
use std::path::Path;

use provision::artifact::manifest::Part;
use provision::artifact::{Architecture, Manifest, SourceKind};

use super::Lab;

/// The report about a user's file.
fn report(text: &str) -> String {
    let lab = Lab::new(text);
    let path = lab.path().join("artifacts.yaml");
    let report = Manifest::load(Some(&path)).expect_err("it has mistakes").to_string();
    report.replace(&path.display().to_string(), "artifacts.yaml")
}

#[test]
fn the_built_in_manifest_has_all_that_a_cluster_needs() {
    let manifest = Manifest::builtin();
    for name in ["kubeadm", "kubelet", "kubectl", "containerd", "cni-plugins", "etcd"] {
        let artifact = &manifest.artifacts[name];
        assert_eq!(artifact.sources, SourceKind::ALL);
        let upstream = artifact.upstream.as_ref().expect("it is published");
        for architecture in Architecture::ALL {
            assert_eq!(upstream.sha256[&architecture].len(), 64);
            let address = upstream.address(&artifact.version, architecture);
            assert!(address.contains(&artifact.version) && address.contains(architecture.word()) && !address.contains('{'), "{address}");
        }
        let module = artifact.module.as_ref().expect("it has a module");
        assert!(module.version == artifact.version && module.sum.is_some(), "{module:?}");
    }
    let references: Vec<&str> = manifest.images.values().map(|image| image.reference.as_str()).collect();
    assert_eq!(
        references,
        [
            // The workspace's own version, as below.
            concat!("provision.local/app:", env!("CARGO_PKG_VERSION")),
            "docker.io/library/busybox:1.35.0",
            "registry.k8s.io/coredns/coredns:v1.14.2",
            "registry.k8s.io/etcd:3.6.8-0",
            "ghcr.io/flannel-io/flannel:v0.28.4",
            "registry.k8s.io/kube-apiserver:v1.36.4",
            "registry.k8s.io/kube-controller-manager:v1.36.4",
            "registry.k8s.io/kube-proxy:v1.36.4",
            "registry.k8s.io/kube-scheduler:v1.36.4",
            "docker.io/rancher/local-path-provisioner:v0.0.30",
            concat!("provision.local/model-service:", env!("CARGO_PKG_VERSION")),
            "registry.k8s.io/pause:3.10.2",
        ]
    );
    assert_eq!(manifest.images["pause"].files["/pause"], Part::Pause);
    // A key of sources that are not there would never change.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for image in ["app", "model-service"] {
        let cargo = manifest.images[image].cargo.as_ref().expect("it is Cargo's");
        assert!(cargo.sources.iter().all(|source| folder.join(source).exists()), "{cargo:?}");
    }
    let module = manifest.artifacts["kubelet"].module.as_ref().expect("it has a module");
    assert!(module.linker_flags().contains("-X k8s.io/component-base/version.gitMinor=36"), "{}", module.linker_flags());
}

#[test]
fn a_users_file_is_laid_over_key_by_key() {
    let sum = "0123456789abcdef".repeat(4);
    let lab = Lab::new(&format!(
        "sources: [cache, go]\nartifacts:\n  kubelet:\n    version: 1.36.5\n    upstream: {{sha256: {{amd64: {}, arm64: {sum}}}}}\n    sources: [upstream]\n  own:\n    version: '1'\n    files: {{own: {{mode: 0600}}}}\n    upstream: {{url: https://example.org/own, sha256: {{amd64: {sum}}}}}\n  runc: {{upstream: {{sha256: {{arm64: {sum}}}}}}}\n",
        sum.to_uppercase()
    ));
    let manifest = Manifest::load(Some(&lab.path().join("artifacts.yaml"))).expect("no mistakes");
    let kubelet = &manifest.artifacts["kubelet"];
    let upstream = kubelet.upstream.as_ref().expect("it is published");
    assert_eq!(upstream.address(&kubelet.version, Architecture::Arm64), "https://dl.k8s.io/release/v1.36.5/bin/linux/arm64/kubelet");
    assert_eq!(upstream.sha256[&Architecture::Amd64], sum);
    assert_eq!(kubelet.sources, [SourceKind::Upstream]);
    assert_eq!(manifest.artifacts["own"].files[0].mode, 0o600);
    assert_eq!(manifest.artifacts["kubeadm"].sources, [SourceKind::Cache, SourceKind::Go]);
    // The other architecture's checksum is still ours.
    assert!(manifest.artifacts["runc"].upstream.as_ref().expect("published").sha256[&Architecture::Amd64].starts_with("f6ae8efc"));
}

#[test]
fn a_version_without_its_checksum_is_a_mistake_and_leaving_upstream_out_is_not() {
    assert_eq!(
        report("artifacts:\n  kubelet: {version: 1.36.5}\nmodules:\n  coredns: {version: 1.14.3}\n"),
        "error: version 1.36.5 of artifact `kubelet` has no checksum
  ┌─ artifacts.yaml:2:22
2 │   kubelet: {version: 1.36.5}
  │                      ^^^^^^ the built-in `upstream.sha256` is that of 1.36.4
  hint: write `upstream.sha256` of this version beside it, or `upstream: ~` to do without

error: version 1.14.3 of module `coredns` has no checksum
  ┌─ artifacts.yaml:4:22
4 │   coredns: {version: 1.14.3}
  │                      ^^^^^^ the built-in `sum` is that of 1.14.2
  hint: write `sum` of this version beside it, or `sum: ~` to do without

2 mistakes"
    );
    let lab = Lab::new(
        "artifacts:\n  kubelet: {version: 1.36.5, upstream: ~}\nmodules:\n  kubernetes: {version: 1.36.5, sum: ~, replaced: 0.36.5}\n",
    );
    let manifest = Manifest::load(Some(&lab.path().join("artifacts.yaml"))).expect("no mistakes");
    assert!(manifest.artifacts["kubelet"].upstream.is_none());
}

#[test]
fn every_mistake_stands_in_one_report_with_its_place_and_a_suggestion() {
    let report = report(include_str!("mistakes.yaml")) + "\n";
    // `UPDATE=1 cargo test artifact` writes what is reported now; read the difference before it is committed.
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/artifact/mistakes.txt");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&expected, &report).expect("written");
    }
    assert_eq!(report, fs::read_to_string(expected).expect("there"));
}

#[test]
fn what_is_no_yaml_or_not_there_is_told() {
    let broken = report("artifacts: [a\n");
    assert!(broken.contains("artifacts.yaml:1:12") && broken.ends_with("1 mistake"), "{broken}");
    assert!(report("artifacts: 3\n").contains("`artifacts` of a manifest is a mapping, this is a number"));
    assert!(report("sources: [cache]\nsources: [go]\n").contains("`sources`"));
    let lab = Lab::new("");
    fs::remove_file(lab.path().join("artifacts.yaml")).expect("it was there");
    let error = Manifest::load(Some(&lab.path().join("artifacts.yaml"))).expect_err("it is gone").to_string();
    assert!(error.contains("No such file or directory"), "{error}");
}

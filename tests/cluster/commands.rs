//! `provision kubeconfig` and `provision kubectl`, as a user runs them.

use std::io::Write;
use std::process::{Command, Stdio};

use provision::cluster::{Cluster, kubeconfig};

#[tokio::test(flavor = "multi_thread")]
async fn admin_conf_under_the_environment_s_name_opens_the_cluster() {
    let Some((client, _)) = super::cluster().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = kubeconfig::path(folder.path());
    assert!(kubeconfig::store(&file, &client.server().admin(), "dev").unwrap());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("current-context: dev") && !text.contains("kubernetes-admin"), "{text}");
    let cluster = Cluster::connect(&file).await.unwrap();
    assert!(cluster.version().await.unwrap().starts_with('v'));
    // As the user of the certificate, not as nobody.
    super::applied(&cluster, &super::release("admin", 1)).await;
    // The same file serves kubectl, alone and merged into a user's own.
    let own = folder.path().join("config");
    std::fs::write(&own, "apiVersion: v1\nkind: Config\nclusters: [{name: work, cluster: {server: 'https://work'}}]\ncurrent-context: work\ncontexts: [{name: work, context: {cluster: work, user: me}}]\nusers: []\n").unwrap();
    kubeconfig::merge(&own, &text, None, folder.path()).unwrap();
    for words in [vec!["--kubeconfig", file.to_str().unwrap()], vec!["--kubeconfig", own.to_str().unwrap(), "--context", "dev"]] {
        let said = client.kubectl(&[&words[..], &["get", "deployments", "-n", "admin", "-o", "name"]].concat());
        assert_eq!(said, "deployment.apps/web\n");
    }
}

#[test]
fn kubectl_runs_with_the_folder_s_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_provision");
    let run = |words: &[&str], path: Option<&str>| {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(folder.path())
            .env_remove("KUBECONFIG")
            .env_remove("XDG_CACHE_HOME")
            .env("HOME", folder.path())
            .stdin(Stdio::null());
        if let Some(path) = path {
            command.env("PATH", path);
        }
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = folder.path().canonicalize().unwrap().join(".provision/kubeconfig");
    let missing = format!(
        "error: read {}: No such file or directory (os error 2)\nhint: this folder has no cluster yet: run `provision up`\n",
        file.display()
    );
    assert_eq!(run(&["kubectl", "get", "pods"], None), (Some(1), String::new(), missing.clone()));
    assert_eq!(run(&["kubeconfig"], None), (Some(1), String::new(), missing));

    let admin = "apiVersion: v1\nkind: Config\nclusters: [{name: kubernetes, cluster: {server: 'https://192.168.60.2:6443'}}]\nusers: [{name: a, user: {token: t}}]\ncontexts: [{name: c, context: {cluster: kubernetes, user: a}}]\ncurrent-context: c\n";
    kubeconfig::store(&file, admin, "dev").unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(run(&["kubeconfig"], None), (Some(0), text, String::new()));
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let mut script = std::fs::File::create(bin.join("kubectl")).unwrap();
    script.write_all(b"#!/bin/sh\necho \"$KUBECONFIG $*\"\nexit 3\n").unwrap();
    drop(script);
    let empty = run(&["kubectl", "get"], Some("/nowhere"));
    assert_eq!((empty.0, empty.2.contains("it is neither on PATH nor in the cache")), (Some(127), true));
    std::fs::set_permissions(bin.join("kubectl"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let said = run(&["kubectl", "get", "-n", "x", "pods", "--folder", "y"], Some(&path));
    assert_eq!(said, (Some(3), format!("{} get -n x pods --folder y\n", file.display()), String::new()));

    let merged = run(&["kubeconfig", "--merge", "--context", "mine"], None);
    assert_eq!(merged.0, Some(0), "{merged:?}");
    assert!(merged.2.contains("It is the current one: kubectl get nodes"), "{merged:?}");
    let own = std::fs::read_to_string(folder.path().join(".kube/config")).unwrap();
    assert!(own.contains("current-context: mine") && own.contains("server: https://192.168.60.2:6443"), "{own}");
    assert!(run(&["kubeconfig", "--merge", "--context", "mine"], None).2.contains("has the context `mine` already"));
}

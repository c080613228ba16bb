//! Plan by dry run, apply what it showed, prune what is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use provision::cluster::{Condition, Conflicts, ErrorKind, ObjectId, Verdict};
use serde_json::json;

use super::{applied, cluster, get, lines, release};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_plan_is_unchanged_and_writes_nothing() {
    let Some((client, cluster)) = cluster().await else { return };
    let wanted = release("twice", 2);
    let plan = cluster.plan(&wanted).await.unwrap();
    assert!(client.writes().is_empty(), "a plan wrote: {:?}", client.writes());
    let expected = [
        "+ Namespace twice",
        "+ PodDisruptionBudget twice/web",
        "+ ServiceAccount twice/web",
        "+ Secret twice/key",
        "+ ConfigMap twice/settings",
        "+ Service twice/web",
        "+ Deployment twice/web",
    ];
    assert_eq!(lines(&plan), expected);
    assert_eq!(applied(&cluster, &wanted).await, expected);
    let first = client.writes();
    // Each object once, the record twice: before and after.
    assert_eq!(first.len(), 9, "{first:?}");
    assert_eq!(first.iter().filter(|write| write.ends_with("configmaps twice/provision.release.twice")).count(), 2, "{first:?}");

    // The controllers write too: wait until they are done.
    let rolled = cluster
        .wait(
            &Condition::DeploymentAvailable { namespace: "twice".to_owned(), name: "web".to_owned() },
            Duration::from_secs(4),
            &mut |_| {},
        )
        .await;
    assert_eq!(rolled.unwrap_err().kind, ErrorKind::TimedOut);
    let requests = client.events().len();
    let second = cluster.plan(&wanted).await.unwrap();
    assert_eq!(lines(&second), [""; 0]);
    assert!(second.is_unchanged() && second.changes.iter().all(|change| change.verdict == Verdict::Unchanged) && second.changes.len() == 7);
    assert_eq!(second.revision(), 1);
    assert_eq!(cluster.apply(&second, &mut |change| panic!("{change}")).await.unwrap(), 1);
    assert_eq!(client.writes(), first, "the second run wrote");
    let asked = client.events().len() - requests;
    // A get and a dry run for each object, the namespace's state and the record.
    assert!(asked <= 7 * 2 + 2, "{asked} requests");

    // Whose it is, and that nothing but the metadata was labelled.
    let web = get(&client, &["deployment", "web", "-n", "twice", "--show-managed-fields"]);
    assert_eq!(
        web["metadata"]["labels"],
        json!({"app": "twice", "app.kubernetes.io/managed-by": "provision", "provision.dev/release": "twice", "provision.dev/environment": "dev"})
    );
    assert_eq!(web["spec"]["template"]["metadata"]["labels"], json!({"app": "twice"}));
    assert_eq!(web["metadata"]["managedFields"][0]["manager"], "provision");
    assert_eq!(get(&client, &["namespace", "twice"])["metadata"]["labels"]["provision.dev/release"], "twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_shown_by_field_and_alone_is_sent() {
    let Some((client, cluster)) = cluster().await else { return };
    applied(&cluster, &release("fields", 1)).await;
    let before = client.writes().len();
    let mut wanted = release("fields", 3);
    wanted.objects[0]["spec"]["template"]["spec"]["containers"][0]["image"] = "web:2".into();
    wanted.objects[3]["stringData"] = json!({"other": "s3cret"});
    let plan = cluster.plan(&wanted).await.unwrap();
    assert_eq!(lines(&plan), ["~ Secret fields/key", "~ Deployment fields/web"]);
    let changes: Vec<String> = plan
        .changes
        .iter()
        .filter_map(|change| match &change.verdict {
            Verdict::Update(fields) => Some(fields.iter().map(ToString::to_string).collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(
        changes,
        [
            r#"data.other: + "***""#,
            r#"data.token: - "***""#,
            "spec.replicas: 1 → 3",
            r#"spec.template.spec.containers[name=web].image: "web:1" → "web:2""#,
        ]
    );
    assert_eq!(cluster.apply(&plan, &mut |_| {}).await.unwrap(), 2);
    let writes = client.writes().split_off(before);
    assert_eq!(
        writes,
        [
            "patch configmaps fields/provision.release.fields",
            "patch secrets fields/key",
            "patch deployments fields/web",
            "patch configmaps fields/provision.release.fields"
        ]
    );
    assert!(cluster.plan(&wanted).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_plan_did_not_show_is_told_apart() {
    let Some((client, cluster)) = cluster().await else { return };
    let mut wanted = release("beyond", 1);
    applied(&cluster, &wanted).await;
    wanted.objects[0]["spec"]["replicas"] = 2.into();
    let shown = cluster.plan(&wanted).await.unwrap();
    let beyond = async |shown: &provision::cluster::ReleasePlan| {
        let now = cluster.plan(&wanted).await.unwrap();
        now.beyond(shown).map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(beyond(&shown).await, [""; 0]);
    // Somebody else takes an object away, and does what was to be done to another.
    client.kubectl(&["delete", "configmap", "settings", "-n", "beyond"]);
    assert_eq!(beyond(&shown).await, ["+ ConfigMap beyond/settings"]);
    client.kubectl(&["delete", "deployment", "web", "-n", "beyond"]);
    assert_eq!(beyond(&shown).await, ["+ ConfigMap beyond/settings", "+ Deployment beyond/web"], "to make it is more than to change it");
    // What was shown and is not to be done any more is nothing beyond.
    let all = cluster.plan(&wanted).await.unwrap();
    applied(&cluster, &wanted).await;
    assert_eq!(beyond(&all).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_while_a_plan_looks_is_no_change_of_ours() {
    let Some((client, cluster)) = cluster().await else { return };
    let wanted = release("busy", 1);
    applied(&cluster, &wanted).await;
    let client = Arc::new(client);
    let other = Arc::clone(&client);
    let (written, done) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, stop) = (Arc::clone(&written), Arc::clone(&done));
    let writer = tokio::task::spawn_blocking(move || {
        while !stop.load(Ordering::Relaxed) {
            let value = format!("count={}", count.load(Ordering::Relaxed));
            other.kubectl(&["annotate", "configmap", "settings", "-n", "busy", "--overwrite", &value]);
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (mut seen, mut plans) = (Vec::new(), 0);
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(8) || plans < 20 || written.load(Ordering::Relaxed) < 20 {
        seen.extend(cluster.plan(&wanted).await.unwrap().changes.into_iter().filter(|change| change.verdict != Verdict::Unchanged));
        plans += 1;
        assert!(begun.elapsed() < Duration::from_mins(2), "{written:?} writes beside {plans} plans");
    }
    done.store(true, Ordering::Relaxed);
    writer.await.unwrap();
    let writes = written.load(Ordering::Relaxed);
    assert!(seen.is_empty(), "of {plans} plans beside {writes} writes: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_another_manager_is_a_conflict_that_names_both() {
    let Some((client, cluster)) = cluster().await else { return };
    let mut wanted = release("conflict", 1);
    applied(&cluster, &wanted).await;
    client.kubectl(&["scale", "deployment/web", "-n", "conflict", "--replicas=5"]);
    client.kubectl(&["patch", "configmap/settings", "-n", "conflict", "--type=merge", "-p", r#"{"data":{"threshold":"0.9"}}"#]);
    let before = client.writes().len();
    let plan = cluster.plan(&wanted).await.unwrap();
    assert_eq!(
        lines(&plan),
        [
            "! ConfigMap conflict/settings: .data.threshold is managed by `kubectl-patch`",
            "! Deployment conflict/web: .spec.replicas is managed by `kubectl`"
        ]
    );
    let error = cluster.apply(&plan, &mut |_| {}).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(
        error.to_string(),
        "apply release `conflict`: ConfigMap conflict/settings: .data.threshold is managed by `kubectl-patch`: Deployment conflict/web: .spec.replicas is managed by `kubectl`"
    );
    assert!(error.hint.unwrap().contains("provision kubectl get configmap/settings -n conflict"));
    assert_eq!(client.writes().len(), before, "a refused plan wrote");
    wanted.conflicts = Conflicts::Take;
    assert_eq!(applied(&cluster, &wanted).await, ["~ ConfigMap conflict/settings", "~ Deployment conflict/web"]);
    assert_eq!(get(&client, &["deployment", "web", "-n", "conflict"])["spec"]["replicas"], 1);
    wanted.conflicts = Conflicts::Refuse;
    assert!(cluster.plan(&wanted).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_wanted_any_more_goes_if_it_is_ours() {
    let Some((client, cluster)) = cluster().await else { return };
    let mut wanted = release("prune", 1);
    applied(&cluster, &wanted).await;
    // A user's own object in our namespace, and one of ours that a user took over.
    client.kubectl(&["create", "configmap", "mine", "-n", "prune"]);
    client.kubectl(&["label", "serviceaccount", "web", "-n", "prune", "provision.dev/release-", "--field-manager=provision"]);
    // Helm's word for what outlives its release.
    client.kubectl(&["annotate", "secret", "key", "-n", "prune", "helm.sh/resource-policy=keep"]);
    wanted.objects.retain(|object| !["ConfigMap", "ServiceAccount", "Secret"].contains(&object["kind"].as_str().unwrap()));
    assert_eq!(lines(&cluster.plan(&wanted).await.unwrap()), ["- ConfigMap prune/settings"]);
    assert_eq!(applied(&cluster, &wanted).await, ["- ConfigMap prune/settings"]);
    assert!(client.try_kubectl(&["get", "configmap", "settings", "-n", "prune"]).unwrap_err().contains("NotFound"));
    client.kubectl(&["get", "configmap/mine", "serviceaccount/web", "secret/key", "-n", "prune"]);
    assert!(cluster.plan(&wanted).await.unwrap().is_unchanged());

    // The record is lost: the labels tell.
    client.kubectl(&["delete", "configmap", "provision.release.prune", "-n", "prune"]);
    wanted.objects.retain(|object| object["kind"] != "Service");
    assert_eq!(lines(&cluster.plan(&wanted).await.unwrap()), ["- Service prune/web"]);
    applied(&cluster, &wanted).await;
    assert!(client.try_kubectl(&["get", "service", "web", "-n", "prune"]).is_err());
    assert!(cluster.plan(&wanted).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_apply_is_ended_by_the_next() {
    let Some((client, cluster)) = cluster().await else { return };
    let mut wanted = release("killed", 1);
    applied(&cluster, &wanted).await;
    wanted.objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {}}));
    wanted.objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "last"}, "data": {}}));
    let plan = cluster.plan(&wanted).await.unwrap();
    assert_eq!(lines(&plan), ["+ ConfigMap killed/later", "+ ConfigMap killed/last"]);
    // Killed after the first of two: the future is dropped where it would go on.
    let (sender, killed) = tokio::sync::oneshot::channel();
    let mut sender = Some(sender);
    {
        let mut told = |_: &_| {
            let _ = sender.take().map(|sender| sender.send(()));
        };
        let apply = std::pin::pin!(cluster.apply(&plan, &mut told));
        tokio::select! { biased; _ = killed => {}, _ = apply => panic!("it was to be killed") }
    }
    client.kubectl(&["get", "configmap", "later", "-n", "killed"]);
    // The chart is back to what it was: what the killed run made is known and goes. Its second request may have been on its way.
    let wanted = release("killed", 1);
    let removed = applied(&cluster, &wanted).await;
    assert!(removed.contains(&"- ConfigMap killed/later".to_owned()), "{removed:?}");
    assert!(removed.iter().all(|line| ["- ConfigMap killed/later", "- ConfigMap killed/last"].contains(&line.as_str())), "{removed:?}");
    assert!(client.try_kubectl(&["get", "configmap", "later", "-n", "killed"]).unwrap_err().contains("NotFound"));
    assert!(cluster.plan(&wanted).await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_was_there_stays_its_owner_s() {
    let Some((client, cluster)) = cluster().await else { return };
    client.kubectl(&["create", "namespace", "theirs"]);
    let mut wanted = release("tenant", 1);
    wanted.namespace = "theirs".to_owned();
    let told = applied(&cluster, &wanted).await;
    assert!(told.iter().all(|line| !line.contains("Namespace")), "{told:?}");
    assert_eq!(get(&client, &["namespace", "theirs"])["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "theirs"}));
    let removal = cluster.plan_removal("tenant", "dev", "theirs").await.unwrap();
    assert_eq!(removal.changes.len(), 6);
    cluster.apply(&removal, &mut |_| {}).await.unwrap();
    let web = ObjectId {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: Some("theirs".to_owned()),
        name: "web".to_owned(),
    };
    cluster.wait(&Condition::Gone { object: web }, Duration::from_secs(20), &mut |_| {}).await.unwrap();
    client.kubectl(&["get", "namespace", "theirs"]);
    let left: Vec<String> = client
        .kubectl(&["get", "configmap,secret,service,serviceaccount,pdb", "-n", "theirs", "-o", "name"])
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(left.iter().all(|name| ["configmap/kube-root-ca.crt", "serviceaccount/default"].contains(&&**name)), "{left:?}");
    assert!(cluster.plan_removal("tenant", "dev", "theirs").await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_namespace_goes_with_its_release() {
    let Some((client, cluster)) = cluster().await else { return };
    applied(&cluster, &release("whole", 1)).await;
    // Another environment's release of the same name has nothing here.
    let stranger = cluster.plan_removal("whole", "other", "whole").await;
    assert_eq!(stranger.unwrap_err().kind, ErrorKind::Foreign);
    let removal = cluster.plan_removal("whole", "dev", "whole").await.unwrap();
    assert_eq!(
        lines(&removal),
        [
            "- Deployment whole/web",
            "- Service whole/web",
            "- ConfigMap whole/settings",
            "- Secret whole/key",
            "- ServiceAccount whole/web",
            "- PodDisruptionBudget whole/web",
            "- Namespace whole"
        ]
    );
    cluster.apply(&removal, &mut |_| {}).await.unwrap();
    let namespace = ObjectId { api_version: "v1".to_owned(), kind: "Namespace".to_owned(), namespace: None, name: "whole".to_owned() };
    cluster.wait(&Condition::Gone { object: namespace }, Duration::from_mins(1), &mut |_| {}).await.unwrap();
    assert!(client.try_kubectl(&["get", "namespace", "whole"]).unwrap_err().contains("NotFound"));
    let again = applied(&cluster, &release("whole", 1)).await;
    assert_eq!(again.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_mistakes_of_a_chart_are_told_at_once() {
    let Some((client, cluster)) = cluster().await else { return };
    client.kubectl(&["create", "namespace", "mistakes"]);
    client.kubectl(&["create", "configmap", "settings", "-n", "mistakes"]);
    let mut wanted = release("mistakes", 1);
    wanted.objects[0]["spec"]["replicas"] = "two".into();
    wanted.objects[1]["spec"]["prots"] = json!([]);
    wanted.objects[4]["kind"] = "ServiceAcount".into();
    wanted.objects.push(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}}));
    wanted.objects.push(json!({"kind": "ConfigMap", "metadata": {}}));
    let plan = cluster.plan(&wanted).await.unwrap();
    let problems: Vec<String> = plan.problems().map(ToString::to_string).collect();
    let find =
        |needle: &str| problems.iter().find(|problem| problem.contains(needle)).unwrap_or_else(|| panic!("no `{needle}` in {problems:#?}"));
    assert_eq!(problems.len(), 6, "{problems:#?}");
    find("! ServiceAcount web: the API server serves no ServiceAcount of v1; did you mean `ServiceAccount`?");
    find("! Secret mistakes/key: the chart renders it twice");
    find("the chart renders it without apiVersion and metadata.name");
    find("! ConfigMap mistakes/settings: it exists already, and it is not ours");
    assert!(find("! Service mistakes/web: ").contains("prots"));
    assert!(find("! Deployment mistakes/web: ").contains("replicas"));
    let error = cluster.apply(&plan, &mut |_| {}).await.unwrap_err();
    assert_eq!((error.kind, error.causes.len()), (ErrorKind::Refused, 6));
    assert!(client.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_kind_that_the_release_brings() {
    let Some((client, cluster)) = cluster().await else { return };
    let mut wanted = release("kinds", 1);
    wanted.objects = vec![
        json!({"apiVersion": "kinds.test/v1", "kind": "Canary", "metadata": {"name": "one"}, "spec": {"weight": 10}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "canaries.kinds.test"}, "spec": {
            "group": "kinds.test", "scope": "Namespaced", "names": {"plural": "canaries", "singular": "canary", "kind": "Canary"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"weight": {"type": "integer"}}}}}}}],
        }}),
    ];
    let expected = ["+ Namespace kinds", "+ CustomResourceDefinition canaries.kinds.test", "+ Canary kinds/one"];
    assert_eq!(applied(&cluster, &wanted).await, expected);
    assert_eq!(get(&client, &["canary", "one", "-n", "kinds"])["spec"]["weight"], 10);
    assert!(cluster.plan(&wanted).await.unwrap().is_unchanged());
    wanted.objects[0]["spec"]["weight"] = 20.into();
    assert_eq!(lines(&cluster.plan(&wanted).await.unwrap()), ["~ Canary kinds/one"]);
    wanted.objects.remove(0);
    assert_eq!(applied(&cluster, &wanted).await, ["- Canary kinds/one"]);
}

//! The chart that comes with the project.

use std::path::{Path, PathBuf};

use provision::chart::{Chart, Object, Release, read_values};
use serde_json::{Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/phishing")
}

fn chart() -> Chart {
    Chart::load(&folder()).unwrap_or_else(|refused| panic!("{refused}"))
}

fn release() -> Release {
    Release {
        name: "phishing".to_owned(),
        namespace: "phishing".to_owned(),
        revision: 1,
        is_install: true,
        kube_version: "v1.36.4".to_owned(),
    }
}

fn dev() -> Value {
    read_values(&[("charts/phishing/values-dev.yaml".to_owned(), folder().join("values-dev.yaml"))])
        .unwrap_or_else(|refused| panic!("{refused}"))
}

fn render(values: &Value) -> Vec<Object> {
    chart().render(&release(), values).unwrap_or_else(|refused| panic!("{refused}"))
}

fn find<'objects>(objects: &'objects [Object], kind: &str) -> &'objects Value {
    &objects.iter().find(|object| object.kind() == kind).unwrap_or_else(|| panic!("no {kind}")).value
}

#[test]
fn the_page_is_at_port_80_of_the_control_plane_whichever_node_runs_a_pod() {
    let objects = render(&dev());
    let service = &find(&objects, "Service")["spec"];
    assert_eq!(service["externalIPs"], json!(["192.168.60.2"]));
    assert_eq!((&service["type"], &service["ports"][0]["port"]), (&json!("ClusterIP"), &json!(80)));
    assert_eq!(
        find(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"],
        service["ports"][0]["targetPort"]
    );
    let notes = chart().notes(&release(), &dev()).unwrap_or_else(|refused| panic!("{refused}"));
    assert!(notes.is_some_and(|notes| notes.contains("\n  http://192.168.60.2/\n")));
    assert!(find(&render(&json!({})), "Service")["spec"].get("externalIPs").is_none(), "only an environment knows its addresses");
}

#[test]
fn two_pods_run_apart_on_workers_and_may_do_nothing_but_serve() {
    let objects = render(&dev());
    let kinds: Vec<&str> = objects.iter().map(Object::kind).collect();
    assert_eq!(kinds, ["PodDisruptionBudget", "ServiceAccount", "ConfigMap", "Service", "Deployment"], "Helm's install order");
    let deployment = &find(&objects, "Deployment")["spec"];
    let pod = &deployment["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(deployment["replicas"], json!(2));
    assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
    let term =
        &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"][0];
    assert_eq!(term, &json!({"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}));
    assert_eq!(
        pod["securityContext"],
        json!({"runAsGroup": 65532, "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}})
    );
    assert_eq!(
        container["securityContext"],
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true})
    );
    assert_eq!(
        (&pod["automountServiceAccountToken"], &find(&objects, "ServiceAccount")["automountServiceAccountToken"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&container["livenessProbe"]["httpGet"]["path"], &container["readinessProbe"]["httpGet"]["path"]),
        (&json!("/healthz"), &json!("/readyz"))
    );
    assert_eq!(
        (&container["image"], &container["imagePullPolicy"]),
        (&json!("provision.local/model-service:0.1.0"), &json!("IfNotPresent"))
    );
    assert!(container["resources"]["limits"]["memory"].is_string() && container["resources"]["requests"]["cpu"].is_string());
    assert_eq!(find(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"], json!(1));
}

#[test]
fn the_container_is_configured_by_the_variables_that_the_service_reads() {
    let objects = render(&json!({"config": {"queue": 1_000_000}}));
    let data = &find(&objects, "ConfigMap")["data"];
    assert_eq!(data["QUEUE"], "1000000", "a large number is no exponent");
    let main = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("model-service/src/main.rs")).expect("readable");
    for name in data.as_object().expect("a mapping").keys() {
        assert!(main.contains(&format!("env = \"{name}\"")), "model-service reads no {name}");
    }
    let checksum =
        |values: Value| find(&render(&values), "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"].clone();
    assert_ne!(checksum(json!({})), checksum(json!({"config": {"queue": 5}})), "pods follow their configuration");
}

#[test]
fn selectors_fit_the_pods_and_never_hold_a_version() {
    let objects = render(&dev());
    let labels = &find(&objects, "Deployment")["spec"]["template"]["metadata"]["labels"];
    for (kind, path) in
        [("Deployment", "/spec/selector/matchLabels"), ("Service", "/spec/selector"), ("PodDisruptionBudget", "/spec/selector/matchLabels")]
    {
        let selector = find(&objects, kind).pointer(path).and_then(Value::as_object).expect("a selector");
        assert_eq!(selector.len(), 2, "{kind}");
        assert!(selector.iter().all(|(key, value)| labels[key] == *value), "{kind}");
    }
}

#[test]
fn a_digest_stands_before_the_tag() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let objects =
        render(&json!({"image": {"digest": digest, "tag": "x"}, "podDisruptionBudget": {"maxUnavailable": "50%"}, "affinity": null}));
    let pod = &find(&objects, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], json!(format!("provision.local/model-service@{digest}")));
    assert!(pod.get("affinity").is_none(), "null deletes a default");
    assert_eq!(find(&objects, "PodDisruptionBudget")["spec"]["maxUnavailable"], "50%");
}

#[test]
fn values_that_the_chart_does_not_know_are_refused_by_name() {
    let values = json!({"replicas": 3, "service": {"externalIPs": ["control"], "port": "80"}, "image": {"pullPolicy": "ifNotPresent"}});
    let report = chart().render(&release(), &values).expect_err("refused").to_string();
    for expected in [
        "the chart knows no value `replicas`",
        "`service.externalIPs[0]` must match",
        "`service.port` must be integer, not string",
        "did you mean `IfNotPresent`?",
        "4 mistakes",
    ] {
        assert!(report.contains(expected), "{expected}\n{report}");
    }
}

/// Recorded with Helm 4.3.1; `parity` runs it again where there is a helm.
#[test]
fn helm_renders_the_same() {
    let helms = std::fs::read_to_string(super::fixture("phishing.expected.yaml")).expect("recorded");
    let ours = chart().manifest(&release(), &dev()).unwrap_or_else(|refused| panic!("{refused}"));
    assert_eq!(ours, helms);
}

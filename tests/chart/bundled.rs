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

/// The object of a kind and a part: `phishing-app` is the app's.
fn of<'objects>(objects: &'objects [Object], kind: &str, name: &str) -> &'objects Value {
    let found = objects.iter().find(|object| object.kind() == kind && object.name() == name);
    &found.unwrap_or_else(|| panic!("no {kind} {name}")).value
}

fn kinds(objects: &[Object]) -> Vec<String> {
    objects.iter().map(|object| format!("{} {}", object.kind(), object.name())).collect()
}

/// Values with which every template of the chart gives its objects.
fn everything() -> Value {
    let part = json!({
        "persistence": {"enabled": true},
        "autoscaling": {"enabled": true},
        "secrets": {"TOKEN": "secret"},
        "existingSecret": "theirs",
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraVolumes": [{"name": "models", "configMap": {"name": "models"}}],
        "extraVolumeMounts": [{"name": "models", "mountPath": "/other-models"}],
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
    });
    let monitoring =
        json!({"annotations": true, "configMaps": {"enabled": true}, "operator": {"enabled": true, "labels": {"release": "prometheus"}}});
    json!({"modelService": part, "app": part, "imagePullSecrets": [{"name": "registry"}], "monitoring": monitoring})
}

#[test]
fn the_page_is_at_port_80_of_the_control_plane_whichever_node_runs_a_pod() {
    for (app, part) in [(false, "model-service"), (true, "app")] {
        let mut values = dev();
        values["app"]["enabled"] = json!(app);
        let objects = render(&values);
        let service = &of(&objects, "Service", &format!("phishing-{part}"))["spec"];
        assert_eq!(service["externalIPs"], json!(["192.168.60.2"]));
        assert_eq!((&service["type"], &service["ports"][0]["port"]), (&json!("ClusterIP"), &json!(80)));
        assert_eq!(service["selector"]["app.kubernetes.io/component"], part);
        let outside = objects.iter().filter(|object| object.value["spec"].get("externalIPs").is_some());
        assert_eq!(outside.count(), 1, "one part is the page's");
        let notes = chart().notes(&release(), &values).unwrap_or_else(|refused| panic!("{refused}")).expect("notes");
        assert!(notes.contains("\n  http://192.168.60.2/\n") && notes.contains("ADDRESS/predict "), "{notes}");
    }
    let bare = render(&json!({}));
    assert!(bare.iter().all(|object| object.value["spec"].get("externalIPs").is_none()), "only an environment knows its addresses");
}

#[test]
fn pods_of_both_parts_run_apart_on_workers_and_may_do_nothing_but_serve() {
    let objects = render(&json!({}));
    let parts = ["app", "model-service"];
    let each = |kind: &str| parts.map(|part| format!("{kind} phishing-{part}"));
    let order = ["PodDisruptionBudget", "ServiceAccount", "ConfigMap", "Service", "Deployment"].map(each);
    let mut order = order.concat();
    order.insert(7, "Service phishing-app-pods".to_owned());
    assert_eq!(kinds(&objects), order, "Helm's install order");
    for part in parts {
        let name = format!("phishing-{part}");
        let deployment = &of(&objects, "Deployment", &name)["spec"];
        let pod = &deployment["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(deployment["replicas"], json!(2));
        assert_eq!(pod["topologySpreadConstraints"][0]["topologyKey"], "kubernetes.io/hostname");
        assert_eq!(pod["topologySpreadConstraints"][0]["whenUnsatisfiable"], "DoNotSchedule");
        let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let term = &terms[0]["matchExpressions"][0];
        assert_eq!(term, &json!({"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}));
        restricted(pod);
        assert_eq!(
            (&pod["automountServiceAccountToken"], &of(&objects, "ServiceAccount", &name)["automountServiceAccountToken"]),
            (&json!(false), &json!(false))
        );
        assert_eq!(pod["serviceAccountName"], *name);
        for (probe, path) in [("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"]["path"], path);
        }
        assert_eq!(
            (&container["image"], &container["imagePullPolicy"]),
            (&json!(format!("provision.local/{part}:0.1.0")), &json!("IfNotPresent"))
        );
        assert!(container["resources"]["limits"]["memory"].is_string() && container["resources"]["requests"]["cpu"].is_string());
        assert_eq!(of(&objects, "PodDisruptionBudget", &name)["spec"]["maxUnavailable"], json!(1));
        let service = &of(&objects, "Service", &name)["spec"];
        assert_eq!(container["ports"][0]["name"], service["ports"][0]["targetPort"]);
    }
}

/// What the namespace policy `restricted` asks of a pod (Pod Security Standards, Kubernetes 1.36), and a file system that cannot be
/// written to.
fn restricted(pod: &Value) {
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!((&pod["securityContext"]["runAsNonRoot"], &pod["securityContext"]["runAsUser"]), (&json!(true), &json!(65532)));
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container, &json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true}));
    for forbidden in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(forbidden).is_none());
    }
    let volumes = pod["volumes"].as_array().map_or(0, Vec::len);
    assert_eq!(volumes, 0, "claims of a StatefulSet are no volumes of its template");
}

/// All names, and the labels by which a selector finds pods, are the release's own: any two installs can stand side by side.
#[test]
fn many_installs_in_one_namespace_share_no_object_and_no_pod() {
    let long = "a".repeat(53);
    let mut names = std::collections::BTreeMap::new();
    for name in
        ["phishing", "phishing-app", "a", "a-phishing", "phishing-model-service", "a-model-service", &long, &format!("{}b", &long[..52])]
    {
        let release = Release { name: name.to_owned(), ..release() };
        let objects = chart().render(&release, &everything()).unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(objects.len(), 19, "{:?}", kinds(&objects));
        for object in &objects {
            let id = format!("{} {}", object.kind(), object.name());
            assert!(object.name().len() <= 52, "{id}: what a StatefulSet makes of its name is a label, of 63 characters at most");
            assert_eq!(names.insert(id, name.to_owned()), None, "{} of {name}", object.name());
            // A Grafana that reads those of all installs has them in one folder, and knows a dashboard by its uid and title.
            for (file, text) in object.value["data"].as_object().into_iter().flatten().filter(|(key, _)| key.contains('.')) {
                let dashboard: Value = serde_json::from_str(text.as_str().expect("text")).unwrap_or_default();
                let known = ["uid", "title"].into_iter().filter_map(|field| dashboard[field].as_str());
                for word in known.chain([file.as_str()]) {
                    assert_eq!(names.insert(format!("word {word}"), name.to_owned()), None, "{word} of {name}");
                }
            }
            let labels = &object.value["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/instance"], *name);
            assert_eq!(labels["helm.sh/chart"], "phishing-0.2.0");
            assert!(object.value["metadata"].get("namespace").is_none(), "the release's namespace is its only one");
            for path in ["/spec/selector/matchLabels", "/spec/selector"] {
                if let Some(selector) = object.value.pointer(path).filter(|selector| selector.get("matchLabels").is_none()) {
                    assert_eq!(selector["app.kubernetes.io/instance"], *name, "{}", object.kind());
                }
            }
        }
    }
}

#[test]
fn a_part_is_configured_by_the_variables_that_its_program_reads() {
    let part = json!({"persistence": {"enabled": true}});
    let objects = render(&json!({"modelService": {"config": {"queue": 1_000_000}, "persistence": {"enabled": true}}, "app": part}));
    let data = |part: &str| of(&objects, "ConfigMap", &format!("phishing-{part}"))["data"].as_object().expect("a mapping").clone();
    assert_eq!(data("model-service")["QUEUE"], "1000000", "a large number is no exponent");
    assert_eq!(data("app")["MODEL_SERVICE_URL"], "http://phishing-model-service");
    let text = |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("readable");
    let command = text("model-service/src/app/command.rs");
    for (part, source) in [("model-service", text("model-service/src/main.rs") + &command), ("app", command)] {
        for name in data(part).keys() {
            assert!(source.contains(&format!("env = \"{name}\"")), "{part} reads no {name}");
        }
    }
    let annotation = |values: Value, name: &str| {
        let objects = render(&values);
        of(&objects, "Deployment", "phishing-model-service")["spec"]["template"]["metadata"]["annotations"][name].clone()
    };
    let config = |values: Value| annotation(values, "checksum/config");
    assert_ne!(config(json!({})), config(json!({"modelService": {"config": {"queue": 5}}})), "pods follow their configuration");
    assert_eq!(config(json!({})), config(json!({"app": {"config": {"variant": "v1"}}})), "and not the other part's");
    let secret = |value: &str| annotation(json!({"modelService": {"secrets": {"TOKEN": value}}}), "checksum/secret");
    assert_ne!(secret("a"), secret("b"), "and their secrets");
    assert_eq!(annotation(json!({}), "prometheus.io/port"), Value::Null);
    assert_eq!(annotation(json!({"monitoring": {"annotations": true}}), "prometheus.io/port"), "8080");
}

/// Each pod has votes of its own, so the name that the page's part asks has an address for every one.
#[test]
fn the_experiment_counts_every_pod_that_shows_the_page_and_what_else_the_values_name() {
    let other = "http://beside-app-pods.elsewhere:8080/metrics";
    for (app, part, without) in [(true, "app", "model-service"), (false, "model-service", "app")] {
        let mut values = json!({"app": {"enabled": app}, "experiment": {"countsFrom": [other]}});
        values[if app { "app" } else { "modelService" }]["containerPort"] = json!(9000);
        let objects = render(&values);
        let name = format!("phishing-{part}-pods");
        let service = &of(&objects, "Service", &name)["spec"];
        assert_eq!((&service["clusterIP"], &service["publishNotReadyAddresses"]), (&json!("None"), &json!(true)));
        let labels = &of(&objects, "Deployment", &format!("phishing-{part}"))["spec"]["selector"]["matchLabels"];
        assert_eq!(&service["selector"], labels);
        let data = &of(&objects, "ConfigMap", &format!("phishing-{part}"))["data"];
        // No port is mapped on the way to an address of a pod.
        assert_eq!(data["EXPERIMENT_COUNTS"], format!("http://{name}:9000/metrics {other}"));
        let others = objects.iter().filter(|object| object.name().starts_with(&format!("phishing-{without}")));
        assert!(others.clone().all(|object| object.value["data"].get("EXPERIMENT_COUNTS").is_none()), "{without} shows no page");
        assert!(others.clone().all(|object| !object.name().ends_with("-pods")));
    }
    let monitor = render(&everything());
    let skipped = &of(&monitor, "ServiceMonitor", "phishing")["spec"]["selector"]["matchExpressions"][0];
    let of_pods = &of(&monitor, "Service", "phishing-app-pods")["metadata"]["labels"];
    assert_eq!((skipped["operator"].as_str(), &skipped["values"][0]), (Some("NotIn"), &of_pods[skipped["key"].as_str().expect("a key")]));
}

#[test]
fn secrets_are_variables_of_a_pod_and_stand_in_no_other_object() {
    let objects = render(&everything());
    let secret = of(&objects, "Secret", "phishing-model-service");
    assert_eq!(secret["data"], json!({"TOKEN": "c2VjcmV0"}));
    let pod = &of(&objects, "StatefulSet", "phishing-model-service")["spec"]["template"]["spec"];
    assert_eq!(
        pod["containers"][0]["envFrom"],
        json!([
            {"configMapRef": {"name": "phishing-model-service"}},
            {"secretRef": {"name": "phishing-model-service"}},
            {"secretRef": {"name": "theirs"}},
        ])
    );
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    let others = objects.iter().filter(|object| object.kind() != "Secret");
    for object in others {
        let text = object.value.to_string();
        assert!(!text.contains("c2VjcmV0") && !text.contains("\"secret\""), "{}", object.kind());
    }
}

#[test]
fn a_journal_makes_each_pod_keep_a_volume_of_its_own() {
    let objects = render(&json!({"modelService": {"persistence": {"enabled": true, "storageClass": "fast", "size": "2Gi"}}}));
    assert_eq!(kinds(&objects).iter().filter(|object| object.starts_with("Deployment")).count(), 1, "the app's, which keeps none here");
    let set = &of(&objects, "StatefulSet", "phishing-model-service")["spec"];
    let claim = &set["volumeClaimTemplates"][0];
    assert_eq!(
        claim["spec"],
        json!({"accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}})
    );
    let pod = &set["template"]["spec"];
    assert_eq!(pod["containers"][0]["volumeMounts"], json!([{"name": claim["metadata"]["name"], "mountPath": "/journal"}]));
    assert_eq!(of(&objects, "ConfigMap", "phishing-model-service")["data"]["JOURNAL"], "/journal");
    assert_eq!(pod["topologySpreadConstraints"][0]["whenUnsatisfiable"], "ScheduleAnyway", "a volume's node is no choice");
    assert_eq!(of(&objects, "Service", "phishing-model-service")["metadata"]["name"], set["serviceName"]);
    restricted(pod);
}

/// Server-side apply owns the fields that it names: one that it does not name is left to whoever sets it.
#[test]
fn with_an_autoscaler_nobody_else_says_how_many_pods() {
    for persistence in [false, true] {
        let part = json!({"autoscaling": {"enabled": true, "minReplicas": 3}, "persistence": {"enabled": persistence}});
        let objects = render(&json!({"modelService": part}));
        let scaler = &of(&objects, "HorizontalPodAutoscaler", "phishing-model-service")["spec"];
        let target = &scaler["scaleTargetRef"];
        let workload = of(&objects, target["kind"].as_str().expect("a kind"), target["name"].as_str().expect("a name"));
        assert!(workload["spec"].get("replicas").is_none(), "{workload}");
        assert_eq!(scaler["minReplicas"], json!(3));
    }
    assert!(!render(&json!({})).iter().any(|object| object.kind() == "HorizontalPodAutoscaler"), "the bundled cluster measures no pods");
}

#[test]
fn selectors_fit_the_pods_and_never_hold_a_version() {
    let objects = render(&json!({}));
    for part in ["app", "model-service"] {
        let name = format!("phishing-{part}");
        let labels = &of(&objects, "Deployment", &name)["spec"]["template"]["metadata"]["labels"];
        for (kind, path) in [
            ("Deployment", "/spec/selector/matchLabels"),
            ("Service", "/spec/selector"),
            ("PodDisruptionBudget", "/spec/selector/matchLabels"),
        ] {
            let selector = of(&objects, kind, &name).pointer(path).and_then(Value::as_object).expect("a selector");
            assert_eq!(selector.len(), 3, "{kind}");
            assert!(selector.iter().all(|(key, value)| labels[key] == *value), "{kind}");
            assert_eq!(selector["app.kubernetes.io/component"], part);
        }
    }
}

#[test]
fn a_digest_stands_before_the_tag() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let part = json!({"image": {"digest": digest, "tag": "x"}, "podDisruptionBudget": {"maxUnavailable": "50%"}});
    let objects = render(&json!({"modelService": part, "affinity": null}));
    let pod = &of(&objects, "Deployment", "phishing-model-service")["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], json!(format!("provision.local/model-service@{digest}")));
    assert!(pod.get("affinity").is_none(), "null deletes a default");
    assert_eq!(of(&objects, "PodDisruptionBudget", "phishing-model-service")["spec"]["maxUnavailable"], "50%");
}

/// The alerts and the dashboard are the files that the tests of model-service run, and the chart adds only how many pods there are.
#[test]
fn monitoring_is_the_chart_s_files_wherever_it_is_rendered() {
    let file = |name: &str| std::fs::read_to_string(folder().join("files").join(name)).expect("readable");
    let objects = render(&everything());
    let rules = of(&objects, "ConfigMap", "phishing-alerts")["data"]["phishing-phishing.yaml"].as_str().expect("rules");
    let dashboard = of(&objects, "ConfigMap", "phishing-dashboard")["data"]["phishing-phishing.json"].as_str().expect("a dashboard");
    let of_any = "namespace=~\".*\", app_kubernetes_io_instance=~\".*\"";
    let own = file("alerts.yaml").replace(of_any, "namespace=\"phishing\", app_kubernetes_io_instance=\"phishing\"");
    assert!(rules.starts_with(own.trim()), "{rules}");
    let [mut own, given]: [Value; 2] = [file("dashboard.json").as_str(), dashboard].map(|text| serde_json::from_str(text).expect("JSON"));
    assert_eq!(given["title"], "Phishing: phishing/phishing");
    for field in ["uid", "title"] {
        own[field] = given[field].clone();
    }
    assert_eq!(given, own);
    let rules: Value = serde_yaml::from_str(rules).expect("YAML");
    assert_eq!(of(&objects, "PrometheusRule", "phishing")["spec"], rules);
    let expected = rules["groups"][1]["rules"].as_array().expect("rules");
    let expected: Vec<_> = expected.iter().map(|rule| (&rule["expr"], &rule["labels"]["app_kubernetes_io_component"])).collect();
    assert_eq!(expected, [(&json!("vector(2)"), &json!("model-service")), (&json!("vector(2)"), &json!("app"))]);
    let without = render(&json!({}));
    assert!(!without.iter().any(|object| object.value["apiVersion"].as_str().is_some_and(|version| version.contains("coreos"))));
}

/// A Prometheus that reads the alerts of many installs has each told by one of them: its own.
#[test]
fn trouble_of_one_install_is_told_by_that_install_s_alerts_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, name, namespace) in [("1", "phishing", "n"), ("2", "phishing", "other"), ("3", "beside", "n")] {
        let release = Release { name: name.to_owned(), namespace: namespace.to_owned(), ..release() };
        let objects = chart().render(&release, &everything()).unwrap_or_else(|refused| panic!("{refused}"));
        let rules = &of(&objects, "ConfigMap", &format!("{name}-alerts"))["data"][format!("{namespace}-{name}.yaml")];
        std::fs::write(folder.path().join(file), rules.as_str().expect("rules")).expect("written");
    }
    let cases = std::fs::read_to_string(super::fixture("../installs.yaml")).expect("readable");
    std::fs::write(folder.path().join("installs.yaml"), cases).expect("written");
    let done = std::process::Command::new("promtool").args(["test", "rules", "installs.yaml"]).current_dir(folder.path()).output();
    let done = done.unwrap_or_else(|error| panic!("run promtool: {error}; install Debian's package `prometheus`"));
    assert!(done.status.success(), "{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
}

#[test]
fn values_that_the_chart_does_not_know_are_refused_by_name() {
    let values =
        json!({"replicas": 3, "service": {"externalIPs": ["control"], "port": "80"}, "app": {"image": {"pullPolicy": "ifNotPresent"}}});
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
    for (recorded, values) in [("phishing.expected.yaml", dev()), ("phishing-everything.expected.yaml", everything())] {
        let helms = std::fs::read_to_string(super::fixture(recorded)).expect("recorded");
        let ours = chart().manifest(&release(), &values).unwrap_or_else(|refused| panic!("{refused}"));
        assert_eq!(ours, helms, "{recorded}");
    }
    let file = std::fs::read_to_string(super::fixture("phishing-everything.json")).expect("the values that it was recorded with");
    assert_eq!(serde_json::from_str::<Value>(&file).expect("JSON"), everything());
}

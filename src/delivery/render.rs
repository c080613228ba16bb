//! Releases as objects: charts with their values, before anything is touched.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::chart::{Chart, Refused, Release, read_values};
use crate::playbook::artifact::Artifacts;
use crate::project::environment;

/// A release's objects, and what it is called.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub name: String,
    pub namespace: String,
    /// `phishing 0.1.0`.
    pub chart: String,
    pub objects: Vec<Value>,
}

/// Renders a release of provision.yaml. `kube_version` is the cluster's, `v1.36.4`.
pub fn render(release: &environment::Release, artifacts: &Artifacts, kube_version: &str) -> Result<Rendered, Box<Refused>> {
    let chart = Chart::load_as(&release.chart.path, release.chart.shown())?;
    let files: Vec<(String, PathBuf)> = release.values.iter().map(|part| (part.shown(), part.path.clone())).collect();
    let mut values = read_values(&files)?;
    for (path, name) in &release.images {
        if let Some(artifact) = artifacts.get(name.as_str()) {
            set(&mut values, path, image(artifact.reference.as_deref().unwrap_or_default(), artifact.digest.as_deref()));
        }
    }
    // Templates see an install: what they would make of an upgrade is the same, or a second `up` would not be a no-op.
    let of = Release {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        revision: 1,
        is_install: true,
        kube_version: kube_version.to_owned(),
    };
    let objects = chart.render(&of, &values)?.into_iter().map(|object| object.value).collect();
    Ok(Rendered {
        name: release.name.clone(),
        namespace: release.namespace.clone(),
        chart: format!("{} {}", chart.name, chart.version),
        objects,
    })
}

/// `{repository, tag, digest}` of an image's name.
fn image(reference: &str, digest: Option<&str>) -> Value {
    let (repository, tag) = reference.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((reference, "latest"));
    json!({"repository": repository, "tag": tag, "digest": digest.unwrap_or_default()})
}

/// Lays a mapping over what stands at a path such as `model.image`.
fn set(values: &mut Value, path: &str, over: Value) {
    let mut place = values;
    for part in path.split('.') {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[part];
    }
    match (place.as_object_mut(), over) {
        (Some(there), Value::Object(over)) => there.extend(over),
        (_, over) => *place = over,
    }
}

/// The page that the releases show: port 80, or another, of the first Service with an external address.
pub fn page(releases: &[Rendered]) -> Option<String> {
    let services = releases.iter().flat_map(|release| &release.objects).filter(|object| object["kind"] == "Service");
    services.into_iter().find_map(|service| {
        let address = service["spec"]["externalIPs"][0].as_str()?;
        let port = service["spec"]["ports"][0]["port"].as_u64()?;
        Some(if port == 80 { format!("http://{address}/") } else { format!("http://{address}:{port}/") })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_laid_over_the_values_beside_what_stands_there() {
        let mut values = json!({"model": {"image": {"pullPolicy": "Never", "tag": "old"}}});
        set(&mut values, "model.image", image("registry:5000/a/b:1.2", Some("sha256:00")));
        assert_eq!(
            values,
            json!({"model": {"image": {"pullPolicy": "Never", "repository": "registry:5000/a/b", "tag": "1.2", "digest": "sha256:00"}}})
        );
        set(&mut values, "app.image", image("registry:5000/a/b", None));
        assert_eq!(values["app"]["image"], json!({"repository": "registry:5000/a/b", "tag": "latest", "digest": ""}));
    }

    #[test]
    fn the_page_is_the_first_service_with_an_external_address() {
        let release = |objects: Value| Rendered {
            name: "a".into(),
            namespace: "a".into(),
            chart: "a 1".into(),
            objects: objects.as_array().expect("a list").clone(),
        };
        assert_eq!(page(&[release(json!([{"kind": "Service", "spec": {"ports": [{"port": 80}]}}]))]), None);
        let service = |port: u16| json!({"kind": "Service", "spec": {"externalIPs": ["192.168.60.2"], "ports": [{"port": port}]}});
        assert_eq!(page(&[release(json!([{"kind": "ConfigMap"}, service(80)]))]).as_deref(), Some("http://192.168.60.2/"));
        assert_eq!(page(&[release(json!([service(8080)]))]).as_deref(), Some("http://192.168.60.2:8080/"));
    }
}

//! What a release has put into the cluster: a ConfigMap beside it, written only when something changes.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::object::{ENVIRONMENT_LABEL, MANAGED_BY_LABEL, RELEASE_LABEL};
use super::{Cluster, Error, ErrorKind, MANAGER, ObjectId, Result, patiently};

/// The inventory of a release. It names objects and no values, so it is no Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Counts the applies that changed something; 0: there was none.
    pub revision: u64,
    /// The last apply ended. Until then `objects` has what was there and what was to come.
    pub complete: bool,
    pub objects: Vec<ObjectId>,
}

/// Whose record.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub release: String,
    pub environment: String,
    pub namespace: String,
}

impl Owner {
    /// The record's own name.
    pub fn record(&self) -> String {
        format!("provision.release.{}", self.release)
    }

    /// Labels of every object of the release.
    pub fn labels(&self) -> [(&str, &str); 3] {
        [(MANAGED_BY_LABEL, MANAGER), (RELEASE_LABEL, &self.release), (ENVIRONMENT_LABEL, &self.environment)]
    }

    /// The label selector that finds them.
    pub fn selector(&self) -> String {
        format!("{RELEASE_LABEL}={},{ENVIRONMENT_LABEL}={}", self.release, self.environment)
    }

    /// Whether a live object is of this release.
    pub fn owns(&self, object: &serde_json::Value) -> bool {
        super::object::label(object, RELEASE_LABEL) == Some(&self.release)
            && super::object::label(object, ENVIRONMENT_LABEL) == Some(&self.environment)
    }
}

impl Cluster {
    fn records(&self, owner: &Owner) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &owner.namespace)
    }

    /// The record, if there is one that can be read. One of another environment is not ours to overwrite.
    pub(super) async fn read_record(&self, owner: &Owner) -> Result<Option<Record>> {
        let (api, name) = (self.records(owner), owner.record());
        let doing = format!("read the record of release `{}`", owner.release);
        let found = patiently(|| api.get_opt(&name)).await.map_err(|error| Error::api(&doing, &error))?;
        let Some(map) = found else { return Ok(None) };
        let environment = map.metadata.labels.as_ref().and_then(|labels| labels.get(ENVIRONMENT_LABEL)).map_or("", String::as_str);
        if environment != owner.environment {
            let foreign = Error::new(ErrorKind::Foreign, doing)
                .because(format!("ConfigMap {}/{name} belongs to environment `{environment}`", owner.namespace));
            return Err(foreign.hint("give the release another `name` or `namespace` in provision.yaml"));
        }
        let data = map.data.unwrap_or_default();
        let field = |name: &str| data.get(name).map(String::as_str);
        Ok(Some(Record {
            revision: field("revision").and_then(|text| text.parse().ok()).unwrap_or_default(),
            complete: field("state") == Some("applied"),
            objects: field("objects").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        }))
    }

    pub(super) async fn write_record(&self, owner: &Owner, record: &Record) -> Result<()> {
        let (api, name) = (self.records(owner), owner.record());
        let labels: serde_json::Map<_, _> = owner.labels().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        let objects = serde_json::to_string(&record.objects).expect("names are JSON");
        let state = if record.complete { "applied" } else { "applying" };
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": owner.namespace, "labels": labels},
            "data": {"revision": record.revision.to_string(), "state": state, "objects": objects},
        });
        let (patch, how) = (Patch::Apply(&map), PatchParams::apply(MANAGER).force());
        let written = patiently(|| api.patch(&name, &how, &patch)).await;
        written.map(drop).map_err(|error| Error::api(format!("write the record of release `{}`", owner.release), &error))
    }

    pub(super) async fn remove_record(&self, owner: &Owner) -> Result<()> {
        let (api, name) = (self.records(owner), owner.record());
        match patiently(async || api.delete(&name, &DeleteParams::default()).await).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(Error::api(format!("remove the record of release `{}`", owner.release), &error)),
            Ok(_) => Ok(()),
        }
    }
}

//! Which kinds the API server serves: asked once a run, in two requests.

use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::discovery::{Discovery, Scope};

use super::{Cluster, Error, ErrorKind, ObjectId, Result, patiently};

/// What the server answered.
pub(super) type Kinds = Discovery;

/// A kind that is served.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub resource: ApiResource,
    pub namespaced: bool,
}

impl Cluster {
    /// The kind of an API version, if it is served.
    pub(super) async fn served(&self, api_version: &str, kind: &str) -> Result<Option<Served>> {
        let mut kinds = self.kinds.lock().await;
        if kinds.is_none() {
            let answer = patiently(|| Discovery::new(self.client.clone()).run_aggregated()).await;
            *kinds = Some(answer.map_err(|error| Error::api("ask the API server for the kinds that it serves", &error))?);
        }
        let kinds = kinds.as_ref().expect("it was just asked");
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = kinds.resolve_gvk(&GroupVersionKind::gvk(group, version, kind));
        Ok(found.map(|(resource, capabilities)| Served { resource, namespaced: capabilities.scope == Scope::Namespaced }))
    }

    /// Kinds have come or gone: ask again at the next need.
    pub(super) async fn forget_kinds(&self) {
        *self.kinds.lock().await = None;
    }

    /// The kinds that the server has, for "did you mean".
    pub(super) async fn kind_names(&self) -> Vec<String> {
        let kinds = self.kinds.lock().await;
        let groups = kinds.iter().flat_map(Discovery::groups);
        groups.flat_map(kube::discovery::ApiGroup::recommended_resources).map(|(resource, _)| resource.kind).collect()
    }

    /// How to reach an object.
    pub(super) async fn api_of(&self, id: &ObjectId) -> Result<Api<DynamicObject>> {
        match self.served(&id.api_version, &id.kind).await? {
            Some(served) => Ok(self.dynamic(&served, id.namespace.as_deref())),
            None => Err(Error::new(ErrorKind::Missing, format!("find {id}"))
                .because(format!("the API server serves no {} of {}", id.kind, id.api_version))),
        }
    }

    pub(super) fn dynamic(&self, served: &Served, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if served.namespaced => Api::namespaced_with(self.client.clone(), namespace, &served.resource),
            _ => Api::all_with(self.client.clone(), &served.resource),
        }
    }
}

//! The plan of a release: each wanted object's dry run beside the live one, and what is ours and not wanted any more.

use futures::{StreamExt, TryStreamExt, stream};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::Value;

use super::super::object::{rank, text};
use super::super::record::{Owner, Record};
use super::super::{Cluster, Error, ErrorKind, MANAGER, ObjectId, Result, diff, patiently};
use super::check::{Wanted, owner_in_words};
use super::{Change, Conflicts, FieldConflict, Release, ReleasePlan, Verdict};

/// Requests at once: the objects of a chart in a few turns, far below what the server admits to one client.
const AT_ONCE: usize = 8;
/// How often an object is looked at that others write to without a pause.
const LOOKS: u32 = 5;

impl Cluster {
    /// What [`Cluster::apply`] would do. Writes nothing; mistakes are verdicts, so that one plan shows all of them.
    pub async fn plan(&self, release: &Release) -> Result<ReleasePlan> {
        let owner = Owner { release: release.name.clone(), environment: release.environment.clone(), namespace: release.namespace.clone() };
        let mut wanted = self.wanted(release, &owner).await?;
        // Where the namespace is somebody else's, it is used and left alone, unless the chart itself wants it.
        let own = self.live(&namespace_object(&release.namespace)).await?;
        let chart_has_it = release
            .objects
            .iter()
            .any(|object| text(object, &["kind"]) == Some("Namespace") && text(object, &["metadata", "name"]) == Some(&release.namespace));
        if own.as_ref().is_some_and(|live| !owner.owns(live)) && !chart_has_it {
            wanted.retain(|wanted| wanted.object != namespace_object(&release.namespace));
        }
        let before = if own.is_some() { self.read_record(&owner).await? } else { None };
        let to_come: Vec<String> = self.namespaces_to_come(&wanted, own.is_none(), release).await?;
        let judged = stream::iter(wanted).map(|wanted| self.judge(wanted, &owner, &to_come, release.conflicts));
        let mut changes: Vec<Change> = judged.buffered(AT_ONCE).try_collect().await?;
        changes.extend(self.unwanted(&owner, before.as_ref(), &changes).await?);
        Ok(ReleasePlan { changes, owner, before, conflicts: release.conflicts, removal: false })
    }

    /// The plan that removes a release: what it owns, its namespace if that is its own, its record.
    pub async fn plan_removal(&self, release: &str, environment: &str, namespace: &str) -> Result<ReleasePlan> {
        let owner = Owner { release: release.to_owned(), environment: environment.to_owned(), namespace: namespace.to_owned() };
        let before = self.read_record(&owner).await?;
        let mut changes = self.unwanted(&owner, before.as_ref(), &[]).await?;
        let own = namespace_object(namespace);
        if !changes.iter().any(|change| change.object == own) {
            changes.extend(self.going(&own, &owner).await?);
        }
        Ok(ReleasePlan { changes, owner, before, conflicts: Conflicts::Refuse, removal: true })
    }

    async fn judge(&self, wanted: Wanted, owner: &Owner, to_come: &[String], conflicts: Conflicts) -> Result<Change> {
        let Wanted { object, value, mistake, kind_to_come } = wanted;
        let judged = |object: ObjectId, uid: Option<String>, verdict: Verdict| Ok(Change { object, verdict, wanted: value.clone(), uid });
        if let Some(mistake) = mistake {
            return judged(object, None, Verdict::Refused(mistake));
        }
        // Neither can be asked about before its namespace or its kind is there.
        if kind_to_come || object.namespace.as_ref().is_some_and(|namespace| to_come.contains(namespace)) {
            return judged(object, None, Verdict::Create);
        }
        let (live, answer) = self.beside(&object, &value, conflicts).await?;
        let uid = live.as_ref().and_then(|live| text(live, &["metadata", "uid"])).map(str::to_owned);
        if let Some(live) = live.as_ref().filter(|live| !owner.owns(live) && conflicts == Conflicts::Refuse) {
            return judged(object, uid, Verdict::Refused(format!("it exists already, and {}", owner_in_words(live))));
        }
        if live.as_ref().and_then(|live| text(live, &["metadata", "deletionTimestamp"])).is_some() {
            return judged(object, uid, Verdict::Refused("it is being deleted; its finalizers have not ended".to_owned()));
        }
        let verdict = match (answer, live) {
            (Ok(_), None) => Verdict::Create,
            (Ok(answer), Some(live)) => match diff::fields(&live, &answer) {
                same if same.is_empty() => Verdict::Unchanged,
                changes => Verdict::Update(changes),
            },
            // A field that its schema does not have is a 500 to the server.
            (Err(kube::Error::Api(status)), _) if !matches!(status.code, 401 | 429 | 503 | 504) => match field_conflicts(&status) {
                fields if fields.is_empty() => Verdict::Refused(status.message.clone()),
                fields => Verdict::Conflict(fields),
            },
            (Err(error), _) => return Err(Error::api(format!("ask what would become of {object}"), &error)),
        };
        judged(object, uid, verdict)
    }

    /// The object as it is, and the answer of a dry run on that very version of it: a controller that writes between the two (a
    /// rollout's revision, say) would show as a change of ours.
    async fn beside(&self, object: &ObjectId, value: &Value, conflicts: Conflicts) -> Result<(Option<Value>, kube::Result<Value>)> {
        let mut looks = 0;
        loop {
            let live = self.live(object).await?;
            let answer = self.send(object, value, conflicts, true).await;
            looks += 1;
            let version = |object: &Value| text(object, &["metadata", "resourceVersion"]).map(str::to_owned);
            let same = match (&live, &answer) {
                (Some(live), Ok(answer)) => version(live) == version(answer),
                _ => true,
            };
            if same || looks == LOOKS {
                return Ok((live, answer));
            }
        }
    }

    /// A server-side apply; `dry` asks only what would come of it. The answer is the whole object.
    pub(super) async fn send(&self, object: &ObjectId, value: &Value, conflicts: Conflicts, dry: bool) -> kube::Result<Value> {
        let api = self.api_of(object).await.map_err(|error| match error.kind {
            ErrorKind::Missing => {
                kube::Error::Api(kube::core::Status::failure(&error.causes.join(": "), "NotFound").with_code(404).boxed())
            }
            _ => kube::Error::Service(Box::new(error)),
        })?;
        let how = PatchParams { dry_run: dry, force: conflicts == Conflicts::Take, ..PatchParams::apply(MANAGER).validation_strict() };
        let patch = Patch::Apply(value);
        let answer = patiently(|| api.patch(&object.name, &how, &patch)).await?;
        serde_json::to_value(answer).map_err(kube::Error::SerdeError)
    }

    /// The object as it is.
    pub(in super::super) async fn live(&self, object: &ObjectId) -> Result<Option<Value>> {
        let doing = || format!("read {object}");
        let api = match self.api_of(object).await {
            Err(error) if error.kind == ErrorKind::Missing => return Ok(None),
            api => api?,
        };
        let found = patiently(|| api.get_opt(&object.name)).await.map_err(|error| Error::api(doing(), &error))?;
        found.map(|found| serde_json::to_value(found).map_err(|error| Error::new(ErrorKind::Refused, doing()).because(error))).transpose()
    }

    /// Namespaces that the plan itself makes.
    async fn namespaces_to_come(&self, wanted: &[Wanted], own: bool, release: &Release) -> Result<Vec<String>> {
        let mut to_come: Vec<String> = own.then(|| release.namespace.clone()).into_iter().collect();
        let others = wanted.iter().filter(|wanted| {
            wanted.object.kind == "Namespace" && wanted.object.group().is_empty() && wanted.object.name != release.namespace
        });
        for other in others {
            if self.live(&other.object).await?.is_none() {
                to_come.push(other.object.name.clone());
            }
        }
        Ok(to_come)
    }

    /// What is ours and not wanted any more, in the order in which it goes.
    async fn unwanted(&self, owner: &Owner, before: Option<&Record>, wanted: &[Change]) -> Result<Vec<Change>> {
        let known = match before {
            Some(before) => before.objects.clone(),
            None => self.labelled(owner, wanted).await?,
        };
        let rest = known.into_iter().filter(|object| !wanted.iter().any(|change| change.object.is_same(object)));
        let rest: Vec<ObjectId> = rest.collect();
        let asked = stream::iter(&rest).map(|object| self.going(object, owner));
        let mut going: Vec<Change> = asked.buffered(AT_ONCE).try_filter_map(async |change| Ok(change)).try_collect().await?;
        going.sort_by_key(|change| std::cmp::Reverse(rank(&change.object.kind)));
        Ok(going)
    }

    /// The deletion of an object, if it is there, ours, and not marked to be kept (Helm's annotation).
    async fn going(&self, object: &ObjectId, owner: &Owner) -> Result<Option<Change>> {
        let goes = |live: &Value| {
            let stays = text(live, &["metadata", "annotations", "helm.sh/resource-policy"]) == Some("keep");
            owner.owns(live) && !stays && text(live, &["metadata", "deletionTimestamp"]).is_none()
        };
        let live = self.live(object).await?.filter(goes);
        Ok(live.map(|live| Change {
            object: object.clone(),
            verdict: Verdict::Delete,
            wanted: Value::Null,
            uid: text(&live, &["metadata", "uid"]).map(str::to_owned),
        }))
    }

    /// Without a record (the first time, or it was removed): what carries our labels, of the kinds that a release of this
    /// shape has. What a controller made and labelled after its owner goes with that owner.
    async fn labelled(&self, owner: &Owner, wanted: &[Change]) -> Result<Vec<ObjectId>> {
        const ALWAYS: [(&str, &str); 9] = [
            ("v1", "Namespace"),
            ("v1", "ConfigMap"),
            ("v1", "Secret"),
            ("v1", "Service"),
            ("v1", "ServiceAccount"),
            ("apps/v1", "Deployment"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "StatefulSet"),
            ("policy/v1", "PodDisruptionBudget"),
        ];
        let mut kinds: Vec<(&str, &str)> = ALWAYS.to_vec();
        for change in wanted {
            let kind = (&*change.object.api_version, &*change.object.kind);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        let selector = ListParams::default().labels(&owner.selector());
        let mut found = Vec::new();
        for (api_version, kind) in kinds {
            let Some(served) = self.served(api_version, kind).await? else { continue };
            let api = self.dynamic(&served, None);
            let list = patiently(|| api.list(&selector))
                .await
                .map_err(|error| Error::api(format!("list the {kind}s of release `{}`", owner.release), &error))?;
            let ours = list.items.into_iter().filter(|item| item.metadata.owner_references.as_ref().is_none_or(Vec::is_empty));
            let ours = ours.map(|item| ObjectId {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: item.metadata.namespace,
                name: item.metadata.name.unwrap_or_default(),
            });
            found.extend(ours.filter(|object| object.name != owner.record() || object.namespace.as_deref() != Some(&owner.namespace)));
        }
        Ok(found)
    }
}

pub(super) fn namespace_object(name: &str) -> ObjectId {
    ObjectId { api_version: "v1".to_owned(), kind: "Namespace".to_owned(), namespace: None, name: name.to_owned() }
}

/// The fields of a refusal by server-side apply; its messages read: conflict with "kubectl-edit" using apps/v1.
fn field_conflicts(status: &kube::core::Status) -> Vec<FieldConflict> {
    let causes = status.details.iter().flat_map(|details| &details.causes).filter(|cause| cause.reason == "FieldManagerConflict");
    causes
        .map(|cause| FieldConflict {
            field: cause.field.clone(),
            manager: cause.message.split('"').nth(1).unwrap_or(&cause.message).to_owned(),
        })
        .collect()
}

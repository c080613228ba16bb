//! Doing what a plan showed, and nothing else. Killed anywhere, the next plan ends it: the record names first what comes.

use std::time::Duration;

use kube::api::{DeleteParams, Preconditions};

use super::super::record::Record;
use super::super::{Cluster, Condition, Error, ErrorKind, ObjectId, Result, patiently};
use super::plan::namespace_object;
use super::{Change, ReleasePlan, Verdict};

/// A definition is established within a second; the limit is for a server under load.
const ESTABLISHED: Duration = Duration::from_secs(30);

impl Cluster {
    /// Applies a plan; `told` hears each change after it was made. A plan with problems, all of which the error names,
    /// changes nothing; a plan without changes sends no request at all. Answers the release's revision.
    pub async fn apply(&self, plan: &ReleasePlan, told: &mut (dyn FnMut(&Change) + Send)) -> Result<u64> {
        if let Some(error) = refusal(plan) {
            return Err(error);
        }
        if plan.is_unchanged() {
            return Ok(plan.revision());
        }
        let (mut coming, going): (Vec<&Change>, Vec<&Change>) =
            plan.changes.iter().filter(|change| change.verdict.is_change()).partition(|change| change.verdict != Verdict::Delete);
        if plan.removal {
            self.go(plan, &going, told).await?;
            return Ok(plan.revision());
        }
        // The record stands in the namespace, so that comes before it.
        let own = namespace_object(&plan.owner.namespace);
        if let Some(place) = coming.iter().position(|change| change.object == own) {
            self.come(plan, coming.remove(place), told).await?;
        }
        let wanted = plan.wanted_objects();
        let before = plan.before.as_ref().map(|before| before.objects.as_slice()).unwrap_or_default();
        let leftover = plan.changes.iter().filter(|change| change.verdict == Verdict::Delete).map(|change| change.object.clone());
        let mut union = wanted.clone();
        for object in before.iter().cloned().chain(leftover) {
            if !union.contains(&object) {
                union.push(object);
            }
        }
        let mut record = Record { revision: plan.revision(), complete: false, objects: union };
        self.write_record(&plan.owner, &record).await?;
        let mut defined: Vec<&ObjectId> = Vec::new();
        for change in coming {
            let is_definition = change.object.kind == "CustomResourceDefinition";
            if !is_definition && !defined.is_empty() {
                self.establish(&std::mem::take(&mut defined)).await?;
            }
            self.come(plan, change, told).await?;
            if is_definition {
                defined.push(&change.object);
            }
        }
        self.establish(&defined).await?;
        self.go(plan, &going, told).await?;
        record = Record { complete: true, objects: wanted, ..record };
        self.write_record(&plan.owner, &record).await?;
        Ok(record.revision)
    }

    async fn come(&self, plan: &ReleasePlan, change: &Change, told: &mut (dyn FnMut(&Change) + Send)) -> Result<()> {
        let sent = self.send(&change.object, &change.wanted, plan.conflicts, false).await;
        sent.map_err(|error| Error::api(format!("apply {}", change.object), &error))?;
        told(change);
        Ok(())
    }

    /// New kinds are there.
    async fn establish(&self, definitions: &[&ObjectId]) -> Result<()> {
        if definitions.is_empty() {
            return Ok(());
        }
        for definition in definitions {
            self.wait(&Condition::Established { name: definition.name.clone() }, ESTABLISHED, &mut |_| {}).await?;
        }
        self.forget_kinds().await;
        Ok(())
    }

    async fn go(&self, plan: &ReleasePlan, going: &[&Change], told: &mut (dyn FnMut(&Change) + Send)) -> Result<()> {
        let namespaces: Vec<&str> =
            going.iter().filter(|change| change.object.kind == "Namespace").map(|change| &*change.object.name).collect();
        for change in going {
            // It goes with its namespace.
            let falls = change.object.namespace.as_deref().is_some_and(|namespace| namespaces.contains(&namespace));
            if !falls {
                self.delete(&change.object, change.uid.as_deref()).await?;
            }
            told(change);
        }
        if plan.removal && !namespaces.contains(&&*plan.owner.namespace) {
            self.remove_record(&plan.owner).await?;
        }
        if going.iter().any(|change| change.object.kind == "CustomResourceDefinition") {
            self.forget_kinds().await;
        }
        Ok(())
    }

    /// Deletes an object, if it is still the one with this uid; what it owns goes after it.
    pub(in super::super) async fn delete(&self, object: &ObjectId, uid: Option<&str>) -> Result<()> {
        let api = match self.api_of(object).await {
            Err(error) if error.kind == ErrorKind::Missing => return Ok(()),
            api => api?,
        };
        let mut how = DeleteParams::background();
        if let Some(uid) = uid {
            how = how.preconditions(Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() });
        }
        match patiently(|| api.delete(&object.name, &how)).await {
            // Another one of this name came meanwhile: not the one that the plan saw.
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            Err(error) => Err(Error::api(format!("delete {object}"), &error)),
            Ok(_) => Ok(()),
        }
    }
}

/// All problems of a plan as one error.
fn refusal(plan: &ReleasePlan) -> Option<Error> {
    let problems: Vec<&Change> = plan.problems().collect();
    let first = problems.first()?;
    let kind =
        if problems.iter().any(|change| matches!(change.verdict, Verdict::Refused(_))) { ErrorKind::Refused } else { ErrorKind::Conflict };
    let error = Error::new(kind, format!("apply release `{}`", plan.owner.release));
    let error = problems.iter().fold(error, |error, change| error.because(change.to_string().trim_start_matches("! ")));
    let hint = match &first.verdict {
        Verdict::Conflict(_) => format!(
            "leave the field out of the chart, or give it up: `provision kubectl get {} -o yaml --show-managed-fields` shows who set it",
            first.object.for_kubectl()
        ),
        Verdict::Refused(reason) if reason.starts_with("it exists already") => {
            format!("name it otherwise in the chart, or remove it: `provision kubectl delete {}`", first.object.for_kubectl())
        }
        Verdict::Refused(reason) if reason.contains("field is immutable") => {
            format!("it must be made anew: `provision kubectl delete {}`, then `provision up`", first.object.for_kubectl())
        }
        _ => "mend the chart or its values".to_owned(),
    };
    Some(error.hint(hint))
}

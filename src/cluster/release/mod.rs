//! A release: objects that come, change and go together. Plan by dry run, apply what it showed, prune what we own.

mod apply;
mod check;
mod plan;

use std::fmt;

use serde_json::Value;

use super::record::{Owner, Record};
use super::{Condition, FieldChange, ObjectId};

/// What is wanted in the cluster under one name.
#[derive(Clone, Debug)]
pub struct Release {
    pub name: String,
    /// The environment's name: two environments in one cluster do not touch each other's objects.
    pub environment: String,
    /// Made and owned where there is none; a namespace that was there stays its owner's.
    pub namespace: String,
    /// Rendered objects, in any order. Those without a namespace get the release's; `List`s are taken apart.
    pub objects: Vec<Value>,
    pub conflicts: Conflicts,
}

/// What to do where an object or a field is somebody else's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Conflicts {
    /// Say whose it is, and change nothing.
    #[default]
    Refuse,
    /// Make it ours.
    Take,
}

/// What an apply would do to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Create,
    Update(Vec<FieldChange>),
    Unchanged,
    /// Ours, and not wanted any more.
    Delete,
    /// Fields that others manage.
    Conflict(Vec<FieldConflict>),
    /// The API server's reason why it would not take it, or ours.
    Refused(String),
}

impl Verdict {
    /// Whether an apply writes it.
    pub fn is_change(&self) -> bool {
        matches!(self, Verdict::Create | Verdict::Update(_) | Verdict::Delete)
    }

    /// Whether it stops an apply.
    pub fn is_problem(&self) -> bool {
        matches!(self, Verdict::Conflict(_) | Verdict::Refused(_))
    }
}

/// A field that we want and another manager has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldConflict {
    /// `.spec.replicas`.
    pub field: String,
    /// `kubectl-edit`.
    pub manager: String,
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub object: ObjectId,
    pub verdict: Verdict,
    /// As it is sent; null for what goes.
    wanted: Value,
    /// The live object that the plan saw.
    uid: Option<String>,
}

/// `+ Deployment shop/web`, `~ Deployment shop/web`, `- …`; problems with their reason.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Create => write!(f, "+ {}", self.object),
            Verdict::Update(_) => write!(f, "~ {}", self.object),
            Verdict::Unchanged => write!(f, "= {}", self.object),
            Verdict::Delete => write!(f, "- {}", self.object),
            Verdict::Conflict(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|conflict| format!("{} is managed by `{}`", conflict.field, conflict.manager)).collect();
                write!(f, "! {}: {}", self.object, fields.join(", "))
            }
            Verdict::Refused(reason) => write!(f, "! {}: {reason}", self.object),
        }
    }
}

/// What [`super::Cluster::apply`] would do, object by object, in its order.
#[derive(Clone, Debug)]
pub struct ReleasePlan {
    pub changes: Vec<Change>,
    owner: Owner,
    before: Option<Record>,
    conflicts: Conflicts,
    /// The whole release goes.
    removal: bool,
}

impl ReleasePlan {
    /// The release's name.
    pub fn release(&self) -> &str {
        &self.owner.release
    }

    /// Whether an apply would write anything at all, our own record included.
    pub fn is_unchanged(&self) -> bool {
        self.changes.iter().all(|change| change.verdict == Verdict::Unchanged) && !self.rewrites_record()
    }

    /// What is waited for after an apply: the workloads of the release, in their order.
    pub fn conditions(&self) -> Vec<Condition> {
        self.wanted_objects().iter().filter_map(Condition::of).collect()
    }

    /// What this plan would write and an earlier one, that was shown, would not have.
    pub fn beyond<'plan>(&'plan self, shown: &'plan Self) -> impl Iterator<Item = &'plan Change> {
        self.changes.iter().filter(|change| change.verdict.is_change() && !shown.changes.contains(change))
    }

    /// What stops an apply.
    pub fn problems(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.verdict.is_problem())
    }

    /// The record is missing, of a run that did not end, or of other objects.
    pub fn rewrites_record(&self) -> bool {
        if self.removal {
            return self.before.is_some();
        }
        let wanted = self.wanted_objects();
        self.before.as_ref().is_none_or(|before| {
            !before.complete || before.objects.len() != wanted.len() || !wanted.iter().all(|object| before.objects.contains(object))
        })
    }

    /// The revision that the release has after an apply.
    pub fn revision(&self) -> u64 {
        self.before.as_ref().map_or(0, |before| before.revision) + u64::from(!self.is_unchanged())
    }

    fn wanted_objects(&self) -> Vec<ObjectId> {
        self.changes.iter().filter(|change| change.verdict != Verdict::Delete).map(|change| change.object.clone()).collect()
    }
}

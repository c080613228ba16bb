//! Users as /etc/shadow and a plan have them: by names, since what ids a machine will choose is not known before.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A line of /etc/shadow (shadow(5)): days, -1 where nothing stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The hash; a leading `!` locks it.
    pub password: String,
    /// Between changes, at least.
    pub min: i64,
    /// Between changes, at most.
    pub max: i64,
    /// Before the end of `max`, from when on the user is warned.
    pub warn: i64,
    /// After the end of `max`, until the account is disabled.
    pub inactive: i64,
    /// Since the epoch: the account's end.
    pub expires: i64,
}

impl Default for Shadow {
    fn default() -> Self {
        Self { password: "!".to_owned(), min: -1, max: -1, warn: -1, inactive: -1, expires: -1 }
    }
}

impl Shadow {
    /// The user's line among others; `None` where there is none.
    pub fn find(text: &str, name: &str) -> Option<Self> {
        let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut parts = line.split(':').skip(1);
        let password = parts.next()?.to_owned();
        let _changed = parts.next();
        let mut days = || parts.next().and_then(|days| days.parse().ok()).unwrap_or(-1);
        Some(Self { password, min: days(), max: days(), warn: days(), inactive: days(), expires: days() })
    }
}

/// A user as a command leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `None`: as it is, or the machine chooses.
    pub uid: Option<u32>,
    /// The primary group, by name or gid.
    pub group: String,
    pub gecos: String,
    pub home: PathBuf,
    pub shell: PathBuf,
    pub groups: Memberships,
    pub shadow: Shadow,
}

/// The groups that a user is in besides the primary one, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memberships {
    /// As they are.
    #[default]
    Kept,
    Added(Vec<String>),
    Set(Vec<String>),
}

impl Memberships {
    /// Whether the user is in the group, who was in it before or not.
    pub fn has(&self, group: &str, before: bool) -> bool {
        let listed = |names: &[String]| names.iter().any(|name| name == group);
        match self {
            Memberships::Kept => before,
            Memberships::Added(names) => before || listed(names),
            Memberships::Set(names) => listed(names),
        }
    }

    /// Both one after the other.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        match (self, later) {
            (former, Memberships::Kept) => former,
            (Memberships::Added(mut names), Memberships::Added(more)) => {
                names.extend(more);
                Memberships::Added(names)
            }
            (Memberships::Set(mut names), Memberships::Added(more)) => {
                names.extend(more);
                Memberships::Set(names)
            }
            (_, later) => later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_stand_in_a_line_is_minus_one() {
        let text = "root:*:19000:0:99999:7:::\nbob:$6$a$b:19000:1:90:7:30:20000:\nnews:!:::::::\n";
        let bob = Shadow { password: "$6$a$b".into(), min: 1, max: 90, warn: 7, inactive: 30, expires: 20_000 };
        assert_eq!(Shadow::find(text, "bob"), Some(bob));
        assert_eq!(Shadow::find(text, "news"), Some(Shadow::default()));
        assert_eq!(Shadow::find(text, "bo"), None);
    }
}

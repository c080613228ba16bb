//! Users and groups after what was planned.

use std::collections::BTreeMap;

use super::{FIRST_UNKNOWN_ID, Overlay};
use crate::system::{Account, Group, Memberships, Result, Shadow, System as _, User};

/// What a plan makes of them, by name.
#[derive(Default)]
pub(super) struct Accounts {
    users: BTreeMap<String, Planned<Account>>,
    groups: BTreeMap<String, Planned<Option<u32>>>,
    /// How many ids were given out.
    ids: u32,
}

/// `None`: gone.
struct Planned<T> {
    /// Only equal to itself; stands for the id that the machine will choose.
    id: u32,
    now: Option<T>,
}

impl Accounts {
    fn new_id(&mut self) -> u32 {
        self.ids += 1;
        FIRST_UNKNOWN_ID + self.ids - 1
    }
}

impl Overlay<'_> {
    pub(super) fn plan_user(&mut self, name: &str, mut account: Option<Account>) {
        if let (Some(account), Some(planned)) = (&mut account, self.accounts.users.get(name)) {
            // Who was gone comes back without any.
            let before = planned.now.as_ref().map_or(Memberships::Set(Vec::new()), |former| former.groups.clone());
            account.groups = before.then(std::mem::take(&mut account.groups));
        }
        let former = self.user(name).ok().flatten().filter(|user| user.name == name).map(|user| user.uid);
        let id = former.unwrap_or_else(|| self.accounts.new_id());
        self.accounts.users.insert(name.to_owned(), Planned { id, now: account });
    }

    pub(super) fn plan_group(&mut self, name: &str, present: bool, gid: Option<u32>) {
        let former = self.group(name).ok().flatten().filter(|group| group.name == name).map(|group| group.gid);
        let id = former.unwrap_or_else(|| self.accounts.new_id());
        self.accounts.groups.insert(name.to_owned(), Planned { id, now: present.then_some(gid) });
    }

    pub(super) fn user_by(&self, key: &str) -> Result<Option<User>> {
        if let Some(planned) = self.accounts.users.get(key) {
            return planned.now.as_ref().map(|account| self.planned_user(key, planned.id, account)).transpose();
        }
        let based = self.base.user(key)?;
        if based.as_ref().is_some_and(|user| user.name == key) {
            return Ok(based);
        }
        for (name, planned) in &self.accounts.users {
            if let Some(account) = &planned.now
                && account.uid.unwrap_or(planned.id).to_string() == key
            {
                return self.planned_user(name, planned.id, account).map(Some);
            }
        }
        match based.filter(|user| !self.accounts.users.contains_key(&user.name)) {
            Some(user) => Ok(Some(user)),
            None => self.absence(),
        }
    }

    fn planned_user(&self, name: &str, id: u32, account: &Account) -> Result<User> {
        let gid = match self.group_by(&account.group)? {
            Some(group) => group.gid,
            None => account.group.parse().unwrap_or(id),
        };
        Ok(User {
            name: name.to_owned(),
            uid: account.uid.unwrap_or(id),
            gid,
            gecos: account.gecos.clone(),
            home: account.home.clone(),
            shell: account.shell.clone(),
        })
    }

    pub(super) fn group_by(&self, key: &str) -> Result<Option<Group>> {
        if let Some(planned) = self.accounts.groups.get(key) {
            return planned.now.map(|gid| self.planned_group(key, gid.unwrap_or(planned.id))).transpose();
        }
        let based = self.base.group(key)?;
        if let Some(group) = based.as_ref().filter(|group| group.name == key) {
            return Ok(Some(self.with_members(group.clone())));
        }
        for (name, planned) in &self.accounts.groups {
            if let Some(gid) = planned.now
                && gid.unwrap_or(planned.id).to_string() == key
            {
                return self.planned_group(name, gid.unwrap_or(planned.id)).map(Some);
            }
        }
        match based.filter(|group| !self.accounts.groups.contains_key(&group.name)) {
            Some(group) => Ok(Some(self.with_members(group))),
            None => self.absence(),
        }
    }

    fn planned_group(&self, name: &str, gid: u32) -> Result<Group> {
        let former = self.base.group(name)?.filter(|group| group.name == name);
        let members = former.map(|group| group.members).unwrap_or_default();
        Ok(self.with_members(Group { name: name.to_owned(), gid, members }))
    }

    /// A planned user is in the groups that the plan says, in no other.
    fn with_members(&self, mut group: Group) -> Group {
        let before = group.members.clone();
        group.members.retain(|member| !self.accounts.users.contains_key(member));
        for (name, planned) in &self.accounts.users {
            if planned.now.as_ref().is_some_and(|account| account.groups.has(&group.name, before.contains(name))) {
                group.members.push(name.clone());
            }
        }
        group
    }

    /// A list says who is not there, too.
    fn listed(&self) -> Result<()> {
        self.absence::<()>().map(drop)
    }

    pub(super) fn all_users(&self) -> Result<Vec<User>> {
        self.listed()?;
        let mut users = self.base.users()?;
        users.retain(|user| !self.accounts.users.contains_key(&user.name));
        for (name, planned) in &self.accounts.users {
            if let Some(account) = &planned.now {
                users.push(self.planned_user(name, planned.id, account)?);
            }
        }
        Ok(users)
    }

    pub(super) fn all_groups(&self) -> Result<Vec<Group>> {
        self.listed()?;
        let mut groups = self.base.groups()?;
        groups.retain(|group| !self.accounts.groups.contains_key(&group.name));
        let mut groups: Vec<Group> = groups.into_iter().map(|group| self.with_members(group)).collect();
        for (name, planned) in &self.accounts.groups {
            if let Some(gid) = planned.now {
                groups.push(self.planned_group(name, gid.unwrap_or(planned.id))?);
            }
        }
        Ok(groups)
    }

    /// One entry that is there stays; lists, what is not there, and accounts that the plan changes are not known after it.
    pub(super) fn name_service_of(&self, database: &str, key: Option<&str>, service: Option<&str>) -> Result<(i32, String)> {
        let planned = match database {
            "passwd" | "shadow" | "initgroups" => !self.accounts.users.is_empty(),
            "group" | "gshadow" => !self.accounts.users.is_empty() || !self.accounts.groups.is_empty(),
            _ => false,
        };
        if planned {
            return Err(crate::system::Error::unknown(format!("the {database} database after the accounts of this plan")));
        }
        let answer = self.base.name_service(database, key, service)?;
        if answer.0 != 0 || key.is_none() {
            self.listed()?;
        }
        // Any file behind it may be one that the plan writes.
        let file = std::path::Path::new("/etc").join(database);
        if self.entries.contains_key(&file) {
            return Err(crate::system::Error::unknown(format!("the new content of {}", file.display())));
        }
        Ok(answer)
    }

    pub(super) fn shadow_of(&self, name: &str) -> Result<Option<Shadow>> {
        match self.accounts.users.get(name) {
            Some(planned) => Ok(planned.now.as_ref().map(|account| account.shadow.clone())),
            None => match self.base.shadow(name)? {
                Some(shadow) => Ok(Some(shadow)),
                // A user that is there without a line keeps none.
                None if self.base.user(name)?.is_some() => Ok(None),
                None => self.absence(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::fake::Fake;
    use crate::system::{Action, Command, Effect};

    fn fake() -> Fake {
        let users = serde_json::json!({"alice": {"uid": 1000, "password": "$6$a$b"}});
        let groups = serde_json::json!({"alice": 1000, "docker": {"gid": 990, "members": ["alice", "carl"]}});
        Fake::from_value(serde_json::json!({"users": users, "groups": groups})).expect("is a machine")
    }

    fn run(effect: Effect) -> Action {
        Action::Run(Command::new("do it", ["true"]).effect(effect))
    }

    fn user(name: &str, account: Option<Account>) -> Effect {
        Effect::User { name: name.into(), account: account.map(Box::new) }
    }

    #[test]
    fn an_id_that_was_given_out_stays_when_another_user_comes() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        overlay.absorb(&run(user("bob", Some(Account::default()))), "first");
        let before = overlay.user("bob").expect("is known").expect("is there").uid;
        overlay.absorb(&run(user("anna", Some(Account::default()))), "second");
        overlay.absorb(&run(user("bob", Some(Account { gecos: "Bob".into(), ..Account::default() }))), "third");
        let after = overlay.user("bob").expect("is known").expect("is there");
        assert_eq!((after.uid, after.gecos.as_str()), (before, "Bob"));
        assert_eq!(overlay.user(&before.to_string()).expect("is known").map(|user| user.name).as_deref(), Some("bob"));
    }

    #[test]
    fn members_are_those_of_the_plan() {
        let fake = fake();
        let mut overlay = Overlay::new(&fake);
        let group = Effect::Group { name: "devs".into(), present: true, gid: Some(2000) };
        let bob = Account { uid: Some(1500), group: "devs".into(), groups: Memberships::Set(vec!["docker".into()]), ..Account::default() };
        overlay.absorb(&run(Effect::All(vec![group, user("bob", Some(bob)), user("alice", None)])), "it");
        let members = |name: &str| overlay.group(name).expect("is known").expect("is there").members;
        assert_eq!(members("docker"), ["carl", "bob"]);
        assert_eq!(overlay.user("1500").expect("is known").map(|user| user.gid), Some(2000));
        assert_eq!(overlay.user("1000").expect("is known"), None);
        assert_eq!(overlay.shadow("alice").expect("is known"), None);
        let names: Vec<String> = overlay.groups().expect("is known").into_iter().map(|group| group.name).collect();
        assert_eq!(names, ["root", "alice", "docker", "devs"]);
        // What a list does not hold may be there after a program.
        overlay.absorb(&run(Effect::Opaque), "build it");
        assert!(overlay.groups().err().and_then(|error| error.unknown_cause().cloned()).is_some());
        assert_eq!(overlay.shadow("bob").expect("is known").map(|shadow| shadow.password).as_deref(), Some("!"));
    }
}

//! Users and groups: /etc/passwd and /etc/group by hand (a static binary has no NSS), then `getent` for directories
//! (LDAP, systemd-userdb) that only the machine's own libc knows.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::system::{Error, ErrorKind, Group, Result, Shadow, User};

/// A user by name, else by uid.
pub(super) fn user(name_or_uid: &str) -> Result<Option<User>> {
    find("passwd", name_or_uid, parse_user, |user| (user.name.clone(), user.uid))
}

/// A group by name, else by gid.
pub(super) fn group(name_or_gid: &str) -> Result<Option<Group>> {
    find("group", name_or_gid, parse_group, |group| (group.name.clone(), group.gid))
}

pub(super) fn users() -> Result<Vec<User>> {
    Ok(database("passwd")?.lines().filter_map(parse_user).collect())
}

pub(super) fn groups() -> Result<Vec<Group>> {
    Ok(database("group")?.lines().filter_map(parse_group).collect())
}

pub(super) fn shadow(name: &str) -> Result<Option<Shadow>> {
    match database("shadow") {
        Ok(text) => Ok(Shadow::find(&text, name)),
        Err(error) if error.kind == ErrorKind::Denied => Ok(None),
        Err(error) => Err(error),
    }
}

/// The effective user; one without an entry is named by the uid.
pub(super) fn whoami() -> Result<User> {
    let uid = nix::unistd::geteuid().as_raw();
    if let Some(user) = find_by_id(uid)? {
        return Ok(user);
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let gid = nix::unistd::getegid().as_raw();
    Ok(User { name: uid.to_string(), uid, gid, gecos: String::new(), home, shell: PathBuf::from("/bin/sh") })
}

fn find_by_id(uid: u32) -> Result<Option<User>> {
    Ok(user(&uid.to_string())?.filter(|user| user.uid == uid))
}

fn find<T>(database: &str, key: &str, parse: fn(&str) -> Option<T>, identify: fn(&T) -> (String, u32)) -> Result<Option<T>> {
    if let Some(found) = pick(&self::database(database)?, key, parse, identify) {
        return Ok(Some(found));
    }
    Ok(getent(database, key).as_deref().and_then(parse))
}

/// The text of /etc/NAME; nothing where it is not there.
fn database(name: &str) -> Result<String> {
    let path = format!("/etc/{name}");
    match crate::system::traceless::read(&path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::io(format_args!("read {path}"), &error)),
    }
}

/// Names win over numbers: a user may be called `1000`.
fn pick<T>(text: &str, key: &str, parse: fn(&str) -> Option<T>, identify: fn(&T) -> (String, u32)) -> Option<T> {
    let by_name = text.lines().filter_map(parse).find(|entry| identify(entry).0 == key);
    let id: Option<u32> = key.parse().ok();
    by_name.or_else(|| text.lines().filter_map(parse).find(|entry| Some(identify(entry).1) == id))
}

fn parse_user(line: &str) -> Option<User> {
    let mut parts = line.split(':');
    let name = parts.next()?.to_owned();
    let _password = parts.next()?;
    let uid = parts.next()?.parse().ok()?;
    let gid = parts.next()?.parse().ok()?;
    let gecos = parts.next()?.to_owned();
    let home = parts.next()?.into();
    let shell = parts.next().unwrap_or_default().into();
    Some(User { name, uid, gid, gecos, home, shell })
}

fn parse_group(line: &str) -> Option<Group> {
    let mut parts = line.split(':');
    let name = parts.next()?.to_owned();
    let _password = parts.next()?;
    let gid = parts.next()?.parse().ok()?;
    let members = parts.next().unwrap_or_default().split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
    Some(Group { name, gid, members })
}

/// The first line that `getent` prints; `None` without the program or the entry.
fn getent(database: &str, key: &str) -> Option<String> {
    if key.is_empty() || key.starts_with('-') {
        return None;
    }
    let output = Command::new("getent").arg(database).arg(key).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

/// What `getent` says, the services of the C library behind it.
pub(super) fn name_service(database: &str, key: Option<&str>, service: Option<&str>) -> Result<(i32, String)> {
    let words = [Some(database), key].into_iter().flatten();
    let service = service.map(|service| ["-s", service]).into_iter().flatten();
    let output = Command::new("getent").args(words).args(service).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::io(format_args!("run getent {database}"), &error))?;
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_digits_wins_over_the_number() {
        let text = "root:x:0:0:root:/root:/bin/bash\n0:x:7:8::/home/zero:\n# comment\nbroken:line\n";
        let zero = pick(text, "0", parse_user, |user| (user.name.clone(), user.uid)).expect("is there");
        assert_eq!((zero.uid, zero.home.to_str()), (7, Some("/home/zero")));
        let root = pick(text, "root", parse_user, |user| (user.name.clone(), user.uid)).expect("is there");
        assert_eq!(root.uid, 0);
    }

    #[test]
    fn unknown_accounts_are_absent_not_errors() {
        assert_eq!(user("no-such-user-of-provision").expect("reads"), None);
        assert_eq!(group("no-such-group-of-provision").expect("reads"), None);
    }
}

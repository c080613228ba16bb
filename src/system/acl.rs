//! Access control lists of files: acl(5), and how Linux keeps them in extended attributes (`linux/posix_acl_xattr.h`).

use serde::{Deserialize, Serialize};

/// The extended attributes.
pub const ACCESS: &str = "system.posix_acl_access";
pub const DEFAULT: &str = "system.posix_acl_default";

/// Both lists of an object, each in the order that getfacl(1) prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acl {
    /// Who may do what; owner, owning group and others are always in it.
    pub access: Vec<AclEntry>,
    /// What a directory gives to new objects in it; often none.
    pub default: Vec<AclEntry>,
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AclEntry {
    pub tag: AclTag,
    /// The user or group that a [`AclTag::User`] or [`AclTag::Group`] names.
    pub id: Option<u32>,
    /// Read 4, write 2, execute 1.
    pub permissions: u32,
}

/// Whom an entry is for, in the order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AclTag {
    /// The object's owner.
    Owner,
    User,
    /// The object's group.
    OwningGroup,
    Group,
    /// The most that users, groups and the owning group may do.
    Mask,
    Others,
}

impl AclTag {
    /// The kernel's number.
    const NUMBERS: [(u16, AclTag); 6] = [
        (0x01, AclTag::Owner),
        (0x02, AclTag::User),
        (0x04, AclTag::OwningGroup),
        (0x08, AclTag::Group),
        (0x10, AclTag::Mask),
        (0x20, AclTag::Others),
    ];
}

impl Acl {
    /// What permission bits alone say.
    pub fn of_mode(mode: u32) -> Self {
        let entry = |tag, shift: u32| AclEntry { tag, id: None, permissions: (mode >> shift) & 7 };
        Self { access: vec![entry(AclTag::Owner, 6), entry(AclTag::OwningGroup, 3), entry(AclTag::Others, 0)], default: Vec::new() }
    }

    /// The list after chmod(2): the group's bits are the mask, where there is one.
    #[must_use]
    pub fn with_mode(mut self, mode: u32) -> Self {
        let has_mask = self.access.iter().any(|entry| entry.tag == AclTag::Mask);
        for entry in &mut self.access {
            let shift = match entry.tag {
                AclTag::Owner => 6,
                AclTag::OwningGroup if !has_mask => 3,
                AclTag::Mask => 3,
                AclTag::Others => 0,
                _ => continue,
            };
            entry.permissions = (mode >> shift) & 7;
        }
        self
    }

    /// The permission bits that stat(2) shows, without those beyond the nine of owner, group, others.
    pub fn mode(&self) -> u32 {
        let of = |tag| self.access.iter().find(|entry| entry.tag == tag).map(|entry| entry.permissions);
        let group = of(AclTag::Mask).or(of(AclTag::OwningGroup)).unwrap_or_default();
        of(AclTag::Owner).unwrap_or_default() << 6 | group << 3 | of(AclTag::Others).unwrap_or_default()
    }
}

/// An extended attribute's entries; `None` where it is no list.
pub fn entries(attribute: &[u8]) -> Option<Vec<AclEntry>> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    let (version, rest) = attribute.split_at_checked(4)?;
    if number(version) != 2 || rest.len() % 8 != 0 {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let (_, tag) = AclTag::NUMBERS.into_iter().find(|(known, _)| u32::from(*known) == number(&bytes[..2]))?;
        let id = matches!(tag, AclTag::User | AclTag::Group).then(|| number(&bytes[4..]));
        Some(AclEntry { tag, id, permissions: number(&bytes[2..4]) & 7 })
    };
    let mut entries = rest.chunks(8).map(entry).collect::<Option<Vec<AclEntry>>>()?;
    entries.sort_unstable();
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_kernel_is_read() {
        let bytes =
            hex::decode("02000000010006 00ffffffff02000700050000000400 0400ffffffff10000400ffffffff20000000ffffffff".replace(' ', ""))
                .expect("hex");
        let read = Acl { access: entries(&bytes).expect("a list"), default: Vec::new() };
        let shown: Vec<_> = read.access.iter().map(|entry| (entry.tag, entry.id, entry.permissions)).collect();
        let wanted = [
            (AclTag::Owner, None, 6),
            (AclTag::User, Some(5), 7),
            (AclTag::OwningGroup, None, 4),
            (AclTag::Mask, None, 4),
            (AclTag::Others, None, 0),
        ];
        assert_eq!((shown.as_slice(), read.mode()), (wanted.as_slice(), 0o640));
        assert_eq!(read.with_mode(0o771).mode(), 0o771);
        assert_eq!(Acl::of_mode(0o754).mode(), 0o754);
        assert_eq!(entries(b"\x01\0\0\0"), None);
    }
}

//! A zip's members beside what is in the folder, as Ansible compares them.

use super::Unarchive;
use crate::module::file_arguments::resolve_mode;
use crate::system::archive::{Archive, Details};
use crate::system::{FileKind, Metadata, Result, System};

/// Files of a zip that was not packed on Unix get what the umask leaves.
const UMASK: u32 = 0o022;

/// What differs.
pub struct Compared {
    /// A line a member, as `rsync --itemize-changes` writes them.
    pub diff: String,
    /// Members that the folder has newer, with `keep_newer`.
    pub newer: Vec<String>,
}

pub fn compare(module: &Unarchive, archive: &Archive, system: &dyn System) -> Result<Compared> {
    let mut compared = Compared { diff: String::new(), newer: Vec::new() };
    for member in &archive.members {
        let Some(details) = &member.details else { continue };
        let path = module.dest.path().join(member.name.trim_end_matches('/'));
        let letter = if member.name.ends_with('/') {
            'd'
        } else if details.is_link {
            'L'
        } else {
            'f'
        };
        let Some(found) = system.metadata(&path)? else {
            compared.diff += &format!(">{letter}++++++.?? {}\n", member.name);
            continue;
        };
        let right = match letter {
            'd' => found.kind == FileKind::Directory,
            'L' => found.kind == FileKind::Symlink,
            _ => found.kind == FileKind::File,
        };
        if !right {
            compared.diff += &format!("c{letter}++++++.?? {}\n", member.name);
            continue;
        }
        if module.keep_newer && found.kind == FileKind::File && (details.modified as f64) < found.modified {
            compared.newer.push(member.name.clone());
            continue;
        }
        let itemized = itemized(module, details, letter, &path, &found, system)?;
        if itemized[2..7].iter().any(|mark| *mark != '.') {
            compared.diff += &format!("{} {}\n", itemized.iter().collect::<String>(), member.name);
        }
    }
    Ok(compared)
}

fn itemized(
    module: &Unarchive,
    details: &Details,
    letter: char,
    path: &std::path::Path,
    found: &Metadata,
    system: &dyn System,
) -> Result<Vec<char>> {
    let mut marks: Vec<char> = format!(".{letter}.......??").chars().collect();
    if found.kind == FileKind::File {
        if found.modified.is_nan() {
            return Err(crate::system::Error::unknown("the time of a new file"));
        }
        let (there, here) = (details.modified as f64, found.modified);
        let differs = if module.keep_newer { there > here } else { (there - here).abs() > f64::EPSILON };
        if differs {
            marks[4] = 't';
        }
        if details.size != found.size {
            marks[3] = 's';
        }
        let mut sum = flate2::Crc::new();
        sum.update(&system.read(path)?.unwrap_or_default());
        if sum.sum() != details.crc32 {
            marks[2] = 'c';
        }
    }
    if letter != 'L' {
        let packed = details.mode.unwrap_or(if letter == 'd' { 0o777 & !UMASK } else { 0o666 & !UMASK });
        let wanted = module.file.mode.as_ref().map_or(Ok(packed), |mode| resolve_mode(mode, path, found))?;
        if wanted != found.mode {
            marks[5] = 'p';
        }
    }
    let acting = system.whoami()?;
    let owner = match &module.file.owner {
        Some(owner) => system.user(owner)?.map_or(acting.uid, |user| user.uid),
        None => acting.uid,
    };
    let group = match &module.file.group {
        Some(group) => system.group(group)?.map_or(acting.gid, |group| group.gid),
        None => acting.gid,
    };
    if found.uid != owner {
        marks[6] = 'o';
    }
    if found.gid != group {
        marks[6] = 'g';
    }
    Ok(marks)
}

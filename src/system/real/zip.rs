//! The directory of a zip file: APPNOTE.TXT 4.3.12 to 4.3.16, with zip64 and extended timestamps.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use super::archive::cannot;
use crate::program::glob::glob;
use crate::system::archive::{Details, Member, Question};
use crate::system::{Error, Result, clock};

/// The end record is within this many last bytes: 22 and the longest comment.
const LONGEST_END: u64 = 22 + 65_535;

pub(super) fn members(file: &mut File, path: &str, question: &Question) -> Result<Vec<Member>> {
    if super::files::executable("unzip").is_none() {
        return Err(cannot(path, "Unable to find required 'unzip' or 'zipinfo' binary in the path."));
    }
    let directory = directory(file).map_err(|error| Error::io(format_args!("read {path}"), &error))?;
    let directory = directory.ok_or_else(|| cannot(path, "File is not a zip file"))?;
    let mut members = Vec::new();
    let mut rest = directory.as_slice();
    while let Some((member, next)) = entry(rest) {
        rest = next;
        let fits = |patterns: &[String]| patterns.iter().any(|pattern| glob(pattern, &member.name));
        let taken = if question.include.is_empty() { !fits(&question.exclude) } else { fits(&question.include) };
        if taken {
            members.push(member);
        }
    }
    if members.is_empty() {
        return Err(cannot(path, "Command \"unzip\" found no files in archive. Empty archive files are not supported."));
    }
    Ok(members)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The bytes of the central directory; `None` where there is none.
fn directory(file: &mut File) -> std::io::Result<Option<Vec<u8>>> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LONGEST_END);
    file.seek(SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let Some(at) = end.windows(4).rposition(|window| window == b"PK\x05\x06") else { return Ok(None) };
    let (mut size, mut offset) = (number(&end, at + 12, 4), number(&end, at + 16, 4));
    // A zip64 has its numbers elsewhere; a locator stands right before the end record.
    let locator = at.checked_sub(20).filter(|locator| end.get(*locator..*locator + 4) == Some(b"PK\x06\x07"));
    if let Some(place) = locator.and_then(|locator| number(&end, locator + 8, 8)) {
        let mut record = [0; 56];
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(&mut record)?;
        (size, offset) = (number(&record, 40, 8), number(&record, 48, 8));
    }
    let (Some(size), Some(offset)) = (size, offset) else { return Ok(None) };
    if offset.checked_add(size).is_none_or(|end| end > length) {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// One entry and what follows it.
fn entry(bytes: &[u8]) -> Option<(Member, &[u8])> {
    if !bytes.starts_with(b"PK\x01\x02") {
        return None;
    }
    let short = |at| number(bytes, at, 2).and_then(|number| usize::try_from(number).ok());
    let (name, extra, comment) = (short(28)?, short(30)?, short(32)?);
    let text = String::from_utf8_lossy(bytes.get(46..46 + name)?).into_owned();
    let extra_bytes = bytes.get(46 + name..46 + name + extra)?;
    let attributes = number(bytes, 38, 4)?;
    let unix = (number(bytes, 5, 1)? == 3).then_some((attributes >> 16) as u32);
    let mut size = number(bytes, 24, 4)?;
    if size == 0xffff_ffff {
        size = field(extra_bytes, 1).and_then(|field| number(field, 0, 8)).unwrap_or(size);
    }
    let stamp = field(extra_bytes, 0x5455).filter(|field| field.first().is_some_and(|flags| flags & 1 == 1));
    let stamp = stamp.and_then(|field| number(field, 1, 4)).map(|seconds| i64::from(seconds as u32 as i32));
    let details = Details {
        is_link: unix.is_some_and(|mode| mode & 0o170_000 == 0o120_000),
        mode: unix.map(|mode| mode & 0o777),
        size,
        modified: stamp.or_else(|| dos_time(number(bytes, 14, 2)?, number(bytes, 12, 2)?)).unwrap_or_default(),
        crc32: number(bytes, 16, 4)? as u32,
    };
    Some((Member { name: text, details: Some(details) }, &bytes[(46 + name + extra + comment).min(bytes.len())..]))
}

/// An extra field by its number.
fn field(mut extra: &[u8], wanted: u64) -> Option<&[u8]> {
    loop {
        let (id, length) = (number(extra, 0, 2)?, usize::try_from(number(extra, 2, 2)?).ok()?);
        let field = extra.get(4..4 + length)?;
        if id == wanted {
            return Some(field);
        }
        extra = &extra[4 + length..];
    }
}

/// MS-DOS keeps local time in steps of two seconds.
fn dos_time(date: u64, time: u64) -> Option<i64> {
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31) * 2);
    clock::parse(&format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}"), "%Y%m%d%H%M%S")
}

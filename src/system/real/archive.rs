//! Archives by the tools of this machine; a zip's own directory is read here.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};

use super::files::executable;
use super::zip;
use crate::program::glob::glob;
use crate::system::archive::{Archive, Format, Member, Question, Source};
use crate::system::{Error, Result};

/// Its first bytes tell the format.
const START: usize = 8;

pub(super) fn archive(question: &Question) -> Result<Archive> {
    let (mut file, path) = opened(&question.source)?;
    let mut start = [0; START];
    let count = file.read(&mut start).map_err(|error| Error::io(format_args!("read {path}"), &error))?;
    let format = Format::of(&start[..count]);
    if format == Format::Zip {
        return Ok(Archive { format, members: zip::members(&mut file, &path, question)?, differences: Vec::new() });
    }
    let program = tar(&path)?;
    let (listed, said) = run(&question.tar(&program, "--list", format, &path))?;
    let listed = listed.ok_or_else(|| cannot(&path, &format!("Command \"{program}\" could not handle archive: {}", said.trim())))?;
    let members: Vec<Member> = listed.lines().filter_map(|line| member(line, question)).collect();
    if members.is_empty() {
        return Err(cannot(&path, &format!("Command \"{program}\" found no files in archive. Empty archive files are not supported.")));
    }
    let differences = match question.folder {
        Some(_) => {
            let (out, err) = both(&question.tar(&program, "--diff", format, &path))?;
            out.lines().chain(err.lines()).map(str::to_owned).collect()
        }
        None => Vec::new(),
    };
    Ok(Archive { format, members, differences })
}

/// The file, and a path by which a child may open it: bytes of the controller are in memory only.
fn opened(source: &Source) -> Result<(File, String)> {
    match source {
        Source::Node(path) => {
            let shown = path.to_string_lossy().into_owned();
            Ok((File::open(path).map_err(|error| Error::io(format_args!("read {shown}"), &error))?, shown))
        }
        Source::Bytes(bytes) => {
            let failed = |error: &std::io::Error| Error::io("keep the archive in memory", error);
            let memory = rustix::fs::memfd_create("archive", rustix::fs::MemfdFlags::CLOEXEC).map_err(|errno| failed(&errno.into()))?;
            let mut file = File::from(memory);
            file.write_all(&bytes.0).map_err(|error| failed(&error))?;
            std::io::Seek::rewind(&mut file).map_err(|error| failed(&error))?;
            let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
            Ok((file, path))
        }
    }
}

/// GNU tar's path.
fn tar(path: &str) -> Result<String> {
    let program = executable("gtar").or_else(|| executable("tar"));
    let program = program.ok_or_else(|| cannot(path, "Unable to find required 'gtar' or 'tar' binary in the path"))?;
    let program = program.to_string_lossy().into_owned();
    let (version, _) = both(&[program.clone(), "--version".to_owned()])?;
    if version.starts_with("tar") && version.contains("GNU") {
        return Ok(program);
    }
    Err(cannot(path, &format!("Command \"{program}\" is no GNU tar. GNU tar required.")))
}

pub(super) fn cannot(path: &str, why: &str) -> Error {
    let message = format!("Failed to find handler for \"{path}\". Make sure the required command to extract the file is installed.\n{why}");
    Error::failed(message).hint("install tar (gzip, bzip2, xz, zstd) or unzip on the node")
}

/// A line of `tar --list`, where tar writes letters that are no text as octal escapes.
fn member(line: &str, question: &Question) -> Option<Member> {
    let name = unescaped(line);
    let name = name.strip_prefix('/').unwrap_or(&name).to_owned();
    let out = question.exclude.iter().any(|pattern| glob(pattern, &name));
    (!out).then_some(Member { name, details: None })
}

fn unescaped(line: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let octal = more.get(..3).and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let (byte, length) = match (first, octal, more.first()) {
            (b'\\', Some(byte), _) => (byte, 4),
            (b'\\', None, Some(b'n')) => (b'\n', 2),
            (b'\\', None, Some(b't')) => (b'\t', 2),
            (b'\\', None, Some(b'r')) => (b'\r', 2),
            (b'\\', None, Some(other)) => (*other, 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What it printed, if it succeeded, and what it complained of.
fn run(words: &[String]) -> Result<(Option<String>, String)> {
    let output = output(words)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success().then(|| text(&output.stdout)), text(&output.stderr)))
}

fn both(words: &[String]) -> Result<(String, String)> {
    let output = output(words)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

fn output(words: &[String]) -> Result<std::process::Output> {
    let mut command = Command::new(Path::new(&words[0]));
    command.args(&words[1..]).stdin(Stdio::null());
    // Its words are read.
    for name in ["LANG", "LC_ALL", "LC_MESSAGES", "LANGUAGE"] {
        command.env(name, "C.UTF-8");
    }
    command.output().map_err(|error| Error::io(format_args!("run {}", words[0]), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tar_escapes_are_themselves() {
        for (line, name) in [("a/b", "a/b"), ("caf\\303\\251", "café"), ("a\\\\b", "a\\b"), ("a\\nb", "a\nb")] {
            assert_eq!(unescaped(line), name);
        }
    }
}

//! A journal's folder: its lock, its numbered files, the torn last line, and how all of it is read.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use super::disk::{Disk, Row};

/// The right to write; it ends with the process, however that ends.
pub(super) fn lock(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder)?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock")).context("open its lock")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another process writes to it; give each process a folder of its own"),
        Err(TryLockError::Error(error)) => Err(error).context("lock it"),
    }
}

pub(super) struct Files {
    folder: PathBuf,
    last: Option<u64>,
}

impl Files {
    pub fn open(folder: &Path) -> io::Result<Self> {
        Ok(Self { folder: folder.to_owned(), last: numbered(folder)?.pop().map(|(number, _)| number) })
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.jsonl"))
    }
}

impl Row for Files {
    fn last(&mut self) -> io::Result<Option<(Box<dyn Disk>, u64)>> {
        let Some(number) = self.last else { return Ok(None) };
        let mut file = OpenOptions::new().read(true).append(true).open(self.path(number))?;
        let length = whole(&mut file)?;
        if length < file.metadata()?.len() {
            file.set_len(length)?;
            file.sync_all()?;
        }
        Ok(Some((Box::new(file), length)))
    }

    fn next(&mut self) -> io::Result<Box<dyn Disk>> {
        let number = self.last.unwrap_or(0) + 1;
        // It may be there: an earlier try ended between these two lines.
        let file = OpenOptions::new().create(true).append(true).open(self.path(number))?;
        file.set_len(0)?;
        File::open(&self.folder)?.sync_all()?;
        self.last = Some(number);
        Ok(Box::new(file))
    }
}

/// Bytes up to the end of the last whole line.
fn whole(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut buffer = vec![0; 64 * 1024];
    while end > 0 {
        let part = end.min(buffer.len() as u64) as usize;
        file.seek(SeekFrom::Start(end - part as u64))?;
        file.read_exact(&mut buffer[..part])?;
        if let Some(place) = buffer[..part].iter().rposition(|byte| *byte == b'\n') {
            return Ok(end - part as u64 + place as u64 + 1);
        }
        end -= part as u64;
    }
    Ok(0)
}

fn numbered(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl")?.parse().ok());
        files.extend(number.map(|number| (number, path)));
    }
    files.sort();
    Ok(files)
}

/// Each whole line of a journal, oldest first, then those of the journals in its subfolders (each pod has one). What is no JSON is
/// counted: it was never acknowledged, or is not ours.
pub fn lines(folder: &Path, each: &mut dyn FnMut(&str, serde_json::Value) -> Result<()>) -> Result<usize> {
    let read = || format!("read the journal `{}`", folder.display());
    let mut strange = 0;
    for (_, path) in numbered(folder).with_context(read)? {
        let mut reader = BufReader::new(File::open(&path).with_context(read)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).with_context(read)? > 0 {
            if let Some(text) = line.strip_suffix(b"\n") {
                match std::str::from_utf8(text).map(|text| (text, serde_json::from_str(text))) {
                    Ok((text, Ok(value))) => each(text, value)?,
                    _ => strange += 1,
                }
            }
            line.clear();
        }
    }
    let mut inner = fs::read_dir(folder).with_context(read)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    inner.retain(|path| path.is_dir());
    inner.sort();
    for path in inner {
        strange += lines(&path, each)?;
    }
    Ok(strange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Feedback, Journal, Record};

    fn record(id: &str) -> Record {
        let told = |text: &str| Some(text.to_owned());
        Record::Feedback(Feedback {
            at: 1,
            id: told(id),
            url: told("http://a/"),
            verdict: told("phishing"),
            feedback: "yes".into(),
            version: told("v2"),
            model: None,
        })
    }

    fn ids(folder: &Path) -> (Vec<String>, usize) {
        let mut found = Vec::new();
        let strange = lines(folder, &mut |_, line| {
            found.push(line["id"].as_str().unwrap_or("none").to_owned());
            Ok(())
        });
        (found, strange.unwrap())
    }

    #[tokio::test]
    async fn torn_last_line_is_cut_and_what_was_whole_stays() {
        let folder = tempfile::tempdir().unwrap();
        for id in ["1", "2"] {
            Journal::open(folder.path(), 1000).unwrap().append([record(id)]).await.unwrap();
            // The journal's thread ends after its last handle.
            while lock(folder.path()).is_err() {
                tokio::task::yield_now().await;
            }
            // As a power failure leaves it: longer than a block of ours, and with what no text has.
            let file = folder.path().join("0000000001.jsonl");
            let mut torn = fs::read(&file).unwrap();
            torn.extend(vec![0; 100_000]);
            fs::write(&file, torn).unwrap();
            assert_eq!(ids(folder.path()).1, 0);
        }
        let journal = Journal::open(folder.path(), 1000).unwrap();
        journal.append([record("3"), record("4")]).await.unwrap();
        assert_eq!(ids(folder.path()), (["1", "2", "3", "4"].map(str::to_owned).into(), 0));
    }

    #[tokio::test]
    async fn files_follow_one_another_and_subfolders_are_read_too() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("pod"), 200).unwrap();
        for id in 0..9 {
            journal.append([record(&id.to_string())]).await.unwrap();
        }
        assert_eq!(numbered(&folder.path().join("pod")).unwrap().len(), 5);
        fs::write(folder.path().join("0000000001.jsonl"), "{\"id\":\"outer\"}\nno line of ours\n{\"id\":").unwrap();
        let (found, strange) = ids(folder.path());
        assert_eq!((found.concat(), strange), ("outer012345678".to_owned(), 1));
    }

    #[tokio::test]
    async fn two_writers_of_one_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let _journal = Journal::open(folder.path(), 1000).unwrap();
        let refused = format!("{:#}", Journal::open(folder.path(), 1000).err().unwrap());
        assert!(refused.contains("another process writes to it"), "{refused}");
    }
}

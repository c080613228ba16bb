//! The thread that writes: what waits is written and synced as one batch, then everybody in it is told.

use std::io;

use tokio::sync::{mpsc, oneshot};

use super::Refused;
use super::disk::{Disk, Row};

/// Bytes from which a batch is not made larger.
const LARGEST_BATCH: usize = 1024 * 1024;

pub(super) struct Waiting {
    /// Whole lines.
    pub lines: Vec<u8>,
    pub done: oneshot::Sender<Result<(), Refused>>,
}

pub(super) struct Writer<R> {
    row: R,
    largest_file: u64,
    /// The file that is written to, and the length of what was acknowledged of it.
    current: Option<(Box<dyn Disk>, u64)>,
}

impl<R: Row> Writer<R> {
    pub fn new(mut row: R, largest_file: u64) -> io::Result<Self> {
        let current = row.last()?;
        Ok(Self { row, largest_file, current })
    }

    /// Until nobody can append any more.
    pub fn run(&mut self, mut receiver: mpsc::Receiver<Waiting>) {
        while let Some(first) = receiver.blocking_recv() {
            let (mut lines, mut told) = (first.lines, vec![first.done]);
            while lines.len() < LARGEST_BATCH
                && let Ok(next) = receiver.try_recv()
            {
                lines.extend(next.lines);
                told.push(next.done);
            }
            let ended = self.commit(&lines).map_err(|error| match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Refused::Full,
                _ => Refused::Failed(error.to_string()),
            });
            for done in told {
                // Who has gone away need not know.
                let _ = done.send(ended.clone());
            }
        }
    }

    /// Writes and syncs; after an error nothing of it is left.
    fn commit(&mut self, lines: &[u8]) -> io::Result<()> {
        let (mut file, length) = match self.current.take() {
            Some((file, length)) if length < self.largest_file => (file, length),
            _ => (self.row.next()?, 0),
        };
        if let Err(error) = file.append(lines) {
            // A file that keeps half a line is left as it is: its readers stop at its last whole one.
            if file.cut(length).is_ok() {
                self.current = Some((file, length));
            }
            return Err(error);
        }
        if let Err(error) = file.sync() {
            // The kernel may have forgotten which pages it did not write: a later sync of this file would prove nothing.
            let _ = file.cut(length);
            return Err(error);
        }
        self.current = Some((file, length + lines.len() as u64));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Files of which a power failure leaves what was synced.
    #[derive(Default, Clone)]
    struct Fake(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        files: Vec<(Vec<u8>, usize)>,
        syncs: usize,
        room: Option<usize>,
        failing_syncs: usize,
    }

    struct FakeFile(Fake, usize);

    impl Disk for FakeFile {
        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut state = self.0.0.lock().unwrap();
            let fits = state.room.map_or(bytes.len(), |room| room.min(bytes.len()));
            state.files[self.1].0.extend(&bytes[..fits]);
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn sync(&mut self) -> io::Result<()> {
            let mut state = self.0.0.lock().unwrap();
            if state.failing_syncs > 0 {
                state.failing_syncs -= 1;
                return Err(io::Error::other("the disk said no"));
            }
            state.syncs += 1;
            let file = &mut state.files[self.1];
            file.1 = file.0.len();
            Ok(())
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.0.0.lock().unwrap().files[self.1].0.truncate(length as usize);
            Ok(())
        }
    }

    impl Row for Fake {
        fn last(&mut self) -> io::Result<Option<(Box<dyn Disk>, u64)>> {
            Ok(None)
        }

        fn next(&mut self) -> io::Result<Box<dyn Disk>> {
            let mut state = self.0.lock().unwrap();
            state.files.push((Vec::new(), 0));
            let number = state.files.len() - 1;
            drop(state);
            Ok(Box::new(FakeFile(self.clone(), number)))
        }
    }

    impl Fake {
        /// What each file has after the power failed.
        fn kept(&self) -> Vec<String> {
            let state = self.0.lock().unwrap();
            state
                .files
                .iter()
                .map(|(content, synced)| String::from_utf8(content[..*synced.min(&content.len())].to_vec()).unwrap())
                .collect()
        }
    }

    /// Appends that all wait before the thread looks.
    fn write(fake: &Fake, largest_file: u64, lines: &[&str]) -> Vec<Result<(), Refused>> {
        let (sender, receiver) = mpsc::channel(lines.len());
        let mut answers = Vec::new();
        for line in lines {
            let (done, answer) = oneshot::channel();
            assert!(sender.try_send(Waiting { lines: line.as_bytes().to_vec(), done }).is_ok());
            answers.push(answer);
        }
        drop(sender);
        Writer::new(fake.clone(), largest_file).unwrap().run(receiver);
        answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect()
    }

    #[test]
    fn what_is_acknowledged_outlives_the_power_and_those_who_wait_share_a_sync() {
        let fake = Fake::default();
        assert_eq!(write(&fake, 100, &["a\n", "b\n", "c\n"]), [Ok(()), Ok(()), Ok(())]);
        assert_eq!((fake.kept(), fake.0.lock().unwrap().syncs), (vec!["a\nb\nc\n".to_owned()], 1));
    }

    #[test]
    fn full_disk_refuses_all_of_a_batch_and_leaves_nothing_of_it() {
        let fake = Fake::default();
        fake.0.lock().unwrap().room = Some(3);
        assert_eq!(write(&fake, 100, &["one\n", "two\n"]), [Err(Refused::Full), Err(Refused::Full)]);
        assert_eq!(fake.0.lock().unwrap().files[0].0, b"");
    }

    #[test]
    fn failed_sync_is_told_and_its_file_is_not_trusted_again() {
        let fake = Fake::default();
        fake.0.lock().unwrap().failing_syncs = 1;
        let mut writer = Writer::new(fake.clone(), 100).unwrap();
        assert!(writer.commit(b"lost\n").is_err());
        writer.commit(b"kept\n").unwrap();
        assert_eq!(fake.kept(), ["", "kept\n"]);
    }

    #[test]
    fn file_is_closed_at_its_size() {
        let fake = Fake::default();
        let mut writer = Writer::new(fake.clone(), 4).unwrap();
        for line in [b"a\n", b"b\n", b"c\n"] {
            writer.commit(line).unwrap();
        }
        assert_eq!(fake.kept(), ["a\nb\n", "c\n"]);
    }
}

//! The three things that a journal's file can do, so that a test can stand in for a disk that fails or loses what was not synced.

use std::fs::File;
use std::io::{self, Write as _};

pub(super) trait Disk: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// After this, what was appended outlives the machine's power.
    fn sync(&mut self) -> io::Result<()>;
    /// Takes back what comes after `length`.
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

/// A file that was opened for appending.
impl Disk for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// A row of files.
pub(super) trait Row: Send {
    /// The last file and its length, if there is one.
    fn last(&mut self) -> io::Result<Option<(Box<dyn Disk>, u64)>>;
    /// A new file after the last, empty; its name is on the disk.
    fn next(&mut self) -> io::Result<Box<dyn Disk>>;
}

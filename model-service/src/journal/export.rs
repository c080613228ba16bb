//! `model-service export`: a journal's lines, to be read by training or anybody; it may be written to meanwhile.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Parser;
use tracing::warn;

use super::{Kind, lines};

#[derive(Debug, Parser)]
pub struct Export {
    /// Its folder, or one of several such folders
    #[arg(long, env = "JOURNAL")]
    journal: PathBuf,
    /// Lines to print; all when absent
    #[arg(long, value_enum)]
    kind: Option<Kind>,
}

impl Export {
    /// Writes the lines as they are.
    pub fn run(&self, out: impl Write) -> Result<()> {
        let mut out = BufWriter::new(out);
        let strange = lines(&self.journal, &mut |line, value| {
            if self.kind.is_none_or(|kind| kind.fits(&value)) {
                writeln!(out, "{line}").context("write the lines")?;
            }
            Ok(())
        })?;
        out.flush().context("write the lines")?;
        if strange > 0 {
            warn!(lines = strange, "left out what is no JSON: no line of the journal that was acknowledged");
        }
        Ok(())
    }
}

//! The bundled layout: where it lies for a run, and the lines by which a plan says what of it stands in.

use std::path::PathBuf;

use super::Exit;
use super::artifacts::told;
use crate::artifact::user_folder;
use crate::project::{Environment, built_in};
use crate::report::{self, Format};

/// Its folder in the user's cache; the error was told.
pub fn folder() -> Result<PathBuf, Exit> {
    let cache = user_folder().map_err(|error| told(&error))?;
    built_in::unpack(&cache).map_err(|error| {
        report::error(
            &format!("unpack the built-in environment: {error:#}"),
            Some("set XDG_CACHE_HOME to a folder that you may write to and that has room"),
        );
        Exit::Error
    })
}

/// Removes what other versions of this program unpacked in the user's cache; how many they were.
pub fn clean() -> Result<usize, Exit> {
    let cache = user_folder().map_err(|error| told(&error))?;
    built_in::clean(&cache).map_err(|error| {
        report::error(&format!("clean the cache: {error:#}"), Some("it is the user's whom `ls -l` shows: run it as that user"));
        Exit::Error
    })
}

/// The plan's lines on parts that the user's folder has not. `as_data`: on stdout, for `provision plan`.
pub fn tell(format: Format, environment: &Environment, as_data: bool) {
    for (index, (key, part)) in environment.built_in().into_iter().enumerate() {
        if format == Format::Json {
            report::data(&serde_json::json!({"event": "built-in", "key": key, "path": part.written}).to_string());
            continue;
        }
        let (head, why) = if index == 0 {
            ("built in", "not in this folder: provision's own is used (`provision init` writes it here)")
        } else {
            ("", "the same")
        };
        let text = format!("  {head:<12} = {:<22} {why}", part.written);
        report::planned(as_data, &text);
    }
}

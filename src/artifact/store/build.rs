//! Artifacts built from a Go module.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::ensure::{BuildError, Open};
use super::fetch::{finished, started};
use crate::artifact::cache::{Entry, Fresh};
use crate::artifact::error::{Error, Result};
use crate::artifact::go;
use crate::artifact::manifest::{Module, SourceKind};
use crate::artifact::progress::{Cancel, Teller};

impl Shared {
    /// Builds artifacts of one module.
    pub(super) async fn build(&self, group: &[Open], teller: &Teller, cancel: &Cancel) -> Result<Vec<Entry>, BuildError> {
        let module: Arc<Module> = group.first().and_then(|one| one.definition.module.clone()).expect("it is built from a module");
        let names: Vec<&str> = group.iter().map(|one| one.definition.name.as_str()).collect();
        let name = names.join(", ");
        let begun = Instant::now();
        let _lock = self.cache.lock("go", &name, teller, cancel).await?;
        // Who held the lock may have built the same.
        let mut entries = Vec::new();
        let mut missing = Vec::new();
        for one in group {
            let recipe = self.recipe(&one.definition, SourceKind::Go).await.expect("it has a module");
            match self.find(&recipe)? {
                Some(entry) => entries.push(entry),
                None => missing.push((&one.definition, recipe)),
            }
        }
        if missing.is_empty() {
            return Ok(entries);
        }
        for (definition, _) in &missing {
            let _ = teller.send(started(definition, SourceKind::Go, &format!("{} v{}", module.path, module.version)));
        }
        let mut packages: Vec<String> =
            missing.iter().flat_map(|(definition, _)| &definition.files).filter_map(|file| file.package.clone()).collect();
        packages.sort();
        packages.dedup();
        let work = self.cache.work()?;
        let build = go::Build {
            module: &module,
            packages: &packages,
            architecture: self.architecture,
            folder: &work.0,
            name: &name,
            teller,
            cancel,
        };
        build.run().await.map_err(|failed| match failed {
            Some(cause) => BuildError::Failed(cause),
            None => BuildError::Own(Error::cancelled(format!("build {name} from {}", module.path))),
        })?;
        for (definition, recipe) in missing {
            let files = definition.files.iter().filter_map(|file| {
                let path = work.0.join("bin").join(go::program(file.package.as_ref()?));
                Some(Fresh { name: file.name.clone(), mode: file.mode, path, sha256: None })
            });
            let entry = self.put(&recipe, self.entry(definition, SourceKind::Go), files.collect()).await?;
            let _ = teller.send(finished(&entry, begun));
            entries.push(entry);
        }
        Ok(entries)
    }
}

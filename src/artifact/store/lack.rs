//! What a plan says of artifacts that are not in the cache, and where each source has them.

use super::{Lack, Shared};
use crate::artifact::error::Result;
use crate::artifact::manifest::{Definition, SourceKind};

impl Shared {
    /// What the plan says of an artifact that is not here. Hosts are asked whether they are there, each once a run.
    pub(super) async fn lack(&self, definition: &Definition) -> Lack {
        let (mut source, mut size) = (None, None);
        for kind in &definition.sources {
            let place = self.place(definition, *kind);
            let able = match kind {
                SourceKind::Cache => false,
                SourceKind::Mirror | SourceKind::Upstream => match &place {
                    Ok(place) => match self.downloads.probe(place).await {
                        Ok(found) => {
                            size = found;
                            true
                        }
                        Err(_) => false,
                    },
                    Err(_) => false,
                },
                SourceKind::Go => place.is_ok() && self.toolchain().await.is_ok(),
                SourceKind::Debian => place.is_ok(),
            };
            if able {
                source = Some((*kind, place.unwrap_or_default()));
                break;
            }
        }
        let source_version = source.as_ref().and_then(|(kind, _)| match kind {
            SourceKind::Go => definition.module.as_ref().map(|module| module.version.clone()),
            _ => None,
        });
        let differs = source_version
            .filter(|version| *version != definition.version)
            .map(|version| format!("its Go module gives {version}, not {}", definition.version));
        let note = [definition.note.clone(), differs].into_iter().flatten().collect::<Vec<_>>().join("; ");
        Lack {
            name: definition.name.clone(),
            version: definition.version.clone(),
            able: source.is_some(),
            source: source.map_or_else(
                || "no source that can be reached now".to_owned(),
                |(kind, place)| format!("{kind} {place}").trim_end().to_owned(),
            ),
            size,
            note: (!note.is_empty()).then_some(note),
        }
    }

    /// Where a source would take an artifact from, or why it cannot have it.
    pub(super) fn place(&self, definition: &Definition, source: SourceKind) -> Result<String, String> {
        let no_checksum = || format!("the manifest has no checksum for {}", self.architecture);
        match source {
            SourceKind::Cache => Ok(String::new()),
            SourceKind::Mirror => {
                let mirror = self.mirror.as_ref().ok_or("none is configured")?;
                let upstream = definition.upstream.as_ref().ok_or("the manifest has no checksum of a published file")?;
                upstream.sha256.get(&self.architecture).ok_or_else(no_checksum)?;
                let address = upstream.address(&definition.version, self.architecture);
                let file = address.rsplit('/').next().unwrap_or_default();
                Ok(format!("{mirror}/{}/{}/{}/{file}", definition.name, definition.version, self.architecture))
            }
            SourceKind::Upstream => {
                let upstream = definition.upstream.as_ref().ok_or("the manifest has no address with a checksum")?;
                upstream.sha256.get(&self.architecture).ok_or_else(no_checksum)?;
                Ok(upstream.address(&definition.version, self.architecture))
            }
            SourceKind::Go => {
                let module = definition.module.as_ref().ok_or("the manifest names no module")?;
                Ok(format!("{} v{}", module.path, module.version))
            }
            SourceKind::Debian => {
                let packages = definition.packages.as_ref().ok_or("the manifest names no packages")?;
                Ok(packages.names.join(" "))
            }
        }
    }
}

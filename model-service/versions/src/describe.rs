//! From `git describe --long --dirty` to a version. The build script reads it too.

use semver::{BuildMetadata, Version};

/// `v1.2.3-0-gabc1234` is 1.2.3; five commits later it is 1.2.3+5.gabc1234, with changed files …`.dirty`.
///
/// What comes after a tag is build metadata: as a pre-release it would come before the tag.
pub(crate) fn version(said: &str) -> Option<Version> {
    let (said, dirty) = said.strip_suffix("-dirty").map_or((said, false), |said| (said, true));
    let mut parts = said.rsplitn(3, '-');
    let (commit, count, tag) = (parts.next()?, parts.next()?, parts.next()?);
    let mut version = Version::parse(tag.strip_prefix('v')?).ok()?;
    let count: u32 = count.parse().ok()?;
    if count > 0 || dirty {
        let metadata = format!("{count}.{commit}{}", if dirty { ".dirty" } else { "" });
        version.build = BuildMetadata::new(&metadata).ok()?;
    }
    Some(version)
}

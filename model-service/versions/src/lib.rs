//! What version this build is, for the service and the app: from the git tag at build time, as semver.
//!
//! The tag is read by the build script; `PROVISION_VERSION` stands before it, the package's own version is what a build without git has.

#[cfg(test)]
mod describe;

pub use semver::Version;

/// This build, as `x-app-version` tells it.
pub const APP: &str = env!("BUILD_VERSION");
/// This library.
pub const LIBRARY: &str = env!("CARGO_PKG_VERSION");

/// `APP`, to be compared.
pub fn app() -> Version {
    Version::parse(APP).expect("the build script has parsed it")
}

/// The tags of an image of a version: `v1.2.3`, `v1.2.latest`, `v1.latest`, `latest`.
///
/// A pre-release, and what is no release (commits after a tag), gets its own name alone: nobody asked for it by `latest`. A tag of an
/// image has no `+`: it is a `_`, as Helm writes it.
pub fn image_tags(version: &Version) -> Vec<String> {
    let mut tags = vec![format!("v{version}").replace('+', "_")];
    if version.pre.is_empty() && version.build.is_empty() {
        tags.extend([format!("v{}.{}.latest", version.major, version.minor), format!("v{}.latest", version.major), "latest".to_owned()]);
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(said: &str) -> String {
        describe::version(said).map_or("none".to_owned(), |version| version.to_string())
    }

    #[test]
    fn a_tag_is_its_version_and_commits_after_it_are_told() {
        assert_eq!(described("v1.2.3-0-gabc1234"), "1.2.3");
        assert_eq!(described("v1.2.3-5-gabc1234"), "1.2.3+5.gabc1234");
        assert_eq!(described("v1.2.3-0-gabc1234-dirty"), "1.2.3+0.gabc1234.dirty");
        assert_eq!(described("v1.2.3-rc.1-2-gabc1234"), "1.2.3-rc.1+2.gabc1234");
        for wrong in ["", "abc1234", "v1.2-0-gabc1234", "1.2.3-0-gabc1234", "v1.2.3-x-gabc1234"] {
            assert_eq!(described(wrong), "none", "{wrong}");
        }
    }

    #[test]
    fn a_release_moves_the_tags_that_follow_and_nothing_else_does() {
        let tags = |text: &str| image_tags(&Version::parse(text).unwrap());
        assert_eq!(tags("1.2.3"), ["v1.2.3", "v1.2.latest", "v1.latest", "latest"]);
        assert_eq!(tags("1.3.0-rc.1"), ["v1.3.0-rc.1"]);
        assert_eq!(tags("1.2.3+5.gabc1234"), ["v1.2.3_5.gabc1234"]);
    }

    #[test]
    fn this_build_has_a_version() {
        assert_eq!(app().to_string(), APP);
        assert!(app() >= Version::new(0, 1, 0));
    }
}

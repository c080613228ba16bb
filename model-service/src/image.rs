//! `model-service image`: the service's image, or the app's, of one static binary.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use versions::Version;

use crate::model::Model;
use crate::oci::{self, Attached, File, Image};
use crate::service::APP_VERSION;

#[derive(clap::Args)]
pub struct Arguments {
    /// What the image runs
    #[arg(long, value_enum, default_value_t = Part::Service)]
    part: Part,
    /// Static binary of this program; this very one when absent
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Model of the service's image
    #[arg(long)]
    model: Option<PathBuf>,
    /// What the app's page shows: v1 the verdict, v2 the probability too
    #[arg(long, default_value = "v2", value_parser = ["v1", "v2"])]
    variant: String,
    /// Name and tag of the image
    #[arg(long, default_value = concat!("provision.local/model-service:", env!("CARGO_PKG_VERSION")))]
    reference: String,
    /// Name of the image, without a tag: it has all tags of `--release`
    #[arg(long, requires = "release", conflicts_with = "reference")]
    repository: Option<String>,
    /// Version that is released: `v1.2.3` has the tags v1.2.3, v1.2.latest, v1.latest and latest
    #[arg(long, value_parser = version)]
    release: Option<Version>,
    #[arg(long, default_value = "amd64")]
    architecture: String,
    /// CycloneDX file to attach, as an artifact that refers to the image
    #[arg(long)]
    sbom: Option<PathBuf>,
    /// File to write, replaced when it is whole
    #[arg(long)]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Service,
    App,
}

/// Not root, and no user that a machine has: "nonroot" of Google's distroless images.
const USER: u64 = 65532;

fn version(text: &str) -> Result<Version, String> {
    let text = text.strip_prefix('v').ok_or("write a version as v1.2.3 or v1.2.3-rc.1")?;
    Version::parse(text).map_err(|error| format!("{error}; write a version as v1.2.3 or v1.2.3-rc.1"))
}

impl Arguments {
    /// Every name of the image.
    fn references(&self) -> Vec<String> {
        match (&self.repository, &self.release) {
            (Some(repository), Some(release)) => versions::image_tags(release).iter().map(|tag| format!("{repository}:{tag}")).collect(),
            _ => vec![self.reference.clone()],
        }
    }
}

/// Writes the image, and its digest on standard output.
pub fn write(arguments: &Arguments) -> Result<()> {
    let binary = match &arguments.binary {
        Some(path) => path.clone(),
        None => std::env::current_exe()?,
    };
    let content = |path: &Path| fs::read(path).with_context(|| format!("read `{}`", path.display()));
    let program = vec![File::new("model-service", 0o555, content(&binary)?), File::folder("journal", USER)];
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (title, command, setting, labels, layers) = match (arguments.part, &arguments.model) {
        (Part::Service, Some(model)) => {
            let about = Model::load(model)?.about;
            let layer = vec![File::new("models/model.onnx", 0o444, content(model)?)];
            let labels = vec![label("model.id", &about.id), label("model.version", &about.version)];
            ("model-service", "serve", label("MODEL", "/models/model.onnx"), labels, vec![program, layer])
        }
        (Part::Service, None) => bail!("an image of the service holds a model: name it with --model FILE"),
        (Part::App, _) => {
            let labels = vec![label("app.variant", &arguments.variant)];
            ("app", "app", label("VARIANT", &arguments.variant), labels, vec![program])
        }
    };
    let common = [label("org.opencontainers.image.title", title), label("org.opencontainers.image.version", APP_VERSION)];
    let attached = arguments.sbom.as_deref().map(|path| {
        let content = content(path)?;
        anyhow::Ok(Attached { media_type: "application/vnd.cyclonedx+json".into(), title: format!("{title}.cdx.json"), content })
    });
    let image = Image {
        references: arguments.references(),
        architecture: arguments.architecture.clone(),
        user: format!("{USER}:{USER}"),
        entrypoint: vec!["/model-service".into(), command.into()],
        environment: BTreeMap::from([setting]),
        ports: vec![8080],
        labels: common.into_iter().chain(labels).collect(),
        layers,
        attached: attached.transpose()?,
    };
    let mut partial = arguments.output.clone().into_os_string();
    partial.push(".partial");
    let file = fs::File::create(&partial).with_context(|| format!("write `{}`", arguments.output.display()))?;
    let digest = oci::write(&image, std::io::BufWriter::new(file))?;
    fs::rename(&partial, &arguments.output)?;
    writeln!(std::io::stdout(), "{digest}")?;
    Ok(())
}

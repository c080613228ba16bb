//! All that is installed, with what the package lists say of it.

use std::collections::HashMap;

use super::run;
use crate::program::{Map, Value};
use crate::system::{Error, Result};

/// An installed package as dpkg has it.
struct Installed {
    /// With its architecture, where that is not the machine's.
    name: String,
    version: String,
    architecture: String,
    section: String,
}

/// `name`, `version`, `arch`, `category`, `origin` and `source` of each, as ansible-core's `package_facts` has them.
pub(in crate::system::real) fn inventory() -> Result<Map> {
    let native = run("dpkg", &["--print-architecture"])?.trim().to_owned();
    let format = "--showformat=${db:Status-Status}\\t${Package}\\t${Version}\\t${Architecture}\\t${Section}\\n";
    let installed = installed(&run("dpkg-query", &["--show", format])?, &native);
    if installed.is_empty() {
        return Ok(Map::new());
    }
    let exact: Vec<String> = installed.iter().map(|package| format!("{}={}", package.name, package.version)).collect();
    let words = |first: &str| -> Vec<String> { vec![first.to_owned(), "--".to_owned()] };
    let ask = |first: &str, names: Vec<String>| {
        let all: Vec<String> = words(first).into_iter().chain(names).collect();
        let said = run("apt-cache", &all.iter().map(String::as_str).collect::<Vec<_>>());
        // Not with all their names.
        said.map_err(|error| Error { message: format!("apt-cache {first} of every installed package fails"), ..error })
    };
    let sections = sections(&ask("show", exact)?);
    let files = files(&run("apt-cache", &["policy"])?);
    let origins = origins(&ask("policy", installed.iter().map(|package| package.name.clone()).collect())?, &files);
    let fields = |package: Installed| {
        let key = [package.name.split(':').next().unwrap_or_default(), &package.version, &package.architecture].join(" ");
        let category = sections.get(&key).cloned().unwrap_or(package.section);
        let origin = origins.get(&package.name).cloned().unwrap_or_default();
        let name: crate::program::Key = package.name.as_str().into();
        let fields: Map = [
            ("name", package.name),
            ("version", package.version),
            ("arch", package.architecture),
            ("category", category),
            ("origin", origin),
            ("source", "apt".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), Value::text(value)))
        .collect();
        (name, Value::list(vec![fields.into()]))
    };
    Ok(installed.into_iter().map(fields).collect())
}

/// What is neither gone nor only its configuration.
fn installed(text: &str, native: &str) -> Vec<Installed> {
    let package = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (state, name, version) = (fields.next()?, fields.next()?, fields.next()?);
        let (architecture, section) = (fields.next()?, fields.next()?);
        let foreign = architecture != native && architecture != "all";
        let name = if foreign { format!("{name}:{architecture}") } else { name };
        (!matches!(state.as_str(), "not-installed" | "config-files")).then_some(Installed { name, version, architecture, section })
    };
    text.lines().filter_map(package).collect()
}

/// By name, version and architecture: the lists may have another section than the package itself.
fn sections(text: &str) -> HashMap<String, String> {
    let mut sections = HashMap::new();
    for paragraph in text.split("\n\n") {
        let field = |name: &str| paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default();
        sections
            .entry([field("Package"), field("Version"), field("Architecture")].join(" "))
            .or_insert_with(|| field("Section").to_owned());
    }
    sections
}

/// ` 500 http://… Packages`, then `     release v=12,o=Debian,…`: who each list is from.
fn files(text: &str) -> HashMap<String, String> {
    let (mut files, mut current) = (HashMap::new(), String::new());
    for line in text.lines() {
        if let Some(release) = line.trim_start().strip_prefix("release ") {
            let origin = release.split(',').find_map(|part| part.strip_prefix("o=")).unwrap_or_default();
            files.insert(current.clone(), origin.to_owned());
        } else if let Some((priority, file)) = line.trim_start().split_once(' ')
            && priority.parse::<i64>().is_ok()
        {
            file.clone_into(&mut current);
        }
    }
    files
}

/// The first list that has the installed version, by the package's name.
fn origins(text: &str, files: &HashMap<String, String>) -> HashMap<String, String> {
    let (mut origins, mut name, mut is_next) = (HashMap::new(), "", false);
    for line in text.lines() {
        if !line.starts_with(' ') {
            (name, is_next) = (line.trim_end_matches(':'), false);
        } else if line.starts_with(" *** ") {
            is_next = true;
        } else if is_next {
            let file = line.trim_start().split_once(' ').map_or("", |(_, file)| file);
            origins.insert(name.to_owned(), files.get(file).cloned().unwrap_or_default());
            is_next = false;
        }
    }
    origins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_told_from_all_that_is_said_of_it() {
        let listed = "installed\ta\t1\tamd64\tlibs\nconfig-files\tb\t1\tamd64\tlibs\nhalf-configured\tc\t2\ti386\tweb\n";
        let names: Vec<String> = installed(listed, "amd64").into_iter().map(|package| package.name).collect();
        assert_eq!(names, ["a", "c:i386"]);
        let records =
            "Package: a\nVersion: 1\nArchitecture: amd64\nSection: admin\nDescription: x\n Section: y\n\nPackage: a\nVersion: 0\n";
        assert_eq!(sections(records).get("a 1 amd64").map(String::as_str), Some("admin"));
        let lists = "Package files:\n 100 /var/lib/dpkg/status\n     release a=now\n 500 http://d x/main Packages\n     release v=1,o=Them,l=T\n     origin d\nPinned packages:\n";
        let files = files(lists);
        let policy = "a:\n  Installed: 1\n  Version table:\n     2 500\n        500 http://other\n *** 1 500\n        500 http://d x/main Packages\n        100 /var/lib/dpkg/status\nb:\n  Installed: 1\n *** 1 100\n        100 /var/lib/dpkg/status\n";
        let origins = origins(policy, &files);
        assert_eq!((origins["a"].as_str(), origins["b"].as_str()), ("Them", ""));
    }
}

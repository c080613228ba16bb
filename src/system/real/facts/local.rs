//! `ansible_local`: what files and programs named `*.fact` say.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::names;
use crate::map;
use crate::program::{Key, Map, Value};

/// Facts of the folder by file name; what is wrong with a file stands in its place.
pub(super) fn local(folder: Option<&Path>) -> Map {
    let folder = folder.unwrap_or(Path::new("/etc/ansible/facts.d"));
    let mut facts = Map::new();
    for name in names(folder) {
        if let Some(key) = name.strip_suffix(".fact") {
            let fact = fact(&folder.join(&name)).unwrap_or_else(Value::text);
            facts.insert(key.into(), fact);
        }
    }
    map! { "local" => facts }
}

fn fact(path: &Path) -> Result<Value, String> {
    let shown = path.display();
    let metadata = std::fs::metadata(path).map_err(|error| format!("Could not stat fact ({shown}): {error}"))?;
    let bytes = if metadata.permissions().mode() & 0o100 != 0 {
        let output = std::process::Command::new(path)
            .env("LC_ALL", "C")
            .stdin(std::process::Stdio::null())
            .output()
            .map_err(|error| format!("Could not execute fact script ({shown}): {error}"))?;
        if !output.status.success() {
            let (code, said) = (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned());
            return Err(format!("Failure executing fact script ({shown}), rc: {code}, err: {said}"));
        }
        output.stdout
    } else {
        crate::system::traceless::read(path).unwrap_or_default()
    };
    let text = String::from_utf8(bytes).map_err(|_| format!("error loading fact - output of running \"{shown}\" was not utf-8"))?;
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) {
        return Ok(json.into());
    }
    sections(&text).map(Value::map).ok_or_else(|| format!("error loading facts as JSON or ini - please check content: {shown}"))
}

/// Python's `configparser`: options in lower case, `=` or `:`, lines that are indented go on, `[DEFAULT]` holds for all,
/// `%(name)s` stands for another option.
fn sections(text: &str) -> Option<Map> {
    type Options = indexmap::IndexMap<String, String>;
    let mut sections: indexmap::IndexMap<String, Options> = indexmap::IndexMap::new();
    let mut current: Option<String> = None;
    let mut last: Option<String> = None;
    for line in text.lines() {
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with(char::is_whitespace)
            && let (Some(section), Some(option)) = (&current, &last)
            && let Some(value) = sections.get_mut(section).and_then(|options| options.get_mut(option))
        {
            value.push('\n');
            value.push_str(content);
            continue;
        }
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(name, _)| name) {
            if name != "DEFAULT" && sections.contains_key(name) {
                return None;
            }
            sections.entry(name.to_owned()).or_default();
            (current, last) = (Some(name.to_owned()), None);
            continue;
        }
        let (name, value) = content.split_once(['=', ':'])?;
        let name = name.trim().to_lowercase();
        let options = sections.get_mut(current.as_ref()?)?;
        if options.insert(name.clone(), value.trim().to_owned()).is_some() {
            return None;
        }
        last = Some(name);
    }
    let defaults = sections.shift_remove("DEFAULT").unwrap_or_default();
    let mut facts = Map::new();
    for (name, own) in sections {
        let mut options = own.clone();
        for (name, value) in &defaults {
            options.entry(name.clone()).or_insert_with(|| value.clone());
        }
        let values: Option<Map> =
            options.iter().map(|(name, value)| Some((Key::from(name.as_str()), interpolated(value, &options, 10)?.into()))).collect();
        facts.insert(name.into(), values?.into());
    }
    Some(facts)
}

fn interpolated(value: &str, options: &indexmap::IndexMap<String, String>, depth: u32) -> Option<String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            text.push('%');
            rest = after;
        } else {
            let (name, after) = rest.strip_prefix('(')?.split_once(")s")?;
            text.push_str(&interpolated(options.get(&name.to_lowercase())?, options, depth.checked_sub(1)?)?);
            rest = after;
        }
    }
    text.push_str(rest);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content, mode) in files {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("writes");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).expect("sets the mode");
        }
        folder
    }

    #[test]
    fn json_ini_and_programs_are_read() {
        let folder = folder(&[
            ("a.fact", "{\"x\": [1, 2]}", 0o644),
            ("b.fact", "[General]\nPort = 80\nurl: http://%(host)s/\nhost = web\n", 0o644),
            ("c.fact", "#!/bin/sh\necho '{\"ran\": true}'\n", 0o755),
            ("d.fact", "#!/bin/sh\nexit 3\n", 0o755),
            ("e.fact", "no section\n", 0o644),
            ("f.txt", "not a fact", 0o644),
        ]);
        let facts = local(Some(folder.path()));
        let facts = facts["local"].to_json(true);
        assert_eq!(facts["a"], serde_json::json!({"x": [1, 2]}));
        assert_eq!(facts["b"], serde_json::json!({"General": {"port": "80", "url": "http://web/", "host": "web"}}));
        assert_eq!(facts["c"], serde_json::json!({"ran": true}));
        assert!(facts["d"].as_str().is_some_and(|said| said.starts_with("Failure executing fact script") && said.contains("rc: 3")));
        assert!(facts["e"].as_str().is_some_and(|said| said.starts_with("error loading facts as JSON or ini")));
        assert_eq!(facts.as_object().map(serde_json::Map::len), Some(5));
    }
}

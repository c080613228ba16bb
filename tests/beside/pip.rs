//! `pip` beside Ansible's, really done: each tool with virtual environments of its own at the same paths, wheels made here, no network.

use std::path::Path;
use std::process::Command;

use serde_json::{Value as Json, json};

use super::accounts::{Beside, copy, privately};
use super::{Task, checked, task};

/// Makes wheels and the source of a package below /srv, and an environment. Its one argument is a Python.
const PREPARE: &str = r#"
import os, subprocess, sys, zipfile
def wheel(name, version, *needs):
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"version = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {need}\n" for need in needs),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(f"/srv/wheels/{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
os.makedirs("/srv/wheels")
os.makedirs("/srv/source")
for version in ("1.0", "1.5", "2.0"):
    wheel("tool", version)
wheel("base", "1.0")
wheel("needy", "1.0", "base>=1", "nothing; python_version < '3'", "tool; extra == 'more'")
open("/srv/source/pyproject.toml", "w").write('[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n')
open("/srv/source/backend.py", "w").write("""
import zipfile
def build_editable(folder, settings=None, metadata=None):
    info = "mine-0.1.dist-info"
    files = {
        "mine.pth": "/srv/source\\n",
        info + "/METADATA": "Metadata-Version: 2.1\\nName: mine\\nVersion: 0.1\\n",
        info + "/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[info + "/RECORD"] = "".join(path + ",,\\n" for path in files) + info + "/RECORD,,\\n"
    with zipfile.ZipFile(folder + "/mine-0.1-py3-none-any.whl", "w", strict_timestamps=False) as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return "mine-0.1-py3-none-any.whl"
build_wheel = build_editable
""")
open("/srv/requirements.txt", "w").write("--no-index\n--find-links /srv/wheels\n# ours\ntool>=1.5  # the newer\nneedy[more]==1.0; python_version >= '3'\n")
subprocess.run([sys.executable, "-m", "venv", "/srv/venv"], check=True)
"#;

/// What is installed then.
fn state() -> String {
    let script = "cd /srv && ls -d venv/lib/python3*/site-packages/*-info new/lib/python3*/site-packages/*-info; \
        find venv/lib/python3*/site-packages/tool.py -printf '%m\\n'; /srv/venv/bin/pip list --format=freeze; cat new/pyvenv.cfg";
    let output = Command::new("sh").arg("-c").arg(script).output().expect("sh runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn pip(more: Json) -> Json {
    let mut arguments = json!({"virtualenv": "/srv/venv", "extra_args": "--no-index --find-links /srv/wheels --disable-pip-version-check"});
    arguments.as_object_mut().expect("a mapping").extend(more.as_object().cloned().unwrap_or_default());
    arguments.as_object_mut().expect("a mapping").retain(|_, value| !value.is_null());
    arguments
}

#[test]
#[ignore = "a minute of Ansible: cargo test --test main pip_is_ansibles -- --ignored"]
fn pip_is_ansibles() {
    if !crate::support::nodes::root_or_skip() {
        return;
    }
    let Some(python) = crate::oracle::ansible("python") else { return };
    let of = |more: Json| task("pip", pip(more));
    let check = |more: Json| checked("pip", pip(more));
    // Where nothing is to be done ours asks nobody, and pip says nothing.
    let silent: &[&str] = &["stdout", "stderr"];
    let venv = format!("{} -m venv", python.display());
    // (task, fields that differ for a reason)
    let tasks: Vec<(Task, &[&str])> = vec![
        (check(json!({"name": "tool", "extra_args": null})), &[]),
        (check(json!({"name": "tool"})), &[]),
        (of(json!({"name": "tool<2", "umask": "0027"})), &[]),
        (of(json!({"name": "tool<2"})), silent),
        (check(json!({"name": "Tool<2", "extra_args": null})), &[]),
        (check(json!({"name": "tool>=2", "extra_args": null})), &[]),
        (check(json!({"name": "tool", "state": "absent", "extra_args": null})), &[]),
        (check(json!({"name": "tool", "state": "latest", "extra_args": null})), &[]),
        (of(json!({"name": "tool", "version": "1.0"})), &[]),
        (of(json!({"name": "tool", "version": "1.0"})), silent),
        (of(json!({"name": "tool", "version": ">1.0, <2"})), &[]),
        (of(json!({"name": ["tool>1", "<2"]})), silent),
        (of(json!({"name": "tool", "state": "latest"})), &[]),
        (of(json!({"name": "tool", "state": "latest"})), &[]),
        (of(json!({"name": "tool", "state": "forcereinstall"})), &[]),
        (of(json!({"name": "needy,tool"})), &[]),
        (of(json!({"name": ["needy", "tool"]})), silent),
        (of(json!({"name": "base", "state": "absent", "extra_args": null})), &[]),
        // It is there, but not what it needs.
        (of(json!({"name": "needy"})), &[]),
        (of(json!({"name": ["base", "tool", "no-such"], "state": "absent", "extra_args": null})), &[]),
        (of(json!({"name": ["base", "tool"], "state": "absent", "extra_args": null})), silent),
        (of(json!({"name": "needy[more]"})), &[]),
        (of(json!({"name": "tool", "state": "absent", "extra_args": null})), silent),
        (check(json!({"requirements": "/srv/requirements.txt", "extra_args": null})), &[]),
        (of(json!({"requirements": "requirements.txt", "chdir": "/srv", "virtualenv": "venv"})), &[]),
        (of(json!({"requirements": "requirements.txt", "chdir": "/srv", "virtualenv": "venv"})), silent),
        (of(json!({"requirements": "/srv/requirements.txt", "extra_args": null})), silent),
        (of(json!({"name": "/srv/wheels/base-1.0-py3-none-any.whl"})), &[]),
        (of(json!({"name": "file:///srv/wheels/tool-1.0-py3-none-any.whl"})), &[]),
        // The wheel made on the way lies in a folder of its own.
        (of(json!({"name": "/srv/source", "editable": true, "extra_args": "--no-index"})), silent),
        (of(json!({"name": "mine", "state": "absent", "extra_args": null})), &[]),
        (of(json!({"name": "no-such-package"})), &[]),
        (of(json!({"name": "tool==7"})), &[]),
        (of(json!({"name": ["a", "b"], "version": "1"})), &[]),
        (of(json!({"name": "tool>1", "version": "1"})), &[]),
        (of(json!({"name": "tool", "version": "1", "state": "latest"})), &[]),
        (of(json!({"name": "tool", "umask": "abc"})), &["details"]),
        (of(json!({"name": []})), &[]),
        (of(json!({"name": "tool", "executable": "/srv/venv/bin/pip", "virtualenv": null})), silent),
        (of(json!({"name": "tool", "executable": "no-such-pip", "virtualenv": null})), &[]),
        (check(json!({"name": "tool", "virtualenv": "/srv/new", "virtualenv_command": venv})), &[]),
        (of(json!({"name": "tool", "virtualenv": "/srv/new", "virtualenv_command": venv, "virtualenv_site_packages": true})), &[]),
        (of(json!({"name": "tool", "virtualenv": "/srv/new", "virtualenv_command": venv})), silent),
        (of(json!({"name": "tool", "virtualenv": "/srv/other", "virtualenv_command": venv, "virtualenv_python": "python3"})), &[]),
        // The sentence names all folders of the path.
        (of(json!({"name": "tool", "virtualenv": "/srv/other", "virtualenv_command": "no-such-virtualenv"})), &["msg"]),
    ];
    let base = tempfile::tempdir().expect("a folder");
    let empty = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(empty.path().join("srv")).expect("makes a folder");
    privately(&["/srv"], empty.path(), || {
        let made = Command::new(&python).args(["-c", PREPARE]).output().expect("python runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        copy(Path::new("/srv"), base.path());
    });
    Beside::new(&["/srv"], base.path(), state).compare(&tasks);
}

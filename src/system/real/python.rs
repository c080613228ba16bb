//! What a Python interpreter of this machine says of itself: `ansible_python` and `ansible_python_version`. Ours needs none.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{Map, Value};

/// Where it is if nothing says otherwise.
pub const USUAL: &str = "/usr/bin/python3";

const SCRIPT: &str = r"
import json, platform, sys
try:
    from ssl import create_default_context, SSLContext
    ssl = True
except ImportError:
    ssl = False
version = sys.version_info
print(json.dumps({
    'python': {
        'version': dict(zip(['major', 'minor', 'micro', 'releaselevel', 'serial'], version)),
        'version_info': list(version),
        'executable': sys.executable,
        'has_sslcontext': ssl,
        'type': sys.implementation.name,
    },
    'python_version': platform.python_version(),
}))
";

/// The facts `python` and `python_version`; `None`: no Python 3 is there.
pub fn facts(interpreter: &Path) -> Option<Map> {
    let output = Command::new(interpreter).args(["-I", "-S", "-c", SCRIPT]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let facts: serde_json::Value = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())?;
    Value::from(facts).as_map().cloned()
}

"""Prints the argument specification of ansible-core's modules as JSON: {module: {"options": {...}, "rules": [...]}}.

A name with dots is a collection's, below ANSIBLE_COLLECTIONS_PATH. Options are those of `ansible-doc`; what the module's code says in its
`AnsibleModule` (types, aliases, defaults and rules as they are enforced) goes over them. Modules that are action plugins have no code of
their own: documentation only.
"""

import importlib
import json
import os
import subprocess
import sys

from ansible.module_utils import basic


class Captured(Exception):
    pass


def declared(module):
    """The keyword arguments of the module's `AnsibleModule`, or None."""
    collection, _, name = module.rpartition(".")
    place = f"ansible_collections.{collection}.plugins.modules" if collection else "ansible.modules"
    code = importlib.import_module(f"{place}.{name}")
    if not hasattr(code, "main"):
        return None

    def capture(self, argument_spec, **settings):
        raise Captured(argument_spec, settings)

    basic.AnsibleModule.__init__ = capture
    try:
        code.main()
    except Captured as captured:
        return captured.args
    raise SystemExit(f"{module} made no AnsibleModule")


KEPT = ("type", "elements", "required", "default", "aliases", "choices", "no_log")

modules = sys.argv[1:]
sys.path[:0] = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "").split(":")
documentation = json.loads(subprocess.check_output([sys.executable.replace("python", "ansible-doc"), "-j", *modules]))
result = {}
for module in modules:
    options = {
        name: {key: option.get(key) for key in ("type", "elements", "required", "default", "aliases", "choices")}
        for name, option in documentation[module]["doc"].get("options", {}).items()
    }
    rules = []
    if found := declared(module):
        spec, settings = found
        if settings.get("add_file_common_args"):
            spec = {**basic.FILE_COMMON_ARGUMENTS, **spec}
        for name, field in spec.items():
            # The canonical name may be an alias in the documentation.
            for alias in field.get("aliases", []):
                options.pop(alias, None)
            options[name] = {key: field.get(key) for key in KEPT}
            for inner, option in (field.get("options") or {}).items():
                options[f"{name}.{inner}"] = {key: option.get(key) for key in KEPT}
        for kind in ("mutually_exclusive", "required_together"):
            rules += [[kind, *names] for names in settings.get(kind) or []]
        # A default is enough for it, so a rule about an argument with one never fails.
        fails = lambda names: all(spec[name].get("default") is None for name in names)
        rules += [["required_one_of", *names] for names in settings.get("required_one_of") or [] if fails(names)]
        rules += [["required_if", *rule] for rule in settings.get("required_if") or []]
        rules += [["required_by", *rule] for rule in (settings.get("required_by") or {}).items()]
    result[module] = {"options": options, "rules": rules}
# What an option has not is not written.
for spec in result.values():
    for name, option in spec["options"].items():
        spec["options"][name] = {key: value for key, value in option.items() if value is not None and value is not False and value != []}
print(json.dumps(result, sort_keys=True, indent=1))

#!/usr/bin/env python3
"""Asks ansible-core's own templar for the cases in this folder.

    oracle.py check FILE...    writes one JSON list a file to standard output: [{"value": …} | {"error": kind}, …]
    oracle.py update FILE...   writes the answers into the files, one case a line

A case is a mapping with one of
    template    a text as in a playbook's argument
    expression  a bare expression
    condition   a text as in `when`
    file        a text as in a template file, with `options` as the template module's arguments
and `variables` (over those of the file), and the answer: `value`, or `error` (undefined, syntax, failed, omit).
`unordered: true` says that Python's order of the items is arbitrary. `ours` holds an answer of our own where it differs
on purpose, with the reason in `why`.
"""

import datetime
import json
import os
import sys

os.environ.setdefault("ANSIBLE_DEPRECATION_WARNINGS", "False")
os.environ.setdefault("ANSIBLE_LOCALHOST_WARNING", "False")
os.environ.setdefault("ANSIBLE_DEVEL_WARNING", "False")
os.environ["TZ"] = "UTC"
os.environ["PASSLIB_BUILTIN_BCRYPT"] = "enabled"

import yaml  # noqa: E402
from ansible import release  # noqa: E402
from ansible.errors import (  # noqa: E402
    AnsibleTemplateSyntaxError,
    AnsibleUndefinedVariable,
    AnsibleValueOmittedError,
)
from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar, trust_as_template  # noqa: E402
from ansible.utils.display import Display  # noqa: E402

VERSION = "2.19.14"
KINDS = ("template", "expression", "condition", "file")


def trusted(value):
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, list):
        return [trusted(item) for item in value]
    if isinstance(value, dict):
        return {trusted(key) if isinstance(key, str) else key: trusted(item) for key, item in value.items()}
    return value


def native(value):
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.timedelta)):
        return str(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return str(value)  # ours are texts there
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, dict):
        return {native(key): native(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [native(item) for item in value]
    raise TypeError(f"unexpected {type(value)}")


def answer(case, variables):
    templar = Templar(loader=DataLoader(), variables=trusted({**variables, **case.get("variables", {})}))
    kind = next(kind for kind in KINDS if kind in case)
    text = trust_as_template(case[kind]) if isinstance(case[kind], str) else case[kind]
    try:
        if kind == "template":
            value = templar.template(text)
        elif kind == "expression":
            value = templar.evaluate_expression(text)
        elif kind == "condition":
            value = templar.evaluate_conditional(text)
        else:
            # As the `template` action does.
            options = {"newline_sequence": "\n", **case.get("options", {})}
            value = templar.template(text, escape_backslashes=False, overrides=options)
            value = "" if value is None else str(value)
        return {"value": native(value)}
    except AnsibleUndefinedVariable:
        return {"error": "undefined"}
    except AnsibleTemplateSyntaxError:
        return {"error": "syntax"}
    except AnsibleValueOmittedError:
        return {"error": "omit"}
    except Exception as error:  # everything else is one kind
        if os.environ.get("ORACLE_DEBUG"):
            print(case[kind], "->", type(error).__name__, error, file=sys.stderr)
        return {"error": "failed"}


class Dumper(yaml.SafeDumper):
    """Texts with line breaks stay on one line."""


Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if "\n" in text else None))


def one_line(value):
    text = yaml.dump(value, Dumper=Dumper, default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.strip().removesuffix("...").strip()


def main():
    mode, files = sys.argv[1], sys.argv[2:]
    if release.__version__ != VERSION:
        sys.exit(f"ansible-core {VERSION} is wanted, this is {release.__version__}")
    Display().warning = Display().deprecated = Display().error_as_warning = lambda *args, **named: None
    init_plugin_loader()
    answers = []
    for path in files:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        document = yaml.safe_load(text)
        found = [answer(case, document.get("variables") or {}) for case in document["cases"]]
        answers.append(found)
        if mode == "update":
            head = text[: text.index("\ncases:") + 1] if "\ncases:" in text else ""
            with open(path, "w", encoding="utf-8") as file:
                file.write(head + "cases:\n")
                for case, result in zip(document["cases"], found):
                    kept = {key: value for key, value in case.items() if key not in ("value", "error")}
                    file.write(f"- {one_line({**kept, **result})}\n")
    if mode == "check":
        json.dump(answers, sys.stdout, allow_nan=True)


main()

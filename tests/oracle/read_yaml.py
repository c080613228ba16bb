"""Reads a JSON list of YAML texts, prints what PyYAML (with Ansible's choices) makes of each: the documents, or null for an error."""
import json
import sys

import yaml


class Loader(yaml.CSafeLoader):
    """Dates stay texts, as the values of a program have no dates."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def read(text):
    try:
        return [plain(document) for document in yaml.load_all(text, Loader)]
    except yaml.YAMLError:
        return None


json.dump([read(text) for text in json.load(sys.stdin)], sys.stdout)

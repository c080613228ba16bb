"""`validate.py cyclonedx FILE` and `validate.py compose SCHEMA FILE`: says nothing, or what is wrong with the file."""

import json
import sys

import jsonschema
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

kind, *paths = sys.argv[1:]
texts = [open(path, encoding="utf-8").read() for path in paths]
if kind == "cyclonedx":
    wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(texts[0])
    wrong = [str(wrong)] if wrong else []
else:
    schema, file = json.loads(texts[0]), yaml.safe_load(texts[1])
    wrong = [f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(schema).iter_errors(file)]
sys.exit("\n".join(wrong) or 0)

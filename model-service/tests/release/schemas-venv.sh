#!/bin/sh
# Prints the path of a Python interpreter that has the schemas' validators, and makes it where it is not there yet.
# The environment lives in the user's cache folder, named by what it is made of.
set -eu
wanted="cyclonedx-python-lib[json-validation]==11.5.0 jsonschema==4.25.1 pyyaml==6.0.3"
python=${PROVISION_PYTHON:-python3}
hash=$(printf '%s %s' "$wanted" "$("$python" --version)" | sha256sum | cut -c1-12)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/provision/schemas-$hash"
# The mark comes last: a folder without it was interrupted and is made anew.
if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    "$python" -m venv "$folder" >&2
    # shellcheck disable=SC2086
    "$folder/bin/pip" install --quiet --disable-pip-version-check $wanted >&2
    touch "$folder/complete"
fi
printf '%s\n' "$folder/bin/python"

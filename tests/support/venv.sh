#!/bin/sh
# venv.sh NAME PACKAGE==VERSION…: prints the path of a Python interpreter that has these packages, and makes it where it is not there yet.
# The environment lives in the user's cache folder, named by what it is made of. PROVISION_PYTHON: another python3.
set -eu
name=$1
shift
python=${PROVISION_PYTHON:-python3}
hash=$(printf '%s %s' "$*" "$("$python" --version)" | sha256sum | cut -c1-12)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/provision/$name-$hash"
mkdir -p "$(dirname "$folder")"
# Tests ask for it at the same time.
exec 9>"$folder.lock"
flock 9
# The mark comes last: a folder without it was interrupted and is made anew.
if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
    touch "$folder/complete"
fi
printf '%s\n' "$folder/bin/python"

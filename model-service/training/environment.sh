#!/bin/sh
# Prints the folder of programs (python, dvc) of an environment with requirements.lock, and makes it where it is not there yet.
# It lives in the user's cache folder, named by the lock and the interpreter. PROVISION_PYTHON: another python3 of version 3.11.
set -eu
lock=$(dirname "$0")/requirements.lock
python=${PROVISION_PYTHON:-python3}
hash=$({ cat "$lock"; "$python" --version; } | sha256sum | cut -c1-12)
folder="${XDG_CACHE_HOME:-$HOME/.cache}/provision/training-$hash"
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
# The mark comes last: a folder without it was interrupted and is made anew.
if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    "$python" -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$lock" >&2
    touch "$folder/complete"
fi
printf '%s\n' "$folder/bin"

#!/usr/bin/env bash
# The release build's size and what building it cost; fails above 25 MB. Builds into a folder of its own: TARGET, default target/size.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${TARGET:-target/size}
TIMEFORMAT="build: %R s wall, %U s user, %S s system"
time CARGO_TARGET_DIR="$target" cargo build --release --bin provision
size=$(stat --format %s "$target/release/provision")
agent=$(stat --format %s "$target"/release/build/provision-*/out/agent-*.xz | sort -n | tail -n 1)
awk -v size="$size" -v agent="$agent" 'BEGIN {printf "provision: %.1f MB, of it the packed agent %.1f MB\n", size / 1e6, agent / 1e6}'
if [ "$size" -gt 25000000 ]; then
    echo "more than 25 MB" >&2
    exit 1
fi

#!/usr/bin/env bash
# The images of a release: `model-service/release.sh v1.2.3 FOLDER` builds what the tag v1.2.3 names and writes to the folder
#   model-service-v1.tar model-service-v2.tar   the service, with each of the models
#   app-v1.tar app-v2.tar                       the app, with each of the pages
#   *.cdx.json                                  what each is made of (CycloneDX), also attached to the images
#   SHA256SUMS                                  the same, byte for byte, from the same tag and toolchain
# Each is an OCI layout in a tar with the tags v1.2.3, v1.2.latest, v1.latest and latest (a pre-release: its own alone).
#   REGISTRY   what the images' names begin with (provision.local)
#   LIMIT      bytes that an image may have unpacked (30000000); the binary is most of it
#   BINARY     a static binary that is there already, instead of building one: the tag then need not be checked out
set -euo pipefail
cd "$(dirname "$0")/.."

if [ $# != 2 ]; then
    echo "usage: model-service/release.sh TAG FOLDER" >&2
    exit 5
fi
tag=$1
mkdir -p "$2"
output=$(cd "$2" && pwd)
registry=${REGISTRY:-provision.local}
case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) echo "no release is made on $(uname -m)" >&2; exit 1 ;;
esac
target=$(uname -m)-unknown-linux-musl
limit=${LIMIT:-30000000}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

binary=${BINARY:-}
if [ -z "$binary" ]; then
    if [ "$(git rev-parse HEAD)" != "$(git rev-parse --verify --quiet "refs/tags/$tag^{commit}")" ] || [ -n "$(git status --porcelain)" ]; then
        echo "this checkout is not the tag $tag: run \`git checkout $tag\` first" >&2
        exit 1
    fi
    folder=${CARGO_TARGET_DIR:-$PWD/target}
    # Neither the folder of this checkout nor Cargo's is in the binary.
    export RUSTFLAGS="--remap-path-prefix=$folder=/target --remap-path-prefix=$PWD=/source --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
    export PROVISION_VERSION=${tag#v} CARGO_TARGET_DIR=$folder
    # What is not Rust in it is assembly: any C compiler of this machine's will do.
    command -v musl-gcc >/dev/null || export "CC_${target//-/_}=cc"
    cargo build --locked --package model-service --profile service --target "$target"
    binary=$folder/$target/service/model-service
fi

cargo tree --locked --package model-service --target "$target" --edges normal --prefix depth --format '|{p}|{l}' >"$work/tree"

# write IMAGE VERSION ARGUMENT…: one image, its SBOM beside it.
write() {
    local image=$1
    shift
    "$binary" image --binary "$binary" --architecture "$architecture" --repository "$registry/$image" --release "$tag" \
        --sbom "$output/$image.cdx.json" --output "$output/$image.tar" "$@"
    local size
    size=$(tar --extract --to-stdout --file "$output/$image.tar" --wildcards 'blobs/sha256/?*' | wc -c)
    if [ "$size" -gt "$limit" ]; then
        echo "$image has $size bytes unpacked, more than $limit" >&2
        exit 1
    fi
    printf '%s  %s bytes\n' "$image" "$size"
}

for version in v1 v2; do
    model=model-service/models/$version.onnx
    "$binary" sbom --tree "$work/tree" --model "$model" --version "${tag#v}" --output "$output/model-service-$version.cdx.json"
    "$binary" sbom --tree "$work/tree" --version "${tag#v}" --output "$output/app-$version.cdx.json"
    write "model-service-$version" --part service --model "$model"
    write "app-$version" --part app --variant "$version"
done
(cd "$output" && sha256sum -- *.cdx.json *.tar >SHA256SUMS)

#!/usr/bin/env bash
# The images of a release into a registry: `model-service/push.sh FOLDER docker://REGISTRY`, the folder being release.sh's. Each tag of
# each image, and its SBOM: a manifest with the image as its subject, under the tag `sha256-DIGEST.sbom`, where cosign looks for it in
# registries that list no referrers.
# Needs jq, and skopeo logged in. `oci:FOLDER` in the registry's place makes layouts.
set -euo pipefail

if [ $# != 2 ]; then
    echo "usage: model-service/push.sh FOLDER docker://REGISTRY" >&2
    exit 5
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name='.annotations["org.opencontainers.image.ref.name"]'

for archive in "$1"/*.tar; do
    image=$(basename "$archive" .tar)
    layout=$work/$image
    mkdir "$layout"
    tar --extract --file "$archive" --directory "$layout"
    # skopeo takes only what has a name.
    bill=$(jq --raw-output '.manifests[0].digest | sub(":"; "-") + ".sbom"' "$layout/index.json")
    jq --arg bill "$bill" "(.manifests[] | select(.artifactType) | $name) = \$bill" "$layout/index.json" >"$work/index"
    mv "$work/index" "$layout/index.json"
    jq --raw-output ".manifests[] | $name" "$layout/index.json" | while read -r tag; do
        # skopeo would compress the layers: the image would have another digest than the one that the SBOM refers to.
        skopeo copy --quiet --preserve-digests "oci:$layout:$tag" "$2/$image:$tag"
    done
    rm -r "$layout"
    echo "pushed $image"
done

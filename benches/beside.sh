#!/usr/bin/env bash
# `provision up` beside benches/cluster.sh: the same machines, archives, settings and waits, in turn; medians of wall and processor time.
#
#     PAIRS=3 PROVISION=target/release/provision benches/beside.sh      (as root; see README.md here)
#
# The machines are made before the clock starts, for both by `provision up` with an empty playbook. What the script is given (programs,
# images, rendered configuration, the release's objects) is taken beforehand from the cache and from a cluster that provision built.
set -euo pipefail
project=$(realpath "$(dirname "$0")/..")
provision=$(realpath "${PROVISION:-$project/target/release/provision}")
pairs=${PAIRS:-3}
network=${NETWORK:-10.216.9}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/provision/artifacts
folder=$(mktemp -d /tmp/provision-beside-XXXXXX)
nodes=(control worker-1 worker-2)
cd "$folder"
end() {
    close
    "$provision" destroy --yes >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap end EXIT

# The bundled environment, on a network of its own.
for part in playbooks charts inventory model-service src benches build.rs Cargo.toml Cargo.lock rust-toolchain.toml; do
    ln -s "$project/$part" "$part"
done
mkdir vms script
sed "s/192\.168\.60/$network/" "$project/vms/dev.yaml" >vms/dev.yaml
echo "service: {externalIPs: [$network.2]}" >values.yaml
sed 's/^name: .*/name: beside/; s#charts/phishing/values-dev.yaml#values.yaml#' "$project/provision.yaml" >whole.yaml
echo '- {hosts: all, gather_facts: false, tasks: []}' >empty.yaml
printf 'name: beside\nplaybooks: [empty.yaml]\nreleases: []\n' >machines.yaml

close() { for node in "${nodes[@]}"; do ssh -F script/ssh_config -O exit "$node" 2>/dev/null || true; done; }
fresh() {
    close
    cp whole.yaml provision.yaml
    "$provision" destroy --yes >/dev/null 2>&1 || true
    cp machines.yaml provision.yaml
    "$provision" up --yes >/dev/null 2>&1
    "$provision" ssh-config >script/ssh_config
    cat >>script/ssh_config <<END
Host *
    ControlMaster auto
    ControlPath $folder/script/%n.sock
    ControlPersist 120
    LogLevel ERROR
END
    cp whole.yaml provision.yaml
}

# What the script is given.
fresh
"$provision" up --yes >first.log 2>&1 || { cat first.log; exit 1; }
python3 - "$cache" "$("$provision" cache list 2>/dev/null)" <<'END'
import glob, json, os, sys
cache, listed = sys.argv[1], dict(line.split()[:2] for line in sys.argv[2].splitlines() if line[:1].isalpha())
newest = {}
for path in sorted(glob.glob(f"{cache}/index/*/*.json"), key=os.path.getmtime):
    entry = json.load(open(path))
    if listed.get(entry["name"]) == entry["version"]:
        newest[entry["name"]] = entry
os.makedirs("script/images")
for name, entry in newest.items():
    for file in entry["files"]:
        blob = f"{cache}/blobs/{file['sha256']}"
        if entry["image"]:
            os.symlink(blob, f"script/images/{name.removeprefix('image/')}.tar")
            print(name.removeprefix("image/"), entry["image"]["reference"], entry["image"]["digest"], file=open("script/images.txt", "a"))
        else:
            os.makedirs(f"script/archives/{name}", exist_ok=True)
            os.system(f"install -m {file['mode'] & 0o777:o} {blob} script/archives/{name}/{file['name'].split('/')[-1]}")
END
for node in "${nodes[@]}"; do
    mkdir -p "script/files/$node"
    "$provision" ssh "$node" -- "cd / && tar c etc/sysctl.d/90-provision.conf etc/containerd etc/systemd/system/containerd.service \
        etc/systemd/system/kubelet.service etc/kubernetes/kubelet.d etc/cni/net.d \$(ls -d etc/kubernetes/kubeadm.yaml etc/kubernetes/audit.yaml etc/kubernetes/addons 2>/dev/null)" |
        tar x -C "script/files/$node"
done
# The namespace with the release's own objects: what the cluster adds to a namespace has no label of a release.
{
    "$provision" kubectl get namespace phishing --output json
    "$provision" kubectl --namespace phishing get deployment,statefulset,service,configmap,serviceaccount,poddisruptionbudget \
        --selector app.kubernetes.io/instance=phishing --output json
} | python3 -c '
import json, sys
text, decoder, objects = sys.stdin.read(), json.JSONDecoder(), []
while text.strip():
    item, end = decoder.raw_decode(text.lstrip())
    text = text.lstrip()[end:]
    objects += item.get("items", [item])
for item in objects:
    item.pop("status", None)
    meta = item["metadata"]
    item["metadata"] = {key: meta[key] for key in ("name", "namespace", "labels") if key in meta}
    for key in ("clusterIP", "clusterIPs"):
        if item.get("spec", {}).get(key) not in ("None", ["None"]):
            item.get("spec", {}).pop(key, None)
json.dump({"apiVersion": "v1", "kind": "List", "items": objects}, sys.stdout)' >script/release.yaml
echo "http://$network.2/" >script/page

# Seconds of wall and of processor (the command with its children, and the nodes) of one command.
measure() {
    local before after
    fresh
    before=$(cat /sys/fs/cgroup/cpuacct/provision-beside-*/cpuacct.usage 2>/dev/null | awk '{sum += $1} END {print sum / 1e9}')
    if ! /usr/bin/env bash -c 'TIMEFORMAT="%R %U %S"; time "$@" >run.log 2>&1' - "${@:2}" 2>time.txt; then
        tail -n 30 run.log
        exit 1
    fi
    after=$(cat /sys/fs/cgroup/cpuacct/provision-beside-*/cpuacct.usage 2>/dev/null | awk '{sum += $1} END {print sum / 1e9}')
    awk -v nodes="$after" -v before="$before" -v name="$1" '{printf "%s %.1f %.1f\n", name, $1, $2 + $3 + nodes - before}' time.txt | tee -a samples.txt
}

echo "what       wall s  cpu s"
for _ in $(seq "$pairs"); do
    measure provision "$provision" up --yes
    measure script "$project/benches/cluster.sh" script "${nodes[@]}"
done
python3 - <<'END'
from statistics import median
samples = [line.split() for line in open("samples.txt")]
ours, theirs = ([tuple(map(float, s[1:])) for s in samples if s[0] == name] for name in ("provision", "script"))
for name, rows in (("provision", ours), ("script", theirs)):
    print(f"{name:<9} {median(r[0] for r in rows):7.1f} {median(r[1] for r in rows):6.1f}   median of {len(rows)}")
print(f"ratio     {median(a[0] / b[0] for a, b in zip(ours, theirs)):7.2f} {median(a[1] / b[1] for a, b in zip(ours, theirs)):6.2f}   median of pairs")
END

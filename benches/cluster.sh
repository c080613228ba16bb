#!/usr/bin/env bash
# The cluster of playbooks/ as a person's shell script builds it: one step after another, by ssh, scp, kubeadm and kubectl.
#
#     cluster.sh FOLDER CONTROL WORKER…      (names; beside.sh makes FOLDER)
#
# FOLDER/ssh_config              how to reach the nodes by name, and the workstation's own kubeconfig: FOLDER/kubeconfig
# FOLDER/archives/NAME/FILE      programs; FOLDER/images/NAME.tar and FOLDER/images.txt: NAME REFERENCE DIGEST
# FOLDER/files/NODE/…            configuration files by their paths, as provision writes them
# FOLDER/release.yaml            the objects of the release; FOLDER/page: the URL that answers at last
set -euo pipefail
folder=$1 control=$2
shift
nodes=("$@") workers=("${@:2}")

run() { ssh -F "$folder/ssh_config" "$@"; }
copy() { scp -q -F "$folder/ssh_config" "$@"; }
kubectl() { "$folder/archives/kubectl/kubectl" --kubeconfig "$folder/kubeconfig" "$@"; }
image() {
    copy "$folder/images/$2.tar" "$1:/root/$2.tar"
    read -r _ reference digest < <(grep "^$2 " "$folder/images.txt")
    run "$1" "ctr -n k8s.io images import /root/$2.tar && rm /root/$2.tar && ctr -n k8s.io images tag --force $reference ${reference%:*}@$digest" >/dev/null
}

for node in "${nodes[@]}"; do
    run "$node" mkdir -p /opt/cni/bin /etc/containerd/certs.d /etc/cni/net.d /etc/kubernetes/kubelet.d
    (cd "$folder/files/$node" && tar c etc/sysctl.d etc/containerd etc/systemd etc/kubernetes) | run "$node" tar x --no-same-owner -C /
    run "$node" 'sysctl -q -p /etc/sysctl.d/90-provision.conf || true'
    copy "$folder"/archives/containerd/* "$folder"/archives/kubelet/* "$folder"/archives/kubeadm/* "$node:/usr/local/bin/"
    copy "$folder"/archives/cni-plugins/* "$node:/opt/cni/bin/"
    run "$node" 'systemctl daemon-reload && systemctl enable -q --now containerd && systemctl enable -q kubelet'
    for name in pause kube-proxy flannel coredns local-path-provisioner busybox; do image "$node" "$name"; done
done
for name in kube-apiserver kube-controller-manager kube-scheduler etcd; do image "$control" "$name"; done
for worker in "${workers[@]}"; do for name in model-service app; do image "$worker" "$name"; done; done

run "$control" kubeadm init --config /etc/kubernetes/kubeadm.yaml --skip-token-print >/dev/null
copy "$control:/etc/kubernetes/admin.conf" "$folder/kubeconfig"
checks=$(sed -n 's/.*ignorePreflightErrors: *\[\(.*\)\].*/\1/p' "$folder/files/$control/etc/kubernetes/kubeadm.yaml" | tr -d '" ')
kubectl apply --server-side --filename "$folder/files/$control/etc/kubernetes/addons" >/dev/null
for worker in "${workers[@]}"; do
    join=$(run "$control" kubeadm token create --ttl 10m --print-join-command)
    run "$worker" "$join --node-name $worker --ignore-preflight-errors '$checks'" >/dev/null
done
for node in "${nodes[@]}"; do
    range=
    until [ -n "$range" ]; do range=$(kubectl get node "$node" --output 'jsonpath={.spec.podCIDR}'); done
    # As in the role: no pod before the rules that it needs.
    run "$node" 'until [ -e /run/flannel/subnet.env ] && nft list table ip kube-proxy >/dev/null 2>&1; do sleep 1; done'
    sed "s#\"subnet\": \"[^\"]*\"#\"subnet\": \"$range\"#" "$folder/files/$control/etc/cni/net.d/10-provision.conflist" |
        run "$node" 'cat > /etc/cni/net.d/10-provision.conflist'
done

kubectl wait --for condition=Ready nodes --all --timeout 180s >/dev/null
kubectl --namespace kube-system rollout status deployment/coredns --timeout 300s >/dev/null

# Each node's pod resolves a name and reaches every node's pod.
busybox=$(awk '$1 == "busybox" {print $2}' "$folder/images.txt")
for node in "${nodes[@]}"; do
    kubectl run "probe-$node" --image "$busybox" --image-pull-policy Never --restart Never \
        --overrides "{\"apiVersion\": \"v1\", \"spec\": {\"nodeName\": \"$node\", \"terminationGracePeriodSeconds\": 0}}" \
        --command -- sh -c 'while :; do echo here | nc -l -p 8080; done' >/dev/null
done
kubectl wait --for condition=Ready pods --all --timeout 120s >/dev/null
addresses=$(kubectl get pods --output 'jsonpath={.items[*].status.podIP}')
for node in "${nodes[@]}"; do
    kubectl exec "probe-$node" -- sh -c "nslookup -type=a kubernetes.default.svc.cluster.local >/dev/null || exit 1
        for address in $addresses; do
            tries=0
            until [ \"\$(nc -w 3 \$address 8080 </dev/null)\" = here ]; do tries=\$((tries + 1)); [ \$tries -lt 20 ] || exit 1; done
        done"
done
kubectl delete pods --all --now >/dev/null 2>&1

kubectl apply --server-side --filename "$folder/release.yaml" >/dev/null
for workload in $(kubectl --namespace phishing get deployment,statefulset --output name); do
    kubectl --namespace phishing rollout status "$workload" --timeout 300s >/dev/null
done
until curl --silent --fail --max-time 3 --output /dev/null "$(cat "$folder/page")"; do sleep 0.2; done

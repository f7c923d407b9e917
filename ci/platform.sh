#!/usr/bin/env bash
# What site.yml would change, or site.yml itself.
#
#   ci/platform.sh check   also writes build/ci/platform.diff, in which secrets are names and hashes
#   ci/platform.sh apply
#
#   INVENTORY  whose variables count (inventories/prod); it says which cluster is meant, and no other one is touched
#   KUBECONFIG, KUBE_CONTEXT  how to reach it, by a file's current context if none is named; empty: as the inventory says
set -euo pipefail
action=${1:?usage: ci/platform.sh check or apply}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
control_node=.cache/control-node
python3 -m venv "$control_node"
# Not compiled: the package ansible has tens of thousands of files, of which a run reads a few hundred.
"$control_node/bin/pip" install --quiet --disable-pip-version-check --no-compile --requirement requirements/control-node.txt
play=("$control_node/bin/ansible-playbook" site.yml -i "${INVENTORY:-inventories/prod}")
# The inventory's context is one of the inventory's kubeconfig.
[ -z "${KUBECONFIG:-}" ] || play+=(-e "platform_kubeconfig=$KUBECONFIG" -e platform_context=)
[ -z "${KUBE_CONTEXT:-}" ] || play+=(-e "platform_context=$KUBE_CONTEXT")
case $action in
  check)
    mkdir -p build/ci
    ANSIBLE_NOCOLOR=1 "${play[@]}" --check --diff | tee build/ci/platform.diff
    ;;
  apply) "${play[@]}" ;;
  *)
    echo "the action is $action: expected check or apply"
    exit 1
    ;;
esac

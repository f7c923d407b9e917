# Which cluster, namespace and release the other scripts work on. They source this file; in bash.
#
#   KUBECONFIG    a file, such as playbooks/deployer.yml writes
#   KUBE_CONTEXT  a context in it, or a GitLab agent's (group/project:agent); empty: the current one
#   NAMESPACE     of the application (exchange)
#   RELEASE       Helm's name of it (exchange)
# shellcheck shell=bash
NAMESPACE=${NAMESPACE:-exchange}
RELEASE=${RELEASE:-exchange}
TIMEOUT_SECONDS=${TIMEOUT_SECONDS:-600}

helm() { command "${HELM:-helm}" ${KUBE_CONTEXT:+--kube-context "$KUBE_CONTEXT"} --namespace "$NAMESPACE" "$@"; }
kubectl() { command "${KUBECTL:-kubectl}" ${KUBE_CONTEXT:+--context "$KUBE_CONTEXT"} --namespace "$NAMESPACE" "$@"; }

# The newest of Helm's revisions, or of those that have a status (deployed, superseded, failed); 0 if there is none.
newest_revision() {
  local found
  found=$(kubectl get secrets --selector="owner=helm,name=$RELEASE${1:+,status=$1}" \
    --output=jsonpath='{range .items[*]}{.metadata.labels.version}{"\n"}{end}' | sort -n | tail -n 1)
  echo "${found:-0}"
}

# Revisions that were in service and were not given up, oldest first; the last one is in service now. What a rollback left
# behind was given up: a version that failed its smoke test is never gone back to.
revisions_in_service() {
  helm history "$RELEASE" --max 256 | awk -F '\t' '
    { gsub(/ /, "", $1); gsub(/ /, "", $3) }
    $3 != "deployed" && $3 != "superseded" { next }
    $NF ~ /^Rollback to [0-9]+/ {
      split($NF, words, " ")
      while (count > 0 && kept[count] != words[3]) count--
      if (count > 0) { kept[count] = $1; next }
    }
    { kept[++count] = $1 }
    END { for (one = 1; one <= count; one++) print kept[one] }'
}

# The image tag of one of Helm's revisions.
tag_of() {
  helm get values "$RELEASE" --revision "$1" --output json | sed -n 's/.*"image":{[^}]*"tag":"\([^"]*\)".*/\1/p'
}

# The image that the web pods should run.
wanted_image() {
  kubectl get deployments --selector="app.kubernetes.io/name=$RELEASE,app.kubernetes.io/component=web" \
    --output=jsonpath='{.items[0].spec.template.spec.containers[0].image}'
}

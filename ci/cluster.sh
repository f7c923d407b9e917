# Which cluster, namespace and release the other scripts work on. They source this file; in bash.
#
#   KUBECONFIG    a file, such as playbooks/deployer.yml writes
#   KUBE_CONTEXT  a context in it, or a GitLab agent's (group/project:agent); empty: the current one
#   NAMESPACE     of the application (exchange)
#   RELEASE       Helm's name of it (exchange)
# shellcheck shell=bash
# Without it a question that fails inside $(…) looks as if there were nothing.
shopt -s inherit_errexit
NAMESPACE=${NAMESPACE:-exchange}
RELEASE=${RELEASE:-exchange}
TIMEOUT_SECONDS=${TIMEOUT_SECONDS:-600}

helm() { command "${HELM:-helm}" ${KUBE_CONTEXT:+--kube-context "$KUBE_CONTEXT"} --namespace "$NAMESPACE" "$@"; }
kubectl() { command "${KUBECTL:-kubectl}" ${KUBE_CONTEXT:+--context "$KUBE_CONTEXT"} --namespace "$NAMESPACE" "$@"; }

# End the script if Helm is not version 3: nobody has tried yet what another one does to a release that site.yml keeps.
need_helm_3() {
  local version
  version=$(helm version --template '{{.Version}}' 2>&1) || version="not to be run ($(tail -n 1 <<<"$version"))"
  case $version in
    v3.*) ;;
    *)
      echo "FAILED: Helm is $version: expected version 3. Nothing was changed."
      exit 1
      ;;
  esac
}

# The hash of a chart ($1) by which site.yml knows whether it has to install another one: roles/exchange_app/tasks/release.yml.
chart_checksum() {
  local names
  cd "$1" || return
  names=$(find . templates -maxdepth 1 -type f -name '[!.]*' | sed 's|^\./||' | LC_ALL=C sort)
  # shellcheck disable=SC2086  # names of templates are words
  printf '%s%s' "$(sha256sum $names | cut -d ' ' -f 1 | paste -sd ' ')" "$(paste -sd ' ' <<<"$names")" |
    sha256sum | cut -d ' ' -f 1
}

# Ask which revisions Helm has: lines "NUMBER STATUS" in $revisions. Nothing is a good answer; none is not, and leaves the
# reason there.
read_revisions() {
  revisions=$(kubectl get secrets --selector="owner=helm,name=$RELEASE" \
    --output=jsonpath='{range .items[*]}{.metadata.labels.version}{" "}{.metadata.labels.status}{"\n"}{end}' 2>&1)
}

# The newest of $revisions, or of those whose status matches (deployed, superseded, failed, ...); 0 if there is none.
newest_revision() {
  awk -v status="^(${1:-.*})$" '$1 ~ /^[0-9]+$/ && $2 ~ status && $1 + 0 > newest { newest = $1 + 0 }
    END { print newest + 0 }' <<<"$revisions"
}

# End the script, since the cluster does not answer: why ($1, whose last line is said again), and what that means ($2).
unanswered() {
  echo "$1"
  echo "FAILED: no answer about the release $RELEASE in the namespace $NAMESPACE: $(tail -n 1 <<<"$1"). $2."
  exit 1
}

# Revisions that were in service and were not given up, oldest first; the last one is in service now. What a rollback left
# behind was given up: a version that failed its smoke test is never gone back to.
revisions_in_service() {
  local history
  history=$(helm history "$RELEASE" --max 256) || return
  awk -F '\t' '
    { gsub(/ /, "", $1); gsub(/ /, "", $3) }
    $3 != "deployed" && $3 != "superseded" { next }
    $NF ~ /^Rollback to [0-9]+/ {
      split($NF, words, " ")
      while (count > 0 && kept[count] != words[3]) count--
      if (count > 0) { kept[count] = $1; next }
    }
    { kept[++count] = $1 }
    END { for (one = 1; one <= count; one++) print kept[one] }' <<<"$history"
}

# The image tag of one of Helm's revisions.
tag_of() {
  helm get values "$RELEASE" --revision "$1" --output json | image_value tag
}

# The image of one of Helm's revisions, as its values name it.
image_of() {
  local values repository tag digest
  values=$(helm get values "$RELEASE" --revision "$1" --all --output json) || return
  repository=$(image_value repository <<<"$values") tag=$(image_value tag <<<"$values") digest=$(image_value digest <<<"$values")
  if [ -n "$digest" ]; then echo "$repository@$digest"; else echo "$repository:$tag"; fi
}

# One of the texts below `image` in values that are JSON.
image_value() { sed -n 's/.*"image":{[^}]*"'"$1"'":"\([^"]*\)".*/\1/p'; }

# Names of the values that differ between two of Helm's revisions, in one line; but for the image, and for which chart it was.
settings_between() {
  local one other
  one=$(helm get values "$RELEASE" --revision "$1" --output yaml) || return
  other=$(helm get values "$RELEASE" --revision "$2" --output yaml) || return
  # What begins at the margin and is no list's item is a name; what follows is its value.
  awk '
    FNR == 1 { file++ }
    /^[^ #{-][^ ]*:/ { name = $0; sub(/:.*/, "", name); seen[name] }
    { value[file, name] = value[file, name] $0 "\n" }
    END { for (name in seen) if (name != "image" && name != "bookkeeping" && value[1, name] != value[2, name]) print name }
  ' <(echo "$one") <(echo "$other") | sort | paste -sd " "
}

# The image that the web pods should run.
wanted_image() {
  kubectl get deployments --selector="app.kubernetes.io/name=$RELEASE,app.kubernetes.io/component=web" \
    --output=jsonpath='{.items[0].spec.template.spec.containers[0].image}'
}

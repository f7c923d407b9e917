# Why pods of the release do not serve. ci/release.sh sources this file, after ci/cluster.sh; in bash.
# shellcheck shell=bash

# Pods of the release that don't serve, and didn't end well.
troubled_pods() {
  kubectl get pods --selector="app.kubernetes.io/name=$RELEASE" --sort-by=.metadata.creationTimestamp \
    --output=jsonpath='{range .items[*]}{.metadata.name}{" "}{.status.phase}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}{end}' |
    awk '$2 != "Succeeded" && $3 != "True" { print $1 }'
}

# What happened to a pod, newest last.
warnings_of() {
  kubectl get events --field-selector="type=Warning,involvedObject.name=$1" --sort-by=.lastTimestamp \
    --output=jsonpath='{range .items[*]}{.reason}{": "}{.message}{"\n"}{end}'
}

# Pods, warnings and logs, and as the last line what is said of it ($1) with the shortest reason: before a rollback takes the
# pods away, and what they could tell with them.
explain() {
  local pod reason=""
  set +e # what is looked at may be gone by then
  kubectl get pods --selector="app.kubernetes.io/name=$RELEASE" --output=wide
  for pod in $(troubled_pods); do
    echo "--- $pod"
    warnings_of "$pod" | tail -n 5
    kubectl logs "$pod" --all-containers --prefix --tail=20 --ignore-errors 2>&1
    reason=$(reason_of "$pod")
  done
  echo "--- $1${reason:+: $reason}"
}

# The last line of a log that says something. Indented ones are details, or progress that was cut off: Django's "  Applying
# shop.0002_x..." has no end when the migration fails, and so reaches the log after the error.
last_words() {
  awk '/[^ ]/ { any = $0 } /^[^ ]/ { word = $0 } END { print word == "" ? any : word }'
}

# The shortest answer to why a pod doesn't serve: what the container that ended with an error said last, or why one waits,
# or the last warning.
reason_of() {
  local state failed said=""
  for state in initContainerStatuses containerStatuses; do
    failed=$(kubectl get pod "$1" --output=jsonpath="{range .status.$state[*]}{.name}{' '}{.state.terminated.exitCode}{.lastState.terminated.exitCode}{'\n'}{end}" |
      awk '$2 > 0 { print $1; exit }')
    [ -z "$failed" ] || said=$(kubectl logs "$1" --container "$failed" --tail=5 2>/dev/null | last_words)
    [ -n "$said" ] || said=$(kubectl get pod "$1" --output=jsonpath="{range .status.$state[*]}{.state.waiting.reason}{' '}{.state.waiting.message}{'\n'}{end}" |
      grep -v '^PodInitializing' | grep -m 1 '[^ ]')
    [ -z "$said" ] || break
  done
  echo "$1: ${said:-$(warnings_of "$1" | tail -n 1)}"
}

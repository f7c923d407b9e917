#!/usr/bin/env bash
# Bring an image's tag into service with Helm and try it through its public address. If either fails, say why and go back
# to what ran before. Migrations run first, in the chart's Job; if they fail, what runs is not touched at all.
#
#   ci/release.sh TAG
#
#   URL              public address, such as https://exchange.example.com (see ci/smoke.sh)
#   SMOKE            none: it is not tried, and URL may be empty
#   TIMEOUT_SECONDS  for migrations and rollout together (600)
#   CHART            folder of the chart (charts/exchange beside this folder)
#   and what ci/cluster.sh lists
set -euo pipefail
tag=${1:?usage: ci/release.sh TAG}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/cluster.sh
source "$here/cluster.sh"
# shellcheck source=ci/explain.sh
source "$here/explain.sh"
chart=${CHART:-$here/../charts/exchange}

# Run something as a job, so that a signal is answered at once and not when it has ended; its words are in $said then.
attempt() {
  local code=0
  set -m # a group of its own: what it has started can be ended with it
  "$@" >"$words" 2>&1 &
  job=$!
  set +m
  wait "$job" || code=$?
  job=""
  said=$(<"$words")
  return "$code"
}

# Go back, wait for it, and say why ($1).
go_back() {
  read_revisions || unanswered "$revisions" "$1. It was not taken back: $way_back"
  if [ "$(newest_revision)" -gt "$ours" ]; then
    echo "FAILED: $1. It was not taken back, since somebody else is at work on the release: $way_back"
    exit 1
  fi
  echo "=== Back to revision $before ($image_before)"
  if attempt helm rollback "$RELEASE" "$before" "${waiting[@]}"; then
    echo "$said"
    echo "FAILED: $1. $image_before serves."
  else
    echo "$said"
    echo "FAILED: $1. AND THE ROLLBACK FAILED: $way_back --wait"
  fi
  exit 1
}

# A cancelled job leaves no half of a rollout behind. It has some ten seconds until it is killed, and a Helm that is killed
# leaves a release that is pending: nothing is waited for.
stopped() {
  trap '' INT TERM
  if [ -n "$job" ]; then
    kill -TERM -- "-$job" || true # it may have had the signal as well
    { sleep 3; kill -KILL -- "-$job"; } >/dev/null 2>&1 &
    wait "$job" || true
    cat "$words"
  fi
  read_revisions || unanswered "$revisions" "The job was stopped, and what it has changed is not known: $way_back"
  if [ "$(newest_revision)" -le "$latest" ]; then
    echo "FAILED: the job was stopped. Nothing was changed."
  elif helm rollback "$RELEASE" "$before"; then
    echo "FAILED: the job was stopped. It goes back to $image_before, which was not waited for."
  else
    echo "FAILED: the job was stopped. AND THE ROLLBACK FAILED: $way_back"
  fi
  exit 1
}

if [ -z "${URL:-}" ] && [ "${SMOKE:-}" != none ]; then
  echo "FAILED: URL is empty: nobody would know whether $tag serves. Set it, or SMOKE=none. Nothing was changed."
  exit 1
fi
need_helm_3
read_revisions || unanswered "$revisions" "Nothing was changed"
before=$(newest_revision deployed)
if [ "$before" = 0 ]; then
  echo "FAILED: there is no release $RELEASE in the namespace $NAMESPACE that could be upgraded: install it with site.yml"
  exit 1
fi
latest=$(newest_revision)
# Not the Deployment's, which may be that of a release that failed and was not taken back.
image_before=$(image_of "$before") || unanswered "Helm can't read revision $before" "Nothing was changed"
checksum=$(chart_checksum "$chart")
waiting=(--wait --timeout "${TIMEOUT_SECONDS}s")
way_back="helm -n $NAMESPACE rollback $RELEASE $before"
job="" words=$(mktemp)
trap 'rm -f "$words"' EXIT
trap stopped INT TERM

echo "=== Migrate and roll out $tag (now: $image_before, revision $before)"
began=$SECONDS
# The chart's hash lets site.yml see whether this is the chart that it would install.
if ! attempt helm upgrade "$RELEASE" "$chart" --reset-then-reuse-values --history-max 10 "${waiting[@]}" \
  --set-string "image.tag=$tag,image.digest=,bookkeeping.chartChecksum=$checksum"; then
  echo "$said"
  read_revisions || unanswered "$revisions" "What was changed is not known: $way_back"
  ours=$(newest_revision)
  # Helm refused (somebody else is at work, a value is wrong): it has made no revision, so nothing of ours is to be undone.
  if [ "$(newest_revision 'failed|pending-upgrade')" -le "$latest" ] ||
    grep -qE 'another operation|sh\.helm\.release\..* already exists' <<<"$said"; then
    echo "FAILED: $tag was not deployed: $(tail -n 1 <<<"$said"). Nothing was changed."
    exit 1
  fi
  # A revision that is still pending is one that Helm could not end: it was killed, or has lost the cluster.
  reason="$tag was not brought into service"
  [ "$(newest_revision failed)" -gt "$latest" ] || reason+=" (Helm was interrupted)"
  said=$(explain "$reason")
  echo "$said"
  # Its last line is the shortest.
  go_back "$(tail -n 1 <<<"$said" | sed 's/^--- //')"
fi
ours=$((latest + 1))
echo "    $(wanted_image) is rolled out, after $((SECONDS - began)) s"

if [ "${SMOKE:-}" = none ]; then
  echo "    NOT TRIED: SMOKE is none"
elif ! attempt "$here/smoke.sh" "$URL" "$tag"; then
  echo "$said"
  go_back "$tag: $(tail -n 1 <<<"$said")"
else
  echo "$said"
fi

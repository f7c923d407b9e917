#!/usr/bin/env bash
# Bring an image's tag into service with Helm and try it through its public address. If either fails, say why and go back
# to what ran before. Migrations run first, in the chart's Job; if they fail, what runs is not touched at all.
#
#   ci/release.sh TAG
#
#   URL              public address, such as https://exchange.example.com; empty: it is not tried (see ci/smoke.sh)
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

go_back() {
  trap - INT TERM
  echo "=== Back to revision $before ($image_before)"
  if helm rollback "$RELEASE" "$before" --wait --timeout "${TIMEOUT_SECONDS}s"; then
    echo "FAILED: $1. $image_before serves."
  else
    echo "FAILED: $1. AND THE ROLLBACK FAILED: helm -n $NAMESPACE rollback $RELEASE $before --wait"
  fi
  exit 1
}

before=$(newest_revision deployed)
if [ "$before" = 0 ]; then
  echo "FAILED: there is no release $RELEASE in the namespace $NAMESPACE that could be upgraded: install it with site.yml"
  exit 1
fi
latest=$(newest_revision)
image_before=$(wanted_image)
# A cancelled job leaves no half of a rollout behind.
trap 'go_back "the job was stopped"' INT TERM

echo "=== Migrate and roll out $tag (now: $image_before, revision $before)"
began=$SECONDS
if ! said=$(helm upgrade "$RELEASE" "$chart" --reset-then-reuse-values --set-string "image.tag=$tag,image.digest=" \
  --history-max 10 --wait --timeout "${TIMEOUT_SECONDS}s" 2>&1); then
  echo "$said"
  # Helm refused (somebody else is at work, a value is wrong): it has made no revision, so nothing of ours is to be undone.
  if [ "$(newest_revision failed)" -le "$latest" ]; then
    echo "FAILED: $tag was not deployed: $(tail -n 1 <<<"$said"). Nothing was changed."
    exit 1
  fi
  said=$(explain "$tag was not brought into service")
  echo "$said"
  # Its last line is the shortest.
  go_back "$(tail -n 1 <<<"$said" | sed 's/^--- //')"
fi
echo "    $(wanted_image) is rolled out, after $((SECONDS - began)) s"

if [ -n "${URL:-}" ]; then
  if ! said=$("$here/smoke.sh" "$URL" "$tag" 2>&1); then
    echo "$said"
    go_back "$tag: $(tail -n 1 <<<"$said")"
  fi
  echo "$said"
fi

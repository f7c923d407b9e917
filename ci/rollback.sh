#!/usr/bin/env bash
# Go back to the version before, or to a revision of `helm history`. Once more: to the one before that. No migration is
# undone: the version before can live with the newer schema (that is what `make lint-migrations` looks after).
#
#   ci/rollback.sh [REVISION]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/cluster.sh
source "$here/cluster.sh"

version_before() {
  local now revision
  now=$(tag_of "$(revisions_in_service | tail -n 1)")
  for revision in $(revisions_in_service | sort -rn); do
    # The same version again is a changed setting, or a repeated job.
    if [ "$(tag_of "$revision")" != "$now" ]; then
      echo "$revision"
      return
    fi
  done
}

revision=${1:-$(version_before)}
if [ -z "$revision" ]; then
  echo "FAILED: $RELEASE in the namespace $NAMESPACE has no version before: there is nothing to go back to"
  exit 1
fi
echo "=== From $(wanted_image) back to revision $revision"
helm rollback "$RELEASE" "$revision" --wait --timeout "${TIMEOUT_SECONDS}s"
echo "    $(wanted_image) serves"

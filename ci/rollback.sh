#!/usr/bin/env bash
# Go back to the release before, or to a revision of `helm history`. No migration is undone: the version before can live
# with the newer schema (that is what `make lint-migrations` looks after).
#
#   ci/rollback.sh [REVISION]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/cluster.sh
source "$here/cluster.sh"
# Only what was in service once: a failed revision is never superseded.
revision=${1:-$(newest_revision superseded)}
if [ -z "$revision" ]; then
  echo "FAILED: $RELEASE in the namespace $NAMESPACE has no release before: there is nothing to go back to"
  exit 1
fi
echo "=== From $(wanted_image) back to revision $revision"
helm rollback "$RELEASE" "$revision" --wait --timeout "${TIMEOUT_SECONDS}s"
echo "    $(wanted_image) serves"

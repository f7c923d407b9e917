#!/usr/bin/env bash
# Go back to the version before, or to a revision of `helm history`. Once more: to the one before that. No migration is
# undone: the version before can live with the newer schema (that is what `make lint-migrations` looks after).
#
# Helm brings a revision's settings back with its image. If they have changed since then, the revision must be named.
#
#   ci/rollback.sh [REVISION]
#
#   REVISION  the same, for a job that is started with a click
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=ci/cluster.sh
source "$here/cluster.sh"
# shellcheck source=ci/explain.sh
source "$here/explain.sh"

# Of revisions in service, oldest first: the newest that has another image than the last. Empty if there is none.
version_before() {
  local now tag revision
  now=$(tag_of "$(tail -n 1 <<<"$1")") || return
  for revision in $(sort -rn <<<"$1"); do
    tag=$(tag_of "$revision") || return
    # The same version again is a changed setting, or a repeated job.
    if [ "$tag" != "$now" ]; then
      echo "$revision"
      return
    fi
  done
}

need_helm_3
read_revisions || unanswered "$revisions" "Nothing was changed"
if [ "$(newest_revision)" = 0 ]; then
  echo "FAILED: there is no release $RELEASE in the namespace $NAMESPACE: install it with site.yml"
  exit 1
fi
lost="Helm can't read one of its revisions"
in_service=$(revisions_in_service) || unanswered "$lost" "Nothing was changed"
revision=${1:-${REVISION:-}}
named=$revision
pending=$(newest_revision 'pending-.*')
if [ "$pending" = "$(newest_revision)" ] && [ -z "$named" ]; then
  echo "FAILED: somebody else is at work on the release (revision $pending), or was interrupted: wait, or name a revision" \
    "($(tail -n 1 <<<"$in_service") is in service). Nothing was changed."
  exit 1
fi
if [ -z "$revision" ] && [ -n "$in_service" ]; then
  revision=$(version_before "$in_service") || unanswered "$lost" "Nothing was changed"
fi
if [ -z "$revision" ]; then
  echo "FAILED: $RELEASE in the namespace $NAMESPACE has no version before: there is nothing to go back to"
  exit 1
fi
now=$(tail -n 1 <<<"$in_service")
settings=""
if [ -n "$now" ]; then
  settings=$(settings_between "$now" "$revision") || unanswered "$lost" "Nothing was changed"
fi
if [ -n "$settings" ] && [ -z "$named" ]; then
  echo "FAILED: revision $revision has other settings as well ($settings): name it if they are to go back too. Nothing was changed."
  exit 1
fi
image=$(wanted_image)
echo "=== From $image back to revision $revision${settings:+, and with it these settings: $settings}"
if ! helm rollback "$RELEASE" "$revision" --wait --timeout "${TIMEOUT_SECONDS}s"; then
  said=$(explain "revision $revision was not brought back")
  echo "$said"
  echo "FAILED: $(tail -n 1 <<<"$said" | sed 's/^--- //')"
  exit 1
fi
echo "    $(wanted_image || echo "revision $revision") serves"

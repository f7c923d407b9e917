#!/usr/bin/env bash
# Ask a deployed application for some pages through its public address, as its users do. Every answer must be good; that
# the version before still answers now and then is waited for.
#
#   ci/smoke.sh URL VERSION
#
#   SMOKE_PATHS         pages that must answer with 200 (/accounts/login/ /healthz)
#   SMOKE_VERSION_PATHS of these, pages that must name the version (all of them); none: no page of this image does
#   SMOKE_SECONDS       how long the version before may still answer (60)
#   CA_FILE             PEM of the authority that signed the certificate, unless it is a public one
#   SMOKE_ADDRESS       address to connect to instead of what the host name resolves to
set -euo pipefail
url=${1:?usage: ci/smoke.sh URL VERSION} version=${2:?usage: ci/smoke.sh URL VERSION}
paths=${SMOKE_PATHS:-/accounts/login/ /healthz}
versioned=${SMOKE_VERSION_PATHS:-$paths}
deadline=$((SECONDS + ${SMOKE_SECONDS:-60}))

page() {
  curl --fail --silent --show-error --location --max-time 10 ${CA_FILE:+--cacert "$CA_FILE"} \
    ${SMOKE_ADDRESS:+--connect-to "::$SMOKE_ADDRESS:"} "$url$1"
}

echo "=== Ask $url for $paths"
for path in $paths; do
  page "$path" >/dev/null || { echo "smoke test: $url$path gives no good answer"; exit 1; }
done
[ "$versioned" != none ] || exit 0
for path in $versioned; do
  in_a_row=0
  while [ "$in_a_row" -lt 5 ]; do
    answer=$(page "$path") || { echo "smoke test: $url$path gives no good answer"; exit 1; }
    if [[ $answer == *"$version"* ]]; then
      in_a_row=$((in_a_row + 1))
    elif [ "$SECONDS" -ge "$deadline" ]; then
      echo "smoke test: $url$path does not name the version $version"
      exit 1
    else
      in_a_row=0
      sleep 1
    fi
  done
  echo "    $url$path names $version"
done

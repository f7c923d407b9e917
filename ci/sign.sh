#!/bin/sh
# Sign a built image by its digest, and what is in it: with COSIGN_PRIVATE_KEY (and COSIGN_PASSWORD), or with the
# pipeline's own identity (SIGSTORE_ID_TOKEN).
#
#   ci/sign.sh NAME
set -eu
name=${1:?usage: ci/sign.sh NAME}
image=$(cat "build/ci/$name.image")
"$(dirname "$0")/login.sh"
if [ -n "${COSIGN_PRIVATE_KEY:-}" ]; then
  set -- --key env://COSIGN_PRIVATE_KEY
else
  set --
fi
cosign sign --yes "$@" "$image"
cosign attest --yes "$@" --type cyclonedx --predicate "build/ci/$name.cdx.json" "$image"

#!/bin/sh
# List what is in a built image (build/ci/NAME.cdx.json, CycloneDX) and fail if something in it has a known hole that is
# mended elsewhere already.
#
#   ci/scan.sh NAME
#
#   SCAN_FAIL_ON  negligible, low, medium, high or critical (high)
set -eu
name=${1:?usage: ci/scan.sh NAME}
sh "$(dirname "$0")/login.sh" # Grype's image has no /bin/sh
grype=$(command -v grype || echo /grype)
"$grype" "registry:$(cat "build/ci/$name.image")" --only-fixed --fail-on "${SCAN_FAIL_ON:-high}" \
  --output table --output "cyclonedx-json=build/ci/$name.cdx.json"

#!/bin/sh
# Log in to the registry: a file that every builder, the scanner and cosign read. No command line shows the password.
# Without CI_REGISTRY_PASSWORD nothing is done: the machine is logged in, or nobody asks.
set -eu
if [ -n "${CI_REGISTRY_PASSWORD:-}" ]; then
  folder=${DOCKER_CONFIG:-$HOME/.docker}
  mkdir -p "$folder"
  umask 077
  auth=$(printf '%s:%s' "$CI_REGISTRY_USER" "$CI_REGISTRY_PASSWORD" | base64 | tr -d '\n')
  printf '{"auths": {"%s": {"auth": "%s"}}}\n' "$CI_REGISTRY" "$auth" >"$folder/config.json"
fi

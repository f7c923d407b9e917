#!/usr/bin/env bash
# make test: run the given make targets, say how long each took, and leave nothing behind.
set -u
cd "$(dirname "$0")/.."
failed=""
began=$SECONDS
for target in "$@"; do
  echo "=== $target"
  start=$SECONDS
  if make --no-print-directory "$target"; then state=passed; else state=FAILED failed="$failed $target"; fi
  summary="${summary:-}$(printf '\n%-10s %-7s %4d s' "$target" "$state" $((SECONDS - start)))"
done
make --no-print-directory cluster-down-test || failed="$failed clean-up"
echo "=== summary${summary:-}"
if [ -n "$failed" ]; then
  echo "FAILED:$failed (each can be run alone: make$failed), after $((SECONDS - began)) s"
  exit 1
fi
echo "all passed in $((SECONDS - began)) s"

#!/usr/bin/env bash
# make test: run the given make targets, say how long each took, and leave nothing behind.
set -uo pipefail
cd "$(dirname "$0")/.."
logs=build/logs
mkdir -p "$logs"
failed=""
began=$SECONDS
for target in "$@"; do
  echo "=== $target"
  start=$SECONDS
  if make --no-print-directory "$target" 2>&1 | tee "$logs/$target.log"; then
    state=passed
  else
    state=FAILED failed="$failed $target"
  fi
  summary="${summary:-}$(printf '\n%-10s %-7s %4d s' "$target" "$state" $((SECONDS - start)))"
done
make --no-print-directory cluster-down-test || failed="$failed clean-up"
echo "=== summary${summary:-}"
if [ -n "$failed" ]; then
  # Between a failure and the end of the output stand hundreds of lines of others.
  for target in $failed; do
    echo "=== why $target failed ($logs/$target.log)"
    # Without Molecule's colours and frame.
    [ ! -f "$logs/$target.log" ] || sed -E 's/\x1b\[[0-9;]*m//g; s/^ *[│|] ?//' "$logs/$target.log" |
      grep -aE '^ *(- .?)?E  +[^ ]|^ *(FAILED|ERROR)( |$)|tests/[^ ]*::|^ *(fatal|\[ERROR\]|Error)[: ]' | cut -c -500 | tail -40
  done
  echo "FAILED:$failed (each can be run alone: make$failed), after $((SECONDS - began)) s"
  exit 1
fi
echo "all passed in $((SECONDS - began)) s"

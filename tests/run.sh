#!/usr/bin/env bash
# make test: run chains of make targets side by side, say how long each target took, and leave nothing behind.
# Each argument is a chain, its targets one after the other. The last chain prints as it goes; of the others each target's
# output is shown when it has ended.
set -u
cd "$(dirname "$0")/.."
began=$SECONDS
notes=$(mktemp -d)
trap 'rm -rf "$notes"' EXIT
# What all of them need is made once.
make --no-print-directory venv doctor || exit 1

target() { # NAME: run it and note how it ended
  local start=$SECONDS state=passed
  make --no-print-directory "$1" || state=FAILED
  printf '%-10s %-7s %4d s\n' "$1" $state $((SECONDS - start)) >"$notes/$1.summary"
  [ $state = passed ] || echo "$1" >>"$notes/failed"
}

aside() { # NAMES: like target, but nobody has to read two things at once
  for name in "$@"; do
    target "$name" >"$notes/$name.log" 2>&1
    echo "=== $name"
    cat "$notes/$name.log" "$notes/$name.summary"
  done
}

for chain in "${@:1:$#-1}"; do
  # shellcheck disable=SC2086  # words of a chain are its targets
  aside $chain &
done
for name in ${*: -1}; do
  echo "=== $name"
  target "$name"
done
wait
make --no-print-directory cluster-down-test || echo clean-up >>"$notes/failed"
echo "=== summary"
cat "$notes"/*.summary
if [ -e "$notes/failed" ]; then
  failed=$(tr '\n' ' ' <"$notes/failed")
  echo "FAILED: $failed(each can be run alone: make $failed), after $((SECONDS - began)) s"
  exit 1
fi
echo "all passed in $((SECONDS - began)) s"

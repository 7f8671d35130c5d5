#!/usr/bin/env bash
# Runs the examples without a broker. STAGEWIRE: the program.
set -eu
cd "$(dirname "$0")"
STAGEWIRE=${STAGEWIRE:-stagewire}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

fail() { echo "sdk-stubs/shell: $1" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: expected $2, got $3"; }

expect awk '{"key": "t1", "text": "294.65"}' \
  "$(printf '{"text": "21.5", "key": "t1"}\n{"text": "3"}\n' | "$STAGEWIRE" stage exec --test - --config @celsius.json 2>/dev/null)"

expect jq '{"key": "t1", "text": "21.5", "attributes": {"unit": "C", "level": 3}}' \
  "$(printf '{"text": "21.5", "key": "t1", "attributes": {"unit": "C"}}\n{"text": "70", "attributes": {"unit": "F"}}\n' \
    | "$STAGEWIRE" stage exec --test - --config @level.json 2>/dev/null)"

for run in 1 2; do
  log=$(printf '{"text": "a"}\n{"text": "b"}\n' | ARCHIVE=$directory "$STAGEWIRE" stage exec --test - --config @archive.json 2>&1)
  case "$log" in *"archived 2 records"*) ;; *) fail "archive: $log" ;; esac
done
expect "archived files" 1 "$(ls "$directory" | wc -l)"
expect "archived records" 2 "$(gunzip -c "$directory"/*.gz | wc -l)"

status=0
complaint=$(echo '{}' | "$STAGEWIRE" stage exec --test - --config '{"command": ["no-such-program"]}' 2>&1) || status=$?
expect "a missing program" 2 "$status"
case "$complaint" in *"there is no no-such-program in PATH"*) ;; *) fail "a missing program: $complaint" ;; esac
echo "sdk-stubs/shell: ok"

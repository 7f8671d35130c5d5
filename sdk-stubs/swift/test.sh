#!/usr/bin/env bash
# Builds the examples and runs them as README.md says. BIN: where the built programs are.
set -eu
cd "$(dirname "$0")"
swift build -c release --quiet
BIN=.build/release

fail() { echo "sdk-stubs/swift: $1" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1: expected $2, got $3"; }

expect shout '{"key": "k", "text": "HELLO"}' "$(echo '{"text": "hello", "key": "k"}' | $BIN/shout --test - 2>/dev/null)"
expect numbers '{"text": "1"} {"text": "2"}' "$($BIN/numbers --test --config '{"count": 9}' --limit 2 2>/dev/null | xargs -0 echo | paste -sd' ' | sed 's/ *$//')"
mean=$($BIN/mean --test - 2>/dev/null <<'RECORDS'
{"text": "1", "key": "k", "event_time": "2026-01-05T10:30:00Z"}
{"text": "3", "key": "k", "event_time": "2026-01-05T10:30:59Z"}
{"text": "7", "key": "k", "event_time": "2026-01-05T10:31:00Z"}
RECORDS
)
expect mean 2 "$(echo "$mean" | wc -l)"
case "$mean" in *'"json": {"count":2,"mean":2}'*) ;; *) fail "mean: $mean" ;; esac

# The conformance worker; its lines in one, as both streams have them.
conformance() { STAGEWIRE_STAGE=$1 $BIN/conformance --test "${@:2}" 2>&1 | paste -sd'|'; }
expect directives '{"key": "k", "text": "0 ", "port": "side"}|{"key": "k", "text": "{\"a\": 1.0}", "port": "out"}|1 records: 1 accepted (0 filtered), 0 rejected, 0 to be retried, 0 released; 2 emitted' \
    "$(echo '{"text": "emit 1 2 side;config", "key": "k"}' | conformance transform - --config '{"a": 1.0}')"
expect "a verdict" 'record 1: RETRY 1003: not yet|1 records: 0 accepted (0 filtered), 0 rejected, 1 to be retried, 0 released; 0 emitted' \
    "$(echo '{"text": "echo;retry 5 1003 not yet;echo"}' | conformance transform -)"
expect "a port that is not there" 'record 1: REJECTED 1999: no directive: emit 1 2 nowhere' \
    "$(echo '{"text": "emit 1 2 nowhere"}' | conformance transform - | cut -d'|' -f1)"
expect "the source" '{"key": "k1", "text": "1  ", "port": "out"}|{"key": "k0", "text": "2  ", "port": "out"}|2 records' \
    "$(conformance source --config '{"records": 2, "keys": 2, "size": 3}')"
expect "the window" '{"key": "k", "text": "a,b", "port": "out"}|record 3: REJECTED 1005: no|3 records: 2 accepted (0 filtered), 1 rejected, 0 to be retried, 0 released; 1 emitted' \
    "$(printf '{"text": "%s", "key": "k"}\n' a b 'reject 1005 no' | conformance window - --config '{"records": 2, "by_key": true}')"
status=0; STAGEWIRE_STAGE=ordered $BIN/conformance 2>/dev/null || status=$?
expect "a stage that is not there" 2 "$status"

status=0; $BIN/numbers --test --config '{"count": "x"}' 2>/dev/null || status=$?
expect "a wrong configuration" 2 "$status"
status=0; complaint=$(printf '{"text": "a"}\n{"tex": 1}\n' | $BIN/shout --test - 2>&1) || status=$?
expect "a wrong record" 2 "$status"
case "$complaint" in *'-:2: no field `tex` is known'*) ;; *) fail "a wrong record: $complaint" ;; esac
status=0; echo '{"text": "x", "event_time": 1}' | $BIN/mean --test - >/dev/null 2>&1 || status=$?
expect "a rejected record" 1 "$status"
echo "sdk-stubs/swift: ok"

#!/bin/sh
# Builds the fuzz target with libFuzzer and AddressSanitizer and runs it on each kind of input:
#
#   frames     what workers send: frames, control messages, steps and records
#   journal    segments of a journal, whose checksums are made right so that what is behind them is reached
#   ledger     what the entries of a journal mean, and snapshots
#   pipeline   pipeline.yaml, and `when` conditions
#
#   run.sh [seconds [kind...]]     for each kind; 60 by default, and all; exit 0: nothing found
#
# Whole frames in the corpus are those of conformance/vectors/worked; the rest is written by FuzzCorpusTests,
# JournalFuzzCorpusTests, LedgerFuzzCorpusTests and PipelineFuzzCorpusTests. It starts from Tests/Fuzz/corpus (corpus-journal ...) and
# keeps what it learns in .build/fuzz-corpus (fuzz-corpus-journal ...). A finding is written to .build/fuzz-findings; an ordinary build of StagewireFuzz replays it:
#   STAGEWIRE_FUZZ=frames swift run StagewireFuzz .build/fuzz-findings/frames-crash-...
set -eu

cd "$(dirname "$0")/../.."
seconds=${1:-60}
[ $# -gt 0 ] && shift
swift build -c release --scratch-path .build/fuzz --product StagewireFuzz \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -DFUZZING -Xswiftc -parse-as-library
[ $# -gt 0 ] || set -- frames journal ledger pipeline
for kind; do
    case $kind in
    frames) suffix= ;;
    journal | ledger | pipeline) suffix=-$kind ;;
    *) echo "run.sh: there is no kind of input called $kind" >&2 && exit 2 ;;
    esac
    mkdir -p ".build/fuzz-corpus$suffix" .build/fuzz-findings
    echo "fuzzing: $kind, $seconds s"
    # What Swift makes once and keeps for ever (tables of keys, and their closures) counts as leaked at the end.
    leaks=1
    [ "$kind" != pipeline ] || leaks=0
    # Swift's own report of a crash reads all stacks, which AddressSanitizer takes for a second one, and tells instead of the first.
    SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=$leaks STAGEWIRE_FUZZ=$kind .build/fuzz/release/StagewireFuzz -max_total_time="$seconds" -max_len=4096 -timeout=5 \
        -artifact_prefix=".build/fuzz-findings/$kind-" -print_final_stats=1 \
        ".build/fuzz-corpus$suffix" "Tests/Fuzz/corpus$suffix"
done

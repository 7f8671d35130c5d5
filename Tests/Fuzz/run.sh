#!/bin/sh
# Builds the fuzz target with libFuzzer and AddressSanitizer and runs it.
#
#   run.sh [seconds]     60 by default; exit 0: nothing found
#
# Whole frames in the corpus are those of conformance/vectors/worked; the rest is written by FuzzCorpusTests.
# It starts from Tests/Fuzz/corpus and keeps what it learns in .build/fuzz-corpus. A finding is written to
# .build/fuzz-findings; an ordinary build of StagewireFuzz replays it:
#   swift run StagewireFuzz .build/fuzz-findings/crash-...
set -eu

cd "$(dirname "$0")/../.."
swift build -c release --scratch-path .build/fuzz --product StagewireFuzz \
    -Xswiftc -sanitize=fuzzer,address -Xswiftc -DFUZZING -Xswiftc -parse-as-library
mkdir -p .build/fuzz-corpus .build/fuzz-findings
exec .build/fuzz/release/StagewireFuzz -max_total_time="${1:-60}" -max_len=4096 -timeout=5 \
    -artifact_prefix=.build/fuzz-findings/ -print_final_stats=1 .build/fuzz-corpus Tests/Fuzz/corpus

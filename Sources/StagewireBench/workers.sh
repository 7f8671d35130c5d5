#!/bin/sh
# Builds the workers of the benchmark's languages (`forward` of each SDK); one that cannot be built is named and left out.
#   workers.sh DIRECTORY        programs go there
# GO and CARGO are commands, with settings before them where they need some (Makefile).
set -u
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../../sdk-stubs" || exit 1

build() { # NAME COMMAND PROGRAM: in the directory of that SDK, where PROGRAM is there
  command -v "$3" >/dev/null || { echo "left out: $1, for there is no $3" >&2; return; }
  (cd "$1" && sh -eu -c "$2") >&2 || { echo "left out: $1 does not build" >&2; rm -rf "$out/forward-$1"; }
}

export out
build c 'make --silent build/forward BUILD=build && install build/forward "$out/forward-c"' cc
build go "${GO:-go}"' build -o "$out/forward-go" ./bench/forward' go
build rust "${CARGO:-cargo}"' build --quiet --release --manifest-path Cargo.toml --example forward &&
  install "${CARGO_TARGET_DIR:-target}/release/examples/forward" "$out/forward-rust"' cargo
build java './build.sh && mkdir -p "$out/forward-java" && cp target/stagewire.jar "$out/forward-java" &&
  javac --release 17 -Xlint:all,-path -cp target/stagewire.jar -d "$out/forward-java" bench/Forward.java' javac
build swift 'swift build --quiet --configuration release --product forward && install .build/release/forward "$out/forward-swift"' swift
exit 0

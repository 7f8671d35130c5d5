#!/bin/sh
# Builds the oracles of the differential test: programs that parse records with the protobuf libraries that SDKs use.
#
# Each reads cases on standard input (a big-endian u32 length, then an encoded Record) and answers each with a
# line: "no", or "ok <id> <key> <payload bytes>", id and key in hexadecimal, "-" when empty.
#
#   build.sh <output directory>
#
# An oracle whose toolchain or library is missing is left out, with a message. Nothing is fetched except, for
# Python, the package "protobuf", when the interpreter does not have it.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)

skip() { echo "oracle $1: left out, $2" >&2; }
fresh() { [ -x "$out/$1" ] && [ -z "$(find "$here/$1" "$here/build.sh" "$root/proto" -newer "$out/$1" -type f)" ]; }

build_go() {
    fresh go && return
    command -v go >/dev/null || { skip go "no Go compiler"; return; }
    command -v protoc >/dev/null || { skip go "no protoc"; return; }
    library=/usr/share/gocode
    [ -d "$library/src/google.golang.org/protobuf" ] || { skip go "no golang-google-protobuf-dev"; return; }
    export GO111MODULE=off GOPATH="$out/gopath:$library" GOFLAGS=
    mkdir -p "$out/gopath/src"
    go build -o "$out/protoc-gen-go" google.golang.org/protobuf/cmd/protoc-gen-go
    protoc --plugin="protoc-gen-go=$out/protoc-gen-go" --go_out="$out/gopath/src" -I "$root/proto" stagewire/v1/record.proto
    go build -o "$out/go" "$here/go/main.go"
}

build_python() {
    fresh python && return
    command -v python3 >/dev/null || { skip python "no python3"; return; }
    command -v protoc >/dev/null || { skip python "no protoc"; return; }
    interpreter=python3
    if ! python3 -c 'import google.protobuf' 2>/dev/null; then
        interpreter="$out/venv/bin/python"
        if ! "$interpreter" -c 'import google.protobuf' 2>/dev/null; then
            python3 -m venv "$out/venv" && "$out/venv/bin/pip" install --quiet 'protobuf>=3.20,<6' ||
                { skip python "no module google.protobuf"; return; }
        fi
    fi
    protoc --descriptor_set_out="$out/record.desc" --include_imports -I "$root/proto" stagewire/v1/record.proto
    printf '#!/bin/sh\nexec "%s" "%s/python/oracle.py" "%s/record.desc"\n' "$interpreter" "$here" "$out" >"$out/python.new"
    chmod +x "$out/python.new"
    mv "$out/python.new" "$out/python"
}

build_rust() {
    fresh rust && return
    command -v cargo >/dev/null || { skip rust "no cargo"; return; }
    library=/usr/share/cargo/registry
    ls -d "$library"/prost-0.11.* >/dev/null 2>&1 || { skip rust "no librust-prost-dev"; return; }
    # Built in a copy, so that the lock file stays out of the source tree.
    mkdir -p "$out/rust-source/src"
    cp "$here/rust/Cargo.toml" "$out/rust-source/"
    cp "$here/rust/src/main.rs" "$out/rust-source/src/"
    (cd "$out/rust-source" && CARGO_TARGET_DIR="$out/rust-target" cargo build --quiet --release --offline \
        --config 'source.crates-io.replace-with="system"' --config "source.system.directory=\"$library\"")
    cp "$out/rust-target/release/oracle" "$out/rust"
}

build_go
build_python
build_rust

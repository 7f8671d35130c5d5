#!/bin/sh
# Writes a Go workspace that takes google.golang.org/protobuf from Debian's golang-google-protobuf-dev,
# for builds without a network. It is used through GOWORK and never committed:
#
#   sdk-stubs/go/offline-workspace.sh build/go
#   GOWORK=$PWD/build/go/go.work GOPROXY=off go build   # in a module's directory
#
# The library is copied because its go.mod names modules that only its own tests need, which Go would
# look for; the copy's go.mod names none.
set -eu
target=${1:?usage: offline-workspace.sh <directory to write>}
library=${GOCODE:-/usr/share/gocode/src}/google.golang.org/protobuf
root=$(cd "$(dirname "$0")/../.." && pwd)
if [ ! -d "$library" ]; then
    echo "offline-workspace.sh: $library is not there; install golang-google-protobuf-dev, or build with a network and without GOWORK" >&2
    exit 1
fi
mkdir -p "$target"
target=$(cd "$target" && pwd)
rm -rf "$target/protobuf"
cp -R "$library" "$target/protobuf"
rm -f "$target/protobuf/go.sum"
printf 'module google.golang.org/protobuf\n\ngo 1.19\n' > "$target/protobuf/go.mod"
cat > "$target/go.work" <<EOF
go 1.19

use (
	$root/sdk-stubs/go
	$root/docs/examples/compaction
	$root/docs/examples/polyglot/normalise
)

replace google.golang.org/protobuf => $target/protobuf
EOF

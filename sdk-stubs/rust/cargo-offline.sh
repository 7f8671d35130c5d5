#!/bin/sh
# Cargo on Debian's packages (librust-…-dev in PACKAGES of the Makefile) instead of a registry, for builds
# without a network. Arguments are cargo's:
#
#   sdk-stubs/rust/cargo-offline.sh build --release --manifest-path sdk-stubs/rust/Cargo.toml
#
# A Cargo.lock that a build with a network has left names versions that Debian does not have; it is
# ignored by git, and removing it is the remedy.
set -eu
sources=${CARGO_SOURCES:-/usr/share/cargo/registry}
if [ ! -d "$sources" ]; then
    echo "cargo-offline.sh: $sources is not there; \`make setup\` installs its packages; or use cargo itself with a network" >&2
    exit 1
fi
exec "${CARGO:-cargo}" --offline \
    --config 'source.crates-io.replace-with="distribution"' \
    --config "source.distribution.directory=\"$sources\"" "$@"

#!/bin/sh
# Builds the programs of the peers whose libraries are there; one that cannot be built is named and left out.
#   build.sh DIRECTORY        programs and generated code go there
set -u
out=$1
here=$(dirname "$0")
mkdir -p "$out"
flags="-O2 -g -Wall -Wextra -I$here -I$here/../StagewireBenchWorker -I$out"

current() { # TARGET: is newer than what it is made of
  [ -x "$1" ] || return 1
  for source in "$here"/* "$here"/../StagewireBenchWorker/bench.h; do
    [ "$1" -nt "$source" ] || return 1
  done
}

libraries() { # MODULE PACKAGE
  pkg-config --cflags --libs "$1" 2>/dev/null || { echo "left out: $1 (Debian: $2)" >&2; return 1; }
}

in_c() { # NAME MODULE PACKAGE [MORE]
  current "$out/$1" && return
  rm -f "$out/$1"
  found=$(libraries "$2" "$3") || return
  ${CC:-gcc} $flags "$here/$1.c" -o "$out/$1" $found ${4:-} || echo "left out: $1 does not build" >&2
}

in_cpp_with_grpc() {
  current "$out/grpc" && return
  rm -f "$out/grpc"
  plugin=$(command -v grpc_cpp_plugin) || { echo "left out: grpc (Debian: protobuf-compiler-grpc)" >&2; return; }
  found=$(libraries grpc++ libgrpc++-dev) || return
  found="$found $(libraries protobuf libprotobuf-dev)" || return
  protoc -I"$here" --cpp_out="$out" --grpc_out="$out" --plugin=protoc-gen-grpc="$plugin" "$here/relay.proto" &&
    ${CXX:-g++} -std=c++20 $flags -Wno-volatile -Wno-missing-field-initializers -Wno-unused-parameter \
      "$here/grpc.cpp" "$out/relay.pb.cc" "$out/relay.grpc.pb.cc" -o "$out/grpc" $found -lpthread ||
    echo "left out: grpc does not build" >&2
}

in_c zeromq libzmq libzmq3-dev -lpthread
in_c redis hiredis libhiredis-dev
in_c nats libnats libnats-dev
in_cpp_with_grpc
exit 0

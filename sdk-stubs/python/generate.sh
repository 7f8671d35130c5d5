#!/bin/sh
# Regenerates the committed *_pb2.py and their types, *_pb2.pyi (protoc 3.21, so that protobuf 3.21 and later can load them).
set -eu
cd "$(dirname "$0")"
protoc -I ../../proto --python_out=. --pyi_out=. \
    ../../proto/stagewire/v1/record.proto ../../proto/stagewire/v1/envelope.proto
protoc -I . --python_out=. --pyi_out=. stagewire/wire/views.proto

#!/bin/sh
# How fast a worker is against a broker that does nothing: ./bench.sh [records]
set -eu
cd "$(dirname "$0")"
./build.sh
mkdir -p target/bench
javac --release 17 -Xlint:all,-path -cp target/stagewire.jar -d target/bench bench/*.java
exec java -XX:+UseSerialGC -cp target/bench:target/stagewire.jar dev.stagewire.Throughput "${1:-2000000}"

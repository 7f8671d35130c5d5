#!/bin/sh
# Builds target/stagewire.jar with nothing but a JDK and protobuf's library, as Debian has them (libprotobuf-java); PROTOBUF
# names another jar. `mvn package` does the same with a network.
set -eu
cd "$(dirname "$0")"
protobuf=${PROTOBUF:-/usr/share/java/protobuf.jar}
classes=target/classes
newest=$(find build.sh src/main src/generated "$protobuf" -newer target/stagewire.jar 2>/dev/null | head -1 || true)
[ -n "$newest" ] || [ ! -f target/stagewire.jar ] || exit 0
rm -rf "$classes" && mkdir -p "$classes"
# The generated code has warnings of its own; ours are errors where STAGEWIRE_STRICT is set.
if [ ! -f target/generated/stamp ] || [ -n "$(find src/generated "$protobuf" -newer target/generated/stamp | head -1)" ]; then
    rm -rf target/generated && mkdir -p target/generated
    find src/generated/java -name '*.java' >target/generated.list
    javac --release 17 -nowarn -Xlint:none -cp "$protobuf" -d target/generated @target/generated.list
    touch target/generated/stamp
fi
javac --release 17 -Xlint:all ${STAGEWIRE_STRICT:+-Werror} -cp "target/generated:$protobuf" -d "$classes" src/main/java/dev/stagewire/*.java
printf 'Class-Path: %s\n' "$protobuf" >target/manifest
jar --create --file target/stagewire.jar --manifest target/manifest -C "$classes" . -C target/generated dev

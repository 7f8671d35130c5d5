#!/bin/sh
# Builds the library, the examples and the tests with Debian's packages, and runs the tests. With STAGEWIRE_BROKER (the
# program) they run pipelines, too. Arguments name the test classes to run; without them it is all of them.
set -eu
cd "$(dirname "$0")"
./build.sh
junit=${JUNIT:-/usr/share/java/junit4.jar:/usr/share/java/hamcrest.jar}
rm -rf target/tests target/examples target/conformance
mkdir -p target/tests target/examples target/conformance
javac --release 17 -Xlint:all ${STAGEWIRE_STRICT:+-Werror} -cp target/stagewire.jar -d target/examples examples/*.java
javac --release 17 -Xlint:all ${STAGEWIRE_STRICT:+-Werror} -cp target/stagewire.jar -d target/conformance conformance/*.java
# protobuf's jar is named by the library's manifest, whose entries have nothing else to say to javac.
javac --release 17 -Xlint:all,-path ${STAGEWIRE_STRICT:+-Werror} -cp "target/stagewire.jar:$junit" -d target/tests src/test/java/dev/stagewire/*.java
classes=${*:-$(cd src/test/java && grep -l '@Test' dev/stagewire/*.java | sed 's/\.java$//; s|/|.|g')}
java -XX:+UseSerialGC -cp "target/tests:target/stagewire.jar:$junit" org.junit.runner.JUnitCore $classes

#!/usr/bin/env bash
# A class on the classpath of Apache Kafka's jars, as the script of this name in Kafka's own distribution.
set -euo pipefail
exec java -Xmx256m -cp "${CLASSPATH:+$CLASSPATH:}$KAFKA_LIBS/*" "$@"

#!/usr/bin/env bash
# Becomes the broker that a test talks to: broker.sh SERVER_PROPERTIES. fbf takes the file as it is; with COMPAT_BROKER=kafka it is
# Apache Kafka's, whose directory is formatted first, with the levels of features that stand in the file as feature.NAME.
set -euo pipefail
properties=$1
[ "${COMPAT_BROKER:-fbf}" = kafka ] || exec "$FBF_BIN" serve --properties "$properties"

java=(java -Xmx512m -Xss512k -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$KAFKA_TEST_LIBS/*")
directories=$(sed -n 's/^log\.dirs=//p' "$properties")
if [ ! -e "${directories%%,*}/meta.properties" ]; then
  # kraft.version follows from how the voters are named.
  mapfile -t features < <(sed -nE '/^feature\.kraft\.version=/d; s/^feature\.(.*)/--feature\n\1/p' "$properties")
  "${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c "$properties" "${features[@]}"
fi
exec "${java[@]}" kafka.Kafka "$properties"

#!/usr/bin/env bash
# kafka-topics of Apache Kafka's distribution. Since 4.0 it refuses segments as small as 0077 asks for (KIP-1030): Kafka has a setting for
# tests that still takes them, and fbf, whose partitions have no segments of their own, is not told.
set -euo pipefail
settings=()
for word in "$@"; do
  case $word in
    segment.bytes=*) if [ "${COMPAT_BROKER:-fbf}" = kafka ]; then settings+=("internal.$word"); else unset 'settings[-1]'; fi ;;
    *) settings+=("$word") ;;
  esac
done
exec "$(dirname "${BASH_SOURCE[0]}")/kafka-run-class.sh" org.apache.kafka.tools.TopicCommand "${settings[@]}"

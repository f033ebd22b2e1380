#!/usr/bin/env bash
# kafka-topics of Apache Kafka's distribution. Since 4.0 it refuses segments as small as 0077 asks for (KIP-1030), but for a setting of its own tests.
set -euo pipefail
settings=()
for word in "$@"; do
  case $word in
    segment.bytes=*) settings+=("internal.$word") ;;
    *) settings+=("$word") ;;
  esac
done
exec "$(dirname "${BASH_SOURCE[0]}")/kafka-run-class.sh" org.apache.kafka.tools.TopicCommand "${settings[@]}"

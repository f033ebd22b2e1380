#!/usr/bin/env bash
# kafka-topics of Apache Kafka's distribution.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/kafka-run-class.sh" org.apache.kafka.tools.TopicCommand "$@"

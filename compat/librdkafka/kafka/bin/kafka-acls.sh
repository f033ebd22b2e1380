#!/usr/bin/env bash
# kafka-acls of Apache Kafka's distribution.
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/kafka-run-class.sh" org.apache.kafka.tools.AclCommand "$@"

#!/usr/bin/env bash
# A compacted topic against a model and against Apache Kafka: run.sh [--seed N] [--operations N] [--kills N] [--kafka]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/compaction.py" "$@"

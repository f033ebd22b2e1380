#!/usr/bin/env bash
# fbf and Apache Kafka side by side: run.sh --help says what can be chosen.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../compat/lib.sh
source "$here/../compat/lib.sh"
# Data directories on a disk: where /tmp lives in memory, a sync would cost nothing.
export TMPDIR=${BENCH_DIR:-$FBF_CACHE/bench}
mkdir -p "$TMPDIR"
exec "$FBF_VENV/bin/python" "$here/bench.py" "$@"

#!/usr/bin/env bash
# Webhooks per second to local receivers, their latency, and the processor time of fbf: run.sh --help says what can be chosen.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../compat/lib.sh
source "$here/../../compat/lib.sh"
# Data directories on a disk: where /tmp lives in memory, a sync would cost nothing.
export TMPDIR=${BENCH_DIR:-$FBF_CACHE/bench}
mkdir -p "$TMPDIR"
PYTHONPATH=$PYTHONPATH:$here/../../compat/http:$here/../../compat/hooks
exec "$FBF_VENV/bin/python" "$here/deliveries.py" "$@"

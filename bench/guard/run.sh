#!/usr/bin/env bash
# Counts what a steady load costs the server, and fails where a count grew: run.sh [--renew]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../compat/lib.sh
source "$here/../../compat/lib.sh"
# Data directories on a disk: a file system in memory is read and written by other calls.
export TMPDIR=${BENCH_DIR:-$FBF_CACHE/bench}
mkdir -p "$TMPDIR"
exec "$FBF_VENV/bin/python" "$here/guard.py" "$@"

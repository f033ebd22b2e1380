#!/usr/bin/env bash
# Where fbf spends its processor time, a flame graph for each row of the bench: profile.sh --help says what can be chosen.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../compat/lib.sh
source "$here/../compat/lib.sh"
# Data directories on a disk, as for the bench.
export TMPDIR=${BENCH_DIR:-$FBF_CACHE/bench}
mkdir -p "$TMPDIR"
exec "$FBF_VENV/bin/python" "$here/flame_graphs.py" "$@"

#!/usr/bin/env bash
# Runs a list of suites and prints a table: run.sh test | run.sh compat (matrix.py says what is in them).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"
cd "$here/.."
exec "$FBF_VENV/bin/python" "$here/matrix.py" "$@"

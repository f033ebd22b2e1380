#!/usr/bin/env bash
# kcat against fbf: run.sh [part of a test's name]… [--list]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/smoke.py" "$@"

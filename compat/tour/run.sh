#!/usr/bin/env bash
# The tour of the README: run.sh for 20,000 flights, run.sh --all for 3,000,000.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/tour.py" "$@"

#!/usr/bin/env bash
# librdkafka's own regression tests against fbf: run.sh [classic|consumer]… [test number]… [--all] [--list] [--grow] [--table]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/regression.py" "$@"

#!/usr/bin/env bash
# Kafka Connect with kills: run.sh [--lines N] [--kills N] [--seed N] [--limit SECONDS] [--guarantee GUARANTEE] [--broker fbf|kafka]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/connect.py" "$@"

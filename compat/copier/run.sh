#!/usr/bin/env bash
# Kafka's system test of transactions against fbf, many rounds: run.sh [--rounds N] [--messages N] [--seed N] [--no-kills] [--limit SECONDS]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/copier.py" "$@"

#!/usr/bin/env bash
# Integration tests of Kafka's own clients, tools and Streams against fbf: run.sh [class or group]… [--all] [--list] [--grow] [--control] [--table] [--lanes N]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/integration.py" "$@"

#!/usr/bin/env bash
# franz-go's own tests against fbf: run.sh [go test -run pattern] [--all] [--grow]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/kgo.py" "$@"

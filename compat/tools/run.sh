#!/usr/bin/env bash
# A session of Apache Kafka's command-line tools against fbf, compared with the same on Apache Kafka: run.sh [part of a file's name]… [--list] [--record]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/session.py" "$@"

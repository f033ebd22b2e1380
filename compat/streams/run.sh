#!/usr/bin/env bash
# Kafka Streams' word count, exactly once, with kills: run.sh [--runs N] [--lines N] [--kills N] [--instances N] [--seed N] [--limit SECONDS] [--protocol PROTOCOL]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/wordcount.py" "$@"

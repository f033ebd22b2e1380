#!/usr/bin/env bash
# Webhooks against fbf: run.sh runs every part, run.sh PART [words] one of them with what it takes, such as names of tests or --list.
# Every part says `N passed, N failed` for itself; the exit status is 1 when one of them failed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
# The raw client of the HTTP API, the broker that has one and what a Kafka client sees. What has the same name here comes first.
PYTHONPATH=$PYTHONPATH:$here/../http

parts=(settled_test python_package signatures endpoints events answers replays addresses isolation metrics torture)

run_parts "$here" "${parts[*]}" "${parts[*]}" "$@"

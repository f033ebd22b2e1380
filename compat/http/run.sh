#!/usr/bin/env bash
# The HTTP API against fbf: run.sh runs every part, run.sh PART [words] one of them with what it takes, such as names of tests or --list.
# Every part says `N passed, N failed` for itself; the exit status is 1 when one of them failed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"

parts=(smoke records idempotency groups cursors live access python_package quickstart failures schema metrics curl_tour)

run_parts "$here" "${parts[*]}" "${parts[*]}" "$@"

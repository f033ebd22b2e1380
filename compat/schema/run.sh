#!/usr/bin/env bash
# The schema registry and the validation of records against fbf: run.sh runs every part, run.sh PART [words] one of them with what it takes,
# such as names of tests or --list. run.sh json_suite [FOLDER] puts the official tests of JSON Schema in place and says where.
# Every part says `N passed, N failed` for itself; the exit status is 1 when one of them failed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
# The raw client of the HTTP API and the broker that has one. What has the same name here comes first.
PYTHONPATH=$PYTHONPATH:$here/../http

parts=(registry_client registry_api serializers validation settings dead_letters topic_schemas node_client failures openapi)

run_parts "$here" "${parts[*]}" "${parts[*]} json_suite" "$@"

#!/usr/bin/env bash
# franz-go's TestGroupETL (TestTxnEtl with --txn) against fbf, many times: etl.sh [--txn] [--runs N] [--chaos] [--kill-every SECONDS] [--records N]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../lib.sh
source "$here/../lib.sh"
exec "$FBF_VENV/bin/python" "$here/etl.py" "$@"

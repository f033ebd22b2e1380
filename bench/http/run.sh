#!/usr/bin/env bash
# Requests and events per second over HTTP, every event synced: wrk (Debian's package) with 64 connections on the same machine as fbf.
#   bench/http/run.sh [SECONDS]    each row's best of three, with the processor time of fbf
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../compat/lib.sh
source "$here/../../compat/lib.sh"
seconds=${1:-8}
command -v wrk >/dev/null || { echo "bench/http: missing wrk; apt-get install wrk" >&2; exit 1; }

home=$(mktemp -d)
"$FBF_BIN" serve --data "$home/data" --listen 127.0.0.1:0 --set http.listen=127.0.0.1:0 >"$home/out" 2>"$home/log" &
fbf=$!
trap 'kill "$fbf" 2>/dev/null; wait "$fbf" 2>/dev/null; rm -rf "$home"' EXIT
until base=$(sed -nE 's/^  http +//p' "$home/out") && [ -n "$base" ]; do sleep 0.05; kill -0 "$fbf"; done
curl -sS --fail-with-body --json '{"name": "bench", "partitions": 4}' "$base/topics" >/dev/null

ticks() { awk '{ print $14 + $15 }' "/proc/$fbf/stat"; }
per_second=$(getconf CLK_TCK)

# row NAME SCRIPT ROUTE EVENTS
row() {
  for _ in 1 2 3; do
    local before said
    before=$(ticks)
    said=$(wrk -t1 -c64 -d"${seconds}s" --latency -s "$here/$2.lua" "$base/topics/bench/$3")
    grep -q 'Non-2xx' <<<"$said" && { echo "bench/http: $1: not every request was taken" >&2; exit 1; }
    awk -v name="$1" -v events="$4" -v cpu=$(($(ticks) - before)) -v hz="$per_second" '
      /Requests\/sec/ { rate = $2 } /requests in/ { all = $1 } $1 == "50%" { p50 = $2 } $1 == "99%" { p99 = $2 }
      END { printf "%-28s %8.0f requests/s %9.0f events/s  p50 %8s  p99 %8s  %5.1f CPU us/request\n",
                   name, rate, rate * events, p50, p99, cpu / hz / all * 1e6 }' <<<"$said"
  done | sort -rn -k"$(($(wc -w <<<"$1") + 1))" | head -n 1
}

row "single" produce produce 1
row "single, Idempotency-Key" keyed produce 1
row "batches of 100" batch records 100
for pause in 1 2; do PAUSE_MS=$pause row "single, pause of $pause ms" paced produce 1; done
echo "peak memory of fbf: $(awk '/VmHWM/ { print $2 / 1024 }' "/proc/$fbf/status") MiB"

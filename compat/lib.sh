# The folders that the scripts share; sourced by each of them, so that they run with make and without it.
# shellcheck shell=bash
export FBF_CACHE=${FBF_CACHE:-$HOME/.cache/fourbyfour-stream}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$FBF_CACHE/target}
export FBF_BIN=${FBF_BIN:-$CARGO_TARGET_DIR/release/fbf}
export FBF_VENV=${FBF_VENV:-$FBF_CACHE/venv}
export KAFKA_LIBS=${KAFKA_LIBS:-$FBF_CACHE/kafka}
export KAFKA_TEST_LIBS=${KAFKA_TEST_LIBS:-$FBF_CACHE/kafka-tests}
export STREAMS_LIBS=${STREAMS_LIBS:-$FBF_CACHE/kafka-streams}
export CONNECT_LIBS=${CONNECT_LIBS:-$FBF_CACHE/kafka-connect}
# As compat/schema/json_suite.py puts them in place.
export FBF_JSON_SCHEMA_SUITE=${FBF_JSON_SCHEMA_SUITE:-$FBF_CACHE/jsonschema-4.26.0/tests}
export INFERNO=${INFERNO:-$FBF_CACHE/inferno}
export LIBRDKAFKA=${LIBRDKAFKA:-$FBF_CACHE/librdkafka-2.12.1}
export PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH

# run_parts FOLDER PARTS NAMES [NAME [WORDS]]: the Python part NAME, one of NAMES, with its words; without one, all PARTS in turn, and a
# status of 1 when one of them failed. PARTS and NAMES are names between blanks.
run_parts() {
  local folder=$1 parts=$2 names=$3 part status=0
  shift 3
  if [ $# -gt 0 ]; then
    [[ " $names " == *" $1 "* ]] || { echo "run.sh: no part $1; there are: $names" >&2; exit 2; }
    part=$1
    shift
    exec "$FBF_VENV/bin/python" "$folder/$part.py" "$@"
  fi
  for part in $parts; do
    echo "-- $part"
    "$FBF_VENV/bin/python" "$folder/$part.py" || status=1
  done
  exit $status
}

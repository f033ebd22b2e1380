#!/usr/bin/env bash
# Puts in place what a target needs beyond Rust. Says nothing and takes no time when everything is there.
#
#   setup.sh [build] [test] [java] [compat]
#
# build   a C and C++ compiler, make, and libclang (RocksDB's bindings are generated while building)
# test    kcat, Python 3, confluent-kafka in a virtual environment, the flight records
# java    Java 17 and Maven, and Apache Kafka's own tools from Maven Central
# compat  test, java, Go, and pyarrow (for the 3,000,000 flights)
#
# System packages come through apt-get (as root, or with sudo); where that cannot be, one line names what is missing.
# Go, Java and Maven are never installed, only asked for. Everything else lands in $FBF_CACHE.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"

die() { echo "setup: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

has_libclang() {
  [ -n "${LIBCLANG_PATH:-}" ] || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null \
    || compgen -G '/usr/lib*/libclang.so*' >/dev/null || compgen -G '/usr/lib/*/libclang*.so*' >/dev/null
}
has_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# The Debian packages of what is missing for the given parts, one per line.
missing_packages() {
  for part in "$@"; do
    case $part in
      build)
        have cc || echo gcc
        have c++ || echo g++
        have make || echo make
        { have clang && has_libclang; } || printf 'clang\nlibclang-dev\n'
        ;;
      test)
        [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ] || ! have apt-get || echo ca-certificates
        have kcat || echo kcat
        { have python3 && has_venv; } || printf 'python3\npython3-venv\n'
        ;;
    esac
  done
}

install_packages() {
  [ $# -gt 0 ] || return 0
  local -a root=()
  if [ "$(id -u)" != 0 ]; then
    if ! have sudo; then die "missing: $*; as root: apt-get install $*"; fi
    root=(sudo)
    [ -t 0 ] || root+=(-n)
  fi
  have apt-get || die "missing: $*; these are Debian's package names, please install their like"
  echo "setup: apt-get install $*" >&2
  { "${root[@]}" apt-get -o DPkg::Lock::Timeout=300 -qq update \
    && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq -y install --no-install-recommends "$@" >/dev/null
  } >&2 || die "could not install: $*; as root: apt-get install $*"
}

# install_python FILE: what a requirements file pins, in the one virtual environment; nothing when the file has not changed.
install_python() {
  local file=$1 stamp stamped
  stamp=$(python3 -c 'import sys; print(sys.version)' | cat - "$file" | sha256sum | cut -d' ' -f1)
  stamped=$FBF_VENV/$(basename "$(dirname "$file")").stamp
  [ "$(cat "$stamped" 2>/dev/null)" != "$stamp" ] || return 0
  echo "setup: Python packages to $FBF_VENV" >&2
  # The interpreter behind an older environment may be gone: --clear then starts afresh.
  "$FBF_VENV/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$FBF_VENV"
  "$FBF_VENV/bin/python" -m pip --disable-pip-version-check install --quiet --only-binary=:all: -r "$file" >&2 \
    || die "pip could not install what $file pins"
  echo "$stamp" >"$stamped"
}

require_java() {
  local version=0
  if have java; then version=$(java -version 2>&1 | sed -nE 's/.* version "([0-9]+).*/\1/p' | head -n 1); fi
  [ "${version:-0}" -ge 17 ] || echo "Java 17 or newer (found: ${version/#0/none})"
  have mvn || echo "Maven"
}

# A Go between 1.25 and 1.26 fetches by itself the 1.26 that franz-go's go.mod asks for.
require_go() {
  local version=""
  if have go; then version=$(go env GOVERSION | sed -nE 's/^go1\.([0-9]+).*/\1/p'); fi
  [ "${version:-0}" -ge 25 ] || echo "Go 1.25 or newer (found: ${version:+1.}${version:-none})"
}

install_kafka() {
  local pom=$here/java/pom.xml stamp
  stamp=$(sha256sum <"$pom" | cut -d' ' -f1)
  [ "$(cat "$KAFKA_LIBS/stamp" 2>/dev/null)" != "$stamp" ] || return 0
  echo "setup: Apache Kafka's jars to $KAFKA_LIBS" >&2
  rm -rf "$KAFKA_LIBS"
  mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$KAFKA_LIBS" >&2 \
    || die "mvn could not fetch what $pom pins"
  echo "$stamp" >"$KAFKA_LIBS/stamp"
}

case " $* " in *" compat "*) set -- "$@" test java ;; esac
parts=" $* "
wants() { [[ $parts == *" $1 "* ]]; }
mkdir -p "$FBF_CACHE"

absent=()
if wants java; then mapfile -t -O "${#absent[@]}" absent < <(require_java); fi
if wants compat; then mapfile -t -O "${#absent[@]}" absent < <(require_go); fi
if [ ${#absent[@]} -gt 0 ]; then
  list=$(printf '%s, ' "${absent[@]}")
  die "missing: ${list%, }; please install"
fi

mapfile -t packages < <(missing_packages "$@" | sort -u)
install_packages "${packages[@]}"
have cargo || ! wants build || die "missing: Rust (cargo); https://rustup.rs installs it"

if wants test; then install_python "$here/requirements.txt"; fi
if wants compat; then install_python "$here/tour/requirements.txt"; fi
if wants java; then install_kafka; fi
if wants test; then "$FBF_VENV/bin/python" "$here/tour/flights.py" --fetch; fi

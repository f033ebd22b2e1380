#!/usr/bin/env bash
# Puts in place what a target needs beyond Rust. Says nothing and takes no time when everything is there.
#
#   setup.sh [build] [test] [guard] [profile] [java] [librdkafka] [compat]
#
# build   a C and C++ compiler, make, and libclang (RocksDB's bindings are generated while building)
# test    kcat, curl, Node, Python 3; in a virtual environment confluent-kafka, schemathesis and standardwebhooks; the published Python packages
#         `fourbyfour`; the Node packages @kafkajs/confluent-schema-registry and standardwebhooks; JSON Schema's own tests; the flight records;
#         where Java and Maven are, Kafka's tools and its test jars
# guard   valgrind and strace
# profile perf, and inferno, which draws flame graphs, built by cargo
# java    Java 17 and Maven, and Apache Kafka's own tools from Maven Central
# librdkafka   built from its sources, with rdkafka_performance, which the bench loads a broker with
# compat  test, java, librdkafka with its tests, Go, pyarrow (for the 3,000,000 flights), Kafka's test jars, Kafka Streams and Kafka Connect
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
# 18 is what the TypeScript package asks for, and what Debian 12 has.
has_node() { have npm && node -e 'process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)' 2>/dev/null; }
has_header() { printf '#if !__has_include(<%s>)\n#error\n#endif\n' "$1" | cc -E - >/dev/null 2>&1; }

missing_compilers() {
  have cc || echo gcc
  have c++ || echo g++
  have make || echo make
}

# The Debian packages of what is missing for the given parts, one per line.
missing_packages() {
  for part in "$@"; do
    case $part in
      build)
        missing_compilers
        { have clang && has_libclang; } || printf 'clang\nlibclang-dev\n'
        ;;
      test)
        [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ] || ! have apt-get || echo ca-certificates
        have kcat || echo kcat
        have curl || echo curl
        has_node || [ -n "${FBF_WITHOUT_NODE:-}" ] || printf 'nodejs\nnpm\n'
        { have python3 && has_venv; } || printf 'python3\npython3-venv\n'
        ;;
      guard)
        have valgrind || echo valgrind
        have strace || echo strace
        ;;
      profile)
        have perf || echo linux-perf
        ;;
      librdkafka)
        missing_compilers
        has_header openssl/ssl.h || echo libssl-dev
        has_header zlib.h || echo zlib1g-dev
        has_header zstd.h || echo libzstd-dev
        has_header lz4.h || echo liblz4-dev
        has_header sasl/sasl.h || echo libsasl2-dev
        has_header curl/curl.h || echo libcurl4-openssl-dev
        # Of its tests only, but configure is what looks for it.
        has_header rapidjson/rapidjson.h || echo rapidjson-dev
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

require_jdk() { have javac || echo "a JDK (javac)"; }

# A Go between 1.25 and 1.26 fetches by itself the 1.26 that franz-go's go.mod asks for.
require_go() {
  local version=""
  if have go; then version=$(go env GOVERSION | sed -nE 's/^go1\.([0-9]+).*/\1/p'); fi
  [ "${version:-0}" -ge 25 ] || echo "Go 1.25 or newer (found: ${version:+1.}${version:-none})"
}

# install_jars POM FOLDER: what a pom.xml pins, with all that it needs; nothing when the file has not changed.
install_jars() {
  local pom=$1 folder=$2 stamp
  stamp=$(sha256sum <"$pom" | cut -d' ' -f1)
  [ "$(cat "$folder/stamp" 2>/dev/null)" != "$stamp" ] || return 0
  echo "setup: Apache Kafka's jars to $folder" >&2
  rm -rf "$folder"
  mvn -q -B -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$folder" >&2 \
    || die "mvn could not fetch what $pom pins"
  echo "$stamp" >"$folder/stamp"
}

# librdkafka 2.12.1 and its rdkafka_performance, built beside its sources. These come inside a crate: cargo fetches it and checks it.
install_librdkafka() {
  local manifest=$here/librdkafka/Cargo.toml stamp crate
  stamp=$(sha256sum <"$manifest" | cut -d' ' -f1)
  # Older folders are stamped too, and have no rdkafka_performance, or tests that skip themselves for want of RapidJSON.
  [ "$(cat "$LIBRDKAFKA/stamp" 2>/dev/null)" != "$stamp" ] || [ ! -x "$LIBRDKAFKA/examples/rdkafka_performance" ] \
    || ! grep -q 'WITH_RAPIDJSON=.*y' "$LIBRDKAFKA/Makefile.config" || return 0
  echo "setup: librdkafka to $LIBRDKAFKA (a minute or two)" >&2
  rm -rf "$LIBRDKAFKA"
  mkdir -p "$LIBRDKAFKA/crate"
  cp "$manifest" "$LIBRDKAFKA/crate/"
  crate=$(cargo metadata --quiet --format-version 1 --manifest-path "$LIBRDKAFKA/crate/Cargo.toml" | crate_folder rdkafka-sys) \
    || die "cargo could not fetch what $manifest pins"
  cp -R "$crate/librdkafka/." "$LIBRDKAFKA/"
  in_librdkafka build.log "./configure && make -j$(nproc) libs && make -C examples rdkafka_performance"
  echo "$stamp" >"$LIBRDKAFKA/stamp"
}

install_librdkafka_tests() {
  # The stamp goes with the folder, when that is built anew.
  [ ! -e "$LIBRDKAFKA/tests.stamp" ] || return 0
  echo "setup: librdkafka's tests to $LIBRDKAFKA" >&2
  in_librdkafka tests.log "make -j$(nproc) -C tests build"
  touch "$LIBRDKAFKA/tests.stamp"
}

# in_librdkafka LOG COMMANDS: builds there; the flags of a make that calls this script are not for librdkafka's.
in_librdkafka() {
  ( cd "$LIBRDKAFKA" && unset MAKEFLAGS MFLAGS MAKELEVEL && bash -euc "$2" ) >"$LIBRDKAFKA/$1" 2>&1 \
    || die "librdkafka could not be built; see $LIBRDKAFKA/$1"
}

install_inferno() {
  local version=0.12.8
  [ "$(cat "$INFERNO/stamp" 2>/dev/null)" != "$version" ] || return 0
  echo "setup: inferno $version to $INFERNO (a minute or two)" >&2
  # Without our target directory cargo builds in one of its own, and removes it.
  env -u CARGO_TARGET_DIR cargo install --quiet --locked --force --version "$version" --root "$INFERNO" inferno >&2 \
    || die "cargo could not install inferno $version"
  echo "$version" >"$INFERNO/stamp"
}

# crate_folder NAME: where cargo has put a crate's sources; what `cargo metadata` says comes from standard input.
crate_folder() {
  python3 -c '
import json, pathlib, sys
[crate] = [package for package in json.load(sys.stdin)["packages"] if package["name"] == sys.argv[1]]
print(pathlib.Path(crate["manifest_path"]).parent)' "$1"
}

case " $* " in *" compat "*) set -- "$@" test java librdkafka ;; esac
parts=" $* "
wants() { [[ $parts == *" $1 "* ]]; }
mkdir -p "$FBF_CACHE"

absent=()
if wants java; then mapfile -t -O "${#absent[@]}" absent < <(require_java); fi
if wants compat; then mapfile -t -O "${#absent[@]}" absent < <(require_jdk; require_go); fi
if [ ${#absent[@]} -gt 0 ]; then
  list=$(printf '%s, ' "${absent[@]}")
  die "missing: ${list%, }; please install"
fi

mapfile -t packages < <(missing_packages "$@" | sort -u)
install_packages "${packages[@]}"
have cargo || ! { wants build || wants librdkafka; } || die "missing: Rust (cargo); https://rustup.rs installs it"

if wants test; then install_python "$here/requirements.txt"; fi
if wants test; then install_python "$here/http/requirements.txt"; fi
if wants test; then install_python "$here/schema/requirements.txt"; fi
if wants test; then install_python "$here/hooks/requirements.txt"; fi
if wants compat; then install_python "$here/tour/requirements.txt"; fi
if wants java; then
  install_jars "$here/java/pom.xml" "$KAFKA_LIBS"
elif wants test && [ -z "$(require_java)" ]; then
  # Where Java and Maven are, `make test` has more suites; they are not worth failing for.
  (install_jars "$here/java/pom.xml" "$KAFKA_LIBS") || echo "setup: without Kafka's jars, the suites that need Java are left out" >&2
fi
if wants compat; then
  install_jars "$here/kafka-clients/pom.xml" "$KAFKA_TEST_LIBS"
elif wants test && [ -z "$(require_java; require_jdk)" ]; then
  (install_jars "$here/kafka-clients/pom.xml" "$KAFKA_TEST_LIBS") || echo "setup: without Kafka's test jars, its integration tests are left out" >&2
fi
if wants compat; then install_jars "$here/streams/pom.xml" "$STREAMS_LIBS"; fi
if wants compat; then install_jars "$here/connect/pom.xml" "$CONNECT_LIBS"; fi
if wants librdkafka; then install_librdkafka; fi
if wants compat; then install_librdkafka_tests; fi
if wants profile; then install_inferno; fi
if wants test; then "$FBF_VENV/bin/python" "$here/tour/flights.py" --fetch; fi
if wants test; then "$FBF_VENV/bin/python" "$here/http/python_package.py" --fetch; fi
if wants test; then "$here/schema/run.sh" node_client --fetch; fi
if wants test; then "$here/schema/run.sh" json_suite >/dev/null; fi
if wants test; then "$here/hooks/run.sh" signatures --fetch; fi

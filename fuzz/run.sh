#!/usr/bin/env bash
# Fuzzes one format's schemas and values: run.sh avro|json|protobuf [SECONDS]. An input that takes longer than 5 s or more than 1 GiB is a finding.
# It begins with what corpus/TARGET.tar.gz holds and adds to $FBF_CACHE/fuzz/TARGET; `run.sh TARGET keep` puts the smallest set with the same coverage
# back into the archive.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../compat/lib.sh
source "$here/../compat/lib.sh"
target=${1:?avro, json or protobuf}
seconds=${2:-600}
found=$FBF_CACHE/fuzz/$target
mkdir -p "$found"
tar -xzf "$here/corpus/$target.tar.gz" -C "$FBF_CACHE/fuzz"
# libFuzzer's coverage by flags that stable Rust knows; no sanitizer, since no unsafe code is ours.
export CARGO_TARGET_DIR=$FBF_CACHE/fuzz-target
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
 -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --release --quiet --manifest-path "$here/Cargo.toml" --target "$host" --bin "$target"
binary=$CARGO_TARGET_DIR/$host/release/$target
if [ "$seconds" = keep ]; then
  kept=$(mktemp -d)
  mkdir "$kept/$target"
  "$binary" -merge=1 "$kept/$target" "$found"
  tar --sort=name --mtime=@0 --owner=0 --group=0 -C "$kept" -cf - "$target" | gzip -9n >"$here/corpus/$target.tar.gz"
  rm -rf "$kept"
  exit
fi
cd "$found/.."
exec "$binary" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=4096 -artifact_prefix="$target-" "$found"

# Everything that one does with Fourbyfour Stream; `make help` lists it.
#
# One build serves all targets: profile release, in one folder outside the checkout; --workspace, since what is built otherwise has other features
# of its dependencies, and is built once more.
# ARGS goes to fbf (`make run ARGS="--set num.partitions=8"`) or to the benchmark (`make bench ARGS="--only p100 --rounds 1 --no-write"`; `make
# profile` likewise, where nothing is written but flame graphs).
# One test: `cargo test --release --workspace NAME` (with CARGO_TARGET_DIR as below), `compat/kcat/run.sh NAME`; compat/README.md has the other clients.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export FBF_CACHE ?= $(HOME)/.cache/fourbyfour-stream
export CARGO_TARGET_DIR ?= $(FBF_CACHE)/target
export FBF_BIN ?= $(CARGO_TARGET_DIR)/release/fbf
export PATH := $(PATH):$(HOME)/.cargo/bin
# Where the data of measurements is kept: on a disk, which /tmp need not be.
export BENCH_DIR ?= $(FBF_CACHE)/bench
ARGS ?=

.PHONY: help build run test tour torture check guard bench tail scale profile compat clean

help: ## list the targets (this text)
	@sed -nE 's/^([a-z]+):[^#]*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

build: ## build fbf in release mode; the last line is the binary's path
	@compat/setup.sh build
	@cargo build --release --workspace --bin fbf
	@echo "$(FBF_BIN)"

run: ## build and start fbf on 127.0.0.1:9092; options in ARGS
	@compat/setup.sh build
	@cargo build --release --workspace --bin fbf
	@exec "$(FBF_BIN)" serve $(ARGS)

test: ## all that must pass: Rust's tests, clients of Kafka, HTTP, schemas and webhooks against the real binary, the tour, the guard of costs
	@compat/setup.sh build test guard
	@cargo build --release --workspace --bins
	@compat/run.sh test

tour: ## 20,000 flights through a group of two, with both a member and fbf killed half way
	@compat/setup.sh build test
	@cargo build --release --workspace --bin fbf
	@compat/tour/run.sh

torture: ## 5,000 schedules of delayed and repeated requests in each protocol, 200 more with kills and pauses; FBF_SEED says where to begin
	@compat/setup.sh build
	@cargo build --release --workspace --bin fbf
	@FBF_SCHEDULES=$${FBF_SCHEDULES:-5000} FBF_SCHEDULES_WITH_KILLS=$${FBF_SCHEDULES_WITH_KILLS:-200} \
	  cargo test --release -p protocol-tests --test all -- txn_schedules --nocapture

check: ## formatting and lints, without running anything
	@compat/setup.sh build
	@cargo fmt --all --check
	@cargo clippy --release --workspace --all-targets -- -D warnings
	@bash -n compat/*.sh compat/*/*.sh bench/*.sh bench/*/*.sh .ci/run

compat: ## every client's own suite (needs Go, Java 17, Maven), the tour with 3,000,000 flights, and a table
	@compat/setup.sh build compat
	@cargo build --release --workspace --bin fbf
	@compat/run.sh compat

guard: ## count what a steady load costs (instructions, system calls, bytes copied) and fail where it grew; ARGS=--renew writes the baseline
	@compat/setup.sh build test guard
	@cargo build --release --workspace --bins
	@bench/guard/run.sh $(ARGS)

bench: ## the same workloads on fbf and on Apache Kafka, side by side: writes BENCHMARKS.md, in about 40 minutes (needs Java 17, Maven)
	@compat/setup.sh build test java
	@compat/setup.sh librdkafka || echo "bench: without librdkafka; the table will say so of its rows" >&2
	@cargo build --release --workspace --bin fbf
	@bench/run.sh $(ARGS)

tail: ## latency at a fixed rate of arrival, from when each record was due, e.g. ARGS="--rate 20000 --cold-gb 30"; on Kafka: ARGS="--bootstrap HOST:PORT --pid PID"
	@compat/setup.sh build
	@cargo build --release --workspace --bin fbf --bin tail-latency
	@mkdir -p "$(BENCH_DIR)" && TMPDIR="$(BENCH_DIR)" "$(CARGO_TARGET_DIR)/release/tail-latency" $(ARGS)

scale: ## memory and processor time with many partitions, connections, waiting consumers and so on, e.g. ARGS="connections --counts 100,1000"; ARGS= lists them
	@compat/setup.sh build
	@cargo build --release --workspace --bin fbf --bin node-scale
	@mkdir -p "$(BENCH_DIR)" && TMPDIR="$(BENCH_DIR)" "$(CARGO_TARGET_DIR)/release/node-scale" $(ARGS)

profile: ## where processor time goes in each row of the bench: flame graphs, whose places it prints, e.g. ARGS="--only p100" (needs Java 17, Maven)
	@compat/setup.sh build test java profile
	@compat/setup.sh librdkafka || echo "profile: without librdkafka's rows" >&2
	@cargo build --release --workspace --bin fbf
	@bench/profile.sh $(ARGS)

clean: ## remove what was built; downloads and data directories stay
	@cargo clean

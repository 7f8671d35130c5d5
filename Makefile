# Stagewire: the front door for contributors. `make` lists what there is.
#
# On a fresh Debian 12 with Swift 6.2 or later:  apt-get install -y make && make demo

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BUILD := build
BIN := $(BUILD)/bin
PROGRAM := .build/release/stagewire
EXAMPLE := docs/examples/polyglot
COMPACTION := docs/examples/compaction
SWIFT := swift
SWIFT_RELEASE := $(SWIFT) build -c release
PYTHON := $(BUILD)/venv/bin/python3

# Debian's packages, each with what needs it. `make setup` installs those that are missing.
PACKAGES := \
	pkg-config libprotobuf-c-dev protobuf-c-compiler protobuf-compiler \
	golang-go golang-google-protobuf-dev \
	cargo rustc librust-prost-dev librust-prost-derive-dev librust-prost-build-dev librust-bytes-dev librust-serde-derive-dev librust-serde-json-dev \
	librust-serde-path-to-error-dev librust-base64-dev librust-signal-hook-dev librust-nix-dev \
	python3 python3-venv \
	nodejs node-typescript jq \
	valgrind \
	default-jdk-headless libprotobuf-java junit4 \
	gcc make libc6-dev git ca-certificates

# What only `make bench` needs: the systems that Stagewire is measured beside, and their client libraries.
BENCH_PACKAGES := \
	g++ pkg-config libprotobuf-dev protobuf-compiler libgrpc++-dev protobuf-compiler-grpc \
	redis-server libhiredis-dev nats-server libnats-dev libzmq3-dev

# Offline and online builds use the same manifests: Debian's copies of the libraries stand in for the network, and its
# Rust is the oldest that the stubs support. Set ONLINE=1 to fetch Go modules and Rust crates in the ordinary way.
ifdef ONLINE
GO_SETTINGS :=
GO := go
CARGO := cargo
else
GO_SETTINGS := GOWORK=$(CURDIR)/$(BUILD)/go/go.work GOFLAGS= GOPROXY=off
GO := $(GO_SETTINGS) go
CARGO := CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc $(CURDIR)/sdk-stubs/rust/cargo-offline.sh
endif
export CARGO_TARGET_DIR := $(CURDIR)/$(BUILD)/cargo

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ---- setup ----

.PHONY: setup
setup: $(BUILD)/setup.stamp $(PYTHON) $(BUILD)/go/go.work ## Install what building and testing need (Debian packages, a Python environment)

$(BUILD)/setup.stamp: Makefile
	@mkdir -p $(BUILD)
	@missing=""; for package in $(PACKAGES); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q "install ok installed" || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo"; \
		$$sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing >$(BUILD)/apt.log 2>&1 \
			|| { tail -20 $(BUILD)/apt.log; exit 1; }; \
	fi
	@touch $@

# Debian's Python with PyPI's protobuf: the C implementation, a tenth of the time of the pure one. The others are for
# Tests/PipelineSchema.
$(PYTHON): $(BUILD)/setup.stamp sdk-stubs/python/pyproject.toml
	@/usr/bin/python3 -m venv $(BUILD)/venv
	@$(BUILD)/venv/bin/pip install --quiet --disable-pip-version-check "protobuf>=4" "numpy>=1.24" "jsonschema>=4" "PyYAML>=6"
	@touch $@

$(BUILD)/go/go.work: $(BUILD)/setup.stamp sdk-stubs/go/offline-workspace.sh
	@sdk-stubs/go/offline-workspace.sh $(BUILD)/go

# ---- build ----

.PHONY: build
build: setup ## Build the broker (release) and the examples' workers
	@$(SWIFT_RELEASE) --product stagewire
	@mkdir -p $(BIN)
	@ln -sf ../../.build/release/stagewire $(BIN)/stagewire
	@$(GO) build -o $(BIN)/normalise ./$(EXAMPLE)/normalise
	@mkdir -p $(BIN)/compaction && $(GO) build -o $(BIN)/compaction/ ./$(COMPACTION)/...
	@$(CARGO) build --quiet --release --manifest-path $(EXAMPLE)/ingest/Cargo.toml
	@cp $(CARGO_TARGET_DIR)/release/ingest $(BIN)/ingest

# ---- install ----

PREFIX := /usr/local
DESTDIR :=
ROOT = $(DESTDIR)$(PREFIX)
# Where each of these goes, below PREFIX. The completions have the names under which shells look for them.
INSTALLED := bin/stagewire share/man/man1/stagewire.1 share/bash-completion/completions/stagewire \
	share/zsh/site-functions/_stagewire share/fish/vendor_completions.d/stagewire.fish
# The cases of the conformance suite and the rules they name.
SUITE := share/stagewire/conformance

# Installing may run as root, building need not.
$(PROGRAM):
	@echo "there is no program yet: run make build first" && exit 1

.PHONY: completions
completions: $(PROGRAM)
	@mkdir -p $(BUILD)/completions
	@for shell in bash zsh fish; do $(PROGRAM) --generate-completion-script $$shell >$(BUILD)/completions/$$shell; done

.PHONY: install
install: completions ## Install program, manual and completions (PREFIX, /usr/local by default; DESTDIR)
	@install -D -m 755 $(PROGRAM) $(ROOT)/bin/stagewire
	@install -D -m 644 docs/man/stagewire.1 $(ROOT)/share/man/man1/stagewire.1
	@install -D -m 644 $(BUILD)/completions/bash $(ROOT)/share/bash-completion/completions/stagewire
	@install -D -m 644 $(BUILD)/completions/zsh $(ROOT)/share/zsh/site-functions/_stagewire
	@install -D -m 644 $(BUILD)/completions/fish $(ROOT)/share/fish/vendor_completions.d/stagewire.fish
	@mkdir -p $(ROOT)/$(SUITE) && cp -R conformance/cases conformance/rules.yaml docs/PROTOCOL.md $(ROOT)/$(SUITE)/
	@printf '$(ROOT)/%s\n' $(INSTALLED) $(SUITE)

.PHONY: uninstall
uninstall: ## Remove what `make install` installed
	@rm -f $(addprefix $(ROOT)/,$(INSTALLED))
	@rm -rf $(ROOT)/$(SUITE)

# ---- use ----

.PHONY: demo
demo: build ## Run the polyglot pipeline: Rust reads, Go filters, Python scores, Node alerts, shell archives
	@rm -rf $(BUILD)/demo && mkdir -p $(BUILD)/demo
	@$(PYTHON) $(EXAMPLE)/generate.py $(BUILD)/demo/input
	@$(PYTHON) $(EXAMPLE)/webhook.py $(BUILD)/demo/alerts.jsonl --port 0 >$(BUILD)/demo/port & \
		webhook=$$!; trap 'kill $$webhook' EXIT; \
		while [ ! -s $(BUILD)/demo/port ] && kill -0 $$webhook; do sleep 0.05; done; \
		ALERT_WEBHOOK=http://127.0.0.1:$$(cat $(BUILD)/demo/port)/alerts PATH="$(CURDIR)/$(BUILD)/venv/bin:$$PATH" \
		$(BIN)/stagewire run $(EXAMPLE)/pipeline.yaml
	@echo
	@$(PYTHON) $(EXAMPLE)/verify.py --strict $(BUILD)/demo/input $(BUILD)/demo/archive $(BUILD)/demo/alerts.jsonl
	@echo
	@echo "Alerts as they arrived:       $(BUILD)/demo/alerts.jsonl"
	@echo "Everything, with its lineage: $(BUILD)/demo/archive"
	@echo "The pipeline:                 $(EXAMPLE)/pipeline.yaml"

.PHONY: demo-compaction
demo-compaction: build ## Run the compaction pipeline: Go reduces events, asks a service that fails, stores each result once
	@rm -rf $(BUILD)/compaction $(COMPACTION)/.stagewire && mkdir -p $(BUILD)/compaction
	@$(BIN)/compaction/generate $(BUILD)/compaction/events.jsonl
	@$(BIN)/compaction/service -port 0 >$(BUILD)/compaction/service & \
		service=$$!; trap 'kill $$service 2>/dev/null || true' EXIT; \
		while [ ! -s $(BUILD)/compaction/service ] && kill -0 $$service; do sleep 0.05; done; \
		ENRICH_URL=http://127.0.0.1:$$(head -1 $(BUILD)/compaction/service) $(BIN)/stagewire run $(COMPACTION)/pipeline.yaml; \
		kill $$service; wait $$service; echo; tail -1 $(BUILD)/compaction/service
	@$(PYTHON) $(COMPACTION)/verify.py $(BUILD)/compaction/events.jsonl $(BUILD)/compaction/results.jsonl
	@echo
	@echo "Results:      $(BUILD)/compaction/results.jsonl"
	@echo "The pipeline: $(COMPACTION)/pipeline.yaml"

# ---- test ----

.PHONY: test
test: setup ## Build and run every test
	@BUILD=$(BUILD) Tests/run

.PHONY: test-swift
test-swift: setup
	@STAGEWIRE_STRICT=1 $(SWIFT) build --build-tests
	@STAGEWIRE_STRICT=1 STAGEWIRE_REQUIRE_ORACLES=1 $(SWIFT) test --skip-build --skip StagewireBrokerTests --skip StagewireStageTests
	@# Real processes and sockets: by themselves, so that the seeds of the pure suites do not starve them.
	@STAGEWIRE_STRICT=1 $(SWIFT) test --skip-build --no-parallel --filter "StagewireBrokerTests|StagewireStageTests"

# Seeds of the simulation: random workers, a broker that dies, a disk that fails. In the suite: those that have found something,
# and as many that nobody has tried before.
SIMULATOR := .build/release/StagewireSimulator

.PHONY: simulator
simulator: setup
	@$(SWIFT_RELEASE) --quiet --product StagewireSimulator

.PHONY: sim
sim: simulator ## Simulate SEEDS=n (1000) seeds from FIRST=n (1) on; TRACE=n shows one
	@$(SIMULATOR) $(if $(TRACE),--trace $(TRACE),--first $(or $(FIRST),1) --seeds $(or $(SEEDS),1000))

.PHONY: test-sim
test-sim: simulator
	@$(SIMULATOR) --also Tests/StagewireSimulator/seeds.txt --first $(or $(FIRST),$$(date +%s)000) --seeds $(or $(SEEDS),600)

# What the router does for a delivery, counted: HOTPATH=--write sets new limits.
.PHONY: test-hotpath
test-hotpath: setup
	@$(SWIFT_RELEASE) --quiet --product StagewireRouterBench
	@BUILD=$(BUILD) $(PYTHON) Tests/HotPath/check.py .build/release/StagewireRouterBench $(HOTPATH)

.PHONY: test-go
test-go: setup
	@cd sdk-stubs/go && $(GO) vet ./... && $(GO) test ./...
	@cd $(EXAMPLE)/normalise && $(GO) vet . && $(GO) test .
	@cd $(COMPACTION) && $(GO) vet ./... && $(GO) test ./...

.PHONY: test-rust
test-rust: setup
	@$(CARGO) test --quiet --manifest-path sdk-stubs/rust/Cargo.toml
	@$(CARGO) test --quiet --manifest-path $(EXAMPLE)/ingest/Cargo.toml

.PHONY: test-rust-pipeline
test-rust-pipeline: build
	@STAGEWIRE_BROKER=$(CURDIR)/$(BIN)/stagewire $(CARGO) test --quiet --manifest-path sdk-stubs/rust/Cargo.toml --test pipeline -- --ignored --exact killed_workers windows_tried_again

.PHONY: test-python
test-python: setup
	@cd sdk-stubs/python && $(CURDIR)/$(PYTHON) -W error -m unittest discover -s tests

.PHONY: test-swift-stub
test-swift-stub: setup
	@sdk-stubs/swift/test.sh

.PHONY: test-shell
test-shell: build
	@STAGEWIRE=$(CURDIR)/$(BIN)/stagewire sdk-stubs/shell/test.sh

# The library under sanitizers, against a scripted broker and a real one.
.PHONY: test-c
test-c: build
	@$(MAKE) --no-print-directory -C sdk-stubs/c test BUILD=$(CURDIR)/$(BUILD)/c PYTHON=$(CURDIR)/$(PYTHON) STAGEWIRE_BROKER=$(CURDIR)/$(BIN)/stagewire

# Debian's compiler and Debian's @types/node, which comes with its nodejs: Node of another origin has no types.
NODE_TYPES := /usr/share/nodejs/@types
NODE := node

.PHONY: test-node
test-node: setup
	@cd sdk-stubs/node && STAGEWIRE_PYTHON=$(CURDIR)/$(PYTHON) STAGEWIRE_REQUIRE_ORACLES=1 $(NODE) --test tests/*.test.js
	@if [ -d $(NODE_TYPES)/node ]; then cd sdk-stubs/node && tsc -p . --typeRoots $(NODE_TYPES); \
		else echo "types: not checked, for they need Debian's nodejs ($(NODE_TYPES)/node)"; fi

.PHONY: test-java
test-java: build
	@STAGEWIRE_STRICT=1 STAGEWIRE_BROKER=$(CURDIR)/$(BIN)/stagewire sdk-stubs/java/test.sh

.PHONY: test-docs
test-docs: setup
	@$(PYTHON) Tests/ProtocolDoc/check.py
	@$(SWIFT_RELEASE) --quiet --product stagewire
	@$(PYTHON) Tests/PipelineSchema/check.py $(PROGRAM)
	@$(PYTHON) docs/man/generate.py --check $(PROGRAM)

.PHONY: vectors
vectors: setup ## Write conformance/vectors/*.json anew
	@$(PYTHON) conformance/vectors/generate.py

.PHONY: test-vectors
test-vectors: setup
	@$(PYTHON) Tests/ConformanceVectors/check.py

.PHONY: test-bench
test-bench: build
	@$(SWIFT_RELEASE) --product StagewireBenchWorker
	@$(SWIFT_RELEASE) --product StagewireRelay
	@$(PYTHON) Tests/StagewireBenchTests/test_report.py --quiet
	@$(PYTHON) Tests/StagewireBenchTests/test_stages.py

.PHONY: fuzz
fuzz: setup ## Fuzz frames, records, journals and pipeline files under AddressSanitizer (FUZZ_SECONDS=n for each, 60 by default)
	@sh Tests/Fuzz/run.sh $(or $(FUZZ_SECONDS),60)

.PHONY: fuzz-short
fuzz-short: setup
	@sh Tests/Fuzz/run.sh 10

# Of every SDK that has one, by its own manifest; SDKS="go node" of some.
SDKS ?= $(patsubst sdk-stubs/%/conformance/conformance.yaml,%,$(wildcard sdk-stubs/*/conformance/conformance.yaml))
BUILD_LINE := import sys, yaml; print(yaml.safe_load(open(sys.argv[1])).get("build") or ":")

.PHONY: conformance-workers
conformance-workers: setup
	@for sdk in $(SDKS); do \
		line=$$($(PYTHON) -c '$(BUILD_LINE)' sdk-stubs/$$sdk/conformance/conformance.yaml); \
		(cd sdk-stubs/$$sdk/conformance && env $(GO_SETTINGS) CARGO="$(CARGO)" sh -c "$$line") || { echo "$$sdk: its conformance worker does not build"; exit 1; }; \
	done

.PHONY: test-kills
test-kills: build conformance-workers
	@$(PYTHON) Tests/Kills/test_verify.py --quiet
	@SDKS="$(SDKS)" $(PYTHON) Tests/Kills/kills.py $(BIN)/stagewire

# The broker and its workers killed under load, and what was confirmed counted against what arrived. A campaign goes on where
# the last call stopped: build/crash/SEED-DURABILITY.
KILLS ?= 20
.PHONY: crash
crash: build conformance-workers ## Kill broker and workers under load, count what arrives (KILLS=n, SEED=n, DURABILITY=relaxed)
	@KILLS=$(KILLS) SEED=$(SEED) DURABILITY=$(DURABILITY) SDKS="$(SDKS)" $(PYTHON) Tests/Crash/crash.py $(BIN)/stagewire

.PHONY: test-crash
test-crash: build conformance-workers
	@$(PYTHON) Tests/Crash/test_oracle.py --quiet
	@rm -rf $(BUILD)/crash/0-disk $(BUILD)/crash/0-relaxed
	@KILLS=10 SEED=0 SDKS="$(SDKS)" $(PYTHON) Tests/Crash/crash.py $(BIN)/stagewire
	@KILLS=5 SEED=0 DURABILITY=relaxed SDKS="$(SDKS)" $(PYTHON) Tests/Crash/crash.py $(BIN)/stagewire

# Disks that are full, limited, read-only, removed, or somebody else's. What needs a mount is skipped where that is not permitted.
.PHONY: test-disk-faults
test-disk-faults: build
	@$(PYTHON) Tests/Crash/faults.py $(BIN)/stagewire

.PHONY: test-replay
test-replay: build
	@$(PYTHON) Tests/Crash/replay.py $(BIN)/stagewire

.PHONY: test-demo
test-demo: demo
	@$(PYTHON) Tests/Polyglot/nab.py

# COMPACTION_TEST="--durability memory" ends workers only; "--seed 7" everything at other moments.
COMPACTION_TEST ?= --durability disk --kill-broker --stop-broker
.PHONY: test-compaction
test-compaction: build
	@$(PYTHON) Tests/Compaction/compaction.py $(COMPACTION_TEST)

# ---- conformance ----

# Every SDK, every profile that it claims, and the broker; the table goes into docs/CONFORMANCE.md.
.PHONY: conformance
conformance: conformance-workers ## Run the conformance suite against every SDK and the broker, and write docs/CONFORMANCE.md
	@$(PYTHON) Tests/Conformance/matrix.py $(PROGRAM) --write

.PHONY: test-conformance
test-conformance: conformance-workers
	@$(PYTHON) Tests/Conformance/matrix.py $(PROGRAM)

# That the suite notices: implementations that break one rule each. MUTANTS="--only LV-1 --verbose" for a few of them.
.PHONY: test-conformance-mutants
test-conformance-mutants: setup
	@$(SWIFT_RELEASE) --quiet --product stagewire
	@$(PYTHON) Tests/Conformance/mutation.py $(PROGRAM) $(MUTANTS)

# ---- generated code, format ----

.PHONY: proto
proto: setup ## Generate the code of proto/ for C, Go, Java, Python and Rust
	@mkdir -p $(BIN)
	@protoc-c -Iproto --c_out=Sources/CEnvelope proto/stagewire/v1/*.proto
	@mv Sources/CEnvelope/stagewire/v1/*.h Sources/CEnvelope/include/stagewire/v1/
	@protoc-c -Iproto --c_out=sdk-stubs/c/generated proto/stagewire/v1/*.proto
	@sdk-stubs/python/generate.sh
	@cd $(BUILD)/go/protobuf && GOWORK=off go build -buildvcs=false -o $(CURDIR)/$(BIN)/protoc-gen-go ./cmd/protoc-gen-go
	@PATH="$(CURDIR)/$(BIN):$$PATH" protoc -Iproto --go_out=sdk-stubs/go --go_opt=module=stagewire.dev/sdk/go proto/stagewire/v1/*.proto
	@rm -rf sdk-stubs/java/src/generated/java && mkdir -p sdk-stubs/java/src/generated/java
	@protoc -Iproto --java_out=sdk-stubs/java/src/generated/java proto/stagewire/v1/*.proto
	@$(CARGO) run --quiet --manifest-path sdk-stubs/rust/generate/Cargo.toml -- proto sdk-stubs/rust/src/pb.rs

.PHONY: check-proto
check-proto: proto ## Fail when `make proto` leaves a difference
	@git diff --exit-code --stat -- Sources/CEnvelope sdk-stubs || { echo "generated code differs from proto/: commit what make proto wrote"; exit 1; }

.PHONY: man
man: setup ## Generate the manual page from the commands
	@STAGEWIRE_STRICT=1 $(SWIFT) build --quiet --product stagewire
	@$(PYTHON) docs/man/generate.py .build/debug/stagewire

.PHONY: fmt
fmt: ## Format the Swift sources
	@$(SWIFT) format --in-place --recursive --parallel Package.swift Sources Tests sdk-stubs/swift/Sources

.PHONY: lint
lint: ## Check the format of the Swift sources
	@$(SWIFT) format lint --strict --recursive --parallel Package.swift Sources Tests sdk-stubs/swift/Sources
	@# The core reads no clock, file or socket: it cannot, without one of these.
	@! grep -nE '^ *import (Foundation|Glibc|Dispatch|NIO|Darwin|Synchronization)' -r Sources/StagewireModel Sources/StagewireRecord Sources/StagewireLedger Sources/StagewireRouter
	@! grep -nE '^ *import ' -r Sources/StagewireJournal | grep -vE '(FileDisk.swift:[0-9]+:import Glibc|CRC32C.swift:1:import CJournal)$$'
	@! grep -nE '(async|await|ContinuousClock|SystemRandomNumberGenerator|Task)[ (.{]' -r Sources/StagewireRouter --include=*.swift | grep -v '///'

.PHONY: bench
bench: build bench-peers bench-workers ## Measure Stagewire, a C relay and other systems in turns (QUICK=1 for a short look, BENCH="--help")
	@$(SWIFT_RELEASE) --product StagewireBenchWorker
	@$(SWIFT_RELEASE) --product StagewireRelay
	@$(PYTHON) Sources/StagewireBench/bench.py $(BENCH)

.PHONY: bench-peers
bench-peers: $(BUILD)/bench-setup.stamp
	@Sources/StagewireBenchPeers/build.sh $(BUILD)/bench

.PHONY: bench-workers
bench-workers: setup
	@GO="$(GO)" CARGO="$(CARGO)" Sources/StagewireBench/workers.sh $(BUILD)/bench

# Peers that cannot be had are named and left out: that is no reason not to measure the others. RUNLEVEL keeps Debian from
# starting the servers; the benchmark starts its own.
$(BUILD)/bench-setup.stamp: Makefile
	@mkdir -p $(BUILD)
	@sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo"; missing=""; for package in $(BENCH_PACKAGES); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q "install ok installed" || missing="$$missing $$package"; \
	done; \
	[ -z "$$missing" ] || { echo "installing:$$missing"; $$sudo apt-get update -qq || true; }; \
	for package in $$missing; do \
		$$sudo env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$package >>$(BUILD)/apt.log 2>&1 \
			|| echo "could not be installed: $$package"; \
	done
	@touch $@

.PHONY: clean
clean: ## Remove everything that was built
	@rm -rf .build sdk-stubs/swift/.build $(BUILD)

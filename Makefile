# The two commands that do everything on a fresh machine with a Rust toolchain: make demo, make test.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo

.PHONY: help demo stack test tools fmt lint unit docs bench preview

help: ## What can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

demo: ## Build, and watch a gateway with broken origins on loopback (Ctrl-C ends it).
	$(CARGO) build --release --locked
	./target/release/badgateway demo

stack: ## The demo with Prometheus, its rules and Alertmanager around it (Ctrl-C ends it).
	$(CARGO) build --release --locked
	./config/stack.sh

test: tools fmt lint unit docs ## Install what the tests need where that is allowed, then run everything.
	@echo "all checks passed"

tools: ## Programs the tests use, from Debian's packages.
	@./tests/install.sh

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

unit:
	$(CARGO) test --locked

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

preview: ## Draw the dashboards outside Grafana from the demo's faults, into target/preview (npm, chromium; some minutes).
	$(CARGO) build --release --locked
	./dashboards/preview/run.sh

bench: ## Measure: whole process beside blackbox_exporter, logs beside mtail, and the parts (some minutes).
	$(CARGO) build --release --locked
	./benches/whole/run.sh
	./benches/logs/run.sh
	$(CARGO) bench --locked

# The two commands are `cargo run --release` (the product, also `make run`) and `make test`.

.PHONY: help run test setup fmt lint conversation sim bench-fanout fuzz \
	test-unit test-product test-browser test-python test-javascript

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build and start the product: page, API and WebSocket on one address
	cargo run --release

test: setup ## install what is missing, then every check and test
	@.ci/test

setup: ## install what the tests need: Debian, npm and Python packages
	@.ci/setup

fmt: ## format the Rust sources
	cargo fmt --all

lint: setup ## formatting and clippy, warnings denied
	@.ci/test format clippy

test-unit: setup ## unit tests and the examples in the documentation
	@.ci/test unit documentation

test-javascript: setup ## the JavaScript client's tests
	@.ci/test javascript

test-product: setup ## the started product, by Rust clients
	@.ci/test product conversation

test-browser: setup ## the demo page in headless Chromium
	@.ci/test browser

test-python: setup ## a Python client written from the specification
	@.ci/test python

# The sizes and the seed can be given: make conversation MESSAGES=500 SEED=7
conversation: export MESSAGES ?= 2000
conversation: export SOCKETS ?= 200
conversation: export KILLS ?= 2
conversation: ## 2,000 messages through 200 breaking sockets and two kill -9, each seen exactly once
	cargo test --release --package squall-gateway --test conversation --quiet -- --nocapture

# Other worlds, or more: make sim SEED=7 STEPS=50000000. A failure prints the seed that reproduces it.
sim: export SEED ?= 1
sim: export STEPS ?= 2000000
sim: ## clusters of hubs over a lossy bus, simulated for 2,000,000 steps and judged by a plain model
	cargo test --release --package squall-hub --test simulator --quiet every_client -- --nocapture

# MODE is rate, saturation, sessions or latency; the sizes can be given:
# make bench-fanout MODE=sessions OPTIONS='--sockets 18000 --users 18000 --realms 180'
bench-fanout: MODE ?= rate
bench-fanout: ## what the gateway's work costs, beside a bare one-write-per-socket server in the same run
	cargo build --release --package squall-gateway --bin gateway --example fanout_bench
	@$${CARGO_TARGET_DIR:-target}/release/examples/fanout_bench $(MODE) $(OPTIONS)

# Longer, or some only: make fuzz SECONDS=600 TARGETS='inbound session'. What was found stays in
# protocol/fuzz/corpus, an input that breaks a property in protocol/fuzz/artifacts. RUSTC_BOOTSTRAP lets the
# stable compiler take the options of a fuzzer's build. No sanitizer: we have no `unsafe`, and go faster.
fuzz: export RUSTC_BOOTSTRAP = 1
fuzz: SECONDS ?= 60
fuzz: TARGETS ?= $$(cargo fuzz list --fuzz-dir protocol/fuzz)
fuzz: ## every fuzz target for a minute, from the committed seeds on
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	@cargo fuzz build --fuzz-dir protocol/fuzz --sanitizer none
	@for target in $(TARGETS); do \
		echo "== $$target, $(SECONDS) s"; mkdir -p protocol/fuzz/corpus/$$target; \
		cargo fuzz run --fuzz-dir protocol/fuzz --sanitizer none $$target \
			protocol/fuzz/corpus/$$target protocol/fuzz/seeds/$$target -- \
			-max_total_time=$(SECONDS) -timeout=10 -verbosity=0 -print_final_stats=1 || exit 1; \
	done

# Two commands are the whole set-up: `make run` starts the gateway, `make test` runs every test.

CARGO ?= cargo
TOOLS := target/tools

.PHONY: run test bench build fuzz clean-demo help

help:
	@echo "make run    build and start on gateway.yaml, with demonstration credentials"
	@echo "make test   formatting, lints, licences and advisories, unit and end-to-end tests, a smoke run of the fuzz targets"
	@echo "make bench  benchmarks of the decision and of the whole gateway"
	@echo "make fuzz   every fuzz target for a minute, with a nightly toolchain"

run: build
	target/release/portcullis demo
	target/release/portcullis run

build:
	scripts/install build
	$(CARGO) build --release --locked

test:
	scripts/install build test
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- --deny warnings
	scripts/deny
	scripts/deploy
	scripts/nextest
	scripts/fuzz-smoke

bench:
	scripts/install build test
	$(CARGO) bench --locked

fuzz:
	scripts/fuzz 60

clean-demo:
	rm -rf demo

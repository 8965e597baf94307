# Two commands are the whole set-up: `make run` starts the gateway, `make test` runs every test.

CARGO ?= cargo
TOOLS := target/tools

.PHONY: run test release deb bench bench-gateway bench-scale bench-soak bench-tail build fuzz clean-demo help

help:
	@echo "make run    build and start on gateway.yaml, with demonstration credentials"
	@echo "make test   formatting, lints, licences and advisories, unit and end-to-end tests, a smoke run of the fuzz targets"
	@echo "make release        a faster gateway, laid out by a profile of its own work; takes three builds"
	@echo "make deb            that gateway as a package for Debian; takes cargo-deb"
	@echo "make bench  what a request costs, beside HAProxy, nginx and Envoy; BENCH_SECONDS=1 BENCH_ROUNDS=1 for a first impression"
	@echo "make bench-scale    how costs grow with routes, keys, revocations, tokens, connections, threads and bytes"
	@echo "make bench-soak     whether memory grows over SOAK_MINUTES=20 in which everything changes all the time"
	@echo "make bench-tail     how long requests take while policies, keys and revocations change and people log in"
	@echo "make bench-gateway  benchmarks of the decision, of the gateway by itself, and under floods"
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

release:
	scripts/install build release
	scripts/release

# The last build of scripts/release is where cargo-deb looks for one that is given to it.
deb: release
	CARGO_TARGET_DIR=target/optimised/build $(CARGO) deb --no-build --target "$$(rustc -vV | sed -n 's/^host: //p')" --output target/debian/

bench:
	scripts/install build bench
	$(CARGO) bench --locked --bench comparison

bench-scale:
	scripts/install build test
	$(CARGO) bench --locked --bench scale

bench-soak:
	scripts/install build test
	$(CARGO) bench --locked --bench soak

bench-tail:
	scripts/install build test
	$(CARGO) bench --locked --bench tail

bench-gateway:
	scripts/install build
	$(CARGO) bench --locked --bench decision --bench end_to_end --bench floods

fuzz:
	scripts/fuzz 60

clean-demo:
	rm -rf demo

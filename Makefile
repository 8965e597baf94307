# Two commands are the whole set-up: `make run` starts the gateway, `make test` runs every test.

CARGO ?= cargo
TOOLS := target/tools

.PHONY: run test check lint unit e2e docs release deb bench bench-gateway bench-scale bench-soak bench-tail build fuzz clean-demo help

help:
	@echo "make run            build and start on gateway.yaml, with demonstration credentials"
	@echo "make test           everything that CI runs: lints, licences and advisories, all tests, a smoke run of the fuzz targets"
	@echo "make check          compile without linking"
	@echo "make lint           formatting, Clippy, licences and advisories of dependencies"
	@echo "make unit           unit tests of the library"
	@echo "make e2e T=NAME     end-to-end tests whose name contains NAME"
	@echo "make docs           regenerate the schema and the reference, and test documents and examples"
	@echo "make release        a build with profile-guided optimization; takes three builds"
	@echo "make deb            that build as a Debian package; takes cargo-deb"
	@echo "make bench          what a request costs beside HAProxy, nginx and Envoy; BENCH_SECONDS=1 BENCH_ROUNDS=1 for a first impression"
	@echo "make bench-scale    how costs grow with routes, keys, revocations, tokens, connections, threads and bytes"
	@echo "make bench-soak     whether memory grows over SOAK_MINUTES=20 of constant change"
	@echo "make bench-tail     latency percentiles during reloads, key rotation, revocations and logins"
	@echo "make bench-gateway  benchmarks of the decision, of the gateway by itself, and under floods"
	@echo "make fuzz           every fuzz target for a minute, with a nightly toolchain"
	@echo "make clean-demo     remove the demonstration credentials"

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

check:
	scripts/install build
	$(CARGO) check --all-targets --locked

lint:
	scripts/install build
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --locked -- --deny warnings
	scripts/deny

unit:
	scripts/install build test
	scripts/nextest --lib

e2e:
	@test -n "$(T)" || { echo "usage: make e2e T=NAME, such as make e2e T=rotation" >&2; exit 2; }
	scripts/install build test
	scripts/nextest --test it -E 'test($(T))'

docs:
	scripts/install build
	$(CARGO) build --locked
	target/debug/portcullis schema > gateway.schema.json
	target/debug/portcullis schema --markdown > docs/reference.md
	scripts/nextest --test documents --test examples

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

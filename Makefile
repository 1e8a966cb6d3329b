# Everything is built in the release profile and, beyond `run`, for the whole workspace: cargo then builds each dependency once.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run check test test-golden test-data bench libtorch venv clean

PYTHON ?= python3
CARGO ?= cargo
RELEASE := --release --workspace
# What the program `engine` classifies in `make run`.
RECORDS ?= fixtures/records

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## classify the fixture records with the embedded model (needs Rust and a C compiler)
	$(CARGO) run --release --bin engine -- classify $(RECORDS)

check: libtorch ## format, lints, documentation, and the engine without its default features
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(RELEASE) --locked --all-targets -- -D warnings
	$(CARGO) clippy $(RELEASE) --locked --no-default-features --lib -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(RELEASE) --locked --no-deps

test: libtorch venv ## every test but the slow ones; prints how many golden numbers were compared
	$(CARGO) test $(RELEASE)

test-golden: libtorch venv ## all golden numbers, with ECG_ICENTIA_DIR naming patients of Icentia11k and ECG_GOLDEN_DIR their numbers
	@test -n "$(ECG_ICENTIA_DIR)" || { echo "test-golden: set ECG_ICENTIA_DIR to the patients of Icentia11k, and ECG_GOLDEN_DIR to golden numbers that have them" >&2; exit 1; }
	$(CARGO) test $(RELEASE) --tests -- --ignored golden

test-data: libtorch venv ## the tests on the full PhysioNet/CinC 2017 training set, which ECG_DATA_DIR names
	@test -n "$(ECG_DATA_DIR)" || { echo "test-data: set ECG_DATA_DIR to the unpacked training set" >&2; exit 1; }
	ECG_DATA_DIR="$(abspath $(ECG_DATA_DIR))" $(CARGO) test $(RELEASE) --tests -- --ignored data

bench: libtorch ## the benchmarks
	$(CARGO) bench --workspace --bench '*'

libtorch: ## fetch libtorch into the user's cache folder (nothing to do where LIBTORCH names one)
	@test -n "$(LIBTORCH)" || $(PYTHON) scripts/fetch_libtorch.py

venv: ## install ONNX Runtime into the user's cache folder
	@$(PYTHON) scripts/make_venv.py

clean: ## remove what was built here; the cache folder stays
	$(CARGO) clean
	rm -f .libtorch .venv

# Everything is built in the release profile and, beyond `run`, for the whole workspace: cargo then builds each dependency once.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run check test test-golden test-icentia test-data bench kernels cuda-matrix gpu-bundle libtorch venv clean

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

test-golden: libtorch venv ## the golden numbers of all ten networks; ECG_GOLDEN_DIR names another set of them
	$(CARGO) test $(RELEASE) --tests -- --ignored golden

test-icentia: libtorch venv ## Icentia11k: ECG_ICENTIA_DIR names its patients, ECG_GOLDEN_DIR a set of golden numbers that has them
	@test -n "$(ECG_ICENTIA_DIR)" || { echo "test-icentia: set ECG_ICENTIA_DIR to a folder with 00010_batched.pkl.gz and its like" >&2; exit 1; }
	ECG_ICENTIA_DIR="$(abspath $(ECG_ICENTIA_DIR))" $(CARGO) test $(RELEASE) --tests -- --ignored icentia11k

test-data: libtorch venv ## the tests on the full PhysioNet/CinC 2017 training set, which ECG_DATA_DIR names
	@test -n "$(ECG_DATA_DIR)" || { echo "test-data: set ECG_DATA_DIR to the unpacked training set" >&2; exit 1; }
	ECG_DATA_DIR="$(abspath $(ECG_DATA_DIR))" $(CARGO) test $(RELEASE) --tests -- --ignored data

bench: libtorch venv ## the benchmarks
	$(CARGO) bench --workspace --bench '*'

kernels: ## compile the CUDA kernels into the cache folder, no GPU needed; RECORD=1 renews cuda/resources.csv
	@$(PYTHON) cuda/tools/compile.py $(if $(RECORD),--record)

cuda-matrix: libtorch ## every order, type and size of the CUDA kernels on their host build
	$(CARGO) test $(RELEASE) --test proof -- --ignored matrix

gpu-bundle: libtorch kernels ## pack what proves and times the CUDA kernels on a machine with a GPU, into target/gpu-bundle.tar.gz
	$(PYTHON) cuda/tools/bundle.py

libtorch: ## fetch libtorch into the user's cache folder (nothing to do where LIBTORCH names one)
	@test -n "$(LIBTORCH)" || $(PYTHON) scripts/fetch_libtorch.py

venv: ## install ONNX Runtime into the user's cache folder
	@$(PYTHON) scripts/make_venv.py

clean: ## remove what was built here; the cache folder stays
	$(CARGO) clean
	rm -f .libtorch .venv .cuda-kernels

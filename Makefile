# What runs here is built in the release profile, and for the whole workspace: cargo then builds each dependency once for each set of features.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run engine check test test-golden test-icentia test-data test-pytorch test-aarch64 valgrind bench kernels cuda-matrix gpu-bundle gpu-data libtorch venv clean

PYTHON ?= python3
CARGO ?= cargo
RELEASE := --release --workspace
# Inference on a GPU, which is off unless asked for.
CUDA := dualnet-engine/cuda,dualnet-export/cuda
TARGET := $(or $(CARGO_TARGET_DIR),target)
RESULTS ?= benches/results/$(shell date -u +%F).md
# Those that need no GPU.
BENCHES := $(patsubst benches/benches/%.rs,--bench %,$(wildcard benches/benches/*.rs))
# Cargo runs tests and benchmarks in the folders of their packages: what is named from here becomes absolute. Blanks in it divide nothing.
absolute := for name in ECG_GOLDEN_DIR ECG_DATA_DIR ECG_ICENTIA_DIR ECG_RECORDS_DIR ECG_ORIGINAL_CODE ECG_ENGINE; do eval "value=\$${$$name-}"; \
	[ -z "$$value" ] || export "$$name=$$(realpath -m -- "$$value")"; done;
# The same for programs that are looked for; a link stays, by which a virtual environment is known.
absolute += for name in ECG_PYTHON ECG_PEER_PYTHON; do eval "value=\$${$$name-}"; \
	[ -z "$$value" ] || export "$$name=$$(realpath -s -m -- "$$(command -v -- "$$value" || echo "$$value")")"; done;
cargo_test = $(absolute) set -x; $(CARGO) test $(RELEASE)
# What the program `engine` classifies in `make run`.
RECORDS ?= fixtures/records

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

run: ## classify the fixture records with the embedded model (needs Rust and a C compiler)
	$(CARGO) build $(RELEASE) --bin engine
	$(TARGET)/release/engine classify $(RECORDS)

engine: ## the program as it is shipped, small and quick to start: minutes of linking
	$(CARGO) build --profile dist --workspace --locked --bin engine
	@ls -l $(TARGET)/dist/engine | awk '{ printf "%s: %.1f MB\n", $$NF, $$5 / 1e6 }'

check: libtorch ## format, lints, documentation, and the engine with CUDA, without its default features and under the fuzzer
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(RELEASE) --locked --all-targets -- -D warnings
	$(CARGO) clippy $(RELEASE) --locked --features $(CUDA) --lib --bins --test gpu --bench gpu -- -D warnings
	$(CARGO) clippy $(RELEASE) --locked --no-default-features --lib -- -D warnings
	$(CARGO) clippy --release --locked --manifest-path engine/fuzz/Cargo.toml --target-dir $(TARGET) -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(RELEASE) --locked --no-deps

test: libtorch venv kernels ## every test but the slow ones; prints how many golden numbers were compared
	@$(cargo_test)
	@$(cargo_test) --features $(CUDA) --test gpu

test-golden: libtorch venv ## the golden numbers of all ten networks; ECG_GOLDEN_DIR names another set of them
	@$(cargo_test) --tests -- --ignored golden

test-icentia: libtorch venv ## Icentia11k: ECG_ICENTIA_DIR names its patients, ECG_GOLDEN_DIR a set of golden numbers that has them
	@test -n "$$ECG_ICENTIA_DIR" || { echo "test-icentia: set ECG_ICENTIA_DIR to a folder with 00010_batched.pkl.gz and its like" >&2; exit 1; }
	@test -n "$$ECG_GOLDEN_DIR" || { echo "test-icentia: set ECG_GOLDEN_DIR to a set of golden numbers with icentia11k.json in it" >&2; exit 1; }
	@$(cargo_test) --tests -- --ignored icentia11k

test-data: libtorch venv ## the tests on the full PhysioNet/CinC 2017 training set, which ECG_DATA_DIR names
	@test -n "$$ECG_DATA_DIR" || { echo "test-data: set ECG_DATA_DIR to the unpacked training set" >&2; exit 1; }
	@$(cargo_test) --tests -- --ignored data

test-pytorch: libtorch ## PyTorch, safetensors and TensorBoard open what runs write, and torchrun starts them; ECG_PEER_PYTHON names a Python that has them
	@test -n "$$ECG_PEER_PYTHON" || { echo "test-pytorch: set ECG_PEER_PYTHON to a Python with torch, safetensors and tensorboard" >&2; exit 1; }
	@$(cargo_test) --test pytorch -- --ignored

# Golden networks with the answers they must give, in a folder that goes away with the shell.
with_files = $(absolute) folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	ECG_MODEL_DIR=$$folder $(CARGO) test $(RELEASE) --test golden_onnx -- --ignored files_for_another_processor &&

test-aarch64: ## cross-build the engine for 64-bit Arm; kernels and golden networks under qemu (root installs what is missing)
	@$(with_files) $(PYTHON) scripts/test_aarch64.py $$folder

valgrind: libtorch ## kernels and golden networks under valgrind: AVX2 and portable, which is what it knows
	@$(with_files) $(PYTHON) scripts/valgrind.py $$folder

bench: libtorch venv engine ## the benchmarks; tables with peers are appended to benches/results
	@revision=$$(git describe --always --dirty --abbrev=12 --exclude='*'); \
		{ echo; date -u '+# %F %H:%M UTC'; echo "\`make bench\` at $$revision"; rustc --version; uptime | sed 's/.*load/load/'; } >> "$(RESULTS)"
	@$(absolute) export ECG_BENCH_RESULTS="$$(realpath -- "$(RESULTS)")"; set -x; $(CARGO) bench --workspace $(BENCHES)

kernels: ## compile the CUDA kernels into the cache folder, no GPU needed; RECORD=1 renews cuda/resources.csv
	@$(PYTHON) cuda/tools/compile.py $(if $(RECORD),--record)

cuda-matrix: libtorch ## every order, type and size of the CUDA kernels on their host build, unit tests with CUDA, networks as programs for a GPU, small ones run
	@$(cargo_test) --test proof -- --ignored matrix
	@$(cargo_test) --features $(CUDA) --lib
	@$(cargo_test) --features $(CUDA) --test gpu -- --ignored golden matrix

gpu-bundle: libtorch kernels ## pack what proves and times the CUDA kernels on a machine with a GPU, into target/gpu-bundle.tar.xz
	$(PYTHON) cuda/tools/bundle.py

gpu-data: ## pack the training set that ECG_DATA_DIR names for the bundle's `run.sh train`, into target/gpu-data.tar.gz
	@test -n "$$ECG_DATA_DIR" || { echo "gpu-data: set ECG_DATA_DIR to the unpacked training set" >&2; exit 1; }
	$(PYTHON) cuda/tools/bundle.py data "$$(realpath -m -- "$$ECG_DATA_DIR")"

libtorch: ## fetch libtorch into the user's cache folder (nothing to do where LIBTORCH names one)
	@test -n "$(LIBTORCH)" || $(PYTHON) scripts/fetch_libtorch.py

venv: ## install ONNX Runtime, which tests and benchmarks compare with, into the user's cache folder
	@$(PYTHON) scripts/make_venv.py

clean: ## remove what was built here; the cache folder stays
	$(CARGO) clean
	rm -f .libtorch .venv .cuda-kernels

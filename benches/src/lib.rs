//! Measurements of ECG-DualNet's parts: `make bench` runs them all, and
//! `cargo bench -p dualnet-benches --bench pau -- avx2` those of one file whose name contains a word.
//!
//! - `benches/engine.rs`: whole networks for one record, fused kernels (float and int8) beside tract and ONNX Runtime (float, its own int8, Relu
//!   for the Padé activation), and a table of the ratios; `ECG_BENCH_NETWORKS=dualnet-s,dualnet-xl` chooses networks.
//! - `benches/kernels.rs`: each fused kernel inside its network, float and int8, with criterion's statistics.
//! - `benches/layers.rs`: the same as one table: time, rate, share of the core's peak, which it measures beside them.
//! - `benches/process.rs`: from the start of the process to the answer.
//! - `benches/pau.rs`: the Padé activation unit, forward and backward, on every instruction set of this machine.
//! - `benches/signal.rs`: from a lead to the network's two inputs, and resampling.
//! - `benches/training.rs`: a step of training, its memory, and the preparation of an epoch, beside the original code where it is there.
//!
//! They read the records of `fixtures/` and need no GPU. All of them are linked against libtorch (`make libtorch`), since one package has one set of
//! libraries; `engine` and `process` need the Python of `make venv` too. The library is what they share: networks and records, ONNX Runtime, and what
//! a table says of itself. `results/` keeps what was measured, on which machine and when.

#[path = "../../export/tests/common/golden.rs"]
mod golden;
mod networks;
mod onnx_runtime;
mod results;

pub use golden::golden_file;
pub use networks::{NETWORKS, SECONDS, inputs, int8, networks, write_inputs};
pub use onnx_runtime::{OnnxRuntime, script};
pub use results::{processor, publish, setting, spread};

//! Measurements of ECG-DualNet's parts, with criterion: `cargo bench -p dualnet-benches` runs them all, and
//! `cargo bench -p dualnet-benches --bench pau -- avx2` those of one file whose name contains a word.
//!
//! - `benches/pau.rs`: the Padé activation unit, forward and backward, on every instruction set of this machine.
//! - `benches/signal.rs`: from a lead to the network's two inputs, and resampling.
//!
//! They read the records of `fixtures/` and need neither libtorch nor a GPU. The library itself is empty. Other
//! implementations measured beside ours, and a folder `results/` of what was measured, on which machine and when, belong
//! here and do not exist yet.

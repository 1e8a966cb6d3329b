//! The home of ECG-DualNet's CUDA kernels.
//!
//! There are none yet: the Padé activation runs on the CPU (`dualnet_engine::pau`), and a program that is asked for a CUDA
//! device says that it has none. What comes here is one `.cu` file per family of kernels beside its thin launcher: the Padé
//! activation forward and backward for the trainer, and the inference path for the engine.

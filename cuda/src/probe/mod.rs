//! Tensor-core products and exchanges of one block by themselves (`probe.cu`), for tests of the host build and of a GPU.

use crate::{Argument, Launch};

/// Formats of tensor-core products: i8 (16 × 32 by 32 × 8), f16 and bf16 (16 × 16 by 16 × 8).
pub const FORMATS: [&str; 3] = ["s8", "f16", "bf16"];

/// `d += a · b` for one warp and a format of [`FORMATS`]; u32 `a` `[32, 4]` and `b` `[32, 2]`, 32-bit `d` `[32, 4]`, as lanes hold them.
pub fn product<M>(format: &str, a: M, b: M, d: M) -> Launch<M> {
    launch(format!("probe_mma_{format}"), 32, 0, vec![a, b, d])
}

/// f32 `[128]` to f32 `[2, 128]`: backwards, then that shifted down by three lanes.
pub fn exchange<M>(values: M, out: M) -> Launch<M> {
    launch("probe_exchange".to_owned(), 128, 128 * 4, vec![values, out])
}

fn launch<M>(kernel: String, threads: u32, shared_bytes: u32, memory: Vec<M>) -> Launch<M> {
    Launch {
        family: "probe",
        kernel,
        blocks: 1,
        rows: 1,
        threads,
        shared_bytes,
        together: false,
        arguments: memory.into_iter().map(Argument::Memory).collect(),
    }
}

//! What the kernels' tests share.

use crate::simd::Isa;
use dualnet_fixtures::stream;

/// Every instruction set of this machine, or `ENGINE_ISA`'s alone when it names one.
pub(in crate::cpu) fn isas() -> Vec<Isa> {
    match std::env::var_os(Isa::VARIABLE) {
        Some(_) => vec![Isa::detect().expect("ENGINE_ISA names an instruction set of this machine")],
        None => Isa::available(),
    }
}

/// Reproducible numbers from −1 to 1.
pub(in crate::cpu) fn numbers(key: &str, count: usize) -> Vec<f32> {
    stream(key, count).into_iter().map(|value| value as f32).collect()
}

/// Reproducible whole numbers from −`largest` to `largest`.
pub(in crate::cpu) fn integers(key: &str, count: usize, largest: i16) -> Vec<i16> {
    let value = |value: f64| (value * f64::from(largest)).round() as i16;
    stream(key, count).into_iter().map(value).collect()
}

#[track_caller]
pub(in crate::cpu) fn within(isa: Isa, found: f32, expected: f64, bound: f64) {
    let difference = (f64::from(found) - expected).abs();
    assert!(
        difference <= bound,
        "{isa:?}: {found} instead of {expected}: {difference:e} beyond {bound:e}"
    );
}

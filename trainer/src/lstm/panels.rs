//! The recurrent weight in the order in which a step reads it, and the product with it.

// As in `steps`.
#![allow(clippy::needless_range_loop)]

use super::GATES;
use dualnet_engine::cpu::Aligned;
use dualnet_engine::simd::Simd;

/// Vectors of a panel, side by side: those of a unit's gates are in registers together.
pub(super) const VECTORS: usize = GATES;

/// A matrix `[depth, columns]` in panels of [`VECTORS`] vectors: of each panel the rows in turn.
pub(super) struct Panels {
    values: Aligned,
    /// Numbers of a panel.
    length: usize,
}

impl Panels {
    /// For the gates of a step from the outputs of the one before: a panel has the four gates of a vector of units.
    pub(super) fn of_outputs(lanes: usize, units: usize, recurrent: &[f32]) -> Self {
        Self::new(lanes, units, units / lanes, |row, panel, vector, lane| {
            recurrent[(vector * units + panel * lanes + lane) * units + row]
        })
    }

    /// For the gradients by the outputs of the step before from those by a step's gates: a panel has four vectors of units, or fewer and
    /// zeros.
    pub(super) fn of_gates(lanes: usize, units: usize, recurrent: &[f32]) -> Self {
        let panels = units.div_ceil(VECTORS * lanes);
        Self::new(lanes, GATES * units, panels, |row, panel, vector, lane| {
            let column = (panel * VECTORS + vector) * lanes + lane;
            if column < units {
                recurrent[row * units + column]
            } else {
                0.0
            }
        })
    }

    /// `value(row, panel, vector, lane)` in its place.
    fn new(lanes: usize, depth: usize, panels: usize, value: impl Fn(usize, usize, usize, usize) -> f32) -> Self {
        let width = VECTORS * lanes;
        let length = depth * width;
        let mut values = Aligned::zeros(panels * length);
        for (panel, values) in values.chunks_exact_mut(length).enumerate() {
            for (row, values) in values.chunks_exact_mut(width).enumerate() {
                for (vector, values) in values.chunks_exact_mut(lanes).enumerate() {
                    for (lane, to) in values.iter_mut().enumerate() {
                        *to = value(row, panel, vector, lane);
                    }
                }
            }
        }
        Self { values, length }
    }

    /// Panel number `index`.
    pub(super) fn panel(&self, index: usize) -> &[f32] {
        &self.values[index * self.length..(index + 1) * self.length]
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.values.len() / self.length
    }
}

/// `sums[r] + Σ left[k, r] · panel[k]` for `R` records, `left [depth, R]`, in the order of `k`.
#[inline(always)]
pub(super) fn product<S: Simd, const R: usize>(
    simd: S,
    left: &[f32],
    panel: &[f32],
    mut sums: [[S::Vector; VECTORS]; R],
) -> [[S::Vector; VECTORS]; R] {
    for (factors, row) in left.chunks_exact(R).zip(panel.chunks_exact(VECTORS * S::LANES)) {
        let mut vectors = [simd.splat(0.0); VECTORS];
        for v in 0..VECTORS {
            vectors[v] = simd.load(&row[v * S::LANES..(v + 1) * S::LANES]);
        }
        for r in 0..R {
            let factor = simd.splat(factors[r]);
            for v in 0..VECTORS {
                sums[r][v] = simd.mul_add(factor, vectors[v], sums[r][v]);
            }
        }
    }
    sums
}

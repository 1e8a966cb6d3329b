//! 3×3 convolutions by Winograd's minimal filtering (Lavin & Gray 2016): a tile of outputs costs one product per point instead of
//! nine per output.
//!
//! Along time a tile has 4 outputs (6 points), along frequency 4, or 2 (4 points) where the map is 2 wide. The points are 0, ±1, ±2, ∞
//! and 0, ±1, ∞. With inputs and weights of magnitude 1 an output of the 4×4 tile is within 1e-6·√(C_in) of the exact sum on average and
//! within 1e-4 relative to the largest output; the network's probabilities stay within 1e-5 (tests of both).
//!
//! The epilogue of the second transform runs while the tile is in registers: scale, shift, shortcut, Padé activation, pooling.

mod gradient;
mod input;
mod output;
#[cfg(test)]
mod tests;

pub(in crate::cpu) use gradient::{GradientTransform, unpack_gradient};
pub(in crate::cpu) use input::InputTransform;
pub(in crate::cpu) use output::{OutputTransform, PlainTransform, PoolTransform, Shortcut, StoreTransform};

use super::{PANEL, Packed, padded};
use crate::simd::{Isa, Kernel, Simd};

/// Outputs of a tile along time.
pub(in crate::cpu) const TILE_ROWS: usize = 4;
/// Points, and inputs, of a tile along time.
pub(in crate::cpu::kernels) const POINT_ROWS: usize = 6;
/// Tiles computed together: as many as the caches hold beside the weights they meet.
pub(in crate::cpu) const TILES: usize = 56;

/// How tiles divide the frequency axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cpu) enum Scheme {
    /// 4 outputs of 6 inputs.
    Four,
    /// 2 outputs of 4 inputs.
    Two,
}

impl Scheme {
    /// The cheaper one for a map of this width.
    pub(in crate::cpu) fn of(width: usize) -> Self {
        if width <= 2 { Self::Two } else { Self::Four }
    }

    /// Outputs of a tile along frequency.
    pub(in crate::cpu) fn outputs(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Two => 2,
        }
    }

    /// Products of a tile, per pair of channels.
    pub(in crate::cpu) fn points(self) -> usize {
        POINT_ROWS * (self.outputs() + 2)
    }
}

/// The rows of `G` of F(4, 3).
const FOUR: [[f64; 3]; 6] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
/// The rows of `G` of F(2, 3).
const TWO: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// The filters of a convolution at every point, `[inputs, outputs]` each; `weight(output, input, tap)` gives their taps, by rows along time.
pub(in crate::cpu) fn pack_filters(
    isa: Isa,
    scheme: Scheme,
    (inputs, outputs): (usize, usize),
    weight: impl Fn(usize, usize, usize) -> f32,
) -> Packed {
    let mut packed = Packed::zeros(scheme.points(), padded(inputs), outputs);
    fill_filters(isa, scheme, (inputs, outputs), weight, &mut packed);
    packed
}

/// [`pack_filters`] into memory that is there already; inputs and outputs are multiples of [`PANEL`].
pub(in crate::cpu) fn repack_filters(
    isa: Isa,
    scheme: Scheme,
    (inputs, outputs): (usize, usize),
    weight: impl Fn(usize, usize, usize) -> f32,
    packed: &mut Packed,
) {
    // Everything is overwritten, for nothing is padded.
    assert!(inputs.is_multiple_of(PANEL) && outputs.is_multiple_of(PANEL));
    packed.resize(scheme.points(), inputs, outputs);
    fill_filters(isa, scheme, (inputs, outputs), weight, packed);
}

fn fill_filters(
    isa: Isa,
    scheme: Scheme,
    (inputs, outputs): (usize, usize),
    weight: impl Fn(usize, usize, usize) -> f32,
    packed: &mut Packed,
) {
    isa.run(Pack {
        scheme,
        inputs,
        outputs,
        weight,
        packed,
    });
}

/// Plain loops over the lanes of a panel, which are compiled for each instruction set.
struct Pack<'a, W> {
    scheme: Scheme,
    inputs: usize,
    outputs: usize,
    weight: W,
    packed: &'a mut Packed,
}

impl<W: Fn(usize, usize, usize) -> f32> Kernel for Pack<'_, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for panel in 0..self.outputs.div_ceil(PANEL) {
            for input in 0..self.inputs {
                let mut filters = [[0.0; PANEL]; 9];
                for lane in 0..PANEL.min(self.outputs - panel * PANEL) {
                    for (tap, filter) in filters.iter_mut().enumerate() {
                        filter[lane] = (self.weight)(panel * PANEL + lane, input, tap);
                    }
                }
                transform_weights(self.scheme, &filters, |point, values| {
                    self.packed.lanes(point, panel, input).copy_from_slice(values);
                });
            }
        }
    }
}

/// The weights of a panel of filters at every point, row by row: `G g Gᵀ`, rounded once. `filters[tap]` holds a tap of each, taps by rows
/// along time.
#[inline(always)]
fn transform_weights(scheme: Scheme, filters: &[[f32; PANEL]; 9], mut store: impl FnMut(usize, &[f32; PANEL])) {
    let columns: &[[f64; 3]] = match scheme {
        Scheme::Four => &FOUR,
        Scheme::Two => &TWO,
    };
    for (i, row) in FOUR.iter().enumerate() {
        let mut along = [[0.0; PANEL]; 3];
        for (x, sums) in along.iter_mut().enumerate() {
            for lane in 0..PANEL {
                let taps = [filters[x][lane], filters[3 + x][lane], filters[6 + x][lane]].map(f64::from);
                sums[lane] = row[0] * taps[0] + row[1] * taps[1] + row[2] * taps[2];
            }
        }
        for (j, column) in columns.iter().enumerate() {
            let mut values = [0.0; PANEL];
            for lane in 0..PANEL {
                let value = column[0] * along[0][lane] + column[1] * along[1][lane] + column[2] * along[2][lane];
                values[lane] = value as f32;
            }
            store(i * columns.len() + j, &values);
        }
    }
}

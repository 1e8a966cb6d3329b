//! How a convolution is cut into blocks and warps.

use super::{Convolution, Extents, THREADS, pack, too_large};
use crate::{CudaError, operand};

/// Pixels of a warp's tile.
const TILE: usize = 64;
/// Warps of a block.
pub(super) const WARPS: usize = THREADS as usize / 32;
/// Pixels of the largest patch of a map that a block reads; `PATCH` in `residual.cu`.
const LARGEST_PATCH: usize = 672;
/// Shared memory for it: what remains of 48 KB beside the kernels' own.
const PATCH_BYTES: usize = 29 << 10;
/// The most channels of a patch at a time.
const DEEPEST: usize = 128;

/// How a convolution is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Columns of a tile: 2, 4 or 8. It has 64 pixels for each warp over pixels.
    pub columns: usize,
    /// Warps over pixels, and over tiles of 16 outputs; 4 over their product share the sums of each.
    pub warps: [usize; 2],
    /// Channels that a block has in shared memory at a time: a power of two that divides the inputs, or 32 for 16 inputs of 8 bits.
    pub depth: usize,
}

impl Convolution {
    /// Ways to cut it, from the one with the most reuse to the one with the most blocks.
    pub(super) fn tilings(&self) -> Vec<Tiling> {
        let Extents {
            width, inputs, outputs, ..
        } = self.extents;
        let covered = if self.pooled { width / 2 * 2 } else { width };
        let columns = [8, 4].into_iter().find(|&columns| columns <= covered).unwrap_or(2);
        let wide = [[1, 4], [2, 2], [4, 1]];
        let half = [[1, 2], [2, 1]];
        let suits = |warps: &[usize; 2]| outputs % (pack::GROUP * warps[1]) == 0;
        let first = |list: &[[usize; 2]]| list.iter().copied().find(suits);
        [first(&wide), first(&half), Some([1, 1])]
            .into_iter()
            .flatten()
            .filter_map(|warps| {
                let mut tiling = Tiling {
                    columns,
                    warps,
                    depth: 0,
                };
                tiling.depth = self.depth(&tiling, self.side, inputs)?;
                let shares = WARPS / (warps[0] * warps[1]);
                (shares == 1 || tiling.depth / operand::depth(self.precision) >= shares).then_some(tiling)
            })
            .collect()
    }

    /// The most channels of `inputs` that a patch of `side`×`side` taps can have at a time.
    pub(super) fn depth(&self, tiling: &Tiling, side: usize, inputs: usize) -> Option<usize> {
        let mut candidates = (0..).map(|halvings| DEEPEST >> halvings).take_while(|&depth| depth > 0);
        candidates.find(|&depth| self.holds(tiling, side, inputs, depth))
    }

    pub(super) fn holds(&self, tiling: &Tiling, side: usize, inputs: usize, depth: usize) -> bool {
        let step = operand::depth(self.precision);
        let patch = patch(tiling, side);
        depth.is_power_of_two()
            && (16 / self.precision.bytes()..=DEEPEST).contains(&depth)
            && depth.is_multiple_of(step)
            && inputs.next_multiple_of(step).is_multiple_of(depth)
            && patch <= LARGEST_PATCH
            && patch * self.stride(depth) * self.precision.bytes() <= PATCH_BYTES
    }

    /// Elements from a pixel of a patch to the next: an odd multiple of 32 bytes, so that no two lanes meet a bank of shared memory.
    pub(super) fn stride(&self, depth: usize) -> usize {
        let each = 32 / self.precision.bytes();
        let units = depth.div_ceil(each);
        (units + (units + 1) % 2) * each
    }

    /// Rows of all records one below another, with one or two that are none between them: zeros for 3×3 taps, and pairs stay pairs.
    fn rows(&self) -> usize {
        let Extents { records, height, .. } = self.extents;
        let pitch = match self.side {
            3 => height + 2 - height % 2,
            _ => height + height % 2,
        };
        records * pitch
    }

    pub(super) fn blocks(&self, tiling: &Tiling) -> usize {
        let [tiles, groups] = self.tiles(tiling);
        tiles * groups
    }

    /// Tiles over pixels, and over outputs.
    fn tiles(&self, tiling: &Tiling) -> [usize; 2] {
        let Extents { width, outputs, .. } = self.extents;
        let covered = if self.pooled { width / 2 * 2 } else { width };
        let rows = TILE * tiling.warps[0] / tiling.columns;
        [
            self.rows().div_ceil(rows) * covered.div_ceil(tiling.columns),
            outputs / (pack::GROUP * tiling.warps[1]),
        ]
    }

    pub(super) fn grid(&self) -> Result<[u32; 2], CudaError> {
        let [tiles, groups] = self.tiles(&self.tiling);
        match (i32::try_from(tiles), i32::try_from(self.rows())) {
            (Ok(tiles), Ok(_)) if groups <= 0xffff => Ok([tiles as u32, groups as u32]),
            _ => Err(too_large(self.extents)),
        }
    }
}

/// Pixels of the patch that a tile reads, whose rows are of odd length where they are short: see `stride`.
pub(super) fn patch(tiling: &Tiling, side: usize) -> usize {
    let columns = tiling.columns + side - 1;
    let pitch = if tiling.columns == 2 {
        columns / 2 * 2 + 1
    } else {
        columns
    };
    (TILE * tiling.warps[0] / tiling.columns + side - 1) * pitch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Element, Precision};

    /// Maps of the spectrogram encoders, with the widest and the narrowest channels: each has a tiling, in every precision, that fits
    /// shared memory, and small batches occupy more blocks than large ones need.
    #[test]
    fn every_map_of_the_networks_can_be_cut() {
        let maps = [(563, 33), (281, 16), (140, 8), (70, 4), (35, 2), (17, 1)];
        for precision in Precision::ALL {
            for ((height, width), (inputs, outputs)) in maps.into_iter().flat_map(|map| {
                [(16, 16), (16, 32), (64, 128), (512, 2048), (2048, 512)].map(|channels| (map, channels))
            }) {
                for (side, pooled) in [(3, false), (3, true), (1, false)] {
                    if pooled && width < 2 {
                        continue;
                    }
                    let cut = |records, processors| {
                        let extents = Extents {
                            records,
                            height,
                            width,
                            inputs,
                            outputs,
                        };
                        Convolution::new(precision, extents, side, pooled, processors).expect("a tiling")
                    };
                    let (few, many) = (cut(1, 132), cut(64, 132));
                    for cut in [few, many] {
                        let tiling = cut.tiling();
                        assert!(cut.holds(&tiling, side, inputs, tiling.depth), "{cut:?}");
                        assert!(cut.with_tiling(tiling).is_ok(), "{cut:?}");
                    }
                    let shares = |cut: &Convolution| WARPS / cut.tiling().warps.iter().product::<usize>();
                    assert!(shares(&few) >= shares(&many), "{few:?} {many:?}");
                }
            }
        }
    }

    #[test]
    fn what_the_kernels_cannot_do_is_refused() {
        let extents = Extents {
            records: 1,
            height: 35,
            width: 2,
            inputs: 32,
            outputs: 32,
        };
        let f16 = Precision::Float(Element::F16);
        let new = |extents, side| Convolution::new(f16, extents, side, false, 132);
        let fits = new(extents, 3).expect("a tiling");
        for (columns, warps, depth) in [
            (3, [1, 1], 16),
            (2, [1, 4], 16),
            (2, [1, 1], 8),
            (2, [1, 1], 64),
            (2, [3, 1], 16),
        ] {
            assert!(fits.with_tiling(Tiling { columns, warps, depth }).is_err());
        }
        assert!(new(extents, 5).is_err());
        for (records, height, inputs) in [
            (0, 35, 32),
            (1, 0, 32),
            (1, 35, 24),
            (usize::MAX, 35, 32),
            (1 << 25, 35, 32),
        ] {
            let extents = Extents {
                records,
                height,
                inputs,
                ..extents
            };
            assert!(new(extents, 3).is_err(), "{extents:?}");
        }
    }
}

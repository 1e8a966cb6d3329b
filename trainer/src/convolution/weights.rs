//! The gradient of a 3×3 convolution's weights.

use dualnet_engine::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;
use std::ops::Range;

/// Output channels that are summed side by side. With two vectors of input channels each, twelve sums fill AVX2's registers.
const TILE: usize = 6;
/// Output channels of one task.
const BLOCK: usize = 16 * TILE;
/// Positions, about, whose gradients and inputs are packed and used together.
const CHUNK: usize = 256;
/// Numbers of all partial sums together, about.
const PARTIAL: usize = 1 << 23;
/// Positions of the kernel.
const TAPS: usize = 9;

/// Extents of a convolution with 3×3 weights, padding 1 and stride 1 on channels-last maps.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Extents {
    pub(super) records: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Input channels, a multiple of the vectors' lanes.
    pub(super) inputs: usize,
    /// Output channels.
    pub(super) outputs: usize,
}

impl Extents {
    /// Positions of all maps.
    pub(super) fn positions(&self) -> usize {
        self.records * self.height * self.width
    }

    /// Numbers of the weights.
    pub(super) fn weights(&self) -> usize {
        self.outputs * TAPS * self.inputs
    }
}

/// Writes the gradient of the weights, `[outputs, 3, 3, inputs]`, from the input `x [records, height, width, inputs]` and the
/// gradient `grad_y [records, height, width, outputs]` that arrives.
///
/// The order of summation depends on the extents only, not on the number of threads.
///
/// # Panics
/// When a slice has another length than its extents say.
pub(super) fn weight_gradient(isa: Isa, extents: Extents, x: &[f32], grad_y: &[f32], out: &mut [f32]) {
    let Extents {
        records,
        height,
        width,
        inputs,
        outputs,
    } = extents;
    let pixels = height * width;
    assert_eq!(x.len(), extents.positions() * inputs, "length of x");
    assert_eq!(grad_y.len(), extents.positions() * outputs, "length of grad_y");
    assert_eq!(out.len(), extents.weights(), "length of the weights");
    if out.is_empty() {
        return;
    }
    let groups = (PARTIAL / out.len()).clamp(1, 32).min(records.max(1));
    let per_group = records.div_ceil(groups).max(1);
    let row = TAPS * inputs;
    let blocks = outputs.div_ceil(BLOCK);
    let partial: Vec<Vec<f32>> = (0..records.div_ceil(per_group) * blocks)
        .into_par_iter()
        .map(|task| {
            let (group, block) = (task / blocks, task % blocks);
            let channels = block * BLOCK..outputs.min((block + 1) * BLOCK);
            let mut sums = vec![0.0; channels.len() * row];
            let first = group * per_group;
            for record in first..records.min(first + per_group) {
                isa.run(Record {
                    extents,
                    channels: channels.clone(),
                    x: &x[record * pixels * inputs..][..pixels * inputs],
                    grad_y: &grad_y[record * pixels * outputs..][..pixels * outputs],
                    sums: &mut sums,
                });
            }
            sums
        })
        .collect();
    out.par_chunks_mut(BLOCK * row).enumerate().for_each(|(block, out)| {
        let mut total = vec![0.0; out.len()];
        for sums in partial.iter().skip(block).step_by(blocks) {
            for (total, &sum) in total.iter_mut().zip(sums) {
                *total += f64::from(sum);
            }
        }
        for (to, total) in out.iter_mut().zip(total) {
            *to = total as f32;
        }
    });
}

/// One record's terms for some output channels.
struct Record<'a> {
    extents: Extents,
    channels: Range<usize>,
    x: &'a [f32],
    grad_y: &'a [f32],
    /// `[channels, 3, 3, inputs]`.
    sums: &'a mut [f32],
}

impl Kernel for Record<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let Extents {
            height, width, inputs, ..
        } = self.extents;
        let rows = (CHUNK / width).clamp(1, height);
        let wide = 2 * S::LANES;
        let mut packed_x = vec![0.0; (rows + 2) * width * inputs];
        let mut packed_y = vec![0.0; rows * width * self.channels.len()];
        let mut top = 0;
        while top < height {
            let bottom = height.min(top + rows);
            let (above, below) = (top.saturating_sub(1), height.min(bottom + 1));
            let positions = above * width..below * width;
            let mut c = 0;
            while c < inputs {
                let lanes = wide.min(inputs - c);
                let panel = &mut packed_x[c * positions.len()..(c + lanes) * positions.len()];
                for (i, p) in positions.clone().enumerate() {
                    let mut at = 0;
                    while at < lanes {
                        let from = simd.load(&self.x[p * inputs + c + at..][..S::LANES]);
                        simd.store(from, &mut panel[i * lanes + at..][..S::LANES]);
                        at += S::LANES;
                    }
                }
                c += lanes;
            }
            self.pack(top, bottom, 0..width, &mut packed_y);
            for across in [1, 0, 2] {
                // A neighbour beyond the map's edge has no value; the next row's pixel in its place counts nothing.
                match across {
                    0 => self.clear(bottom - top, 0, &mut packed_y),
                    1 => {}
                    _ => {
                        self.pack(top, bottom, 0..1, &mut packed_y);
                        self.clear(bottom - top, width - 1, &mut packed_y);
                    }
                }
                for down in 0..3 {
                    let shift = (down * width + across) as isize - (width + 1) as isize;
                    // Those whose neighbour's place is packed; the others were dropped, or look beyond the map.
                    let least = (positions.start as isize - shift).max((top * width) as isize) as usize;
                    let most = (positions.end as isize - shift).clamp(0, (bottom * width) as isize) as usize;
                    if least >= most {
                        continue;
                    }
                    let count = most - least;
                    let from = (least as isize + shift) as usize - positions.start;
                    let chunk = (bottom - top) * width;
                    let mut o = 0;
                    while o < self.channels.len() {
                        let height = TILE.min(self.channels.len() - o);
                        let at = o * chunk + (least - top * width) * height;
                        let y = &packed_y[at..at + count * height];
                        let mut c = 0;
                        while c < inputs {
                            let lanes = wide.min(inputs - c);
                            let at = c * positions.len() + from * lanes;
                            let x = &packed_x[at..at + count * lanes];
                            let to = &mut self.sums[o * TAPS * inputs + (down * 3 + across) * inputs + c..];
                            let stride = TAPS * inputs;
                            match (lanes == wide, height) {
                                (true, 6) => tile::<S, 6, 2>(simd, y, x, to, stride),
                                (true, 5) => tile::<S, 5, 2>(simd, y, x, to, stride),
                                (true, 4) => tile::<S, 4, 2>(simd, y, x, to, stride),
                                (true, 3) => tile::<S, 3, 2>(simd, y, x, to, stride),
                                (true, 2) => tile::<S, 2, 2>(simd, y, x, to, stride),
                                (true, _) => tile::<S, 1, 2>(simd, y, x, to, stride),
                                (false, 6) => tile::<S, 6, 1>(simd, y, x, to, stride),
                                (false, 5) => tile::<S, 5, 1>(simd, y, x, to, stride),
                                (false, 4) => tile::<S, 4, 1>(simd, y, x, to, stride),
                                (false, 3) => tile::<S, 3, 1>(simd, y, x, to, stride),
                                (false, 2) => tile::<S, 2, 1>(simd, y, x, to, stride),
                                (false, _) => tile::<S, 1, 1>(simd, y, x, to, stride),
                            }
                            c += lanes;
                        }
                        o += height;
                    }
                }
            }
            top = bottom;
        }
    }
}

impl Record<'_> {
    /// Copies some columns of the rows from `top` on, by tiles of channels.
    #[inline(always)]
    fn pack(&self, top: usize, bottom: usize, columns: Range<usize>, packed: &mut [f32]) {
        let Extents { width, outputs, .. } = self.extents;
        let chunk = (bottom - top) * width;
        let mut o = 0;
        while o < self.channels.len() {
            let height = TILE.min(self.channels.len() - o);
            let panel = &mut packed[o * chunk..(o + height) * chunk];
            for row in 0..bottom - top {
                for column in columns.clone() {
                    let p = row * width + column;
                    let from = &self.grad_y[(top * width + p) * outputs + self.channels.start + o..][..height];
                    let to = &mut panel[p * height..(p + 1) * height];
                    // A length known beforehand spares a call.
                    match height {
                        TILE => to[..TILE].copy_from_slice(&from[..TILE]),
                        _ => to.copy_from_slice(from),
                    }
                }
            }
            o += height;
        }
    }

    /// Writes zeros into one column.
    #[inline(always)]
    fn clear(&self, rows: usize, column: usize, packed: &mut [f32]) {
        let Extents { width, .. } = self.extents;
        let mut o = 0;
        while o < self.channels.len() {
            let height = TILE.min(self.channels.len() - o);
            for row in 0..rows {
                let at = o * rows * width + (row * width + column) * height;
                packed[at..at + height].fill(0.0);
            }
            o += height;
        }
    }
}

/// Adds `Σ y ⊗ x` over positions of `ROWS` and `WIDE` vectors of numbers to `ROWS` rows of `to`.
#[inline(always)]
fn tile<S: Simd, const ROWS: usize, const WIDE: usize>(simd: S, y: &[f32], x: &[f32], to: &mut [f32], stride: usize) {
    let mut sums = [[simd.splat(0.0); WIDE]; ROWS];
    let count = y.len() / ROWS;
    for p in 0..count {
        let y = &y[p * ROWS..(p + 1) * ROWS];
        let x = &x[p * WIDE * S::LANES..(p + 1) * WIDE * S::LANES];
        let mut vectors = [simd.splat(0.0); WIDE];
        for w in 0..WIDE {
            vectors[w] = simd.load(&x[w * S::LANES..(w + 1) * S::LANES]);
        }
        for i in 0..ROWS {
            let factor = simd.splat(y[i]);
            for w in 0..WIDE {
                sums[i][w] = simd.mul_add(factor, vectors[w], sums[i][w]);
            }
        }
    }
    for i in 0..ROWS {
        let row = &mut to[i * stride..i * stride + WIDE * S::LANES];
        for w in 0..WIDE {
            let row = &mut row[w * S::LANES..(w + 1) * S::LANES];
            simd.store(simd.add(simd.load(row), sums[i][w]), row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_engine::simd::MAX_LANES;

    /// Integers, so that every order of summation gives the same bits.
    #[test]
    fn gradients_equal_the_sums_they_stand_for() {
        for (records, inputs, outputs, height, width) in [
            (2, 1, 18, 5, 3),
            (3, 1, 7, 1, 1),
            (2, 3, 16, 4, 2),
            (1, 2, 2, 300, 1),
            (40, 2, 100, 3, 33),
            (1, 1, 4, 2, 300),
        ] {
            let extents = Extents {
                records,
                height,
                width,
                inputs: inputs * MAX_LANES,
                outputs,
            };
            let inputs = extents.inputs;
            let value = |i: usize, salt: usize| ((i * 37 + salt) % 17) as f32 - 8.0;
            let x: Vec<f32> = (0..extents.positions() * inputs).map(|i| value(i, 3)).collect();
            let grad_y: Vec<f32> = (0..extents.positions() * outputs).map(|i| value(i, 8)).collect();
            let mut expected = vec![0.0; extents.weights()];
            for (at, expected) in expected.iter_mut().enumerate() {
                let (output, tap, input) = (at / inputs / TAPS, at / inputs % TAPS, at % inputs);
                for p in 0..extents.positions() {
                    let (row, column) = (p / width % height + tap / 3, p % width + tap % 3);
                    if (1..=height).contains(&row) && (1..=width).contains(&column) {
                        let neighbour = p + tap / 3 * width + tap % 3 - width - 1;
                        *expected += grad_y[p * outputs + output] * x[neighbour * inputs + input];
                    }
                }
            }
            for isa in Isa::available() {
                let mut out = vec![f32::NAN; extents.weights()];
                weight_gradient(isa, extents, &x, &grad_y, &mut out);
                assert_eq!(out, expected, "{isa:?} {extents:?}");
            }
        }
    }
}

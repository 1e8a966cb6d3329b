//! Convolutions of 8-bit maps, with what follows them.

use super::{SINGLE_ROWS, ShortcutOf, rows_of_tiles};
use crate::cpu::kernels::integer::{
    Added, Epilogue, IntegerScheme, Pairs, PointTransform, Points, Product, Results, Transform, integer_weights,
};
use crate::cpu::kernels::{Affine, Aligned, Operand, PAIRED_PATCH, PANEL, PATCH, TILE_ROWS, TILES, padded, patches};
use crate::cpu::network::Scratch;
use crate::cpu::network::map::{Map, Rows};
use crate::pau::rational::Rational;
use crate::plan::{self, Quantization};
use crate::simd::Isa;

/// A 3×3 convolution of 8-bit values, packed for maps of one width.
#[derive(Clone, Debug)]
pub(in crate::cpu::network) struct IntegerConvolution {
    way: Way,
    factors: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Way {
    /// Of one channel: `[PAIRED_PATCH, outputs]`.
    Single(Pairs<i16>),
    /// By Winograd's transforms: for each point `[inputs, outputs]`.
    Tiled(IntegerScheme, Pairs<i16>),
}

/// Whether a norm, with the factors in its scale, is defined for every sum there can be.
pub(in crate::cpu::network) fn defined(affine: Affine<'_>) -> bool {
    plan::keeps_sums_finite(affine.scale, affine.shift)
}

impl IntegerConvolution {
    /// The plan has checked the weights' sums.
    pub(super) fn new(convolution: &plan::Convolution<'_>, input: Quantization, width: usize) -> Self {
        let (inputs, outputs) = (convolution.inputs, convolution.outputs);
        let index = |output: usize, input: usize, tap: usize| (output * inputs + input) * 9 + tap;
        let byte = |output, input, tap| convolution.weight.byte(index(output, input, tap));
        let scales = (0..outputs).map(|output| input.scale * convolution.weight.scale_at(index(output, 0, 0)));
        if inputs == 1 {
            let weight = |tap: usize, output: usize| if tap < PATCH { byte(output, 0, tap).into() } else { 0 };
            return Self {
                way: Way::Single(Pairs::of(PAIRED_PATCH, outputs, weight)),
                factors: scales.collect(),
            };
        }
        let largest = convolution.weight.largest_row() * input.largest();
        let Some(scheme) = IntegerScheme::fitting(width, largest) else {
            unreachable!("a plan has checked the sums");
        };
        let mut packed = Pairs::zeros(scheme.0.points(), padded(inputs), outputs);
        // Outputs are neighbours in what is packed.
        for input in 0..inputs {
            for output in 0..outputs {
                let filter = std::array::from_fn(|tap| byte(output, input, tap));
                integer_weights(scheme, &filter, |point, value| {
                    packed.set((point, input, output), value)
                });
            }
        }
        Self {
            way: Way::Tiled(scheme, packed),
            factors: scales.map(|scale| scale / scheme.factor()).collect(),
        }
    }

    pub(super) fn outputs(&self) -> usize {
        match &self.way {
            Way::Single(weights) | Way::Tiled(_, weights) => weights.columns(),
        }
    }

    /// What a sum of each output is multiplied by.
    pub(super) fn factors(&self) -> &[f32] {
        &self.factors
    }

    /// As [`Convolution::activated`](super::Convolution::activated), `output` being reset.
    pub(super) fn activated(
        &self,
        isa: Isa,
        input: &Map,
        rows: &Rows,
        (affine, pau): (Affine<'_>, &Rational<6, 4>),
        output: &mut Map,
        scratch: &mut Scratch,
    ) {
        scratch.undefined |= !defined(affine);
        let (scheme, weights) = match &self.way {
            Way::Single(weights) => return single(isa, weights, input, rows, (affine, pau), output, scratch),
            Way::Tiled(scheme, weights) => (*scheme, weights),
        };
        let tiles = input.width.div_ceil(scheme.0.outputs());
        let step = rows_of_tiles(rows.height.div_ceil(TILE_ROWS), tiles, TILES) * TILE_ROWS;
        for first in (0..rows.height).step_by(step) {
            let count = step.min(rows.height - first);
            let around = rows.around(first, count.next_multiple_of(TILE_ROWS));
            let strides = products(isa, (scheme, weights), input, around, tiles, scratch);
            let starts: Vec<usize> = (first..first + count).map(|row| output.offset(row)).collect();
            isa.run(Transform {
                points: Points {
                    scheme,
                    products: &scratch.sums,
                    strides,
                    tiles,
                },
                affine,
                pau,
                added: Added::Nothing,
                rows: &starts,
                width: input.width,
                to: output.target(),
            });
        }
    }

    /// As [`Convolution::pooled`](super::Convolution::pooled), `output` being reset.
    #[expect(clippy::too_many_arguments, reason = "those of the float convolution, and its rows")]
    pub(super) fn pooled(
        &self,
        isa: Isa,
        input: &Map,
        rows: &Rows,
        (affine, pau): (Affine<'_>, &Rational<6, 4>),
        shortcut: &ShortcutOf<'_>,
        output: &mut Map,
        scratch: &mut Scratch,
    ) {
        scratch.undefined |= !defined(affine);
        let Way::Tiled(scheme, ref weights) = self.way else {
            unreachable!("a plan has a single channel in front of its first convolution only");
        };
        let (height, width) = (rows.height / 2, input.width / 2);
        let tiles = (2 * width).div_ceil(scheme.0.outputs());
        let step = rows_of_tiles((2 * height).div_ceil(TILE_ROWS), tiles, TILES) * TILE_ROWS;
        for first in (0..2 * height).step_by(step) {
            let count = step.min(2 * height - first);
            let whole = count.next_multiple_of(TILE_ROWS);
            let around = rows.around(first, whole);
            let strides = products(isa, (scheme, weights), input, around, tiles, scratch);
            let columns = tiles * scheme.0.outputs();
            let offsets = shortcut.rows(isa, first..first + whole, count, columns, scratch);
            let added = match (shortcut.projection, shortcut.input.quantization) {
                (None, Some(rounding)) => Added::Bytes(shortcut.input.bytes(), rounding.scale, &offsets),
                _ => Added::Floats(&scratch.shortcut, &offsets),
            };
            let starts: Vec<usize> = (first / 2..(first + count) / 2).map(|row| output.offset(row)).collect();
            isa.run(Transform {
                points: Points {
                    scheme,
                    products: &scratch.sums,
                    strides,
                    tiles,
                },
                affine,
                pau,
                added,
                rows: &starts,
                width,
                to: output.target(),
            });
        }
    }
}

/// The products of all points of some rows of tiles, in `scratch`; their strides.
fn products(
    isa: Isa,
    (scheme, weights): (IntegerScheme, &Pairs<i16>),
    input: &Map,
    rows: &[usize],
    tiles: usize,
    scratch: &mut Scratch,
) -> (usize, usize) {
    let count = (rows.len() - 2) / TILE_ROWS * tiles;
    // Cache lines more than a power of two, or all points would fall into the same few lines of the cache.
    let strides = |channels: usize, line: usize| (channels, count * channels + line);
    let (inputs, outputs) = (strides(input.channels, 2 * PANEL), strides(weights.columns(), PANEL));
    scratch.bytes.resize(scheme.0.points() * inputs.1);
    scratch.sums.resize(scheme.0.points() * outputs.1);
    isa.run(PointTransform {
        scheme,
        map: input.bytes(),
        rows,
        channels: input.channels,
        tiles,
        points: &mut scratch.bytes,
        strides: inputs,
    });
    scratch.a_rows.clear();
    scratch.a_rows.extend((0..count).map(|tile| tile * inputs.0));
    scratch.c_rows.clear();
    scratch.c_rows.extend((0..count).map(|tile| tile * outputs.0));
    isa.run(Product {
        batch: scheme.0.points(),
        a: &scratch.bytes,
        a_rows: Operand {
            rows: &scratch.a_rows,
            stride: inputs.1,
        },
        b: weights.view(),
        c: Results::Sums(&mut scratch.sums),
        c_rows: Operand {
            rows: &scratch.c_rows,
            stride: outputs.1,
        },
    });
    outputs
}

fn single(
    isa: Isa,
    weights: &Pairs<i16>,
    input: &Map,
    rows: &Rows,
    (affine, pau): (Affine<'_>, &Rational<6, 4>),
    output: &mut Map,
    scratch: &mut Scratch,
) {
    let (width, channels) = (input.width, weights.columns());
    for first in (0..rows.height).step_by(SINGLE_ROWS) {
        let last = (first + SINGLE_ROWS).min(rows.height);
        let pixels = (last - first) * width;
        let pairs = scratch.bytes.resize(pixels * PAIRED_PATCH);
        for (row, out) in (first..last).zip(pairs.chunks_exact_mut(PAIRED_PATCH * width)) {
            let mut around = [0; 3];
            around.copy_from_slice(rows.around(row, 1));
            patches::<PAIRED_PATCH, _>(input.bytes(), around, width, out);
        }
        scratch.a_rows.clear();
        scratch.a_rows.extend((0..pixels).map(|pixel| pixel * PAIRED_PATCH));
        scratch.c_rows.clear();
        scratch.c_rows.extend((0..pixels).map(|pixel| pixel * channels));
        scratch.sums.resize(pixels * channels);
        isa.run(Product {
            batch: 1,
            a: &scratch.bytes,
            a_rows: Operand::of(&scratch.a_rows),
            b: weights.view(),
            c: Results::Sums(&mut scratch.sums),
            c_rows: Operand::of(&scratch.c_rows),
        });
        let starts: Vec<usize> = (first..last).map(|row| output.offset(row)).collect();
        isa.run(Epilogue {
            sums: &scratch.sums,
            affine,
            pau,
            rows: &starts,
            width,
            to: output.target(),
        });
    }
}

/// A 1×1 convolution of 8-bit values, `[inputs, outputs]`, a single input beside a zero.
#[derive(Clone, Debug)]
pub(in crate::cpu::network) struct IntegerPointwise {
    weights: Pairs<i16>,
    scales: Aligned,
    zeros: Aligned,
}

impl IntegerPointwise {
    pub(in crate::cpu::network) fn new(convolution: &plan::Convolution<'_>, input: Quantization) -> Self {
        let inputs = convolution.inputs;
        let rows = if inputs == 1 { 2 } else { padded(inputs) };
        let weights = Pairs::of(rows, convolution.outputs, |row, output| match row < inputs {
            true => convolution.weight.byte(output * inputs + row).into(),
            false => 0,
        });
        let mut scales = Aligned::zeros(weights.columns());
        for (output, scale) in scales.iter_mut().take(convolution.outputs).enumerate() {
            *scale = input.scale * convolution.weight.scale_at(output * inputs);
        }
        Self {
            zeros: Aligned::zeros(scales.len()),
            weights,
            scales,
        }
    }

    pub(super) fn outputs(&self) -> usize {
        self.weights.columns()
    }

    /// The pixels at the offsets `from` to the offsets `to`.
    pub(in crate::cpu::network) fn run(&self, isa: Isa, pixels: &[i16], from: &[usize], out: &mut [f32], to: &[usize]) {
        isa.run(Product {
            batch: 1,
            a: pixels,
            a_rows: Operand::of(from),
            b: self.weights.view(),
            c: Results::Values(out, &self.scales, &self.zeros),
            c_rows: Operand::of(to),
        });
    }
}

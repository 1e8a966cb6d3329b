//! Convolutions of 8-bit maps, with what follows them.

use super::super::kernels::integer::{
    Added, Epilogue, IntegerScheme, PATCH, Pairs, PointTransform, Points, Product, Results, Transform, integer_patches,
    integer_weights,
};
use super::super::kernels::{Affine, Aligned, Operand, PANEL, TILE_ROWS, padded};
use super::Scratch;
use super::convolution::{Pointwise, SINGLE_ROWS, ShortcutOf, TILES, rows_of_tiles};
use super::map::{Map, Rows};
use crate::pau::rational::Rational;
use crate::plan::{self, Quantization};
use crate::simd::Isa;

/// A 3×3 convolution of 8-bit values, packed for maps of one width.
#[derive(Clone, Debug)]
pub(super) struct IntegerConvolution {
    way: Way,
    factors: Vec<f32>,
}

#[derive(Clone, Debug)]
enum Way {
    /// Of one channel: `[PATCH, outputs]`.
    Single(Pairs<i16>),
    /// By Winograd's transforms: for each point `[inputs, outputs]`.
    Tiled(IntegerScheme, Pairs<i16>),
}

/// Whether a norm, with the factors in its scale, is defined for every sum there can be.
pub(super) fn defined(affine: Affine<'_>) -> bool {
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
            let weight = |tap: usize, output: usize| if tap < 9 { byte(output, 0, tap).into() } else { 0 };
            return Self {
                way: Way::Single(Pairs::of(PATCH, outputs, weight)),
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

    /// As [`Convolution::activated`](super::convolution::Convolution::activated), `output` being reset.
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

    /// As [`Convolution::pooled`](super::convolution::Convolution::pooled), `output` being reset.
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
            let offsets = shortcut_rows(
                isa,
                shortcut,
                first..first + whole,
                count,
                tiles * scheme.0.outputs(),
                scratch,
            );
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
        let patches = scratch.bytes.resize(pixels * PATCH);
        for (row, out) in (first..last).zip(patches.chunks_exact_mut(PATCH * width)) {
            let mut around = [0; 3];
            around.copy_from_slice(rows.around(row, 1));
            integer_patches(input.bytes(), around, width, out);
        }
        scratch.a_rows.clear();
        scratch.a_rows.extend((0..pixels).map(|pixel| pixel * PATCH));
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

/// Offsets of the rows in `range` of what a residual block adds: in its input, or in `scratch.shortcut`, where their 1×1 convolution is
/// put in rows of `width` pixels for the first `count` of them.
fn shortcut_rows(
    isa: Isa,
    shortcut: &ShortcutOf<'_>,
    range: std::ops::Range<usize>,
    count: usize,
    width: usize,
    scratch: &mut Scratch,
) -> Vec<usize> {
    let (input, start) = (shortcut.input, range.start);
    let Some(Pointwise::Integer(projection)) = shortcut.projection else {
        return range.map(|row| shortcut.rows.left(row) + input.channels).collect();
    };
    let channels = projection.weights.columns();
    let offsets: Vec<usize> = (0..range.len()).map(|row| row * width * channels).collect();
    // Columns past the map are read with the tile they belong to.
    scratch.shortcut.resize(range.len() * width * channels).fill(0.0);
    scratch.a_rows.clear();
    scratch.c_rows.clear();
    for (row, offset) in offsets.iter().take(count).enumerate() {
        let from = shortcut.rows.left(start + row) + input.channels;
        for x in 0..width.min(input.width) {
            scratch.a_rows.push(from + x * input.channels);
            scratch.c_rows.push(offset + x * channels);
        }
    }
    projection.run(
        isa,
        input.bytes(),
        &scratch.a_rows,
        &mut scratch.shortcut,
        &scratch.c_rows,
    );
    offsets
}

/// A 1×1 convolution of 8-bit values, `[inputs, outputs]`, a single input beside a zero.
#[derive(Clone, Debug)]
pub(super) struct IntegerPointwise {
    weights: Pairs<i16>,
    scales: Aligned,
    zeros: Aligned,
}

impl IntegerPointwise {
    pub(super) fn new(convolution: &plan::Convolution<'_>, input: Quantization) -> Self {
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

    /// The pixels at the offsets `from` to the offsets `to`.
    pub(super) fn run(&self, isa: Isa, pixels: &[i16], from: &[usize], out: &mut [f32], to: &[usize]) {
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

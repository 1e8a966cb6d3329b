//! 3×3 convolutions of feature maps, with what follows them.

mod integer;

pub(super) use integer::{IntegerPointwise, defined};

use super::super::kernels::{
    Activate, Affine, Gemm, InputTransform, Operand, OutputTransform, PANEL, PATCH, Packed, PoolTransform, Scheme,
    Shortcut, StoreTransform, TILE_ROWS, TILES, pack_filters, padded, patches,
};
use super::Scratch;
use super::map::{Map, Rows};
use crate::pau::rational::Rational;
use crate::plan::{self, Quantization};
use crate::simd::Isa;
use integer::IntegerConvolution;
use std::ops::Range;

/// A 3×3 convolution, packed for maps of one width.
#[derive(Clone, Debug)]
pub(super) enum Convolution {
    /// Of one channel: `[9, outputs]`.
    Single(Packed),
    /// By Winograd's transforms: for each point `[inputs, outputs]`.
    Tiled(Scheme, Packed),
    /// Of 8-bit values.
    Integer(IntegerConvolution),
}

/// Tiles computed together, which the caches hold; twice as many where the weights are more than the caches hold, which every piece reads.
fn most_tiles(weights: &Packed) -> usize {
    /// At each of 36 points: 9 MB.
    const LARGE: usize = 1 << 16;
    if weights.rows() * weights.columns() >= LARGE {
        2 * TILES
    } else {
        TILES
    }
}

/// Rows of tiles computed together, about `most` tiles in pieces of equal size.
fn rows_of_tiles(rows: usize, tiles: usize, most: usize) -> usize {
    let pieces = (rows * tiles).div_ceil(most).max(1);
    rows.div_ceil(pieces).max(1)
}

/// Rows of single-channel pixels computed together.
const SINGLE_ROWS: usize = 4;

impl Convolution {
    pub(super) fn new(isa: Isa, convolution: &plan::Convolution<'_>, width: usize) -> Self {
        let (inputs, outputs) = (convolution.inputs, convolution.outputs);
        let weight =
            |output: usize, input: usize, tap: usize| convolution.weight.at((output * inputs + input) * 9 + tap);
        if let Some(input) = convolution.input {
            return Self::Integer(IntegerConvolution::new(convolution, input, width));
        }
        if inputs == 1 {
            return Self::Single(Packed::of(PATCH, outputs, |tap, output| weight(output, 0, tap)));
        }
        let scheme = Scheme::of(width);
        Self::Tiled(scheme, pack_filters(isa, scheme, (inputs, outputs), weight))
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Single(weights) | Self::Tiled(_, weights) => weights.columns(),
            Self::Integer(convolution) => convolution.outputs(),
        }
    }

    /// What its norm's scales are multiplied by.
    pub(super) fn factors(&self) -> Option<&[f32]> {
        match self {
            Self::Integer(convolution) => Some(convolution.factors()),
            _ => None,
        }
    }

    /// `F(scale·conv + shift)` of `rows`, as a map of the same extents, rounded like `output` says when this is of 8-bit values.
    pub(super) fn activated(
        &self,
        isa: Isa,
        input: &Map,
        rows: &Rows,
        epilogue: Epilogue<'_>,
        (output, rounding): (&mut Map, Option<Quantization>),
        scratch: &mut Scratch,
    ) {
        output.reset_as(rows.height, input.width, self.outputs(), rounding);
        match self {
            Self::Integer(convolution) => {
                convolution.activated(isa, input, rows, (epilogue.affine, epilogue.pau), output, scratch);
            }
            Self::Single(weights) => single(isa, weights, input, rows, epilogue, output, scratch),
            Self::Tiled(scheme, weights) => {
                let tiling = Tiling::new(*scheme, weights, (rows.height, input.width));
                for piece in tiling.pieces() {
                    let starts: Vec<usize> = piece.clone().map(|row| output.offset(row)).collect();
                    let source = (input, rows.around(piece.start, tiling.whole(&piece)));
                    let (outputs, _) = tiling.outputs(isa, source, epilogue.affine, (&starts, input.width), scratch);
                    isa.run(StoreTransform {
                        outputs,
                        pau: epilogue.pau,
                        out: output.data_mut(),
                    });
                }
            }
        }
    }

    /// The 2×2 means of `F(scale·conv + shift + shortcut)`, the shortcut made by `shortcut` for some rows at a time.
    pub(super) fn pooled(
        &self,
        isa: Isa,
        input: &Map,
        epilogue: Epilogue<'_>,
        shortcut: &ShortcutOf<'_>,
        (output, rounding): (&mut Map, Option<Quantization>),
        scratch: &mut Scratch,
    ) {
        let rows = input.all_rows();
        let (height, width) = (rows.height / 2, input.width / 2);
        output.reset_as(height, width, self.outputs(), rounding);
        let (scheme, weights) = match self {
            Self::Tiled(scheme, weights) => (scheme, weights),
            Self::Integer(convolution) => {
                let epilogue = (epilogue.affine, epilogue.pau);
                return convolution.pooled(isa, input, &rows, epilogue, shortcut, output, scratch);
            }
            Self::Single(_) => unreachable!("a plan has a single channel in front of its first convolution only"),
        };
        let tiling = Tiling::new(*scheme, weights, (2 * height, 2 * width));
        for piece in tiling.pieces() {
            let whole = tiling.whole(&piece);
            let columns = tiling.tiles * scheme.outputs();
            let range = piece.start..piece.start + whole;
            let shortcut_rows = shortcut.rows(isa, range, piece.len(), columns, scratch);
            let starts: Vec<usize> = (piece.start / 2..piece.end / 2).map(|row| output.offset(row)).collect();
            let source = (input, rows.around(piece.start, whole));
            let (outputs, made) = tiling.outputs(isa, source, epilogue.affine, (&starts, width), scratch);
            isa.run(PoolTransform {
                outputs,
                pau: epilogue.pau,
                shortcut: Shortcut {
                    map: if shortcut.projection.is_some() {
                        made
                    } else {
                        shortcut.input.data()
                    },
                    rows: &shortcut_rows,
                },
                out: output.data_mut(),
            });
        }
    }
}

/// What follows a convolution: scale, shift and activation.
#[derive(Clone, Copy)]
pub(super) struct Epilogue<'a> {
    pub(super) affine: Affine<'a>,
    pub(super) pau: &'a Rational<6, 4>,
}

/// How a convolution's outputs are divided into tiles, and rows of tiles into pieces that the caches hold.
#[derive(Clone, Copy)]
struct Tiling<'a> {
    scheme: Scheme,
    weights: &'a Packed,
    /// Tiles of a row.
    tiles: usize,
    height: usize,
    /// Rows of a piece, whole tiles of them.
    step: usize,
}

impl<'a> Tiling<'a> {
    fn new(scheme: Scheme, weights: &'a Packed, (height, width): (usize, usize)) -> Self {
        let tiles = width.div_ceil(scheme.outputs());
        Self {
            scheme,
            weights,
            tiles,
            height,
            step: rows_of_tiles(height.div_ceil(TILE_ROWS), tiles, most_tiles(weights)) * TILE_ROWS,
        }
    }

    fn pieces(self) -> impl Iterator<Item = Range<usize>> {
        let Self { height, step, .. } = self;
        (0..height)
            .step_by(step)
            .map(move |first| first..(first + step).min(height))
    }

    /// Rows of a piece, the last tiles' rows outside the map too.
    fn whole(self, piece: &Range<usize>) -> usize {
        piece.len().next_multiple_of(TILE_ROWS)
    }

    /// The products of all points for a piece, and what is to be done with them: `source` is the map and the offsets of the rows around the
    /// piece, `written` the offsets of the rows written and their width. The second is the buffer of shortcuts, as it was.
    fn outputs<'s>(
        self,
        isa: Isa,
        (input, rows): (&Map, &[usize]),
        affine: Affine<'s>,
        (starts, width): (&'s [usize], usize),
        scratch: &'s mut Scratch,
    ) -> (OutputTransform<'s>, &'s [f32]) {
        let Self {
            scheme, weights, tiles, ..
        } = self;
        let count = (rows.len() - 2) / TILE_ROWS * tiles;
        // A cache line more than a power of two, or all points would fall into the same few lines of the cache.
        let strides = |channels: usize| (channels, count * channels + PANEL);
        let (inputs, outputs) = (strides(input.channels), strides(weights.columns()));
        scratch.points.resize(scheme.points() * inputs.1);
        scratch.products.resize(scheme.points() * outputs.1);
        isa.run(InputTransform {
            scheme,
            map: input.data(),
            rows,
            channels: input.channels,
            tiles,
            points: &mut scratch.points,
            strides: inputs,
            panel: PANEL,
        });
        scratch.a_rows.clear();
        scratch.a_rows.extend((0..count).map(|tile| tile * inputs.0));
        scratch.c_rows.clear();
        scratch.c_rows.extend((0..count).map(|tile| tile * outputs.0));
        isa.run(Gemm {
            batch: scheme.points(),
            a: &scratch.points,
            a_rows: Operand {
                rows: &scratch.a_rows,
                stride: inputs.1,
            },
            b: weights.view(),
            bias: None,
            c: &mut scratch.products,
            c_rows: Operand {
                rows: &scratch.c_rows,
                stride: outputs.1,
            },
        });
        let transform = OutputTransform {
            scheme,
            products: &scratch.products,
            strides: outputs,
            tiles,
            affine,
            rows: starts,
            width,
        };
        (transform, &scratch.shortcut)
    }
}

fn single(
    isa: Isa,
    weights: &Packed,
    input: &Map,
    rows: &Rows,
    Epilogue { affine, pau }: Epilogue<'_>,
    output: &mut Map,
    scratch: &mut Scratch,
) {
    let (width, channels) = (input.width, weights.columns());
    for first in (0..rows.height).step_by(SINGLE_ROWS) {
        let last = (first + SINGLE_ROWS).min(rows.height);
        scratch.points.resize((last - first) * width * PATCH);
        scratch.a_rows.clear();
        scratch
            .a_rows
            .extend((0..(last - first) * width).map(|pixel| pixel * PATCH));
        scratch.c_rows.clear();
        for (row, out) in (first..last).zip(scratch.points.chunks_exact_mut(PATCH * width)) {
            let mut around = [0; 3];
            around.copy_from_slice(rows.around(row, 1));
            patches::<PATCH, _>(input.data(), around, width, out);
            let start = output.offset(row);
            scratch.c_rows.extend((0..width).map(|x| start + x * channels));
        }
        isa.run(Gemm {
            batch: 1,
            a: &scratch.points,
            a_rows: Operand::of(&scratch.a_rows),
            b: weights.view(),
            bias: None,
            c: output.data_mut(),
            c_rows: Operand::of(&scratch.c_rows),
        });
        for row in first..last {
            isa.run(Activate {
                pixels: output.row_mut(row),
                affine,
                shortcut: None,
                pau,
            });
        }
    }
}

/// What a residual block adds: rows of its input, or their 1×1 convolution.
pub(super) struct ShortcutOf<'a> {
    pub(super) input: &'a Map,
    pub(super) rows: &'a Rows,
    pub(super) projection: Option<&'a Pointwise>,
}

/// A 1×1 convolution, packed.
#[derive(Clone, Debug)]
pub(super) enum Pointwise {
    /// `[inputs, outputs]`.
    Float(Packed),
    /// Of 8-bit values.
    Integer(IntegerPointwise),
}

impl Pointwise {
    pub(super) fn new(convolution: &plan::Convolution<'_>) -> Self {
        match convolution.input {
            None => Self::Float(pointwise(convolution)),
            Some(input) => Self::Integer(IntegerPointwise::new(convolution, input)),
        }
    }

    fn outputs(&self) -> usize {
        match self {
            Self::Float(weights) => weights.columns(),
            Self::Integer(convolution) => convolution.outputs(),
        }
    }

    /// The pixels of `input` at the offsets `from` to the offsets `to`.
    fn run(&self, isa: Isa, input: &Map, from: &[usize], out: &mut [f32], to: &[usize]) {
        match self {
            Self::Float(weights) => isa.run(Gemm {
                batch: 1,
                a: input.data(),
                a_rows: Operand::of(from),
                b: weights.view(),
                bias: None,
                c: out,
                c_rows: Operand::of(to),
            }),
            Self::Integer(convolution) => convolution.run(isa, input.bytes(), from, out, to),
        }
    }
}

impl ShortcutOf<'_> {
    /// Offsets of the rows in `range`, of which the first `count` exist: in the input, or with a projection in `scratch.shortcut`, whose rows
    /// are `width` pixels long.
    fn rows(&self, isa: Isa, range: Range<usize>, count: usize, width: usize, scratch: &mut Scratch) -> Vec<usize> {
        let (input, start) = (self.input, range.start);
        let Some(projection) = self.projection else {
            return range.map(|row| self.rows.left(row) + input.channels).collect();
        };
        let channels = projection.outputs();
        let offsets: Vec<usize> = (0..range.len()).map(|row| row * width * channels).collect();
        let columns = width.min(input.width);
        // Rows and columns past the map are read with the tile they belong to.
        let made = scratch.shortcut.resize(range.len() * width * channels);
        made[count * width * channels..].fill(0.0);
        scratch.a_rows.clear();
        scratch.c_rows.clear();
        for (row, offset) in offsets.iter().take(count).enumerate() {
            made[offset + columns * channels..offset + width * channels].fill(0.0);
            let from = self.rows.left(start + row) + input.channels;
            for x in 0..columns {
                scratch.a_rows.push(from + x * input.channels);
                scratch.c_rows.push(offset + x * channels);
            }
        }
        projection.run(isa, input, &scratch.a_rows, &mut scratch.shortcut, &scratch.c_rows);
        offsets
    }
}

/// The weights of a 1×1 convolution, `[inputs, outputs]`.
pub(super) fn pointwise(convolution: &plan::Convolution<'_>) -> Packed {
    let inputs = convolution.inputs;
    let rows = if inputs == 1 { 1 } else { padded(inputs) };
    Packed::of(rows, convolution.outputs, |row, column| {
        if row < inputs {
            convolution.weight.at(column * inputs + row)
        } else {
            0.0
        }
    })
}

//! The axial block.
//!
//! Between its two ends it works on planes, `[channel][column][height]` with the height padded to whole panels: lines along time are
//! contiguous then, and lines along frequency lie side by side.
mod attention;
mod integer;
mod planar;

pub(super) use integer::{IntegerAxial, IntegerBuffers};

use super::Scratch;
use super::convolution::pointwise;
use super::fused_order;
use super::map::{Map, Rows};
use super::norm::Norm;
use crate::cpu::kernels::{Activate, ActivatePlanes, Affine, Gemm, Operand, Packed, padded};
use crate::pau::rational::Rational;
use crate::plan;
use crate::simd::Isa;
use attention::Attention;
use planar::{Extents, Planar, pool_planes};
use std::ops::Add;

#[derive(Clone, Debug)]
pub(super) struct Axial {
    input: Planar,
    input_norm: Norm,
    input_activation: Rational<6, 4>,
    attention: [Attention; 2],
    output: Packed,
    output_norm: Norm,
    projection: Option<Packed>,
    activation: Rational<6, 4>,
}

impl Axial {
    pub(super) fn new(block: &plan::AxialBlock<'_>, latent: usize) -> Self {
        let [time, frequency] = &block.attention;
        Self {
            input: Planar::new(&block.input_map, padded(block.input_map.inputs), None),
            input_norm: Norm::new(&block.input_norm, latent, None),
            input_activation: fused_order(&block.input_activation),
            attention: [Attention::new(time), Attention::new(frequency)],
            output: pointwise(&block.output_map),
            output_norm: Norm::new(&block.output_norm, latent, None),
            projection: match &block.shortcut {
                plan::Shortcut::Identity => None,
                plan::Shortcut::Projection(convolution) => Some(pointwise(convolution)),
            },
            activation: fused_order(&block.activation),
        }
    }

    /// `input` to `output`, half as high and wide.
    pub(super) fn run(&self, isa: Isa, latent: &[f32], input: &Map, output: &mut Map, scratch: &mut Scratch) {
        let (rows, distinct) = (input.all_rows(), input.distinct_rows());
        let extents_of = |rows: &Rows| Extents {
            height: rows.height,
            padded_height: padded(rows.height),
            width: input.width,
        };
        let (extents, short) = (extents_of(&rows), extents_of(&distinct));
        let [panels, planes, projected, maps, ..] = &mut scratch.floats;
        let mut buffers = [panels, projected, maps].map(std::mem::take);
        self.input.panels_of_map(input, &distinct, short, &mut buffers[0]);
        self.input.run(isa, &buffers[0], short.plane(), planes);
        isa.run(ActivatePlanes {
            planes,
            length: short.plane(),
            affine: self.input_norm.affine(isa, latent, &mut scratch.condition),
            pau: &self.input_activation,
        });
        let [time, frequency] = &self.attention;
        let short = (distinct.height < rows.height).then_some((short, distinct.stretch));
        time.run(isa, short, extents, planes, &mut buffers);
        frequency.run(isa, None, extents, planes, &mut buffers);

        let channels = self.attention[1].channels;
        let (height, width) = (extents.height / 2, extents.width / 2);
        output.reset(height, width, self.output.columns());
        let [first, second, third] = &mut buffers;
        let pooled = first.resize(height * width * channels);
        pool_planes(planes, channels, extents, pooled);
        let to: Vec<usize> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (y, x)))
            .map(|(y, x)| output.offset(y) + x * output.channels)
            .collect();
        product(isa, pooled, channels, &self.output, output.data_mut(), &to);

        let pooled_input = second.resize(height * width * input.channels);
        pool(
            input.data(),
            input.channels,
            &rows,
            (height, width),
            |sum| 0.25 * sum,
            pooled_input,
        );
        let shortcut: &[f32] = match &self.projection {
            None => pooled_input,
            Some(weights) => {
                let to: Vec<usize> = (0..height * width).map(|pixel| pixel * weights.columns()).collect();
                let projected = third.resize(to.len() * weights.columns());
                product(isa, pooled_input, input.channels, weights, projected, &to);
                projected
            }
        };
        let Affine { scale, shift } = self.output_norm.affine(isa, latent, &mut scratch.condition);
        let length = width * output.channels;
        for y in 0..height {
            isa.run(Activate {
                pixels: output.row_mut(y),
                affine: Affine { scale, shift },
                shortcut: Some(&shortcut[y * length..][..length]),
                pau: &self.activation,
            });
        }
        [scratch.floats[0], scratch.floats[2], scratch.floats[3]] = buffers;
    }
}

/// Every pixel of `pixels [.., channels]` times `weights`, to the offsets `to`.
fn product(isa: Isa, pixels: &[f32], channels: usize, weights: &Packed, out: &mut [f32], to: &[usize]) {
    let from: Vec<usize> = (0..to.len()).map(|pixel| pixel * channels).collect();
    isa.run(Gemm {
        batch: 1,
        a: pixels,
        a_rows: Operand::of(&from),
        b: weights.view(),
        bias: None,
        c: out,
        c_rows: Operand::of(to),
    });
}

/// `mean` of the sums of 2×2 pixels of a map, `[height, width, channels]`.
fn pool<T: Copy + Add<Output = T>>(
    map: &[T],
    channels: usize,
    rows: &Rows,
    (height, width): (usize, usize),
    mean: impl Fn(T) -> f32,
    out: &mut [f32],
) {
    for (index, pixel) in out.chunks_exact_mut(channels).take(height * width).enumerate() {
        let (y, x) = (index / width, index % width);
        let corner = |row: usize| &map[rows.left(row) + (2 * x + 1) * channels..][..2 * channels];
        let (above, below) = (corner(2 * y), corner(2 * y + 1));
        for (channel, value) in pixel.iter_mut().enumerate() {
            *value = mean(above[channel] + above[channels + channel] + below[channel] + below[channels + channel]);
        }
    }
}

//! The axial block.
//!
//! Between its two ends it works on planes, `[channel][column][height]` with the height padded to whole panels: lines along time are
//! contiguous then, and lines along frequency lie side by side.

use super::super::kernels::{
    Activate, ActivatePlanes, Affine, Aligned, Embeddings, Frequency, Gemm, Group, Operand, PANEL, Packed, Panels,
    TimeMaps, TimeOutputs, padded,
};
use super::Scratch;
use super::convolution::pointwise;
use super::map::{Map, Rows};
use super::norm::Norm;
use crate::pau::Pau;
use crate::plan::{self, Axis, GROUPS};
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Axial {
    input: Planar,
    input_norm: Norm,
    input_activation: Pau,
    attention: [Attention; 2],
    output: Packed,
    output_norm: Norm,
    projection: Option<Packed>,
    activation: Pau,
}

/// A 1×1 convolution that gives planes: `[outputs, inputs]`, a bias as the last input.
#[derive(Clone, Debug)]
struct Planar {
    weights: Aligned,
    /// The contraction's length.
    length: usize,
    /// The offsets of the outputs' weights.
    rows: Vec<usize>,
    biased: bool,
}

#[derive(Clone, Debug)]
struct Attention {
    axis: Axis,
    span: usize,
    channels: usize,
    projection: Planar,
    stride: usize,
    forward_queries: Aligned,
    maps: Aligned,
    /// For each group.
    values: Aligned,
    similarity: Vec<[f32; 3]>,
}

/// Extents of planes.
#[derive(Clone, Copy)]
struct Extents {
    height: usize,
    padded_height: usize,
    width: usize,
}

impl Extents {
    /// Elements of a plane, whole panels.
    fn plane(self) -> usize {
        self.padded_height * self.width
    }
}

impl Planar {
    fn new(convolution: &plan::Convolution<'_>, inputs: usize, bias: Option<plan::Weights<'_>>) -> Self {
        let length = inputs + usize::from(bias.is_some());
        let mut weights = Aligned::zeros(convolution.outputs * length);
        for (output, row) in weights.chunks_exact_mut(length).enumerate() {
            for (input, weight) in row.iter_mut().take(convolution.inputs).enumerate() {
                *weight = convolution.weight.at(output * convolution.inputs + input);
            }
            if let Some(bias) = bias {
                row[inputs] = bias.at(output);
            }
        }
        Self {
            rows: (0..convolution.outputs).map(|output| output * length).collect(),
            weights,
            length,
            biased: bias.is_some(),
        }
    }

    /// Every output's plane, of the pixels in `panels`.
    fn run(&self, isa: Isa, panels: &[f32], plane: usize, planes: &mut Aligned) {
        let starts: Vec<usize> = (0..self.rows.len()).map(|output| output * plane).collect();
        isa.run(Gemm {
            batch: 1,
            a: &self.weights,
            a_rows: Operand {
                rows: &self.rows,
                stride: 0,
            },
            b: Panels {
                data: panels,
                rows: self.length,
                panels: plane / PANEL,
            },
            bias: None,
            c: planes.resize(self.rows.len() * plane),
            c_rows: Operand {
                rows: &starts,
                stride: 0,
            },
        });
    }

    /// The pixels of a map as panels of this convolution's inputs.
    fn panels_of_map(&self, map: &Map, rows: &Rows, extents: Extents, panels: &mut Aligned) {
        let panels = panels.resize(extents.plane() * self.length);
        panels.fill(0.0);
        for x in 0..extents.width {
            for y in 0..extents.height {
                let from = rows.left(y) + (x + 1) * map.channels;
                let column = x * extents.padded_height + y;
                let to = column / PANEL * self.length * PANEL + column % PANEL;
                for (channel, &value) in map.data()[from..from + map.channels].iter().enumerate() {
                    panels[to + channel * PANEL] = value;
                }
            }
        }
    }

    /// Planes as panels of this convolution's inputs.
    fn panels_of_planes(&self, planes: &[f32], plane: usize, panels: &mut Aligned) {
        let panels = panels.resize(plane * self.length);
        for (index, panel) in panels.chunks_exact_mut(self.length * PANEL).enumerate() {
            for (channel, row) in panel.chunks_exact_mut(PANEL).enumerate() {
                if self.biased && channel + 1 == self.length {
                    row.fill(1.0);
                } else {
                    row.copy_from_slice(&planes[channel * plane + index * PANEL..][..PANEL]);
                }
            }
        }
    }
}

impl Attention {
    fn new(attention: &plan::AxialAttention<'_>) -> Self {
        let (span, gc) = (attention.span, attention.group_channels());
        let half = gc / 2;
        let length = 2 * span - 1;
        let stride = padded(span) + padded(span);
        let row = |channel: usize| (0..length).map(move |offset| attention.embeddings.at(channel * length + offset));
        let mut forward_queries = Aligned::zeros(half * stride);
        for (channel, to) in forward_queries.chunks_exact_mut(stride).enumerate() {
            to.iter_mut().zip(row(channel)).for_each(|(to, value)| *to = value);
        }
        let mut maps = Aligned::zeros(2 * half * stride);
        for (channel, to) in maps.chunks_exact_mut(stride).enumerate() {
            to.iter_mut()
                .zip(row(channel).rev())
                .for_each(|(to, value)| *to = value);
        }
        let mut values = Aligned::zeros(attention.channels * stride);
        for (channel, to) in values.chunks_exact_mut(stride).enumerate() {
            let factor = attention.position.at(channel);
            let embedding = row(2 * half + channel % gc).rev();
            to.iter_mut()
                .zip(embedding)
                .for_each(|(to, value)| *to = factor * value);
        }
        Self {
            axis: attention.axis,
            span,
            channels: attention.channels,
            projection: Planar::new(&attention.projection, attention.channels, Some(attention.bias)),
            stride,
            forward_queries,
            maps,
            values,
            similarity: (0..GROUPS)
                .map(|group| attention.similarity.map(|factors| factors.at(group)))
                .collect(),
        }
    }

    /// `planes`, in place.
    fn run(&self, isa: Isa, extents: Extents, planes: &mut Aligned, buffers: &mut [Aligned; 3]) {
        let [panels, projected, maps] = buffers;
        let plane = extents.plane();
        self.projection.panels_of_planes(planes, plane, panels);
        self.projection.run(isa, panels, plane, projected);
        planes.fill(0.0);
        let gc = self.channels / GROUPS;
        for (index, similarity) in self.similarity.iter().enumerate() {
            let group = Group {
                planes: &projected[index * 2 * gc * plane..][..2 * gc * plane],
                stride: plane,
                channels: gc,
                span: self.span,
                embeddings: Embeddings {
                    stride: self.stride,
                    forward_queries: &self.forward_queries,
                    maps: &self.maps,
                    values: &self.values[index * gc * self.stride..][..gc * self.stride],
                },
                similarity: *similarity,
            };
            let out = &mut planes[index * gc * plane..][..gc * plane];
            match self.axis {
                Axis::Time => along_time(isa, group, extents, maps, out),
                Axis::Frequency => isa.run(Frequency {
                    group,
                    height: extents.padded_height,
                    scratch: maps.resize(3 * PANEL * self.span * self.span),
                    out,
                }),
            }
        }
    }
}

fn along_time(isa: Isa, group: Group<'_>, extents: Extents, maps: &mut Aligned, out: &mut [f32]) {
    let (span, width) = (extents.height, extents.padded_height);
    let maps = maps.resize(3 * span * width);
    let (query_map, rest) = maps.split_at_mut(span * width);
    let (key_map, products) = rest.split_at_mut(span * width);
    let rows: Vec<usize> = (0..span).map(|i| i * width).collect();
    for column in 0..extents.width {
        let first = column * width;
        isa.run(TimeMaps {
            group,
            first,
            width,
            query_map,
            key_map,
        });
        isa.run(Gemm {
            batch: 1,
            a: query_map,
            a_rows: Operand { rows: &rows, stride: 0 },
            b: Panels {
                data: key_map,
                rows: span,
                panels: width / PANEL,
            },
            bias: None,
            c: products,
            c_rows: Operand { rows: &rows, stride: 0 },
        });
        isa.run(TimeOutputs {
            group,
            first,
            width,
            key_map,
            products,
            out,
        });
    }
}

impl Axial {
    pub(super) fn new(block: &plan::AxialBlock<'_>, latent: usize) -> Self {
        let [time, frequency] = &block.attention;
        Self {
            input: Planar::new(&block.input_map, padded(block.input_map.inputs), None),
            input_norm: Norm::new(&block.input_norm, latent, None),
            input_activation: block.input_activation.clone(),
            attention: [Attention::new(time), Attention::new(frequency)],
            output: pointwise(&block.output_map),
            output_norm: Norm::new(&block.output_norm, latent, None),
            projection: match &block.shortcut {
                plan::Shortcut::Identity => None,
                plan::Shortcut::Projection(convolution) => Some(pointwise(convolution)),
            },
            activation: block.activation.clone(),
        }
    }

    /// `input` to `output`, half as high and wide.
    pub(super) fn run(&self, isa: Isa, latent: &[f32], input: &Map, output: &mut Map, scratch: &mut Scratch) {
        let (Some(first_pau), Some(pau)) = (
            self.input_activation.published_order(),
            self.activation.published_order(),
        ) else {
            unreachable!("a plan has activations of the published order only");
        };
        let rows = input.all_rows();
        let extents = Extents {
            height: rows.height,
            padded_height: padded(rows.height),
            width: input.width,
        };
        let plane = extents.plane();
        let [panels, planes, projected, maps, ..] = &mut scratch.floats;
        let mut buffers = [panels, projected, maps].map(std::mem::take);
        self.input.panels_of_map(input, &rows, extents, &mut buffers[0]);
        self.input.run(isa, &buffers[0], plane, planes);
        isa.run(ActivatePlanes {
            planes,
            length: plane,
            affine: self.input_norm.affine(isa, latent, &mut scratch.condition),
            pau: first_pau,
        });
        for attention in &self.attention {
            attention.run(isa, extents, planes, &mut buffers);
        }

        let channels = self.attention[1].channels;
        let (height, width) = (extents.height / 2, extents.width / 2);
        output.reset(height, width, self.output.columns());
        let [first, second, third] = &mut buffers;
        let pooled = first.resize(height * width * channels);
        for channel in 0..channels {
            for x in 0..width {
                let column = |x: usize| &planes[channel * plane + x * extents.padded_height..][..extents.padded_height];
                let (left, right) = (column(2 * x), column(2 * x + 1));
                for y in 0..height {
                    let sum = left[2 * y] + right[2 * y] + left[2 * y + 1] + right[2 * y + 1];
                    pooled[(y * width + x) * channels + channel] = 0.25 * sum;
                }
            }
        }
        let to: Vec<usize> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (y, x)))
            .map(|(y, x)| output.offset(y) + x * output.channels)
            .collect();
        product(isa, pooled, channels, &self.output, output.data_mut(), &to);

        let pooled_input = second.resize(height * width * input.channels);
        pool(input, &rows, (height, width), pooled_input);
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
                pau,
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
        a_rows: Operand { rows: &from, stride: 0 },
        b: weights.view(),
        bias: None,
        c: out,
        c_rows: Operand { rows: to, stride: 0 },
    });
}

/// 2×2 means, `[height, width, channels]`.
fn pool(map: &Map, rows: &Rows, (height, width): (usize, usize), out: &mut [f32]) {
    let channels = map.channels;
    for (index, pixel) in out.chunks_exact_mut(channels).take(height * width).enumerate() {
        let (y, x) = (index / width, index % width);
        let corner = |row: usize| &map.data()[rows.left(row) + (2 * x + 1) * channels..][..2 * channels];
        let (above, below) = (corner(2 * y), corner(2 * y + 1));
        for (channel, value) in pixel.iter_mut().enumerate() {
            let sum = above[channel] + above[channels + channel] + below[channel] + below[channels + channel];
            *value = 0.25 * sum;
        }
    }
}

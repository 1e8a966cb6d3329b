//! The axial block on 8-bit values. Planes are laid out as in the float block; what it gives are floats.

use super::{Extents, pool, pool_planes};
use crate::cpu::kernels::integer::{
    Contraction, IntegerEmbeddings, IntegerFrequency, IntegerGroup, IntegerTimeMaps, IntegerTimeOutputs, KnownScratch,
    PairPanels, Pairs, PairsOfPlanes, PartRoundings, Planes, Product, Quantize, Results, RoundParts, Rounding, Values,
};
use crate::cpu::kernels::{Activate, Affine, Aligned, Buffer, Equal, Operand, PANEL, padded};
use crate::cpu::network::convolution::{IntegerPointwise, defined};
use crate::cpu::network::map::{Map, Rows};
use crate::cpu::network::norm::Norm;
use crate::cpu::network::{Scratch, fused_order};
use crate::pau::rational::Rational;
use crate::plan::{self, AxialRounding, Axis, GROUPS, Quantization};
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(in crate::cpu::network) struct IntegerAxial {
    input: Planar,
    input_norm: Norm,
    input_activation: Rational<6, 4>,
    attention: [Attention; 2],
    output: Pairs<i16>,
    output_rounding: Rounding,
    output_norm: Norm,
    projection: Option<(IntegerPointwise, Rounding)>,
    activation: Rational<6, 4>,
}

/// A 1×1 convolution that gives planes: `[outputs, inputs]`, and the factors of its sums.
#[derive(Clone, Debug)]
struct Planar {
    weights: Buffer<i16>,
    /// Inputs in whole panels: the contraction's length.
    length: usize,
    rows: Vec<usize>,
    factors: Vec<f32>,
    rounding: Rounding,
}

#[derive(Clone, Debug)]
struct Attention {
    axis: Axis,
    span: usize,
    channels: usize,
    projection: Planar,
    bias: Vec<f32>,
    parts: PartRoundings,
    stride: usize,
    forward_queries: Buffer<i16>,
    maps: [Buffer<i16>; 2],
    values: Buffer<i16>,
    map_factors: [f32; 2],
    map_roundings: [Rounding; 2],
    weight: Rounding,
    /// For each group.
    similarity: Vec<[f32; 3]>,
    value_factor: f32,
    /// For each channel.
    position_factors: Vec<f32>,
}

/// What a run needs beside floats.
#[derive(Debug, Default)]
pub(in crate::cpu::network) struct IntegerBuffers {
    panels: Buffer<i16>,
    queries: Buffer<i16>,
    keys: Buffer<i16>,
    values: Buffer<i16>,
    query_map: Buffer<i16>,
    key_map: Buffer<i16>,
    weights: Buffer<i16>,
    profiles: Buffer<i16>,
    products: Buffer<i32>,
    known: Buffer<i32>,
    sums: Buffer<i32>,
    row: Aligned,
}

impl Planar {
    fn new(convolution: &plan::Convolution<'_>, input: Quantization) -> Self {
        let (inputs, outputs) = (convolution.inputs, convolution.outputs);
        let length = padded(inputs);
        let mut weights = Buffer::zeros(outputs * length);
        for (output, row) in weights.chunks_exact_mut(length).enumerate() {
            for (input, weight) in row.iter_mut().take(inputs).enumerate() {
                *weight = convolution.weight.byte(output * inputs + input).into();
            }
        }
        let factor = |output: usize| input.scale * convolution.weight.scale_at(output * inputs);
        Self {
            weights,
            length,
            rows: (0..outputs).map(|output| output * length).collect(),
            factors: (0..outputs).map(factor).collect(),
            rounding: input.into(),
        }
    }

    /// The sums of every output's plane, of the pixels in `panels`.
    fn run(&self, isa: Isa, panels: &[i16], plane: usize, sums: &mut Buffer<i32>) {
        let starts: Vec<usize> = (0..self.rows.len()).map(|output| output * plane).collect();
        isa.run(Product {
            batch: 1,
            a: &self.weights,
            a_rows: Operand::of(&self.rows),
            b: PairPanels {
                data: panels,
                pairs: self.length / 2,
                panels: plane / PANEL,
            },
            c: Results::Sums(sums.resize(self.rows.len() * plane)),
            c_rows: Operand::of(&starts),
        });
    }

    /// The pixels of a map as panels of this convolution's inputs.
    fn panels_of_map(&self, map: &Map, rows: &Rows, extents: Extents, panels: &mut Buffer<i16>) {
        let panels = panels.resize(extents.padded_height * extents.width * self.length);
        panels.fill(0);
        for x in 0..extents.width {
            for y in 0..extents.height {
                let from = rows.left(y) + (x + 1) * map.channels;
                let column = x * extents.padded_height + y;
                let to = column / PANEL * self.length * PANEL + 2 * (column % PANEL);
                let pixel = map.bytes()[from..from + map.channels].as_chunks::<2>().0;
                for (pair, values) in pixel.iter().enumerate() {
                    panels[to + pair * 2 * PANEL..][..2].copy_from_slice(values);
                }
            }
        }
    }
}

impl Attention {
    fn new(attention: &plan::AxialAttention<'_>, input: Quantization, by: AxialRounding) -> Self {
        let (span, gc) = (attention.span, attention.group_channels());
        let (half, length) = (gc / 2, 2 * span - 1);
        let stride = 2 * padded(span);
        // The values the file's Gather and QuantizeLinear make, whatever their order.
        let row = |channel: usize, to: Quantization, reversed: bool| -> Vec<i16> {
            let low = -128 - i32::from(to.zero_point);
            let high = 127 - i32::from(to.zero_point);
            let value = |offset: usize| {
                let value = attention.embeddings.at(channel * length + offset) / to.scale;
                (value.round_ties_even().clamp(-512.0, 512.0) as i32).clamp(low, high) as i16
            };
            match reversed {
                true => (0..length).rev().map(value).collect(),
                false => (0..length).map(value).collect(),
            }
        };
        let pairs = |first: usize, to: Quantization, reversed: bool| {
            let mut out = Buffer::zeros(half.div_ceil(2) * stride * 2);
            for channel in 0..half {
                let start = channel / 2 * stride * 2 + channel % 2;
                for (offset, value) in row(first + channel, to, reversed).into_iter().enumerate() {
                    out[start + 2 * offset] = value;
                }
            }
            out
        };
        let mut values = Buffer::zeros(gc * stride);
        for (channel, to) in values.chunks_exact_mut(stride).enumerate() {
            let row = row(2 * half + channel, by.positions[1], true);
            to[..length].copy_from_slice(&row);
        }
        let scale = |by: [Quantization; 2]| by[0].scale * by[1].scale;
        let map_factors = [scale(by.queries), scale(by.keys)];
        let factors = [scale(by.maps), map_factors[0], map_factors[1]];
        let mut similarity = vec![factors; GROUPS];
        for (group, factors) in similarity.iter_mut().enumerate() {
            for (factor, stored) in factors.iter_mut().zip(&attention.similarity) {
                *factor *= stored.at(group);
            }
        }
        Self {
            axis: attention.axis,
            span,
            channels: attention.channels,
            projection: Planar::new(&attention.projection, input),
            bias: attention.bias.iter().collect(),
            parts: PartRoundings {
                query: by.queries[0].into(),
                key: by.keys[0].into(),
                value: by.values[1].into(),
            },
            stride,
            forward_queries: pairs(0, by.queries[1], false),
            maps: [pairs(0, by.queries[1], true), pairs(half, by.keys[1], true)],
            values,
            map_factors,
            map_roundings: by.maps.map(Rounding::from),
            weight: by.values[0].into(),
            similarity,
            value_factor: scale(by.values),
            position_factors: attention
                .position
                .iter()
                .map(|factor| factor * scale(by.positions))
                .collect(),
        }
    }

    /// The rounded pixels in `buffers.panels` to `planes`; `equal` are rows that are alike.
    fn run(&self, isa: Isa, extents: Extents, equal: Equal, planes: &mut [f32], buffers: &mut IntegerBuffers) {
        let plane = extents.plane();
        let IntegerBuffers {
            panels,
            queries,
            keys,
            values,
            query_map,
            key_map,
            weights,
            profiles,
            products,
            known,
            sums,
            row,
        } = buffers;
        self.projection.run(isa, panels, plane, sums);
        planes.fill(0.0);
        let gc = self.channels / GROUPS;
        let pairs_length = (gc / 2).div_ceil(2) * plane * 2;
        let (span, width) = (self.span, extents.padded_height);
        let pairs = span.div_ceil(2);
        for (index, similarity) in self.similarity.iter().enumerate() {
            let first = index * 2 * gc;
            let columns = match self.axis {
                Axis::Time => gc * plane,
                Axis::Frequency => 2 * gc * pairs * extents.padded_height,
            };
            let values = values.resize(columns);
            let (queries, keys) = (queries.resize(pairs_length), keys.resize(pairs_length));
            isa.run(RoundParts {
                sums: &sums[first * plane..][..2 * gc * plane],
                stride: plane,
                affine: Affine {
                    scale: &self.projection.factors[first..][..2 * gc],
                    shift: &self.bias[first..][..2 * gc],
                },
                channels: gc,
                roundings: self.parts,
                pairs: [&mut *queries, &mut *keys],
                values: match self.axis {
                    Axis::Time => Values::Plain(&mut *values),
                    Axis::Frequency => Values::Columns(&mut *values, extents.padded_height),
                },
            });
            let group = IntegerGroup {
                pairs: [&*queries, &*keys],
                values,
                stride: plane,
                channels: gc,
                span,
                embeddings: IntegerEmbeddings {
                    stride: self.stride,
                    forward_queries: &self.forward_queries,
                    maps: [&self.maps[0], &self.maps[1]],
                    values: &self.values,
                },
                map_factors: self.map_factors,
                map_roundings: self.map_roundings,
                similarity: *similarity,
                weight: self.weight,
                value_factor: self.value_factor,
                position_factors: &self.position_factors[index * gc..][..gc],
            };
            let out = &mut planes[index * gc * plane..][..gc * plane];
            if self.axis == Axis::Frequency {
                isa.run(IntegerFrequency {
                    group,
                    height: extents.padded_height,
                    sums: products.resize(2 * PANEL * span * span),
                    pairs: query_map.resize(2 * PANEL * (2 * span + 1) * pairs),
                    row: row.resize(PANEL * span),
                    out,
                });
                continue;
            }
            let contraction = Contraction::new(span, equal);
            let pairs = contraction.pairs();
            let rows: Vec<usize> = (0..span).map(|i| i * width).collect();
            let (query_map, key_map) = (query_map.resize(span * width), key_map.resize(pairs * 2 * width));
            let products = products.resize(span * width);
            let profiles = profiles.resize(contraction.profiles());
            let known = known.resize(contraction.sums());
            for column in 0..extents.width {
                let first = column * width;
                isa.run(IntegerTimeMaps {
                    group,
                    contraction,
                    first,
                    width,
                    query_map: &mut *query_map,
                    key_map: &mut *key_map,
                    known: KnownScratch {
                        profiles: &mut *profiles,
                        sums: &mut *known,
                    },
                });
                isa.run(Product {
                    batch: 1,
                    a: &*query_map,
                    a_rows: Operand::of(&rows),
                    b: PairPanels {
                        data: &*key_map,
                        pairs,
                        panels: width / PANEL,
                    },
                    c: Results::Sums(&mut *products),
                    c_rows: Operand::of(&rows),
                });
                isa.run(IntegerTimeOutputs {
                    group,
                    first,
                    width,
                    products: &*products,
                    known: contraction.known(known),
                    row: row.resize(width),
                    weights: weights.resize(width),
                    out: &mut *out,
                });
            }
        }
    }
}

impl IntegerAxial {
    /// `None` for a block of floats. What is rounded is rounded everywhere in a block: the plan has checked it.
    pub(in crate::cpu::network) fn new(block: &plan::AxialBlock<'_>, latent: usize) -> Option<Self> {
        let [time, frequency] = &block.attention;
        let input = Planar::new(&block.input_map, block.input_map.input?);
        let output_input = block.output_map.input?;
        let output_factors: Vec<f32> = (0..block.output_map.outputs)
            .map(|output| output_input.scale * block.output_map.weight.scale_at(output * block.output_map.inputs))
            .collect();
        let inputs = block.output_map.inputs;
        Some(Self {
            input_norm: Norm::new(&block.input_norm, latent, Some(&input.factors)),
            input,
            input_activation: fused_order(&block.input_activation),
            attention: [
                Attention::new(time, time.projection.input?, time.rounding?),
                Attention::new(frequency, frequency.projection.input?, frequency.rounding?),
            ],
            output: Pairs::of(inputs, block.output_map.outputs, |row, output| {
                block.output_map.weight.byte(output * inputs + row).into()
            }),
            output_rounding: output_input.into(),
            output_norm: Norm::new(&block.output_norm, latent, Some(&output_factors)),
            projection: match &block.shortcut {
                plan::Shortcut::Identity => None,
                plan::Shortcut::Projection(convolution) => {
                    let input = convolution.input?;
                    Some((IntegerPointwise::new(convolution, input), input.into()))
                }
            },
            activation: fused_order(&block.activation),
        })
    }

    /// `input` of 8-bit values to `output` of floats, half as high and wide.
    pub(in crate::cpu::network) fn run(
        &self,
        isa: Isa,
        latent: &[f32],
        input: &Map,
        output: &mut Map,
        scratch: &mut Scratch,
    ) {
        let Some(quantization) = input.quantization else {
            unreachable!("a plan's integer blocks read rounded maps");
        };
        let rows = input.all_rows();
        let extents = Extents {
            height: rows.height,
            padded_height: padded(rows.height),
            width: input.width,
        };
        let plane = extents.plane();
        let mut buffers = std::mem::take(&mut scratch.axial);
        let [planes, pooled, pooled_input, projected, ..] = &mut scratch.floats;
        let [time, frequency] = &self.attention;
        self.input.panels_of_map(input, &rows, extents, &mut buffers.panels);
        self.input.run(isa, &buffers.panels, plane, &mut buffers.sums);
        let affine = self.input_norm.affine(isa, latent, &mut scratch.condition);
        scratch.undefined |= !defined(affine);
        isa.run(PairsOfPlanes {
            planes: Planes::Sums(&buffers.sums, affine, &self.input_activation),
            length: plane,
            channels: time.channels,
            rounding: time.projection.rounding,
            to: buffers.panels.resize(plane * time.projection.length),
        });
        let planes = planes.resize(time.channels * plane);
        time.run(isa, extents, rows.stretch.into(), planes, &mut buffers);
        isa.run(PairsOfPlanes {
            planes: Planes::Floats(planes),
            length: plane,
            channels: time.channels,
            rounding: frequency.projection.rounding,
            to: buffers.panels.resize(plane * frequency.projection.length),
        });
        frequency.run(isa, extents, Equal::default(), planes, &mut buffers);

        let channels = frequency.channels;
        let (height, width) = (extents.height / 2, extents.width / 2);
        output.reset(height, width, self.output.columns());
        let pooled = pooled.resize(height * width * channels);
        pool_planes(planes, channels, extents, pooled);
        let pixels = height * width;
        let offsets = |stride: usize| (0..pixels).map(|pixel| pixel * stride).collect::<Vec<usize>>();
        let to: Vec<usize> = (0..height)
            .flat_map(|y| (0..width).map(move |x| (y, x)))
            .map(|(y, x)| output.offset(y) + x * output.channels)
            .collect();
        isa.run(Quantize {
            from: pooled,
            to: buffers.panels.resize(pooled.len()),
            rounding: self.output_rounding,
        });
        let ones = vec![1.0; self.output.columns()];
        let zeros = vec![0.0; self.output.columns()];
        isa.run(Product {
            batch: 1,
            a: &buffers.panels,
            a_rows: Operand::of(&offsets(channels)),
            b: self.output.view(),
            c: Results::Values(output.data_mut(), &ones, &zeros),
            c_rows: Operand::of(&to),
        });

        let pooled_input = pooled_input.resize(pixels * input.channels);
        let factor = 0.25 * quantization.scale;
        let mean = |sum: i16| factor * f32::from(sum);
        pool(
            input.bytes(),
            input.channels,
            &rows,
            (height, width),
            mean,
            pooled_input,
        );
        let shortcut: &[f32] = match &self.projection {
            None => pooled_input,
            Some((weights, rounding)) => {
                isa.run(Quantize {
                    from: pooled_input,
                    to: buffers.panels.resize(pooled_input.len()),
                    rounding: *rounding,
                });
                let projected = projected.resize(pixels * output.channels);
                let from = offsets(input.channels);
                weights.run(isa, &buffers.panels, &from, projected, &offsets(output.channels));
                projected
            }
        };
        let affine = self.output_norm.affine(isa, latent, &mut scratch.condition);
        scratch.undefined |= !defined(affine);
        let length = width * output.channels;
        for y in 0..height {
            isa.run(Activate {
                pixels: output.row_mut(y),
                affine,
                shortcut: Some(&shortcut[y * length..][..length]),
                pau: &self.activation,
            });
        }
        scratch.axial = buffers;
    }
}

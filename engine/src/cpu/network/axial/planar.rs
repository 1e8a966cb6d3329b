//! 1×1 convolutions that give planes, and the panels of pixels they read.

use super::super::map::{Map, Rows, Stretch};
use crate::cpu::kernels::{Aligned, Gemm, Operand, PANEL, Panels};
use crate::plan;
use crate::simd::Isa;

/// A 1×1 convolution that gives planes: `[outputs, inputs]`, a bias as the last input.
#[derive(Clone, Debug)]
pub(super) struct Planar {
    weights: Aligned,
    /// The contraction's length.
    length: usize,
    /// The offsets of the outputs' weights.
    rows: Vec<usize>,
    biased: bool,
}

/// Extents of planes.
#[derive(Clone, Copy)]
pub(super) struct Extents {
    pub(super) height: usize,
    pub(super) padded_height: usize,
    pub(super) width: usize,
}

impl Extents {
    /// Elements of a plane, whole panels.
    pub(super) fn plane(self) -> usize {
        self.padded_height * self.width
    }
}

/// `planes` of some rows as planes of every row: the stretch's one row repeated. Zeros behind the rows.
pub(super) fn spread(planes: &[f32], (from, stretch): (Extents, Stretch), to: Extents, out: &mut Aligned) {
    let columns = planes.chunks_exact(from.padded_height);
    let out = out.resize(columns.len() * to.padded_height);
    let Stretch { start, real, .. } = stretch;
    for (column, out) in columns.zip(out.chunks_exact_mut(to.padded_height)) {
        out[..start].copy_from_slice(&column[..start]);
        out[start..start + real].fill(column[start]);
        out[start + real..to.height].copy_from_slice(&column[start + 1..from.height]);
        out[to.height..].fill(0.0);
    }
}

/// 2×2 means of planes, as pixels `[height, width, channels]`.
pub(super) fn pool_planes(planes: &[f32], channels: usize, extents: Extents, pooled: &mut [f32]) {
    let (height, width) = (extents.height / 2, extents.width / 2);
    for channel in 0..channels {
        for x in 0..width {
            let column =
                |x: usize| &planes[channel * extents.plane() + x * extents.padded_height..][..extents.padded_height];
            let (left, right) = (column(2 * x), column(2 * x + 1));
            for y in 0..height {
                let sum = left[2 * y] + right[2 * y] + left[2 * y + 1] + right[2 * y + 1];
                pooled[(y * width + x) * channels + channel] = 0.25 * sum;
            }
        }
    }
}

impl Planar {
    pub(super) fn new(convolution: &plan::Convolution<'_>, inputs: usize, bias: Option<plan::Weights<'_>>) -> Self {
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
    pub(super) fn run(&self, isa: Isa, panels: &[f32], plane: usize, planes: &mut Aligned) {
        let starts: Vec<usize> = (0..self.rows.len()).map(|output| output * plane).collect();
        isa.run(Gemm {
            batch: 1,
            a: &self.weights,
            a_rows: Operand::of(&self.rows),
            b: Panels {
                data: panels,
                rows: self.length,
                panels: plane / PANEL,
            },
            bias: None,
            c: planes.resize(self.rows.len() * plane),
            c_rows: Operand::of(&starts),
        });
    }

    /// The pixels of a map as panels of this convolution's inputs.
    pub(super) fn panels_of_map(&self, map: &Map, rows: &Rows, extents: Extents, panels: &mut Aligned) {
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
    pub(super) fn panels_of_planes(&self, planes: &[f32], plane: usize, panels: &mut Aligned) {
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

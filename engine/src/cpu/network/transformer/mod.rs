//! The Transformer encoder over the waveform's windows.

mod integer_attention;

use super::super::kernels::{Aligned, Buffer, Gelu, Gemm, Normalize, Operand, PANEL, Panels, Softmax, padded};
use super::Scratch;
use super::dense::Dense;
use crate::plan::{self, AttentionRounding, EPSILON};
use crate::signal::WINDOWS;
use crate::simd::Isa;

#[derive(Clone, Debug)]
pub(super) struct Transformer {
    width: usize,
    positions: Aligned,
    layers: Vec<Layer>,
    norm: Norm,
}

#[derive(Clone, Debug)]
struct Layer {
    heads: usize,
    projection: Dense,
    output: Dense,
    attention_norm: Norm,
    widen: Dense,
    narrow: Dense,
    norm: Norm,
    rounding: Option<AttentionRounding>,
}

#[derive(Clone, Debug)]
struct Norm {
    scale: Aligned,
    shift: Aligned,
}

fn aligned(weights: plan::Weights<'_>) -> Aligned {
    let mut values = Aligned::zeros(weights.len());
    weights.copy_to(&mut values);
    values
}

impl Norm {
    fn new(norm: &plan::LayerNorm<'_>) -> Self {
        Self {
            scale: aligned(norm.scale),
            shift: aligned(norm.shift),
        }
    }

    fn run(&self, isa: Isa, x: &mut [f32], added: Option<&[f32]>) {
        isa.run(Normalize {
            x,
            added,
            scale: &self.scale,
            shift: &self.shift,
            epsilon: EPSILON,
        });
    }
}

impl Layer {
    fn new(layer: &plan::TransformerLayer<'_>) -> Self {
        Self {
            heads: layer.heads,
            projection: Dense::new(&layer.projection),
            output: Dense::new(&layer.output),
            attention_norm: Norm::new(&layer.attention_norm),
            widen: Dense::new(&layer.widen),
            narrow: Dense::new(&layer.narrow),
            norm: Norm::new(&layer.norm),
            rounding: layer.rounding,
        }
    }

    /// `x [80, width]`, in place.
    fn run(&self, isa: Isa, width: usize, x: &mut [f32], buffers: &mut [Aligned; 4], bytes: &mut Buffer<i16>) {
        let [projected, mixed, packed, added] = buffers;
        let projected = projected.resize(WINDOWS * self.projection.outputs());
        self.projection.rows(isa, WINDOWS, (x, width), projected, bytes);
        // The last head writes whole panels, which may reach beyond the row.
        let stride = width + PANEL;
        let mixed = mixed.resize(WINDOWS * stride);
        let (heads, to) = (self.heads, (&mut *mixed, stride));
        match self.rounding {
            None => attend(isa, heads, width, projected, to, packed),
            Some(rounding) => integer_attention::attend(isa, rounding, (heads, width), projected, to, (packed, bytes)),
        }
        let added = added.resize(WINDOWS * width);
        self.output.rows(isa, WINDOWS, (mixed, stride), added, bytes);
        self.attention_norm.run(isa, x, Some(added));
        let hidden = packed.resize(WINDOWS * self.widen.outputs());
        self.widen.rows(isa, WINDOWS, (x, width), hidden, bytes);
        isa.run(Gelu(hidden));
        self.narrow
            .rows(isa, WINDOWS, (hidden, self.widen.outputs()), added, bytes);
        self.norm.run(isa, x, Some(added));
    }
}

/// Attention of every head: `projected [80, 3·width]` to `mixed`, whose rows are `stride` apart.
fn attend(
    isa: Isa,
    heads: usize,
    width: usize,
    projected: &[f32],
    (mixed, stride): (&mut [f32], usize),
    scratch: &mut Aligned,
) {
    let per_head = width / heads;
    let (row, columns) = (3 * width, padded(WINDOWS));
    let values_length = WINDOWS * padded(per_head);
    let scratch = scratch.resize(columns * per_head + values_length + WINDOWS * columns);
    let (keys, rest) = scratch.split_at_mut(columns * per_head);
    let (values, scores) = rest.split_at_mut(values_length);
    let score_rows: Vec<usize> = (0..WINDOWS).map(|step| step * columns).collect();
    keys.fill(0.0);
    values.fill(0.0);
    for head in 0..heads {
        let first = head * per_head;
        for step in 0..WINDOWS {
            let key = &projected[step * row + width + first..][..per_head];
            let value = &projected[step * row + 2 * width + first..][..per_head];
            for (i, (&key, &value)) in key.iter().zip(value).enumerate() {
                keys[(step / PANEL * per_head + i) * PANEL + step % PANEL] = key;
                values[(i / PANEL * WINDOWS + step) * PANEL + i % PANEL] = value;
            }
        }
        let query_rows: Vec<usize> = (0..WINDOWS).map(|step| step * row + first).collect();
        isa.run(Gemm {
            batch: 1,
            a: projected,
            a_rows: Operand::of(&query_rows),
            b: Panels {
                data: keys,
                rows: per_head,
                panels: columns / PANEL,
            },
            bias: None,
            c: scores,
            c_rows: Operand::of(&score_rows),
        });
        isa.run(Softmax {
            values: scores,
            stride: columns,
            columns: WINDOWS,
            factor: 1.0 / (per_head as f32).sqrt(),
        });
        let mixed_rows: Vec<usize> = (0..WINDOWS).map(|step| step * stride + first).collect();
        isa.run(Gemm {
            batch: 1,
            a: scores,
            a_rows: Operand::of(&score_rows),
            b: Panels {
                data: values,
                rows: WINDOWS,
                panels: padded(per_head) / PANEL,
            },
            bias: None,
            c: mixed,
            c_rows: Operand::of(&mixed_rows),
        });
    }
}

impl Transformer {
    pub(super) fn new(transformer: &plan::Transformer<'_>) -> Self {
        Self {
            width: transformer.width,
            positions: aligned(transformer.positions),
            layers: transformer.layers.iter().map(Layer::new).collect(),
            norm: Norm::new(&transformer.norm),
        }
    }

    /// The mean over time for windows `ecg [80, width]`.
    pub(super) fn run(&self, isa: Isa, ecg: &[f32], latent: &mut Aligned, scratch: &mut Scratch) {
        let mut bytes = std::mem::take(&mut scratch.bytes);
        let [x, a, b, c, d, ..] = &mut scratch.floats;
        let mut buffers = [a, b, c, d].map(std::mem::take);
        let x = x.resize(WINDOWS * self.width);
        for ((x, ecg), position) in x.iter_mut().zip(ecg).zip(self.positions.iter()) {
            *x = ecg + position;
        }
        for layer in &self.layers {
            layer.run(isa, self.width, x, &mut buffers, &mut bytes);
        }
        self.norm.run(isa, x, None);
        let latent = latent.resize(self.width);
        for (i, latent) in latent.iter_mut().enumerate() {
            let sum: f64 = x
                .iter()
                .skip(i)
                .step_by(self.width)
                .map(|&value| f64::from(value))
                .sum();
            *latent = (sum / WINDOWS as f64) as f32;
        }
        [
            scratch.floats[1],
            scratch.floats[2],
            scratch.floats[3],
            scratch.floats[4],
        ] = buffers;
        scratch.bytes = bytes;
    }
}

//! All layers of the waveform's LSTM in one launch (`chain.cu`), for batches that leave most of a GPU idle.
//!
//! A layer at a time ([`lstm`](crate::lstm)), a batch of up to eight records occupies one multiprocessor, which reads the weights of a large
//! layer at every step and has 80 steps to go for every layer. Here each layer's steps, and what each layer takes from the one below, are a
//! stage of their own. Stages work at the same time, a step or a few behind one another, and each is spread over as many blocks as keep its
//! weights in registers and shared memory until the end: 64 to 128 KiB a block. Every stage of 128 units in 16 or 8 bits is a single block,
//! whose state does not leave it.
//!
//! Blocks wait for one another, so all of them must run at once: the launch is [`together`](Launch::together), and there are at most as many
//! blocks as multiprocessors. Three layers of 512 units are 80 blocks; in f32 their weights are too large for any GPU, and there is no kernel.

use crate::lstm::{Lstm, TILE};
use crate::operand::{Weights, depth, rounding_arguments, stride};
use crate::{Argument, CudaError, Element, Launch, Precision, Quantization};

/// The most layers of a chain.
pub const MAX_LAYERS: usize = 3;
const GATES: usize = 4;
/// Units of a warp; `UNITS` in `device/cells.cuh`.
const UNITS: usize = 8;

/// The kernels for all layers of an LSTM.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain {
    layers: Vec<Lstm>,
    slices: usize,
    /// Steps of a product whose weights are in registers.
    held: usize,
}

/// Where a chain's operands lie in device memory, each at a multiple of 256 bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffers<M> {
    /// `[records, steps, inputs]` of [`Precision::plain`](crate::Precision::plain).
    pub input: M,
    /// What [`Lstm::pack`] gave, of each layer.
    pub weights: Vec<Weights<M>>,
    /// f32, [`Lstm::workspace`] values. This and the others need no initial values.
    pub workspace: M,
    /// `[layers, records, steps, hidden]` of [`Precision::plain`](crate::Precision::plain).
    pub states: M,
    /// f32 `[layers - 1, records, steps, hidden, 4]`; of one layer it is not used.
    pub gates: M,
    /// 32-bit, [`Chain::counters`] of them.
    pub counters: M,
    /// f32 `[records, hidden]`.
    pub latent: M,
}

/// Blocks of a stage, and steps of a product whose weights are in registers: what `chain.cu` has kernels for.
fn slices_and_held(precision: Precision, hidden: usize) -> Option<(usize, usize)> {
    use Element::{Bf16, F16, F32};
    Some(match (precision, hidden) {
        (Precision::Float(F32), 64) => (2, 0),
        (Precision::Float(F32), 128) => (4, 0),
        (Precision::Float(F32), 256) => (16, 0),
        (Precision::Float(F16), 64) => (2, 2),
        (Precision::Float(Bf16), 64) => (1, 4),
        (Precision::Float(F16 | Bf16), 128) => (1, 8),
        (Precision::Float(F16 | Bf16), 256) => (8, 16),
        (Precision::Float(F16 | Bf16), 512) => (16, 16),
        (Precision::Int8, 64) => (1, 2),
        (Precision::Int8, 128) => (1, 4),
        (Precision::Int8, 256) => (4, 8),
        (Precision::Int8, 512) => (16, 16),
        _ => return None,
    })
}

impl Chain {
    /// Kernels for these layers; `None` when there are none, and layers run one after the other: for layers of different sizes or types,
    /// for no layers or more than [`MAX_LAYERS`], and for 512 units in f32.
    pub fn new(layers: &[Lstm]) -> Option<Self> {
        let first = layers.first()?;
        let (slices, held) = slices_and_held(first.precision(), first.hidden())?;
        let alike = |layer: &Lstm| {
            (layer.precision(), layer.hidden(), layer.inputs()) == (first.precision(), first.hidden(), first.hidden())
        };
        (layers.len() <= MAX_LAYERS && layers[1..].iter().all(alike)).then(|| Self {
            layers: layers.to_vec(),
            slices,
            held,
        })
    }

    /// Blocks that run at once for so many records; a GPU needs as many multiprocessors.
    pub fn blocks(&self, records: usize) -> usize {
        records.div_ceil(TILE) * self.stages() * self.slices
    }

    fn stages(&self) -> usize {
        2 * self.layers.len() - 1
    }

    /// 32-bit counters.
    pub fn counters(&self, records: usize, steps: usize) -> usize {
        records.div_ceil(TILE) * self.stages() * steps
    }

    /// Elements of [`Buffers::states`].
    pub fn states(&self, records: usize, steps: usize) -> usize {
        self.layers.len() * records * steps * self.layers[0].hidden()
    }

    /// Elements of [`Buffers::gates`].
    pub fn gates(&self, records: usize, steps: usize) -> usize {
        (self.layers.len() - 1) * records * steps * self.layers[0].hidden() * GATES
    }

    /// Bytes of shared memory of a block: the operand, twice where a stage is a single block, and the weights that are not in registers.
    fn shared_bytes(&self) -> usize {
        let (precision, hidden) = (self.layers[0].precision(), self.layers[0].hidden());
        let parts = if precision == Precision::Int8 { 2 } else { 1 };
        let sides = if self.slices == 1 { 2 } else { 1 };
        let operand = TILE * stride(precision, hidden) * parts * sides;
        let warps = hidden / self.slices / UNITS;
        let depth = depth(precision);
        let stored = 2 * warps * (hidden / depth - self.held) * 16 * depth;
        (operand + stored) * precision.bytes()
    }

    /// The launches for `[records, steps]` inputs, from states of zeros: what the first layer takes from its inputs, then all else.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there is nothing to do or too much, or weights of another number of layers.
    pub fn launches<M: Copy>(
        &self,
        [records, steps]: [usize; 2],
        buffers: &Buffers<M>,
    ) -> Result<[Launch<M>; 2], CudaError> {
        let layers = self.layers.len();
        if buffers.weights.len() != layers {
            return Err(CudaError::Launch(format!(
                "weights of {} layers for an LSTM of {layers}",
                buffers.weights.len()
            )));
        }
        let first = self.layers[0];
        let (precision, hidden) = (first.precision(), first.hidden());
        let counters = self.counters(records, steps);
        let project = first.projection(
            [records, steps],
            [buffers.input, buffers.workspace],
            buffers.weights[0],
            (buffers.counters, counters),
        )?;
        let mut arguments = vec![Argument::Memory(buffers.workspace)];
        // The kernel has places for three layers, and never looks at those that there are none for.
        for layer in 0..MAX_LAYERS {
            arguments.extend(buffers.weights[layer.min(layers - 1)].arguments(precision));
        }
        let places = [buffers.states, buffers.gates, buffers.latent, buffers.counters];
        arguments.extend(places.map(Argument::Memory));
        // In range: `projection` has refused more.
        arguments.extend([records, steps, first.inputs()].map(|number| Argument::I32(number as i32)));
        if precision == Precision::Int8 {
            let roundings = (1..MAX_LAYERS).map(|layer| self.layers[layer.min(layers - 1)].rounding());
            let unused = Quantization {
                scale: 1.0,
                zero_point: 0,
            };
            arguments.extend(roundings.flat_map(|rounding| rounding_arguments(rounding.unwrap_or(unused))));
        }
        let chain = Launch {
            family: "chain",
            kernel: format!("chain_{}_{hidden}", precision.name()),
            blocks: (self.stages() * self.slices) as u32,
            rows: records.div_ceil(TILE) as u32,
            threads: (hidden / self.slices / UNITS * 32) as u32,
            shared_bytes: self.shared_bytes() as u32,
            together: true,
            arguments,
        };
        Ok([project, chain])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lstm(element: Element, inputs: usize, hidden: usize) -> Lstm {
        Lstm::new(Precision::Float(element), inputs, hidden, None).expect("kernels")
    }

    #[test]
    fn layers_that_are_not_alike_have_no_chain() {
        let (first, other) = (lstm(Element::F16, 256, 512), lstm(Element::F16, 512, 512));
        for layers in [
            vec![],
            vec![first, first],
            vec![first, other, other, other],
            vec![first, lstm(Element::F16, 512, 256)],
            vec![first, lstm(Element::Bf16, 512, 512)],
            vec![lstm(Element::F32, 256, 512)],
        ] {
            assert_eq!(Chain::new(&layers), None);
        }
        let chain = Chain::new(&[first, other, other]).expect("three layers of 512 units");
        assert_eq!((chain.blocks(1), chain.blocks(8), chain.blocks(9)), (80, 80, 160));
        assert_eq!(chain.counters(9, 80), 2 * 5 * 80);
    }

    /// What any GPU of compute capability 8.0 or later gives to a block.
    #[test]
    fn shared_memory_is_within_99_kib() {
        for precision in Precision::ALL {
            let rounding = (precision == Precision::Int8).then_some(Quantization {
                scale: 0.5,
                zero_point: 3,
            });
            for hidden in crate::lstm::HIDDEN {
                let layer = Lstm::new(precision, hidden, hidden, rounding).expect("kernels");
                if let Some(chain) = Chain::new(&[layer]) {
                    assert!(chain.shared_bytes() <= 99 << 10, "{precision:?} {hidden}");
                }
            }
        }
    }
}

//! The encoder of the waveform: two launches a layer, and one for a Transformer's mean; two for all layers of an LSTM whose batch leaves
//! most of a GPU idle.

use dualnet_cuda::{CudaError, Packed, Precision, chain, lstm, transformer};

use super::weights::{Numbers, Owned, bias, bytes, floats, integer_bytes, rounding};
use super::{Size, Writer};
use crate::gpu::program::Memory;
use crate::plan::{LayerNorm, LstmLayer, Plan, SignalEncoder, Transformer, TransformerLayer};
use crate::signal::WINDOWS;

/// A layer's packed weights as they lie in memory.
fn parts(packed: &Packed) -> [Vec<u8>; 3] {
    [
        packed.fragments.clone(),
        bytes(&packed.terms),
        integer_bytes(&packed.sums),
    ]
}

fn weights([fragments, terms, sums]: [Memory; 3]) -> dualnet_cuda::Weights<Memory> {
    dualnet_cuda::Weights { fragments, terms, sums }
}

/// The kernels of each layer.
fn kernels(layers: &[LstmLayer<'_>], numbers: Numbers) -> Result<Vec<lstm::Lstm>, CudaError> {
    let of_layer = |layer: &LstmLayer<'_>| {
        let precision = numbers.products(layer.input);
        lstm::Lstm::new(precision, layer.inputs, layer.hidden, layer.input.map(rounding))
    };
    layers.iter().map(of_layer).collect()
}

/// The most records whose LSTM runs at once on so many multiprocessors, up to `size.records`; `None` where it never does.
pub(super) fn most_at_once(plan: &Plan<'_>, numbers: Numbers, size: Size) -> Result<Option<usize>, CudaError> {
    let Some(SignalEncoder::Lstm(layers)) = &plan.signal else {
        return Ok(None);
    };
    let chain = chain::Chain::new(&kernels(layers, numbers)?);
    let most = chain.map_or(0, |chain| size.processors / chain.blocks(1) * lstm::TILE);
    Ok((most > 0).then_some(most.min(size.records)))
}

fn layer_name(index: usize) -> String {
    format!("LSTM layer {index}")
}

impl Writer<'_, '_> {
    /// The latent, f32 `[records, latent]`.
    pub(super) fn signal(&mut self, signal: &SignalEncoder<'_>, ecg: Memory) -> Result<Memory, CudaError> {
        match signal {
            SignalEncoder::Lstm(layers) => self.lstm(layers, ecg),
            SignalEncoder::Transformer(transformer) => self.transformer(transformer, ecg),
        }
    }

    fn values(&mut self, name: &str, per_record: usize, bytes: usize) -> Memory {
        let bytes = self.size.records * per_record * bytes;
        self.builder.scratch(name, bytes as u64)
    }

    fn lstm(&mut self, layers: &[LstmLayer<'_>], ecg: Memory) -> Result<Memory, CudaError> {
        let kernels = kernels(layers, self.numbers)?;
        let weights = layers
            .iter()
            .zip(&kernels)
            .enumerate()
            .map(|(index, (layer, kernels))| {
                let packed = self.builder.constants(&layer_name(index), || {
                    let gates = 4 * layer.hidden;
                    let owned = [layer.input_weights, layer.hidden_weights].map(|weights| Owned::of(weights, gates));
                    Ok(parts(&kernels.pack(&lstm::LayerWeights {
                        input: owned[0].matrix(),
                        hidden: owned[1].matrix(),
                        biases: &floats(layer.biases),
                        rounding: layer.input.map(rounding),
                    })?))
                })?;
                Ok(self::weights(packed))
            });
        let weights = weights.collect::<Result<Vec<_>, CudaError>>()?;
        match chain::Chain::new(&kernels) {
            Some(chain) if chain.blocks(self.size.records) <= self.size.processors => {
                self.at_once(&chain, layers, weights, ecg)
            }
            _ => self.layer_after_layer(layers, &kernels, weights, ecg),
        }
    }

    /// All layers in one launch.
    fn at_once(
        &mut self,
        chain: &chain::Chain,
        layers: &[LstmLayer<'_>],
        weights: Vec<dualnet_cuda::Weights<Memory>>,
        ecg: Memory,
    ) -> Result<Memory, CudaError> {
        let records = self.size.records;
        let float = size_of::<f32>();
        let signal = self.numbers.products(layers[0].input).plain().bytes();
        let hidden = layers[0].hidden;
        let mut scratch = |name: &str, count: usize, bytes: usize| self.builder.scratch(name, (count * bytes) as u64);
        let states = scratch("LSTM states", chain.states(records, WINDOWS), signal);
        let buffers = chain::Buffers {
            input: ecg,
            weights,
            workspace: scratch("LSTM layer 0 gates", records * WINDOWS * 4 * hidden, float),
            states,
            gates: match layers.len() {
                1 => states,
                _ => scratch("LSTM gates", chain.gates(records, WINDOWS), float),
            },
            counters: scratch("LSTM counters", chain.counters(records, WINDOWS), float),
            latent: scratch("latent", records * hidden, float),
        };
        for launch in chain.launches([records, WINDOWS], &buffers)? {
            self.builder.launch(launch);
        }
        Ok(buffers.latent)
    }

    fn layer_after_layer(
        &mut self,
        layers: &[LstmLayer<'_>],
        kernels: &[lstm::Lstm],
        weights: Vec<dualnet_cuda::Weights<Memory>>,
        ecg: Memory,
    ) -> Result<Memory, CudaError> {
        let records = self.size.records;
        let mut input = ecg;
        for (index, ((layer, kernels), weights)) in layers.iter().zip(kernels).zip(weights).enumerate() {
            let name = layer_name(index);
            let precision = self.numbers.products(layer.input);
            let last = index + 1 == layers.len();
            let output = match last {
                true => self.values("latent", layer.hidden, size_of::<f32>()),
                false => self.values(
                    &format!("{name} steps"),
                    WINDOWS * layer.hidden,
                    precision.plain().bytes(),
                ),
            };
            let workspace = (kernels.workspace(records, WINDOWS) * size_of::<f32>()) as u64;
            let buffers = lstm::Buffers {
                input,
                weights,
                workspace: self.builder.scratch(&format!("{name} gates"), workspace),
                output: match last {
                    true => lstm::Output::Last(output),
                    false => lstm::Output::Steps(output),
                },
            };
            for launch in kernels.launches([records, WINDOWS], buffers)? {
                self.builder.launch(launch);
            }
            input = output;
        }
        Ok(input)
    }

    fn transformer(&mut self, encoder: &Transformer<'_>, ecg: Memory) -> Result<Memory, CudaError> {
        let (records, width) = (self.size.records, encoder.width);
        let stream = self.values("Transformer's stream", WINDOWS * width, size_of::<f32>());
        let positions = self
            .builder
            .constant("positions", || Ok(bytes(&floats(encoder.positions))))?;
        let mut first = Some(transformer::First { ecg, positions });
        if encoder.layers.is_empty() {
            return Err(CudaError::Launch(
                "a Transformer without layers has no CUDA kernel".to_owned(),
            ));
        }
        for (index, layer) in encoder.layers.iter().enumerate() {
            let name = format!("Transformer layer {index}");
            let precision = self.numbers.products(layer.projection.input);
            let kernels = transformer::Transformer::new(precision, WINDOWS, width)?;
            let layer = self.transformer_layer(kernels, layer)?;
            let packed = self.builder.constants(&name, || Ok(parts(&layer.packed)))?;
            let mixed = self.values(&format!("{name} mixed"), WINDOWS * width, precision.bytes());
            let buffers = transformer::Buffers {
                weights: weights(packed),
                stream,
                mixed,
                first: first.take(),
            };
            for launch in layer.launches(records, buffers)? {
                self.builder.launch(launch);
            }
        }
        let norm = self.builder.constant("Transformer's norm", || {
            let LayerNorm { scale, shift } = encoder.norm;
            Ok(bytes(&[floats(scale), floats(shift)].concat()))
        })?;
        let latent = self.values("latent", width, size_of::<f32>());
        let kernels = transformer::Transformer::new(Precision::Float(self.element()), WINDOWS, width)?;
        self.builder.launch(kernels.mean(records, stream, norm, latent)?);
        Ok(latent)
    }

    /// A layer with its weights packed.
    fn transformer_layer(
        &self,
        kernels: transformer::Transformer,
        layer: &TransformerLayer<'_>,
    ) -> Result<transformer::Layer, CudaError> {
        let maps = [&layer.projection, &layer.output, &layer.widen, &layer.narrow];
        let owned = maps.map(Owned::of_linear);
        let biases = maps.map(bias);
        let linear = |index: usize| transformer::Linear {
            weights: owned[index].matrix(),
            bias: &biases[index],
            input: maps[index].input.map(rounding),
        };
        let norms = [layer.attention_norm, layer.norm].map(|norm| [floats(norm.scale), floats(norm.shift)]);
        let norm = |index: usize| transformer::Norm {
            scale: &norms[index][0],
            shift: &norms[index][1],
        };
        kernels.layer(
            layer.heads,
            layer.widen.outputs,
            &transformer::LayerWeights {
                projection: linear(0),
                output: linear(1),
                attention_norm: norm(0),
                widen: linear(2),
                narrow: linear(3),
                norm: norm(1),
                rounding: layer.rounding.map(|by| transformer::AttentionRounding {
                    scores: by.scores.map(rounding),
                    mixed: by.mixed.map(rounding),
                }),
            },
        )
    }
}

//! What ECG-DualNet is, written once.
//!
//! [`Network::forward`] is a function over the operations of [`Ops`]; the trainer implements them with libtorch tensors,
//! the exporter with ONNX nodes. [`Network::parameters`] lists every tensor of its state dict with the published name.
//! Rohr et al. 2022 (*Physiological Measurement* 43(7)) and Reich et al. 2023 (EMBC) describe the architecture.

mod axial_block;
pub mod composites;
mod config;
mod error;
mod ops;
mod parameters;
mod presets;
mod residual_block;
mod signal_encoder;
mod sites;
mod table;

pub use config::{ClassSet, NetworkConfig, PauInitial, SignalEncoder};
pub use error::NetworkError;
pub use ops::Ops;
pub use parameters::{Initial, Parameter, ParameterKind};
pub(crate) use presets::variants;
pub use presets::{PRESETS, preset};
pub use sites::{AxialSite, Axis, Ends, LstmSite, TransformerSite};

use dualnet_engine::signal::{BINS, FRAMES, WINDOW, WINDOWS};
use parameters::ParameterList;

/// One of the ECG-DualNet family, checked and ready to be interpreted.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    config: NetworkConfig,
}

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Outputs<T> {
    /// `[N, latent]`; absent when the signal encoder is ablated.
    pub latent: Option<T>,
    /// `[N, classes]`, before the softmax.
    pub logits: T,
}

impl Network {
    /// Checks the configuration.
    pub fn new(config: NetworkConfig) -> Result<Self, NetworkError> {
        config.check()?;
        Ok(Self { config })
    }

    /// A published network by its name, such as `dualnet-s` or `dualnet-pp-xl`.
    pub fn preset(name: &str) -> Result<Self, NetworkError> {
        Self::new(preset(name)?)
    }

    /// The hyper-parameters.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The same network with outputs that stand for other classes.
    ///
    /// # Errors
    /// The set has another number of classes.
    pub fn with_class_set(mut self, class_set: ClassSet) -> Result<Self, NetworkError> {
        self.config.class_set = class_set;
        Self::new(self.config)
    }

    /// Every tensor of the state dict, in the published order and with the published names.
    pub fn parameters(&self) -> Vec<Parameter> {
        let config = &self.config;
        let mut list = ParameterList::new(config.pau.clone());
        match &config.signal_encoder {
            Some(SignalEncoder::Lstm { layers }) => signal_encoder::lstm_parameters(&mut list, *layers, config.latent),
            Some(SignalEncoder::Transformer {
                heads: _,
                feed_forward,
                layers,
            }) => signal_encoder::transformer_parameters(&mut list, *layers, config.latent, *feed_forward),
            None => {}
        }
        let latent = config.signal_encoder.as_ref().map(|_| config.latent);
        if config.spectrogram_encoder {
            for block in config.blocks() {
                match block.spans {
                    None => residual_block::parameters(&mut list, &block, latent),
                    Some(spans) => axial_block::parameters(&mut list, &block, spans, latent),
                }
            }
            list.linear("linear_layer_1.0", config.latent, config.features());
            list.pau("linear_layer_1.1");
        }
        list.linear("linear_layer_2", config.classes, config.latent);
        list.finish()
    }

    /// Logits of a batch: `ecg [N, 80, 256]` and `spectrogram [N, 1, 563, 33]` as `signal` prepares them.
    pub fn forward<O: Ops>(
        &self,
        ops: &mut O,
        ecg: &O::Tensor,
        spectrogram: &O::Tensor,
    ) -> Result<Outputs<O::Tensor>, O::Error> {
        let config = &self.config;
        let latent = match &config.signal_encoder {
            Some(encoder) => Some(signal_encoder::forward(ops, encoder, config.latent, ecg)?),
            None => None,
        };
        let fused = if config.spectrogram_encoder {
            let mut features: Option<O::Tensor> = None;
            for block in config.blocks() {
                let input = features.as_ref().unwrap_or(spectrogram);
                let output = match block.spans {
                    None => residual_block::forward(ops, &block, input, latent.as_ref())?,
                    Some(spans) => axial_block::forward(ops, &block, spans, input, latent.as_ref())?,
                };
                ops.observe(&format!("block{}", block.index), &output);
                features = Some(output);
            }
            let pooled = ops.global_average_pool(features.as_ref().unwrap_or(spectrogram))?;
            let hidden = ops.linear(&pooled, "linear_layer_1.0.weight", Some("linear_layer_1.0.bias"))?;
            let hidden = ops.pau(&hidden, "linear_layer_1.1")?;
            ops.observe("linear1", &hidden);
            Some(match &latent {
                Some(latent) => ops.add(&hidden, latent)?,
                None => hidden,
            })
        } else {
            None
        };
        let Some(head_input) = fused.as_ref().or(latent.as_ref()) else {
            return Err(ops.invalid("a network needs a signal encoder or a spectrogram encoder"));
        };
        let logits = ops.linear(head_input, "linear_layer_2.weight", Some("linear_layer_2.bias"))?;
        Ok(Outputs { latent, logits })
    }
}

/// ε of every batch and layer normalization.
pub const NORM_EPSILON: f64 = 1e-5;
/// Share of the batch in a running statistic's next value.
pub const NORM_MOMENTUM: f64 = 0.1;

/// Height (time) and width (frequency) of the spectrogram encoder's input.
pub(crate) const SPECTROGRAM_SIZE: (usize, usize) = (FRAMES, BINS);
/// Steps and width of the signal encoder's input.
pub(crate) const ECG_SIZE: (usize, usize) = (WINDOWS, WINDOW);

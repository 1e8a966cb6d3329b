//! The encoder of the waveform: an LSTM (ECG-DualNet) or a Transformer (ECG-DualNet++) over the 80 windows.

use super::ECG_SIZE;
use super::config::SignalEncoder;
use super::ops::Ops;
use super::parameters::ParameterList;
use super::sites::{LstmSite, TransformerSite};

const PREFIX: &str = "ecg_encoder";
const POSITIONAL: &str = "positional_embedding";

pub(super) fn lstm_parameters(list: &mut ParameterList, layers: usize, hidden: usize) {
    for layer in 0..layers {
        let input = if layer == 0 { ECG_SIZE.1 } else { hidden };
        list.lstm_layer(PREFIX, layer, input, hidden);
    }
}

pub(super) fn transformer_parameters(list: &mut ParameterList, layers: usize, width: usize, feed_forward: usize) {
    list.positional_embedding(POSITIONAL, ECG_SIZE.0, width);
    for layer in 0..layers {
        list.transformer_layer(PREFIX, layer, width, feed_forward);
    }
    list.layer_norm(&format!("{PREFIX}.norm"), width);
}

/// The latent `[N, latent]` of `ecg [N, 80, 256]`.
pub(super) fn forward<O: Ops>(
    ops: &mut O,
    encoder: &SignalEncoder,
    latent: usize,
    ecg: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    match *encoder {
        SignalEncoder::Lstm { layers } => {
            let site = LstmSite {
                prefix: PREFIX.to_owned(),
                layers,
                hidden: latent,
                steps: ECG_SIZE.0,
            };
            ops.lstm_stack(ecg, &site)
        }
        SignalEncoder::Transformer {
            heads,
            feed_forward: _,
            layers,
        } => {
            let mut x = ops.add_positional(ecg, POSITIONAL)?;
            for layer in 0..layers {
                let prefix = format!("{PREFIX}.layers.{layer}");
                let site = TransformerSite {
                    prefix,
                    heads,
                    width: latent,
                    steps: ECG_SIZE.0,
                };
                x = ops.transformer_layer(&x, &site)?;
            }
            let x = ops.layer_norm(&x, &format!("{PREFIX}.norm"))?;
            ops.mean(&x, 1)
        }
    }
}

//! The encoder of the waveform: a stack of LSTM layers, or a Transformer.

use super::graph::{Attribute, Graph, Mismatch, Owner};
use super::transformer::{self, Transformer};
use super::weights::{Quantization, Weights, check_operands};
use crate::model::ECG;
use crate::signal::{WINDOW, WINDOWS};

/// What turns `[80, 256]` windows into the latent.
#[derive(Clone, Debug)]
pub enum SignalEncoder<'a> {
    /// The last output of stacked LSTM layers, from the input on.
    Lstm(Vec<LstmLayer<'a>>),
    /// The mean over time of a Transformer encoder's outputs.
    Transformer(Transformer<'a>),
}

/// One LSTM layer, its gates in ONNX's order: input, output, forget, cell.
#[derive(Clone, Copy, Debug)]
pub struct LstmLayer<'a> {
    /// Length of its inputs.
    pub inputs: usize,
    /// Hidden units.
    pub hidden: usize,
    /// `[4·hidden, inputs]`.
    pub input_weights: Weights<'a>,
    /// `[4·hidden, hidden]`.
    pub hidden_weights: Weights<'a>,
    /// `[8·hidden]`: of the input's gates, then of the hidden state's.
    pub biases: Weights<'a>,
    /// How its inputs are rounded; all weights are 8-bit then, and only then.
    pub input: Option<Quantization>,
}

impl LstmLayer<'_> {
    /// Multiply-adds for one record.
    pub fn multiply_adds(&self) -> u64 {
        (WINDOWS * (self.input_weights.len() + self.hidden_weights.len())) as u64
    }
}

impl SignalEncoder<'_> {
    /// Length of the latent.
    pub fn latent(&self) -> usize {
        match self {
            Self::Lstm(layers) => layers.last().map_or(0, |layer| layer.hidden),
            Self::Transformer(transformer) => transformer.width,
        }
    }
}

pub(super) fn recognize<'a>(graph: &mut Graph<'a>, latent: &'a str) -> Result<SignalEncoder<'a>, Mismatch> {
    graph.claim_for(Owner::Signal);
    match graph.operator(latent) {
        "Squeeze" => lstm(graph, latent).map(SignalEncoder::Lstm),
        _ => transformer::recognize(graph, latent).map(SignalEncoder::Transformer),
    }
}

fn lstm<'a>(graph: &mut Graph<'a>, latent: &'a str) -> Result<Vec<LstmLayer<'a>>, Mismatch> {
    let mut layers = Vec::new();
    let mut value = latent;
    while graph.operator(value) == "Squeeze" {
        // The last layer gives its last output, [1, N, hidden]; the others all of them, [80, 1, N, hidden].
        let last = layers.is_empty();
        let [squeezed, axes] = graph.single(value, "Squeeze", &[])?;
        graph.list(axes, if last { &[0] } else { &[1] })?;
        let (layer, input) = lstm_layer(graph, squeezed, last)?;
        layers.push(layer);
        value = input;
    }
    layers.reverse();
    let [ecg] = graph.single(value, "Transpose", &[Attribute::Ints("perm", &[1, 0, 2])])?;
    let chained = layers.windows(2).all(|pair| pair[0].hidden == pair[1].inputs);
    if ecg != ECG || !chained || layers.first().is_none_or(|layer| layer.inputs != WINDOW) {
        return Err(Mismatch::whole(
            "the LSTM layers do not follow each other from the input".to_owned(),
        ));
    }
    Ok(layers)
}

fn lstm_layer<'a>(graph: &mut Graph<'a>, value: &str, last: bool) -> Result<(LstmLayer<'a>, &'a str), Mismatch> {
    let hidden = graph.lstm_width(value)?;
    let place = if last { (1, 2) } else { (0, 1) };
    let width = [Attribute::Int("hidden_size", hidden as i64)];
    let [input, w, r, b] = graph.node(value, "LSTM", place, &width)?;
    let (input, rounding) = graph.activation(input)?;
    let (input_weights, [directions, gates, inputs]) = graph.weights::<3>(w, 1)?;
    let (hidden_weights, extents) = graph.weights::<3>(r, 1)?;
    check_operands(rounding, input_weights, 31)?;
    // The state is 16-bit: its sign and 32767 for 1.
    let state = rounding.map(|_| 1 << 15);
    if input_weights.is_int8() != hidden_weights.is_int8() || extents != [1, 4 * hidden, hidden] {
        return Err(Mismatch::whole(
            "an LSTM's two weights do not fit each other".to_owned(),
        ));
    }
    hidden_weights.check_sums(state.unwrap_or(0), 31)?;
    if directions != 1 || hidden == 0 || gates != 4 * hidden {
        return Err(Mismatch::whole(format!(
            "an LSTM's weights are not those of one direction of {hidden} units"
        )));
    }
    let layer = LstmLayer {
        inputs,
        hidden,
        input_weights,
        hidden_weights,
        biases: graph.floats_of(b, [1, 8 * hidden])?,
        input: rounding,
    };
    Ok((layer, input))
}

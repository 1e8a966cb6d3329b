//! Which layers had better stay in float.

use dualnet_engine::Model;
use dualnet_engine::plan::{Plan, SignalEncoder};

/// The names of the nodes of a Transformer encoder contain this.
const TRANSFORMER: &str = "ecg_encoder";
/// The largest part of a network's multiply-adds that may stay in float, as one of so many.
const PART: u64 = 10;

/// Patterns for [`quantize`](super::quantize) of the layers of a float network that lose more by rounding than they gain: a Transformer that reads the
/// waveform, where it has no more than a tenth of the multiply-adds.
///
/// The latent that it gives scales every map of the network, and its operands, sums that pass through layer normalizations, have few values
/// far out. In an ECG-DualNet++ S (1528 validation records) rounding it moved probabilities by 0.006 on average, rounding all else by 0.0002. An
/// LSTM's state is 16 bits wide, and rounding its weights and inputs loses nothing.
pub fn sensitive(model: &Model) -> Vec<String> {
    let Ok(plan) = Plan::of(model) else {
        return Vec::new();
    };
    let Some(SignalEncoder::Transformer(_)) = plan.signal else {
        return Vec::new();
    };
    let own = plan.steps().first().map_or(0, |step| step.multiply_adds);
    match own.saturating_mul(PART) <= plan.multiply_adds() {
        true => vec![TRANSFORMER.to_owned()],
        false => Vec::new(),
    }
}

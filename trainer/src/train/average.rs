//! The exponential moving average of the weights (Polyak and Juditsky 1992; as an average over steps, Tarvainen and Valpola 2017).

use crate::error::TrainerError;
use crate::optimizer::{copy, lerp};
use crate::torch::Parameters;
use dualnet_export::network::{Network, ParameterKind};

/// Averaged weights and running statistics.
#[derive(Debug)]
pub(super) struct Average {
    decay: f64,
    parameters: Parameters,
}

impl Average {
    /// An average that begins with `parameters`.
    pub(super) fn new(network: &Network, parameters: &Parameters, decay: f64) -> Result<Self, TrainerError> {
        let copy = Parameters::from_values(network, |parameter| parameters.values(&parameter.name))?;
        Ok(Self {
            decay,
            parameters: copy,
        })
    }

    /// The average on another device.
    pub(super) fn on(self, device: tch::Device) -> Result<Self, TrainerError> {
        Ok(Self {
            decay: self.decay,
            parameters: self.parameters.on(device)?,
        })
    }

    /// The averaged network.
    pub(super) fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Takes in the weights after step `step`, counted from 1. Early steps weigh more, so that the initial values are soon forgotten.
    pub(super) fn update(&mut self, trained: &Parameters, step: u64) -> Result<(), TrainerError> {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        let (mut averages, mut values) = (Vec::new(), Vec::new());
        let (mut integers, mut counted) = (Vec::new(), Vec::new());
        tch::no_grad(|| {
            for ((parameter, average), (_, value)) in self.parameters.iter().zip(trained.iter()) {
                let (to, from) = match parameter.kind {
                    ParameterKind::Integer => (&mut integers, &mut counted),
                    _ => (&mut averages, &mut values),
                };
                to.push(average.shallow_clone());
                from.push(value.shallow_clone());
            }
            copy(&integers, &counted)?;
            Ok(lerp(&averages, &values, 1.0 - decay)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_export::network::preset;

    #[test]
    fn the_average_follows_the_weights() {
        let mut config = preset("dualnet-s").expect("a preset");
        config.ablate_spectrogram_encoder();
        let network = Network::new(config).expect("a network");
        let first = Parameters::initial(&network, 1).expect("parameters");
        let second = Parameters::initial(&network, 2).expect("parameters");
        let mut average = Average::new(&network, &first, 0.75).expect("an average");
        // The third step's own limit is 4/13, the hundredth's is above the decay.
        average.update(&second, 3).expect("a step");
        average.update(&second, 100).expect("a step");
        let kept = 0.75 * 4.0 / 13.0;
        for name in ["linear_layer_2.weight", "ecg_encoder.bias_ih_l0"] {
            let values = |parameters: &Parameters| parameters.values(name).expect("values");
            let pairs = values(&first).into_iter().zip(values(&second));
            for ((a, b), found) in pairs.zip(values(average.parameters())) {
                let expected = f64::from(a) * kept + f64::from(b) * (1.0 - kept);
                assert!(
                    (f64::from(found) - expected).abs() < 1e-6,
                    "{name}: {found}, not {expected}"
                );
            }
        }
    }
}

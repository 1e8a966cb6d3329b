//! The exponential moving average of the weights (Polyak and Juditsky 1992; as an average over steps, Tarvainen and Valpola 2017).

use crate::error::TrainerError;
use crate::optimizer::{copy, lerp, lerp_statistics};
use crate::torch::Parameters;
use dualnet_export::network::{NORM_EPSILON, Network, ParameterKind};
use tch::Tensor;

/// How many times the average's variance a step's running variance counts at most. In training as it should be it is up to six times as large. When a
/// network that loses its way for some steps has 10⁵ times, the average without this bound has lost it for as many epochs as the decay lasts.
const GREATEST_VARIANCE: f64 = 10.0;

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
        // Averages and what is trained: weights, running means, running variances, and counters, which are not averaged.
        let mut tensors: [[Vec<Tensor>; 2]; 4] = Default::default();
        for ((parameter, average), (_, value)) in self.parameters.iter().zip(trained.iter()) {
            let kind = match parameter.kind {
                ParameterKind::Weight => 0,
                ParameterKind::Buffer if parameter.name.ends_with(".running_mean") => 1,
                ParameterKind::Buffer => 2,
                ParameterKind::Integer => 3,
            };
            for (list, tensor) in tensors[kind].iter_mut().zip([average, value]) {
                list.push(tensor.shallow_clone());
            }
        }
        let [
            [weights, trained],
            [means, new_means],
            [variances, new_variances],
            [counters, counted],
        ] = &tensors;
        tch::no_grad(|| {
            copy(counters, counted)?;
            lerp(weights, trained, 1.0 - decay)?;
            let (own, new) = ([&means[..], variances], [&new_means[..], new_variances]);
            Ok(lerp_statistics(
                own,
                new,
                1.0 - decay,
                (GREATEST_VARIANCE, NORM_EPSILON),
            )?)
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

    /// Ten steps in which a network loses its way are not what its average's statistics are made of.
    #[test]
    fn steps_that_go_astray_do_not_become_the_average_s_statistics() {
        let network = Network::new(preset("dualnet-s").expect("a preset")).expect("a network");
        let trained = Parameters::initial(&network, 1).expect("parameters");
        let layer = "spectrogram_encoder.0.main_mapping_norm_1.batch_normalization";
        let [mean, variance] = ["running_mean", "running_var"].map(|name| format!("{layer}.{name}"));
        let set = |values: [f64; 2]| {
            for (name, value) in [&mean, &variance].into_iter().zip(values) {
                let mut tensor = trained.get(name).expect("a statistic").shallow_clone();
                let _ = tch::no_grad(|| tensor.fill_(value));
            }
        };
        set([1.0, 2.0]);
        let mut average = Average::new(&network, &trained, 0.99).expect("an average");
        let mut update =
            |steps: std::ops::Range<u64>| steps.for_each(|step| average.update(&trained, step).expect("a step"));
        set([1e3, 1e6]);
        update(1000..1010);
        set([1.0, 2.0]);
        update(1010..1020);
        let found = |name: &str| f64::from(average.parameters().values(name).expect("values")[0]);
        // At most a tenth more in each of the ten.
        assert!((2.0..6.0).contains(&found(&variance)), "{}", found(&variance));
        assert!((found(&mean) - 1.0).abs() < 0.01, "{}", found(&mean));
    }
}

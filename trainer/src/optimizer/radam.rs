//! Rectified Adam (Liu et al. 2019, "On the Variance of the Adaptive Learning Rate and Beyond").

use super::foreach::{self, Numbers};
use super::fused::{self, Step};
use crate::error::TrainerError;
use crate::torch::Parameters;
use dualnet_engine::simd::Isa;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tch::{Device, Tensor};

/// Below this length of the approximated simple moving average the step is not rectified (PyTorch-era value: 5).
const RECTIFIED_FROM: f64 = 5.0;

/// The table `[train.optimizer]`. What is absent is as published: the paper's values, which the original left as they were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RAdamOptions {
    /// β1, the decay of the first moment per step.
    pub beta1: f64,
    /// β2, the decay of the second moment per step.
    pub beta2: f64,
    /// What is added to the root of the second moment.
    pub eps: f64,
}

impl Default for RAdamOptions {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

/// The two moments of one parameter.
#[derive(Debug)]
pub struct Moments {
    /// `m`, the first moment.
    pub first: Tensor,
    /// `v`, the second moment, uncorrected.
    pub second: Tensor,
}

/// The optimizer: step counter and moments by parameter name.
#[derive(Debug, Default)]
pub struct RAdam {
    options: RAdamOptions,
    step: u64,
    moments: BTreeMap<String, Moments>,
}

impl RAdam {
    /// An optimizer that has taken no step, with the published numbers.
    pub fn new() -> Self {
        Self::default()
    }

    /// An optimizer that continues after `step` steps with these moments and the published numbers.
    pub fn resume(step: u64, moments: BTreeMap<String, Moments>) -> Self {
        Self {
            step,
            moments,
            ..Self::default()
        }
    }

    /// The optimizer with these numbers from the next step on.
    pub fn with_options(self, options: RAdamOptions) -> Self {
        Self { options, ..self }
    }

    /// The optimizer with its moments on `device`.
    pub fn on(self, device: Device) -> Result<Self, TrainerError> {
        let mut moments = BTreeMap::new();
        for (name, Moments { first, second }) in self.moments {
            let moved = Moments {
                first: first.f_to_device(device)?,
                second: second.f_to_device(device)?,
            };
            moments.insert(name, moved);
        }
        Ok(Self { moments, ..self })
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Moments by parameter name.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Moves every weight along its gradient and clears the gradients; weights without one are skipped.
    pub fn step(&mut self, parameters: &Parameters, learning_rate: f64) -> Result<(), TrainerError> {
        self.step += 1;
        let t = self.step as f64;
        let RAdamOptions { beta1, beta2, eps } = self.options;
        let (decay1, decay2) = (beta1.powf(t), beta2.powf(t));
        let rho_limit = 2.0 / (1.0 - beta2) - 1.0;
        let rho = rho_limit - 2.0 * t * decay2 / (1.0 - decay2);
        let rectification = (rho >= RECTIFIED_FROM).then(|| {
            ((1.0 - decay2) * (rho - 4.0) * (rho - 2.0) * rho_limit / ((rho_limit - 4.0) * (rho_limit - 2.0) * rho))
                .sqrt()
        });
        let isa = Isa::detect().ok().filter(|_| parameters.device() == Device::Cpu);
        let size = -learning_rate * rectification.unwrap_or(1.0) / (1.0 - decay1);
        let whole = Step {
            first: [beta1 as f32, (1.0 - beta1) as f32],
            second: [beta2 as f32, (1.0 - beta2) as f32],
            eps: eps as f32,
            size: size as f32,
            is_rectified: rectification.is_some(),
        };
        // Those that no single pass of ours covers: tensors on a GPU above all.
        let mut others: [Vec<Tensor>; 3] = Default::default();
        tch::no_grad(|| {
            for (name, weight) in parameters.weights() {
                let gradient = weight.f_grad()?;
                if !gradient.defined() {
                    continue;
                }
                if !self.moments.contains_key(name) {
                    let zeros = || weight.f_zeros_like();
                    self.moments.insert(
                        name.to_owned(),
                        Moments {
                            first: zeros()?,
                            second: zeros()?,
                        },
                    );
                }
                let Some(Moments { first, second }) = self.moments.get(name) else {
                    continue;
                };
                if isa.is_some_and(|isa| fused::apply(isa, whole, [weight, &gradient, first, second])) {
                    continue;
                }
                for (list, tensor) in others.iter_mut().zip([weight, first, second]) {
                    list.push(tensor.shallow_clone());
                }
            }
            let numbers = Numbers {
                beta1,
                beta2,
                eps,
                size,
                is_rectified: i32::from(rectification.is_some()),
            };
            foreach::radam(others.each_ref().map(Vec::as_slice), &numbers)?;
            Ok(())
        })
    }
}

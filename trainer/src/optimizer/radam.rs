//! Rectified Adam (Liu et al. 2019, "On the Variance of the Adaptive Learning Rate and Beyond").

use super::foreach::{self, Numbers};
use super::fused::{self, Step};
use crate::error::TrainerError;
use crate::torch::Parameters;
use dualnet_engine::simd::Isa;
use std::collections::BTreeMap;
use tch::{Device, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPS: f64 = 1e-8;
/// Below this length of the approximated simple moving average the step is not rectified (PyTorch-era value: 5).
const RECTIFIED_FROM: f64 = 5.0;

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
    step: u64,
    moments: BTreeMap<String, Moments>,
}

impl RAdam {
    /// An optimizer that has taken no step.
    pub fn new() -> Self {
        Self::default()
    }

    /// An optimizer that continues after `step` steps with these moments.
    pub fn resume(step: u64, moments: BTreeMap<String, Moments>) -> Self {
        Self { step, moments }
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
        Ok(Self {
            step: self.step,
            moments,
        })
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
        let (decay1, decay2) = (BETA1.powf(t), BETA2.powf(t));
        let rho_limit = 2.0 / (1.0 - BETA2) - 1.0;
        let rho = rho_limit - 2.0 * t * decay2 / (1.0 - decay2);
        let rectification = (rho >= RECTIFIED_FROM).then(|| {
            ((1.0 - decay2) * (rho - 4.0) * (rho - 2.0) * rho_limit / ((rho_limit - 4.0) * (rho_limit - 2.0) * rho))
                .sqrt()
        });
        let isa = Isa::detect().ok().filter(|_| parameters.device() == Device::Cpu);
        let size = -learning_rate * rectification.unwrap_or(1.0) / (1.0 - decay1);
        let whole = Step {
            first: [BETA1 as f32, (1.0 - BETA1) as f32],
            second: [BETA2 as f32, (1.0 - BETA2) as f32],
            eps: EPS as f32,
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
                beta1: BETA1,
                beta2: BETA2,
                eps: EPS,
                size,
                is_rectified: i32::from(rectification.is_some()),
            };
            foreach::radam(others.each_ref().map(Vec::as_slice), &numbers)?;
            Ok(())
        })
    }
}

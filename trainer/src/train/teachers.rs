//! Networks that teach another one: their probabilities of a record are part of what it learns (distillation, Hinton et al. 2015).

use super::{Checkpoint, TrainOptions, network_of, parameters_of};
use crate::error::TrainerError;
use crate::evaluate::TorchPredictor;
use crate::random::Rng;
use crate::torch::Parameters;
use dualnet_engine::model::digest::hexadecimal;
use dualnet_export::network::Network;
use dualnet_export::weights::{StateDict, Tensor as Stored};
use sha2::{Digest, Sha256};
use std::path::Path;
use tch::{Device, Tensor};

/// Trained networks of the same classes as the one that learns from them; none of them learns.
#[derive(Default)]
pub(super) struct Teachers {
    networks: Vec<TorchPredictor<Network, Parameters>>,
    digest: Option<String>,
}

impl Teachers {
    /// Those that `options` name, to teach `pupil`.
    ///
    /// # Errors
    /// An unreadable file; one that does not say which network it is, or has not exactly its tensors; other classes than the pupil's;
    /// another split, whose training records may be among those that the pupil is measured on.
    pub(super) fn open(options: &TrainOptions, pupil: &Network) -> Result<Self, TrainerError> {
        let Some(distillation) = &options.distillation else {
            return Ok(Self::default());
        };
        let mut networks = Vec::new();
        let mut digest = Sha256::new();
        for path in &distillation.teachers {
            let bytes = std::fs::read(path).map_err(|source| TrainerError::Io {
                path: path.clone(),
                source,
            })?;
            digest.update(Sha256::digest(&bytes));
            networks.push(read(path, &bytes, options, pupil)?);
        }
        Ok(Self {
            networks,
            digest: Some(hexadecimal(&digest.finalize()[..8])),
        })
    }

    /// The same on another device.
    pub(super) fn on(self, device: Device) -> Result<Self, TrainerError> {
        let networks = self.networks.into_iter().map(|TorchPredictor { network, parameters }| {
            Ok(TorchPredictor {
                network,
                parameters: parameters.on(device)?,
            })
        });
        Ok(Self {
            networks: networks.collect::<Result<_, TrainerError>>()?,
            digest: self.digest,
        })
    }

    /// Sixteen digits that tell the files and their order, if there are any.
    pub(super) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Probabilities `[N, classes]` of `ecg [N, 80, 256]` and `spectrogram [N, 1, 563, 33]` as one of the teachers, drawn by `seed`, sees
    /// them: what is learned over many steps is the mean of all. `None` without teachers.
    pub(super) fn ask(&self, ecg: &Tensor, spectrogram: &Tensor, seed: u64) -> Result<Option<Tensor>, TrainerError> {
        let teacher = match self.networks.as_slice() {
            [] => return Ok(None),
            [teacher] => teacher,
            several => &several[Rng::for_name(seed, "teacher").below(several.len())],
        };
        teacher.predict(ecg, spectrogram).map(Some)
    }
}

fn read(
    path: &Path,
    bytes: &[u8],
    options: &TrainOptions,
    pupil: &Network,
) -> Result<TorchPredictor<Network, Parameters>, TrainerError> {
    let fault = |reason: String| TrainerError::File {
        path: path.to_owned(),
        reason,
    };
    let checkpoint = Checkpoint::from_state(StateDict::from_safetensors(bytes, path)?);
    let state = checkpoint.state();
    let network =
        network_of(state)?.ok_or_else(|| fault("does not say which network it is; a teacher must".to_owned()))?;
    let (own, pupils) = (network.config().class_names(), pupil.config().class_names());
    if own != pupils {
        return Err(fault(format!(
            "its classes are {}; it cannot teach {}",
            own.join(", "),
            pupils.join(", ")
        )));
    }
    let training = checkpoint.training();
    let stated = training["options"]["split"].as_str();
    if let Some(split) = stated.filter(|split| *split != options.split) {
        return Err(fault(format!(
            "was trained on the split {split}; it would teach the split {} what it knows of its validation records",
            options.split
        )));
    }
    let is_finite = |tensor: &Stored| {
        tensor
            .as_f32()
            .is_none_or(|values| values.iter().all(|value| value.is_finite()))
    };
    if let Some((name, _)) = state.tensors.iter().find(|(_, tensor)| !is_finite(tensor)) {
        return Err(fault(format!("{name:?} has a value that is not finite")));
    }
    let parameters = parameters_of(&network, state, path)?;
    Ok(TorchPredictor { network, parameters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn taught_by(seeds: &[u64]) -> Teachers {
        let networks = seeds.iter().map(|&seed| {
            let network = Network::preset("dualnet-s").expect("a preset");
            let parameters = Parameters::initial(&network, seed).expect("parameters");
            TorchPredictor { network, parameters }
        });
        Teachers {
            networks: networks.collect(),
            digest: None,
        }
    }

    #[test]
    fn each_of_several_is_asked_and_none_learns() {
        let options = (Kind::Float, Device::Cpu);
        let ecg = Tensor::ones([2, 80, 256], options);
        let spectrogram = Tensor::ones([2, 1, 563, 33], options);
        let said = |teachers: &Teachers, seed| {
            let said = teachers.ask(&ecg, &spectrogram, seed).expect("probabilities");
            let said = said.expect("a teacher");
            assert!(!said.requires_grad());
            Vec::<f32>::try_from(said.view([-1])).expect("numbers")
        };
        let alone = [1, 2].map(|seed| said(&taught_by(&[seed]), 0));
        assert_ne!(alone[0], alone[1]);
        for row in alone.iter().flat_map(|rows| rows.chunks_exact(4)) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
        let both = taught_by(&[1, 2]);
        let asked = (0..16).map(|seed| alone.iter().position(|alone| *alone == said(&both, seed)));
        let asked: Vec<usize> = asked.map(|teacher| teacher.expect("one of the two")).collect();
        assert!(asked.contains(&0) && asked.contains(&1), "{asked:?}");
        assert!(
            taught_by(&[])
                .ask(&ecg, &spectrogram, 0)
                .expect("nothing to do")
                .is_none()
        );
    }
}

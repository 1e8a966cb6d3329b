//! Networks that teach another one: their probabilities of a record are part of what it learns (distillation, Hinton et al. 2015).

use super::answers::AnswerFile;
use super::leak::leak;
use super::told::Told;
use super::{Checkpoint, Records, TrainOptions, network_of, parameters_of};
use crate::error::TrainerError;
use crate::evaluate::TorchPredictor;
use crate::random::Rng;
use crate::torch::Parameters;
use dualnet_engine::model::digest::hexadecimal;
use dualnet_export::network::Network;
use dualnet_export::weights::StateDict;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// Trained networks of the same classes as the one that learns from them; none of them learns.
#[derive(Default)]
pub(super) struct Teachers {
    teachers: Vec<Teacher>,
    told: Told,
    digest: Option<String>,
}

struct Teacher {
    predictor: TorchPredictor<Network, Parameters>,
    /// What its checkpoint says of its training.
    training: Value,
    path: PathBuf,
}

impl Teachers {
    /// Those that `options` name, to teach `pupil`.
    ///
    /// # Errors
    /// An unreadable file; one that does not say which network it is, or has not exactly its tensors, all finite; other classes than the
    /// pupil's.
    pub(super) fn open(options: &TrainOptions, pupil: &Network) -> Result<Self, TrainerError> {
        let Some(distillation) = &options.distillation else {
            return Ok(Self::default());
        };
        let mut digest = Sha256::new();
        let mut bytes = |path: &Path| {
            let bytes = std::fs::read(path).map_err(|error| TrainerError::File {
                path: path.to_owned(),
                reason: format!("{error}; the run learns from it"),
            })?;
            digest.update(Sha256::digest(&bytes));
            Ok::<_, TrainerError>(bytes)
        };
        let mut teachers = Vec::new();
        for path in &distillation.teachers {
            teachers.push(read(path, &bytes(path)?, pupil)?);
        }
        let mut answers = Vec::new();
        for path in &distillation.answers {
            answers.push(AnswerFile::parse(path, &bytes(path)?, pupil.config().class_names())?);
        }
        Ok(Self {
            teachers,
            told: Told::new(answers),
            digest: Some(hexadecimal(&digest.finalize()[..8])),
        })
    }

    /// The same on another device.
    pub(super) fn on(self, device: Device) -> Result<Self, TrainerError> {
        let teachers = self.teachers.into_iter().map(|mut teacher| {
            let TorchPredictor { network, parameters } = teacher.predictor;
            let parameters = parameters.on(device)?;
            teacher.predictor = TorchPredictor { network, parameters };
            Ok(teacher)
        });
        Ok(Self {
            teachers: teachers.collect::<Result<_, TrainerError>>()?,
            told: self.told,
            digest: self.digest,
        })
    }

    /// Finds the records that train in the files of answers, and makes sure that no teacher has learned those that a run of these options
    /// chooses its best epoch on and is measured on.
    ///
    /// # Errors
    /// Teachers that may have, by name: trained on another split, or holding other records back. As [`Told::find`].
    pub(super) fn meet(&mut self, options: &TrainOptions, records: &Records) -> Result<(), TrainerError> {
        self.told.find(records)?;
        let mut leaks = self.teachers.iter().filter_map(|teacher| {
            let reason = leak(&teacher.training, options, records)?;
            let path = teacher.path.clone();
            Some(TrainerError::File { path, reason })
        });
        leaks.next().map_or(Ok(()), Err)
    }

    /// What each says of its training.
    pub(super) fn trainings(&self) -> impl Iterator<Item = &Value> {
        self.teachers.iter().map(|teacher| &teacher.training)
    }

    /// Sixteen digits that tell the files and their order, if there are any.
    pub(super) fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Probabilities `[N, classes]` of `ecg [N, 80, 256]` and `spectrogram [N, 1, 563, 33]` as one of the teachers, drawn by `seed`, sees
    /// them: over many steps the mean of all is learned. In float32, whatever the pupil's precision. With files of answers, their mean with
    /// what these say of `units`, the records as they are in the data set. `None` without either.
    pub(super) fn ask(
        &self,
        ecg: &Tensor,
        spectrogram: &Tensor,
        units: &[u32],
        seed: u64,
    ) -> Result<Option<Tensor>, TrainerError> {
        let told = self.told.of(units, ecg.device())?;
        let Teacher { predictor, .. } = match self.teachers.as_slice() {
            [] => return Ok(told),
            [teacher] => teacher,
            several => &several[Rng::for_name(seed, "teacher").below(several.len())],
        };
        let taught = predictor.predict(ecg, spectrogram)?;
        Ok(Some(match told {
            None => taught,
            Some(told) => taught.f_add(&told)?.f_mul_scalar(0.5)?,
        }))
    }
}

fn read(path: &Path, bytes: &[u8], pupil: &Network) -> Result<Teacher, TrainerError> {
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
    let parameters = parameters_of(&network, state, path)?;
    Ok(Teacher {
        predictor: TorchPredictor { network, parameters },
        training: checkpoint.training(),
        path: path.to_owned(),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use tch::{Device, Kind};

    pub(in crate::train) fn taught_by(seeds: &[u64]) -> Teachers {
        let teachers = seeds.iter().map(|&seed| {
            let network = Network::preset("dualnet-s").expect("a preset");
            let parameters = Parameters::initial(&network, seed).expect("parameters");
            Teacher {
                predictor: TorchPredictor { network, parameters },
                training: Value::Null,
                path: PathBuf::new(),
            }
        });
        Teachers {
            teachers: teachers.collect(),
            ..Teachers::default()
        }
    }

    #[test]
    fn each_of_several_is_asked_and_none_learns() {
        let options = (Kind::Float, Device::Cpu);
        let ecg = Tensor::ones([2, 80, 256], options);
        let spectrogram = Tensor::ones([2, 1, 563, 33], options);
        let said = |teachers: &Teachers, seed| {
            let said = teachers.ask(&ecg, &spectrogram, &[0, 1], seed).expect("probabilities");
            let said = said.expect("a teacher");
            assert!(!said.requires_grad());
            Vec::<f32>::try_from(said.view([-1])).expect("numbers")
        };
        let alone = [1, 2].map(|seed| said(&taught_by(&[seed]), 0));
        assert_ne!(alone[0], alone[1]);
        for row in alone.iter().flat_map(|rows| rows.chunks_exact(4)) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{row:?}");
        }
        // Beside what is known of the units each has half, and the whole without teachers.
        let known = Told::known([(0, vec![0.0, 0.0, 1.0, 0.0]), (1, vec![0.5, 0.5, 0.0, 0.0])].into());
        let mut beside = taught_by(&[1]);
        beside.told = known;
        let found = said(&beside, 0);
        for (place, known) in [0.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 0.0].into_iter().enumerate() {
            assert!(
                (found[place] - f32::midpoint(alone[0][place], known)).abs() < 1e-6,
                "{found:?}"
            );
        }
        beside.teachers.clear();
        assert_eq!(said(&beside, 0), [0.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 0.0]);
        let both = taught_by(&[1, 2]);
        let asked = (0..16).map(|seed| alone.iter().position(|alone| *alone == said(&both, seed)));
        let asked: Vec<usize> = asked.map(|teacher| teacher.expect("one of the two")).collect();
        assert!(asked.contains(&0) && asked.contains(&1), "{asked:?}");
        assert!(
            taught_by(&[])
                .ask(&ecg, &spectrogram, &[0, 1], 0)
                .expect("nothing to do")
                .is_none()
        );
    }
}

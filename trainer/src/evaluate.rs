//! Evaluation of a network on a list of records.

mod measured;
mod temperature;

pub use measured::Measured;
pub use temperature::{Temperature, log_probabilities};

use crate::data::{Classes, Dataset, Loader, LoaderOptions};
use crate::error::TrainerError;
use crate::torch::{Mode, Parameters, Torch};
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::score::Evaluation;
use dualnet_engine::signal::{BINS, FRAMES, WINDOW, WINDOWS};
use dualnet_export::network::Network;
use std::borrow::Borrow;
use std::path::Path;
use std::sync::Arc;
use tch::{Kind, Tensor};

/// Something that turns prepared inputs into probabilities.
pub trait Predictor {
    /// Probabilities `[batch, classes]`, row-major, of `ecg [batch, 80, 256]` and `spectrogram [batch, 1, 563, 33]`.
    fn probabilities(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, TrainerError>;
    /// Number of classes.
    fn classes(&self) -> usize;
}

/// A network on libtorch, in evaluation mode.
pub struct TorchPredictor<N: Borrow<Network>, P: Borrow<Parameters>> {
    /// What is computed.
    pub network: N,
    /// With which weights.
    pub parameters: P,
}

impl<N: Borrow<Network>, P: Borrow<Parameters>> Predictor for TorchPredictor<N, P> {
    fn probabilities(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, TrainerError> {
        let (ecg, spectrogram) = input_tensors(ecg, spectrogram, batch)?;
        let logits = tch::no_grad(|| {
            let mut torch = Torch::new(self.parameters.borrow(), Mode::Evaluation);
            self.network.borrow().forward(&mut torch, &ecg, &spectrogram)
        })?
        .logits;
        crate::torch::flattened(&logits.f_softmax(-1, Kind::Float)?)
    }

    fn classes(&self) -> usize {
        self.network.borrow().config().classes
    }
}

/// An exported network in the engine's CPU runtime.
pub struct OnnxPredictor {
    runtime: Runtime,
}

impl OnnxPredictor {
    /// Opens and checks a model file.
    ///
    /// # Errors
    /// Also when its classes are not N, O, A, ~ or N, A, in this order: it would be measured against other labels.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        let model = Model::open(path)?;
        let names = model.classes();
        if names != ["N", "O", "A", "~"] && names != ["N", "A"] {
            return Err(TrainerError::File {
                path: path.to_owned(),
                reason: format!(
                    "its classes are {}; only N, O, A, ~ and N, A can be evaluated",
                    names.join(", ")
                ),
            });
        }
        Ok(Self {
            runtime: Runtime::new(model),
        })
    }

    /// The classes in the order of the outputs.
    pub fn class_names(&self) -> Vec<String> {
        self.runtime.model().classes().iter().map(ToString::to_string).collect()
    }
}

impl Predictor for OnnxPredictor {
    fn probabilities(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, TrainerError> {
        Ok(self.runtime.run(ecg, spectrogram, batch)?)
    }

    fn classes(&self) -> usize {
        self.runtime.model().classes().len()
    }
}

/// The two inputs as tensors.
pub(crate) fn input_tensors(ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<(Tensor, Tensor), TrainerError> {
    let batch = batch as i64;
    let ecg = Tensor::f_from_slice(ecg)?.f_view([batch, WINDOWS as i64, WINDOW as i64])?;
    let spectrogram = Tensor::f_from_slice(spectrogram)?.f_view([batch, 1, FRAMES as i64, BINS as i64])?;
    Ok((ecg, spectrogram))
}

/// Evaluates the records of `dataset` that `indices` name, in that order; `progress` hears how many are done.
pub fn evaluate(
    predictor: &mut dyn Predictor,
    dataset: &Arc<Dataset>,
    indices: &[u32],
    batch_size: usize,
    threads: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<(Evaluation, Vec<f32>), TrainerError> {
    let count = predictor.classes();
    let Some(classes) = Classes::from_count(count) else {
        return Err(TrainerError::Network(format!(
            "{count} classes cannot be evaluated; 2 and 4 can"
        )));
    };
    let mut loader = Loader::new(
        dataset,
        indices,
        LoaderOptions::validation(batch_size, classes, threads),
    )?;
    let (mut probabilities, mut labels) = (Vec::new(), Vec::new());
    while let Some(batch) = loader.next() {
        let batch = batch?;
        let records = batch.labels.len();
        probabilities.extend(predictor.probabilities(&batch.ecg, &batch.spectrogram, records)?);
        labels.extend_from_slice(&batch.labels);
        progress(labels.len());
        loader.recycle(batch);
    }
    Ok((Evaluation::new(&probabilities, count, &labels)?, probabilities))
}

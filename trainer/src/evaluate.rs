//! Evaluation of a network on a list of records.

use crate::data::{Classes, Dataset, Loader, LoaderOptions};
use crate::error::TrainerError;
use crate::torch::{Mode, Parameters, Torch};
use dualnet_engine::score::Evaluation;
use dualnet_engine::signal::{BINS, FRAMES, WINDOW, WINDOWS};
use dualnet_export::network::Network;
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
pub struct TorchPredictor<'a> {
    /// What is computed.
    pub network: &'a Network,
    /// With which weights.
    pub parameters: &'a Parameters,
}

impl Predictor for TorchPredictor<'_> {
    fn probabilities(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, TrainerError> {
        let (ecg, spectrogram) = input_tensors(ecg, spectrogram, batch)?;
        let logits = tch::no_grad(|| {
            let mut torch = Torch::new(self.parameters, Mode::Evaluation);
            self.network.forward(&mut torch, &ecg, &spectrogram)
        })?
        .logits;
        crate::torch::flattened(&logits.f_softmax(-1, Kind::Float)?)
    }

    fn classes(&self) -> usize {
        self.network.config().classes
    }
}

/// The two inputs as tensors.
pub(crate) fn input_tensors(
    ecg: &[f32],
    spectrogram: &[f32],
    batch: usize,
) -> Result<(Tensor, Tensor), TrainerError> {
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
        return Err(TrainerError::Network(format!("{count} classes cannot be evaluated; 2 and 4 can")));
    };
    let mut loader = Loader::new(dataset, indices, LoaderOptions::validation(batch_size, classes, threads))?;
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

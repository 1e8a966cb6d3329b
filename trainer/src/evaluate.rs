//! Evaluation of a network on a list of records.

mod excerpts;
mod measured;
mod temperature;

pub use excerpts::evaluate_excerpts;
pub use measured::Measured;
pub use temperature::{Temperature, log_probabilities};

use crate::data::{Classes, Loader, LoaderOptions, Source};
use crate::error::TrainerError;
use crate::torch::{Mode, Parameters, Torch};
use crate::train::Team;
use dualnet_engine::Model;
use dualnet_engine::cpu::Runtime;
use dualnet_engine::score::{Evaluation, ScoreError};
use dualnet_engine::signal::{BINS, FRAMES, WINDOW, WINDOWS};
use dualnet_export::network::{ClassSet, Network};
use std::borrow::Borrow;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};

/// Something that turns prepared inputs into probabilities.
pub trait Predictor {
    /// Probabilities `[batch, classes]`, row-major, of `ecg [batch, 80, 256]` and `spectrogram [batch, 1, 563, 33]`.
    fn probabilities(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, TrainerError>;
    /// Number of classes.
    fn classes(&self) -> usize;
    /// What the classes are.
    fn class_set(&self) -> ClassSet;
}

/// A network on libtorch, in evaluation mode.
pub struct TorchPredictor<N: Borrow<Network>, P: Borrow<Parameters>> {
    /// What is computed.
    pub network: N,
    /// With which weights.
    pub parameters: P,
}

impl<N: Borrow<Network>, P: Borrow<Parameters>> TorchPredictor<N, P> {
    /// Probabilities `[N, classes]` of `ecg [N, 80, 256]` and `spectrogram [N, 1, 563, 33]`, on the parameters' device.
    pub(crate) fn predict(&self, ecg: &Tensor, spectrogram: &Tensor) -> Result<Tensor, TrainerError> {
        tch::no_grad(|| {
            let mut torch = Torch::new(self.parameters.borrow(), Mode::Evaluation);
            let logits = self.network.borrow().forward(&mut torch, ecg, spectrogram)?.logits;
            Ok(logits.f_softmax(-1, Kind::Float)?)
        })
    }
}

impl<N: Borrow<Network>, P: Borrow<Parameters>> Predictor for TorchPredictor<N, P> {
    fn probabilities(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, TrainerError> {
        let device = self.parameters.borrow().device();
        let (ecg, spectrogram) = input_tensors(ecg, spectrogram, batch, device)?;
        crate::torch::flattened(&self.predict(&ecg, &spectrogram)?)
    }

    fn classes(&self) -> usize {
        self.network.borrow().config().classes
    }

    fn class_set(&self) -> ClassSet {
        self.network.borrow().config().class_set
    }
}

/// An exported network in the engine's CPU runtime.
pub struct OnnxPredictor {
    runtime: Runtime,
    class_set: ClassSet,
}

impl OnnxPredictor {
    /// Opens and checks a model file.
    ///
    /// # Errors
    /// Also when its classes are not N, O, A, ~ or N, A or Icentia11k's ~, N, A, F, in this order: it would be measured against
    /// other labels.
    pub fn open(path: &Path) -> Result<Self, TrainerError> {
        let model = Model::open(path)?;
        let names = model.classes();
        let Some(class_set) = ClassSet::of_names(names) else {
            return Err(TrainerError::File {
                path: path.to_owned(),
                reason: format!(
                    "its classes are {}; only N, O, A, ~ and N, A and ~, N, A, F can be evaluated",
                    names.join(", ")
                ),
            });
        };
        Ok(Self {
            runtime: Runtime::new(model),
            class_set,
        })
    }

    /// What the file's card says of the network's training.
    pub fn training(&self) -> serde_json::Value {
        self.runtime.model().card().training.clone().into()
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

    fn class_set(&self) -> ClassSet {
        self.class_set
    }
}

/// The two inputs as tensors on `device`.
pub(crate) fn input_tensors(
    ecg: &[f32],
    spectrogram: &[f32],
    batch: usize,
    device: Device,
) -> Result<(Tensor, Tensor), TrainerError> {
    let batch = batch as i64;
    let ecg = Tensor::f_from_slice(ecg)?.f_view([batch, WINDOWS as i64, WINDOW as i64])?;
    let spectrogram = Tensor::f_from_slice(spectrogram)?.f_view([batch, 1, FRAMES as i64, BINS as i64])?;
    Ok((ecg.f_to_device(device)?, spectrogram.f_to_device(device)?))
}

/// What a network says of some records, and what they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Number of classes.
    pub classes: usize,
    /// What they are.
    pub class_set: ClassSet,
    /// `[records, classes]`, row-major, in the order of the evaluated records.
    pub probabilities: Vec<f32>,
    /// The class of each record.
    pub labels: Vec<i64>,
}

impl Predictions {
    /// The figures.
    ///
    /// # Errors
    /// As [`Evaluation::new`].
    pub fn evaluation(&self) -> Result<Evaluation, ScoreError> {
        let mut evaluation = Evaluation::new(&self.probabilities, self.classes, &self.labels)?;
        if self.class_set != ClassSet::Challenge {
            // The challenge ranks by N, O and A.
            evaluation.f1_challenge = None;
        }
        Ok(evaluation)
    }

    /// The figures and their intervals.
    ///
    /// # Errors
    /// As [`Evaluation::new`].
    pub fn measured(&self) -> Result<Measured, ScoreError> {
        let mut measured = Measured::new(&self.probabilities, self.classes, &self.labels)?;
        if self.class_set != ClassSet::Challenge {
            measured.evaluation.f1_challenge = None;
            measured.intervals.f1_challenge = None;
        }
        Ok(measured)
    }
}

/// What the column of a class's probability is called in a CSV of predictions.
pub(crate) fn probability_column(class: &str) -> String {
    match class {
        "A" => "probability_af".to_owned(),
        class => format!("probability_{class}"),
    }
}

/// Hears how many records are done; its error ends the evaluation.
pub type Progress<'a> = dyn FnMut(usize) -> Result<(), TrainerError> + 'a;

/// Predicts the units of `source` that `indices` name, in that order.
pub fn evaluate(
    predictor: &mut dyn Predictor,
    source: &Arc<dyn Source>,
    indices: &[u32],
    batch_size: usize,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Predictions, TrainerError> {
    evaluate_in(
        &Team::default(),
        predictor,
        source,
        indices,
        batch_size,
        threads,
        progress,
    )
}

/// As [`evaluate`], each process of the team computing its part; all of them get the whole result.
pub(crate) fn evaluate_in(
    team: &Team,
    predictor: &mut dyn Predictor,
    source: &Arc<dyn Source>,
    indices: &[u32],
    batch_size: usize,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Predictions, TrainerError> {
    let count = predictor.classes();
    let classes = Classes::from_count(count)?;
    let class_set = predictor.class_set();
    if class_set != source.class_set() {
        let names = |set: ClassSet| set.names(count).join(", ");
        return Err(TrainerError::Network(format!(
            "the network tells {} apart; the records' labels are {}",
            names(class_set),
            names(source.class_set())
        )));
    }
    let shard = team.shard();
    let options = LoaderOptions {
        shard,
        ..LoaderOptions::validation(batch_size, classes, threads)
    };
    let mut loader = Loader::new(Arc::clone(source), indices, options)?;
    // A row per record: the probabilities, then the label. The processes' rows are zero where they are another's.
    let mut rows: Vec<f64> = Vec::new();
    let mut done = 0;
    while let Some(batch) = loader.next() {
        let batch = batch?;
        let records = batch.labels.len();
        let probabilities = predictor.probabilities(&batch.ecg, &batch.spectrogram, records)?;
        let is_mine = !batch.replicated || shard.rank == 0;
        rows.resize((done + batch.global_records) * (count + 1), 0.0);
        let mine = rows[(done + batch.first_record) * (count + 1)..].chunks_exact_mut(count + 1);
        for ((row, probabilities), &label) in mine.zip(probabilities.chunks_exact(count)).zip(&batch.labels) {
            if is_mine {
                for (slot, &probability) in row.iter_mut().zip(probabilities) {
                    *slot = f64::from(probability);
                }
                row[count] = label as f64;
            }
        }
        done += batch.global_records;
        progress(done)?;
        loader.recycle(batch);
    }
    team.sum(&mut rows)?;
    let labels: Vec<i64> = rows.chunks_exact(count + 1).map(|row| row[count] as i64).collect();
    let probabilities: Vec<f32> = rows
        .chunks_exact(count + 1)
        .flat_map(|row| row[..count].iter().map(|&probability| probability as f32))
        .collect();
    Ok(Predictions {
        classes: count,
        class_set,
        probabilities,
        labels,
    })
}

//! Runs a model on the CPU, for any batch size.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::model::TypedSimpleState;

use super::kernels::executed;
use super::network::{Network, Workspace};
use super::{Prepared, Way, panics, tract};
use crate::model::{ECG, Model, ModelError, SPECTROGRAM, one_line};
use crate::signal::{ECG_LEN, SPECTROGRAM_LEN};

/// Why a run gave no probabilities.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The model cannot be prepared for this batch size.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// An input whose length does not fit the batch.
    #[error("the input {input} holds {found} values: {expected} are needed for a batch of {batch}")]
    InputLength {
        /// Name of the input.
        input: &'static str,
        /// Records in the batch.
        batch: usize,
        /// The length needed.
        expected: usize,
        /// The input's length.
        found: usize,
    },
    /// An input with a value that is infinite or not a number: an LSTM would answer it with a plausible class.
    #[error("value {index} of the input {input} is {value}: only finite values can be classified")]
    InputNotFinite {
        /// Name of the input.
        input: &'static str,
        /// Position of the value.
        index: usize,
        /// The value.
        value: f32,
    },
    /// The runtime failed while it ran.
    #[error("the CPU runtime failed: {0}")]
    Failed(String),
    /// The network's output is infinite or not a number.
    #[error("the network gives no probabilities for this record: class {class} is {value}")]
    NotFinite {
        /// Position of the record in the batch.
        record: usize,
        /// Index of the class.
        class: usize,
        /// The output.
        value: f32,
    },
}

/// What one step of a plan took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// Wall-clock time.
    pub elapsed: Duration,
    /// Multiply-adds of its products as they were executed: fewer than the graph's where padding is skipped or a convolution is
    /// transformed, more where extents are filled up to vectors. Transforms, activations and softmax are not counted.
    pub multiply_adds: u64,
}

/// A model on the CPU. Clones share the prepared weights and nothing else: give each thread its own.
///
/// On the fused kernels, which run every network this project exports, equal inputs give equal probabilities, bit for bit, whatever the batch
/// and the number of threads; the records of a batch run one after the other. On tract ([`Runtime::fallback`] says why) equal inputs
/// give probabilities equal within 1e-6: its sums start at the next aligned address, so their order depends on where its buffers
/// lie. The first run of each batch size prepares a plan for it then, and keeps it.
pub struct Runtime {
    prepared: Arc<Prepared>,
    workspace: Workspace,
    states: BTreeMap<usize, TypedSimpleState>,
}

impl Runtime {
    /// A runtime for `model`; nothing is prepared yet.
    pub fn new(model: Model) -> Self {
        Self::sharing(Arc::new(Prepared::new(model, Way::Best)))
    }

    /// A runtime that shares what is prepared of a model.
    pub(crate) fn sharing(prepared: Arc<Prepared>) -> Self {
        Self {
            prepared,
            workspace: Workspace::default(),
            states: BTreeMap::new(),
        }
    }

    /// A runtime that leaves all of `model` to tract: what the fused kernels are compared with.
    pub fn on_tract(model: Model) -> Self {
        Self::sharing(Arc::new(Prepared::new(model, Way::Tract)))
    }

    /// A runtime that computes the padding behind a short record too: what skipping it is held to.
    pub fn without_skipping(model: Model) -> Self {
        Self::sharing(Arc::new(Prepared::new(model, Way::EveryRow)))
    }

    /// Why the model runs on tract and not on the fused kernels; `None` when it does run on them.
    ///
    /// # Errors
    /// `ENGINE_ISA` names an instruction set that is not there.
    pub fn fallback(&self) -> Result<Option<&str>, ModelError> {
        Ok(self.prepared.fused()?.as_ref().err().map(String::as_str))
    }

    /// The model it runs.
    pub fn model(&self) -> &Model {
        self.prepared.model()
    }

    /// Makes the model ready for batches of `batch` records, which the first run would do otherwise.
    ///
    /// # Errors
    /// [`ModelFault::Prepare`](crate::model::ModelFault::Prepare) when the runtime cannot: weights of contradictory shapes, for instance.
    /// [`ModelFault::Isa`](crate::model::ModelFault::Isa) when `ENGINE_ISA` names an instruction set that is not there.
    pub fn prepare(&mut self, batch: usize) -> Result<(), ModelError> {
        match self.prepared.fused()? {
            Ok(_) => Ok(()),
            Err(_) => self.state(batch).map(drop),
        }
    }

    /// Probabilities `[batch, classes]` of `ecg [batch, 80, 256]` and `spectrogram [batch, 1, 563, 33]`, row-major.
    ///
    /// # Errors
    /// [`RunError`]: inputs of other lengths or not finite, a model that cannot be prepared, a failure inside the runtime (a panic
    /// there included), probabilities that are not finite.
    pub fn run(&mut self, ecg: &[f32], spectrogram: &[f32], batch: usize) -> Result<Vec<f32>, RunError> {
        check_input(ECG, ecg, ECG_LEN, batch)?;
        check_input(SPECTROGRAM, spectrogram, SPECTROGRAM_LEN, batch)?;
        let classes = self.model().classes().len();
        let prepared = Arc::clone(&self.prepared);
        let result = match prepared.fused()? {
            Ok(network) => {
                let workspace = &mut self.workspace;
                panics::catch(|| Ok(run_fused(network, workspace, ecg, spectrogram, classes)))
            }
            Err(_) => {
                let state = self.state(batch)?;
                panics::catch(|| evaluate(state, ecg, spectrogram, batch))
            }
        };
        let probabilities = match result {
            Ok(Ok(probabilities)) => probabilities,
            Ok(Err(error)) => return Err(self.failed(batch, &format!("{error:#}"))),
            Err(panic) => return Err(self.failed(batch, &panic)),
        };
        match probabilities.iter().position(|value| !value.is_finite()) {
            Some(index) => {
                let value = probabilities[index];
                Err(RunError::NotFinite {
                    record: index / classes,
                    class: index % classes,
                    value,
                })
            }
            None => Ok(probabilities),
        }
    }

    /// Runs one record as [`Runtime::run`] does and says what each step took, in the order of [`Plan::steps`](crate::plan::Plan::steps);
    /// nothing for a model that runs on tract.
    ///
    /// # Errors
    /// Those of [`Runtime::run`].
    pub fn measure(&mut self, ecg: &[f32], spectrogram: &[f32]) -> Result<Vec<StepTime>, RunError> {
        check_input(ECG, ecg, ECG_LEN, 1)?;
        check_input(SPECTROGRAM, spectrogram, SPECTROGRAM_LEN, 1)?;
        let mut probabilities = vec![0.0; self.model().classes().len()];
        let prepared = Arc::clone(&self.prepared);
        let Ok(network) = prepared.fused()? else {
            return Ok(Vec::new());
        };
        let workspace = &mut self.workspace;
        let measured = panics::catch(|| {
            let mut steps = Vec::new();
            let mut before = (Instant::now(), executed());
            network.run(workspace, (ecg, spectrogram), &mut probabilities, &mut || {
                let now = (Instant::now(), executed());
                steps.push(StepTime {
                    elapsed: now.0 - before.0,
                    multiply_adds: now.1.wrapping_sub(before.1),
                });
                before = now;
            });
            steps
        });
        measured.map_err(|panic| self.failed(1, &panic))
    }

    /// Drops the state that failed, so that the next run starts from a fresh one.
    fn failed(&mut self, batch: usize, reason: &str) -> RunError {
        self.states.remove(&batch);
        self.workspace = Workspace::default();
        RunError::Failed(one_line(reason))
    }

    fn state(&mut self, batch: usize) -> Result<&mut TypedSimpleState, ModelError> {
        use std::collections::btree_map::Entry;
        match self.states.entry(batch) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => Ok(entry.insert(self.prepared.spawn(batch)?)),
        }
    }
}

impl Clone for Runtime {
    fn clone(&self) -> Self {
        Self::sharing(Arc::clone(&self.prepared))
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let batches: Vec<_> = self.states.keys().collect();
        f.debug_struct("Runtime")
            .field("model", &self.model().name())
            .field("batches", &batches)
            .finish()
    }
}

pub(crate) fn check_input(
    input: &'static str,
    values: &[f32],
    per_record: usize,
    batch: usize,
) -> Result<(), RunError> {
    let expected = per_record.saturating_mul(batch);
    if values.len() != expected || batch == 0 {
        return Err(RunError::InputLength {
            input,
            batch,
            expected,
            found: values.len(),
        });
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(RunError::InputNotFinite {
            input,
            index,
            value: values[index],
        }),
        None => Ok(()),
    }
}

fn run_fused(
    network: &Network,
    workspace: &mut Workspace,
    ecg: &[f32],
    spectrogram: &[f32],
    classes: usize,
) -> Vec<f32> {
    let mut probabilities = vec![0.0; ecg.len() / ECG_LEN * classes];
    let records = ecg.chunks_exact(ECG_LEN).zip(spectrogram.chunks_exact(SPECTROGRAM_LEN));
    for ((ecg, spectrogram), row) in records.zip(probabilities.chunks_exact_mut(classes.max(1))) {
        network.run(workspace, (ecg, spectrogram), row, &mut || ());
    }
    probabilities
}

/// The two inputs as tract takes them.
pub(super) fn inputs(ecg: &[f32], spectrogram: &[f32], batch: usize) -> TractResult<TVec<TValue>> {
    let [ecg_shape, spectrogram_shape] = tract::input_shapes(batch);
    Ok(tvec!(
        Tensor::from_shape(&ecg_shape, ecg)?.into_tvalue(),
        Tensor::from_shape(&spectrogram_shape, spectrogram)?.into_tvalue(),
    ))
}

fn evaluate(state: &mut TypedSimpleState, ecg: &[f32], spectrogram: &[f32], batch: usize) -> TractResult<Vec<f32>> {
    let outputs = state.run(inputs(ecg, spectrogram, batch)?)?;
    let output = outputs.first().ok_or_else(|| TractError::msg("there is no output"))?;
    Ok(output.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
}

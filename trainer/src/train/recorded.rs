//! Steps on a GPU, recorded once and then repeated as a whole.

use super::options::TrainOptions;
use super::step::{Inputs, Stepper, drawing, seed_draws};
use crate::capture::{Graph, page_locked, use_own_stream};
use crate::data::Batch;
use crate::error::TrainerError;
use crate::torch::set_gradient;
use dualnet_engine::signal::{BINS, ECG_LEN, FRAMES, SPECTROGRAM_LEN, WINDOW, WINDOWS};
use std::slice::from_raw_parts_mut;
use tch::{Device, Tensor};

/// Steps that run operation by operation before one is recorded: meanwhile cuDNN tries what it offers.
const WARM_UP: usize = 3;

/// Computes steps: of whole batches on a GPU as recorded, all others operation by operation.
#[derive(Debug)]
pub(super) struct Recorder {
    is_wanted: bool,
    warmed_up: usize,
    recorded: Option<Recorded>,
}

#[derive(Debug)]
struct Recorded {
    graph: Graph,
    staging: Staging,
    /// What the graph reads, at the addresses that it knows: the inputs, and the loss's weights of the classes.
    inputs: Inputs,
    _weights: Tensor,
    loss: Tensor,
    /// Weights with the gradients that the graph writes.
    gradients: Vec<(Tensor, Tensor)>,
}

impl Recorder {
    /// For a run on `device` in `processes` processes.
    pub(super) fn new(options: &TrainOptions, device: Device, processes: usize) -> Self {
        Self {
            is_wanted: device.is_cuda() && processes == 1 && options.accumulate == 1,
            warmed_up: 0,
            recorded: None,
        }
    }

    /// Computes everything operation by operation from now on.
    pub(super) fn switch_off(&mut self) {
        self.is_wanted = false;
    }

    /// To be called by the thread that trains, before its first step.
    pub(super) fn enter(&self, device: Device) -> Result<(), TrainerError> {
        match device {
            Device::Cuda(index) if self.is_wanted => use_own_stream(index),
            _ => Ok(()),
        }
    }

    /// As [`Stepper::gradients`].
    pub(super) fn gradients(
        &mut self,
        stepper: &Stepper<'_>,
        batch: &Batch,
        epoch: usize,
        step: usize,
    ) -> Result<Tensor, TrainerError> {
        if !self.is_wanted || batch.labels.len() != stepper.options.batch_size {
            return stepper.gradients(batch, epoch, step);
        }
        if self.warmed_up < WARM_UP {
            self.warmed_up += 1;
            return stepper.gradients(batch, epoch, step);
        }
        let seed = stepper.draws(epoch, step).next_u64();
        let recorded = match &mut self.recorded {
            Some(recorded) => {
                let inputs = recorded.staging.inputs(stepper, batch, seed)?;
                recorded.inputs.take(&inputs)?;
                recorded
            }
            None => self.recorded.insert(Recorded::new(stepper, batch, seed)?),
        };
        recorded.run(seed)
    }
}

impl Recorded {
    fn new(stepper: &Stepper<'_>, batch: &Batch, seed: u64) -> Result<Self, TrainerError> {
        let mut staging = Staging::new(batch.labels.len())?;
        let inputs = staging.inputs(stepper, batch, seed)?;
        // What is recorded writes gradients; where there is one already it would add to it, step after step.
        for (_, weight) in stepper.parameters.weights() {
            set_gradient(weight, &Tensor::new())?;
        }
        let (graph, (loss, gradients)) = {
            let _drawing = drawing();
            seed_draws(seed);
            Graph::record(|| {
                let loss = stepper.loss(&inputs, false)?;
                loss.f_backward()?;
                let mut gradients = Vec::new();
                for (_, weight) in stepper.parameters.weights() {
                    let gradient = weight.f_grad()?;
                    if gradient.defined() {
                        gradients.push((weight.shallow_clone(), gradient));
                    }
                }
                Ok((loss.f_detach()?, gradients))
            })
        }
        .map_err(|error| {
            TrainerError::Device(format!(
                "{error}; a step could not be recorded as a CUDA graph, --no-cuda-graph trains without"
            ))
        })?;
        Ok(Self {
            graph,
            staging,
            inputs,
            _weights: stepper.weights.shallow_clone(),
            loss,
            gradients,
        })
    }

    fn run(&mut self, seed: u64) -> Result<Tensor, TrainerError> {
        let _drawing = drawing();
        seed_draws(seed);
        self.graph.replay()?;
        for (weight, gradient) in &self.gradients {
            set_gradient(weight, gradient)?;
        }
        Ok(self.loss.shallow_clone())
    }
}

/// Memory that a GPU reads by itself, through which batches reach it.
#[derive(Debug)]
struct Staging {
    ecg: Tensor,
    spectrogram: Tensor,
}

impl Staging {
    fn new(records: usize) -> Result<Self, TrainerError> {
        let records = records as i64;
        Ok(Self {
            ecg: page_locked(&[records, WINDOWS as i64, WINDOW as i64])?,
            spectrogram: page_locked(&[records, 1, FRAMES as i64, BINS as i64])?,
        })
    }

    /// A whole batch on the device.
    fn inputs(&mut self, stepper: &Stepper<'_>, batch: &Batch, seed: u64) -> Result<Inputs, TrainerError> {
        let records = batch.labels.len();
        fill(&mut self.ecg, &batch.ecg, records * ECG_LEN)?;
        fill(&mut self.spectrogram, &batch.spectrogram, records * SPECTROGRAM_LEN)?;
        let device = stepper.parameters.device();
        // Both wait for the copy, so that the memory may be filled again.
        let (ecg, spectrogram) = (self.ecg.f_to_device(device)?, self.spectrogram.f_to_device(device)?);
        stepper.blended(ecg, spectrogram, (&batch.labels, &batch.records), seed)
    }
}

/// Overwrites all `length` numbers of a dense float32 tensor in the processor's memory.
fn fill(tensor: &mut Tensor, values: &[f32], length: usize) -> Result<(), TrainerError> {
    if tensor.numel() != length || values.len() != length {
        return Err(TrainerError::Network(format!(
            "a batch of {} numbers where {length} are expected",
            values.len()
        )));
    }
    // SAFETY: made by `Staging::new` as so many float32 numbers without holes; nobody else uses them meanwhile.
    unsafe { from_raw_parts_mut(tensor.data_ptr().cast::<f32>(), length) }.copy_from_slice(values);
    Ok(())
}

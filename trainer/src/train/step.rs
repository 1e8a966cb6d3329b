//! One optimizer step.

use super::mixup::Mixup;
use super::options::TrainOptions;
use super::team::Team;
use crate::data::Batch;
use crate::distributed::Reducer;
use crate::error::TrainerError;
use crate::evaluate::input_tensors;
use crate::loss::smoothed_cross_entropy;
use crate::random::Rng;
use crate::torch::{Mode, Parameters, Torch};
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::Network;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// Held from seeding libtorch's generator, of which a process has one, until the last draw: runs side by side share it.
static DRAWING: Mutex<()> = Mutex::new(());

/// The right to seed libtorch's generator and to draw from it.
pub(crate) fn drawing() -> MutexGuard<'static, ()> {
    DRAWING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stays the same from step to step.
pub(super) struct Stepper<'a> {
    pub(super) network: &'a Network,
    pub(super) options: &'a TrainOptions,
    pub(super) parameters: &'a Parameters,
    pub(super) team: &'a Team,
    pub(super) reducer: Option<&'a Reducer>,
    /// The loss's weights of the classes, `[classes]`.
    pub(super) weights: &'a Tensor,
}

impl Stepper<'_> {
    /// Adds the gradients of this process's part of `batch`, summed over the processes, to the weights; returns this process's
    /// part of the loss before the step.
    ///
    /// The loss of a part counts by its number of records, so that parts of unequal length give the gradients of the whole.
    pub(super) fn gradients(&self, batch: &Batch, epoch: usize, step: usize) -> Result<f64, TrainerError> {
        let records = batch.labels.len();
        // As many in every process, which exchange something in each.
        let parts = parts(records, self.options.accumulate.min(batch.smallest_shard));
        let shard = self.team.shard();
        let whole = match batch.replicated {
            true => (records * shard.of) as f64,
            false => batch.global_records as f64,
        };
        let rng = &mut Rng::for_step(self.options.seed, epoch as u64, step as u64);
        // Each part of each process has draws of its own.
        for _ in 0..shard.rank * self.options.accumulate {
            rng.next_u64();
        }
        let mut total = 0.0;
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            if let Some(reducer) = self.reducer {
                reducer.prepare(is_last)?;
            }
            let share = part.len() as f64 / whole;
            let loss = self.loss(batch, part.clone(), rng)?;
            let loss = if share == 1.0 { loss } else { loss.f_mul_scalar(share)? };
            total += loss.f_double_value(&[])?;
            loss.f_backward()?;
        }
        if let Some(reducer) = self.reducer {
            reducer.finish()?;
        }
        Ok(total)
    }

    /// The mean loss of the records `part` of the batch.
    fn loss(&self, batch: &Batch, part: Range<usize>, rng: &mut Rng) -> Result<Tensor, TrainerError> {
        let config = self.network.config();
        let device = self.parameters.device();
        let seed = rng.next_u64();
        let (ecg, spectrogram) = input_tensors(
            &batch.ecg[part.start * ECG_LEN..part.end * ECG_LEN],
            &batch.spectrogram[part.start * SPECTROGRAM_LEN..part.end * SPECTROGRAM_LEN],
            part.len(),
            device,
        )?;
        let labels = Tensor::f_from_slice(&batch.labels[part.clone()])?.f_to_device(device)?;
        let mixup = (self.options.mixup > 0.0)
            .then(|| Mixup::draw(&mut Rng::for_name(seed, "mixup"), self.options.mixup, part.len()));
        let (ecg, spectrogram) = match &mixup {
            Some(mixup) => (mixup.blend(&ecg)?, mixup.blend(&spectrogram)?),
            None => (ecg, spectrogram),
        };
        let dropout = self.options.dropout(config.classes, config.dropout);
        // A batch that every process has whole gives the statistics of the whole batch already.
        let mut torch = Torch::new(self.parameters, Mode::Training { dropout })
            .with_precision(self.options.precision)
            .synchronized(
                self.team
                    .statistics(self.options.batch_norm)
                    .filter(|_| !batch.replicated),
            );
        let logits = {
            let _drawing = drawing();
            tch::manual_seed((seed >> 1) as i64);
            self.network.forward(&mut torch, &ecg, &spectrogram)?.logits
        };
        let smoothing = self.options.label_smoothing;
        let loss = smoothed_cross_entropy(&logits, &labels, self.weights, smoothing)?;
        let Some(mixup) = mixup else { return Ok(loss) };
        let partners = mixup.partners_of(&labels)?;
        let other = smoothed_cross_entropy(&logits, &partners, self.weights, smoothing)?;
        Ok(loss
            .f_mul_scalar(mixup.share)?
            .f_add(&other.f_mul_scalar(1.0 - mixup.share)?)?)
    }
}

/// `records` in `count` runs whose lengths differ by at most one, none of them empty.
fn parts(records: usize, count: usize) -> Vec<Range<usize>> {
    let count = count.clamp(1, records.max(1));
    (0..count)
        .map(|part| records * part / count..records * (part + 1) / count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_every_record_once() {
        assert_eq!(parts(24, 1).first(), Some(&(0..24)));
        assert_eq!(parts(7, 3), [0..2, 2..4, 4..7]);
        assert_eq!(parts(2, 5), [0..1, 1..2]);
    }
}

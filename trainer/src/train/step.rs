//! One optimizer step.

use super::mixup::Mixup;
use super::options::TrainOptions;
use super::teachers::Teachers;
use super::team::Team;
use crate::data::Batch;
use crate::distributed::Reducer;
use crate::error::TrainerError;
use crate::evaluate::input_tensors;
use crate::loss::{smoothed_cross_entropy, taught_cross_entropy};
use crate::random::Rng;
use crate::torch::{Dropout, Mode, Parameters, Torch};
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::Network;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tch::Tensor;

/// Held from seeding libtorch's generator, of which a process has one, until the last draw: runs side by side share it. Not on a GPU, which
/// draws when it gets to it: there a process trains one network at a time.
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
    pub(super) teachers: &'a Teachers,
    pub(super) team: &'a Team,
    pub(super) reducer: Option<&'a Reducer>,
    /// The loss's weights of the classes, `[classes]`.
    pub(super) weights: &'a Tensor,
}

/// What one forward pass reads, on the device.
#[derive(Debug)]
pub(super) struct Inputs {
    /// `[N, 80, 256]`.
    ecg: Tensor,
    /// `[N, 1, 563, 33]`.
    spectrogram: Tensor,
    /// `[N]`.
    labels: Tensor,
    mixed: Option<Mixed>,
    /// What a teacher says, `[N, classes]`.
    taught: Option<Tensor>,
}

/// The labels with which records are blended, `[N]`, and the shares of both, scalars.
#[derive(Debug)]
struct Mixed {
    partners: Tensor,
    shares: [Tensor; 2],
}

impl Inputs {
    fn tensors(&self) -> Vec<&Tensor> {
        let mixed = self.mixed.iter();
        let mixed = mixed.flat_map(
            |Mixed {
                 partners,
                 shares: [a, b],
             }| [partners, a, b],
        );
        [&self.ecg, &self.spectrogram, &self.labels]
            .into_iter()
            .chain(mixed)
            .chain(&self.taught)
            .collect()
    }

    /// Takes the values of `others`, of equal extents, without moving.
    pub(super) fn take(&self, others: &Self) -> Result<(), TrainerError> {
        for (own, other) in self.tensors().into_iter().zip(others.tensors()) {
            own.shallow_clone().f_copy_(other)?;
        }
        Ok(())
    }
}

impl Stepper<'_> {
    /// Adds the gradients of this process's part of `batch`, summed over the processes, to the weights; returns this process's
    /// part of the loss before the step, a scalar.
    ///
    /// The loss of a part counts by its number of records, so that parts of unequal length give the gradients of the whole.
    pub(super) fn gradients(&self, batch: &Batch, epoch: usize, step: usize) -> Result<Tensor, TrainerError> {
        let records = batch.labels.len();
        // As many in every process, which exchange something in each.
        let parts = parts(records, self.options.accumulate.min(batch.smallest_shard));
        let shard = self.team.shard();
        let whole = match batch.replicated {
            true => (records * shard.of) as f64,
            false => batch.global_records as f64,
        };
        let rng = &mut self.draws(epoch, step);
        // Each part of each process has draws of its own.
        for _ in 0..shard.rank * self.options.accumulate {
            rng.next_u64();
        }
        let mut total: Option<Tensor> = None;
        for (index, part) in parts.iter().enumerate() {
            let is_last = index + 1 == parts.len();
            if let Some(reducer) = self.reducer {
                reducer.prepare(is_last)?;
            }
            let share = part.len() as f64 / whole;
            let seed = rng.next_u64();
            let inputs = self.inputs(batch, part.clone(), seed)?;
            let loss = {
                let _drawing = drawing();
                seed_draws(seed);
                // A batch that every process has whole gives the statistics of the whole batch already.
                self.loss(&inputs, !batch.replicated)?
            };
            let loss = if share == 1.0 { loss } else { loss.f_mul_scalar(share)? };
            loss.f_backward()?;
            let loss = loss.f_detach()?;
            total = Some(match total {
                Some(total) => total.f_add(&loss)?,
                None => loss,
            });
        }
        if let Some(reducer) = self.reducer {
            reducer.finish()?;
        }
        total.ok_or_else(|| TrainerError::Network("a batch of no records".to_owned()))
    }

    /// Where the draws of one step come from.
    pub(super) fn draws(&self, epoch: usize, step: usize) -> Rng {
        Rng::for_step(self.options.seed, epoch as u64, step as u64)
    }

    /// The records `part` of the batch.
    pub(super) fn inputs(&self, batch: &Batch, part: Range<usize>, seed: u64) -> Result<Inputs, TrainerError> {
        let (ecg, spectrogram) = input_tensors(
            &batch.ecg[part.start * ECG_LEN..part.end * ECG_LEN],
            &batch.spectrogram[part.start * SPECTROGRAM_LEN..part.end * SPECTROGRAM_LEN],
            part.len(),
            self.parameters.device(),
        )?;
        self.blended(
            ecg,
            spectrogram,
            (&batch.labels[part.clone()], &batch.records[part]),
            seed,
        )
    }

    /// These records, their labels and their units in the data set, blended with each other where that is wanted.
    pub(super) fn blended(
        &self,
        ecg: Tensor,
        spectrogram: Tensor,
        (labels, units): (&[i64], &[u32]),
        seed: u64,
    ) -> Result<Inputs, TrainerError> {
        let device = self.parameters.device();
        let records = labels.len();
        let labels = Tensor::f_from_slice(labels)?.f_to_device(device)?;
        let (ecg, spectrogram, mixed) = match self.options.mixup {
            0.0 => (ecg, spectrogram, None),
            alpha => {
                let mixup = Mixup::draw(&mut Rng::for_name(seed, "mixup"), alpha, records);
                let share = |share: f64| {
                    Tensor::f_from_slice(&[share as f32])?
                        .f_view(&[] as &[i64])?
                        .f_to_device(device)
                };
                let mixed = Mixed {
                    partners: mixup.partners_of(&labels)?,
                    shares: [share(mixup.share)?, share(1.0 - mixup.share)?],
                };
                (mixup.blend(&ecg)?, mixup.blend(&spectrogram)?, Some(mixed))
            }
        };
        Ok(Inputs {
            taught: self.teachers.ask(&ecg, &spectrogram, units, seed)?,
            ecg,
            spectrogram,
            labels,
            mixed,
        })
    }

    /// The mean loss of some records. Draws from libtorch's generator.
    pub(super) fn loss(&self, inputs: &Inputs, shares_statistics: bool) -> Result<Tensor, TrainerError> {
        let config = self.network.config();
        let dropout = Dropout {
            probability: self.options.dropout(config.classes, config.dropout),
            unit: self.options.dropout_unit(config.classes),
        };
        let group = self.team.statistics(self.options.batch_norm);
        let mut torch = Torch::new(self.parameters, Mode::Training(dropout))
            .with_precision(self.options.precision)
            .synchronized(group.filter(|_| shares_statistics));
        let logits = self
            .network
            .forward(&mut torch, &inputs.ecg, &inputs.spectrogram)?
            .logits;
        let labelled = self.loss_of_labels(&logits, inputs)?;
        let (Some(taught), Some(distillation)) = (&inputs.taught, &self.options.distillation) else {
            return Ok(labelled);
        };
        let taught = taught_cross_entropy(&logits, taught, self.weights)?;
        Ok(labelled
            .f_mul_scalar(1.0 - distillation.share)?
            .f_add(&taught.f_mul_scalar(distillation.share)?)?)
    }

    fn loss_of_labels(&self, logits: &Tensor, inputs: &Inputs) -> Result<Tensor, TrainerError> {
        let smoothing = self.options.label_smoothing;
        let loss = smoothed_cross_entropy(logits, &inputs.labels, self.weights, smoothing)?;
        let Some(Mixed { partners, shares }) = &inputs.mixed else {
            return Ok(loss);
        };
        let other = smoothed_cross_entropy(logits, partners, self.weights, smoothing)?;
        Ok(loss.f_mul(&shares[0])?.f_add(&other.f_mul(&shares[1])?)?)
    }
}

/// Seeds libtorch's generator for one forward pass.
pub(super) fn seed_draws(seed: u64) {
    tch::manual_seed((seed >> 1) as i64);
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
    use super::super::teachers::tests::taught_by;
    use super::*;
    use tch::{Device, Kind};

    /// Two records that differ, blended: the teacher sees what the pupil sees.
    #[test]
    fn a_teacher_is_asked_of_the_records_as_they_are_blended() {
        let network = Network::preset("dualnet-s").expect("a preset");
        let parameters = Parameters::initial(&network, 7).expect("parameters");
        let options = TrainOptions {
            mixup: 1.0,
            ..TrainOptions::default()
        };
        let teachers = taught_by(&[1]);
        let stepper = Stepper {
            network: &network,
            options: &options,
            parameters: &parameters,
            teachers: &teachers,
            team: &Team::default(),
            reducer: None,
            weights: &Tensor::from_slice(&crate::loss::CLASS_WEIGHTS),
        };
        let inputs = || {
            let ramp = |shape: &[i64]| {
                let count = shape.iter().product::<i64>();
                let ramp = Tensor::arange(count, (Kind::Float, Device::Cpu)).view(shape);
                ramp * (4.0 / count as f64)
            };
            (ramp(&[2, 80, 256]), ramp(&[2, 1, 563, 33]))
        };
        // A seed by which mixup changes the two visibly.
        let (seed, blended) = (0..64)
            .map(|seed| {
                let (ecg, spectrogram) = inputs();
                (
                    seed,
                    stepper
                        .blended(ecg, spectrogram, (&[0, 1], &[0, 1]), seed)
                        .expect("inputs"),
                )
            })
            .find(|(_, blended)| !blended.ecg.allclose(&inputs().0, 1e-3, 1e-3, false))
            .expect("a blend");
        let asked = |ecg: &Tensor, spectrogram: &Tensor| {
            let said = teachers.ask(ecg, spectrogram, &[0, 1], seed).expect("probabilities");
            said.expect("a teacher")
        };
        let taught = blended.taught.as_ref().expect("a teacher's word");
        assert!(taught.equal(&asked(&blended.ecg, &blended.spectrogram)));
        let (ecg, spectrogram) = inputs();
        assert!(!taught.equal(&asked(&ecg, &spectrogram)));
    }

    #[test]
    fn parts_cover_every_record_once() {
        assert_eq!(parts(24, 1).first(), Some(&(0..24)));
        assert_eq!(parts(7, 3), [0..2, 2..4, 4..7]);
        assert_eq!(parts(2, 5), [0..1, 1..2]);
    }
}

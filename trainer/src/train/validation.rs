//! What an epoch's network does on records that it does not learn.

use super::report::Report;
use super::{Training, interrupt};
use crate::error::TrainerError;
use crate::evaluate::{TorchPredictor, evaluate_in};
use crate::torch::Parameters;
use dualnet_engine::score::{Evaluation, ScoreError};

/// Records of a batch in validation on a GPU, about.
const VALIDATION_BATCH: usize = 96;

/// What an epoch's validation found: of the network that is kept, and of the weights under training where that is their average.
pub(super) struct Validation {
    pub(super) kept: Evaluation,
    pub(super) trained: Option<Evaluation>,
}

impl Training {
    /// Validates; where it is stopped on the way, all steps of the epoch are kept first.
    pub(super) fn validated(&self, report: &mut dyn Report) -> Result<Validation, TrainerError> {
        let validation = self.validate(report).map_err(|error| match error {
            TrainerError::Score(ScoreError::NotFinite { .. }) => TrainerError::NoAnswers {
                epoch: self.progress.epoch,
            },
            error => self.explained(error),
        });
        if let Err(TrainerError::Interrupted { epoch }) = validation {
            self.save_last(epoch, None)?;
        }
        validation
    }

    /// An error if the run was asked to stop.
    pub(super) fn stop_if(&self, is_asked: bool) -> Result<(), TrainerError> {
        let epoch = self.progress.epoch.min(self.options.epochs);
        match is_asked {
            true => Err(TrainerError::Interrupted { epoch }),
            false => Ok(()),
        }
    }

    fn validate(&self, report: &mut dyn Report) -> Result<Validation, TrainerError> {
        // The first process's running statistics are the network's.
        self.team.share(&self.parameters)?;
        if let Some(average) = &self.average {
            self.team.share(average.parameters())?;
        }
        let trained = self.evaluate(&self.parameters, report)?;
        Ok(match &self.average {
            None => Validation {
                kept: trained,
                trained: None,
            },
            Some(average) => Validation {
                kept: self.evaluate(average.parameters(), report)?,
                trained: Some(trained),
            },
        })
    }

    /// How many records a batch in validation has, which do not depend on each other: more of them on a GPU, which small batches leave idle.
    pub(super) fn validation_batch_size(&self) -> usize {
        let batch = self.options.batch_size;
        match self.device.is_cuda() {
            true => batch * (VALIDATION_BATCH / batch).max(1),
            false => batch,
        }
    }

    fn evaluate(&self, parameters: &Parameters, report: &mut dyn Report) -> Result<Evaluation, TrainerError> {
        let mut predictor = TorchPredictor {
            network: &self.network,
            parameters,
        };
        let indices = self.records.choice();
        let records = self.records.source.records_in_all(indices);
        let predictions = evaluate_in(
            &self.team,
            &mut predictor,
            &self.records.source,
            indices,
            self.validation_batch_size(),
            self.records.threads,
            &mut |done| {
                report.validating(done, records);
                // Several processes wait for each other's rows: they stop after the next step.
                self.stop_if(self.team.size() == 1 && interrupt::requested())
            },
        )?;
        Ok(predictions.evaluation()?)
    }
}

//! The plans of a model, one per batch size, shared by the threads that run it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::TractResult;
use tract_onnx::tract_core::model::{TypedSimplePlan, TypedSimpleState};

use super::{panics, plan};
use crate::model::{Model, ModelError, ModelFault, one_line};

/// A model and what has been prepared of it.
pub(crate) struct Plans {
    model: Model,
    prepared: Mutex<BTreeMap<usize, Arc<TypedSimplePlan>>>,
}

impl Plans {
    /// Prepares nothing yet.
    pub(crate) fn new(model: Model) -> Self {
        Self {
            model,
            prepared: Mutex::default(),
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// A fresh state of the plan for batches of `batch` records, which is prepared unless it was before.
    pub(super) fn spawn(&self, batch: usize) -> Result<TypedSimpleState, ModelError> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let known = prepared.get(&batch).cloned();
        let spawned = panics::catch(|| {
            let plan = match known {
                Some(plan) => plan,
                None => plan::prepare(&self.model, batch)?,
            };
            let state = plan.spawn()?;
            TractResult::Ok((plan, state))
        });
        let reason = match spawned {
            Ok(Ok((plan, state))) => {
                prepared.insert(batch, plan);
                return Ok(state);
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic,
        };
        Err(ModelError::new(
            self.model.name(),
            ModelFault::Prepare {
                batch,
                reason: one_line(&reason),
            },
        ))
    }
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plans")
            .field("model", &self.model.name())
            .finish_non_exhaustive()
    }
}

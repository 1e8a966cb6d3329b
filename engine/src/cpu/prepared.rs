//! What has been prepared of a model, shared by the threads that run it: its fused network, or tract's plans, one per batch size.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tract_onnx::prelude::TractResult;
use tract_onnx::tract_core::model::{TypedSimplePlan, TypedSimpleState};

use super::network::Network;
use super::{panics, tract};
use crate::model::{Model, ModelError, ModelFault, one_line};
use crate::plan::Plan;
use crate::simd::{Isa, IsaError};

/// A model and what has been prepared of it.
pub(crate) struct Prepared {
    model: Model,
    way: Way,
    fused: OnceLock<Result<Fused, IsaError>>,
    plans: Mutex<BTreeMap<usize, Arc<TypedSimplePlan>>>,
}

/// How a model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On our own kernels if it is recognized, with work in proportion to the recording.
    Best,
    /// The same, but every row is computed.
    EveryRow,
    /// On tract.
    Tract,
}

/// The network on our own kernels, or why it runs on tract.
type Fused = Result<Network, String>;

impl Prepared {
    /// Prepares nothing yet.
    pub(crate) fn new(model: Model, way: Way) -> Self {
        Self {
            model,
            way,
            fused: OnceLock::new(),
            plans: Mutex::default(),
        }
    }

    /// The network on our own kernels, packed by the first call, or why it runs on tract.
    pub(super) fn fused(&self) -> Result<&Fused, ModelError> {
        let pack = || {
            let isa = Isa::detect()?;
            if self.way == Way::Tract {
                return Ok(Err("tract was asked for".to_owned()));
            }
            Ok(panics::catch(|| {
                let plan = Plan::of(&self.model).map_err(|mismatch| mismatch.to_string())?;
                Ok(Network::new(&plan, isa, self.way == Way::Best))
            })
            .unwrap_or_else(|panic| Err(format!("packing it failed: {}", one_line(&panic)))))
        };
        let fused = self.fused.get_or_init(pack).as_ref();
        fused.map_err(|error| ModelError::new(self.model.name(), ModelFault::Isa(error.clone())))
    }

    /// Why the model runs on tract; `None` when it does not, or cannot run.
    pub(crate) fn fallback(&self) -> Option<&str> {
        self.fused().ok()?.as_ref().err().map(String::as_str)
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// A fresh state of the plan for batches of `batch` records, which is prepared unless it was before.
    pub(super) fn spawn(&self, batch: usize) -> Result<TypedSimpleState, ModelError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let known = plans.get(&batch).cloned();
        let spawned = panics::catch(|| {
            let plan = match known {
                Some(plan) => plan,
                None => tract::prepare(&self.model, batch)?,
            };
            let state = plan.spawn()?;
            TractResult::Ok((plan, state))
        });
        let reason = match spawned {
            Ok(Ok((plan, state))) => {
                plans.insert(batch, plan);
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

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared")
            .field("model", &self.model.name())
            .finish_non_exhaustive()
    }
}

//! The processes that train one network together; one alone is a team too.

use super::options::BatchNorm;
use crate::data::Shard;
use crate::distributed::{Group, Place, Reducer};
use crate::error::TrainerError;
use crate::torch::Parameters;
use tch::{Kind, Tensor};

/// This process's place among those that train together.
#[derive(Clone, Default)]
pub struct Team {
    group: Option<Group>,
}

impl Team {
    /// The team that the environment names (`torchrun`, `trainer launch`), or this process alone.
    pub fn from_environment() -> Result<Self, TrainerError> {
        Ok(Self {
            group: Group::from_environment()?,
        })
    }

    /// Whether the environment names a team.
    pub fn is_in_environment() -> bool {
        Place::is_in_environment()
    }

    /// Whether this process writes, logs and reports.
    pub fn is_first(&self) -> bool {
        self.group.as_ref().is_none_or(|group| group.rank() == 0)
    }

    /// Number of processes.
    pub fn size(&self) -> usize {
        self.group.as_ref().map_or(1, |group| group.size())
    }

    /// This process's number on its machine.
    pub(super) fn local_rank(&self) -> usize {
        self.group.as_ref().map_or(0, |group| group.local_rank())
    }

    /// Which part of every batch this process computes.
    pub(crate) fn shard(&self) -> Shard {
        self.group.as_ref().map_or_else(Shard::default, |group| Shard {
            rank: group.rank(),
            of: group.size(),
        })
    }

    /// The group whose statistics batch normalization shares, if it does.
    pub(super) fn statistics(&self, batch_norm: BatchNorm) -> Option<&Group> {
        match batch_norm {
            BatchNorm::Replica => None,
            BatchNorm::Synchronized => self.group.as_ref(),
        }
    }

    /// Sums gradients while they are computed; `None` alone.
    pub(super) fn reducer(&self, parameters: &Parameters) -> Result<Option<Reducer>, TrainerError> {
        let Some(group) = &self.group else { return Ok(None) };
        Ok(Some(Reducer::new(group, parameters)?))
    }

    /// Replaces `values` by their sums over the processes.
    pub(crate) fn sum(&self, values: &mut [f64]) -> Result<(), TrainerError> {
        let Some(group) = &self.group else { return Ok(()) };
        group.sum(values)
    }

    /// What is behind an error: a lost process, if there is one, rather than what libtorch makes of it.
    pub(super) fn explain(&self, error: TrainerError) -> TrainerError {
        self.group.as_ref().and_then(Group::failure).unwrap_or(error)
    }

    /// Gives every process the first one's values.
    pub(super) fn share(&self, parameters: &Parameters) -> Result<(), TrainerError> {
        let Some(group) = &self.group else { return Ok(()) };
        tch::no_grad(|| {
            for (_, tensor) in parameters.iter() {
                let dense = tensor.f_contiguous()?;
                group.broadcast(&dense, 0)?;
                tensor.shallow_clone().f_copy_(&dense)?;
            }
            Ok(())
        })
    }

    /// The first process's bytes, in every process; only the first calls `make`.
    pub(super) fn share_bytes(
        &self,
        make: impl FnOnce() -> Result<Vec<u8>, TrainerError>,
    ) -> Result<Vec<u8>, TrainerError> {
        let Some(group) = &self.group else { return make() };
        let mut bytes = Vec::new();
        let mut length = [-1.0];
        let mut failure = None;
        if self.is_first() {
            match make() {
                Ok(made) => (bytes, length) = (made, [0.0]),
                Err(error) => failure = Some(error),
            }
            length[0] += bytes.len() as f64;
        } else {
            length[0] = 0.0;
        }
        self.sum(&mut length)?;
        if let Some(error) = failure {
            return Err(error);
        }
        if length[0] < 0.0 {
            return Err(TrainerError::Distributed(
                "the first process could not begin".to_owned(),
            ));
        }
        let tensor = match self.is_first() {
            true => Tensor::f_from_slice(&bytes)?,
            false => Tensor::f_zeros([length[0] as i64], (Kind::Uint8, tch::Device::Cpu))?,
        };
        group.broadcast(&tensor, 0)?;
        Ok(Vec::<u8>::try_from(&tensor)?)
    }
}

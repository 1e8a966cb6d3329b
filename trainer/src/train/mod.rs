//! The training loop: epochs of augmented batches, validation, checkpoints, and a log of every epoch.

mod agreement;
mod answers;
mod average;
mod card;
mod checkpoint;
mod folder;
pub mod interrupt;
mod leak;
mod lineage;
mod mixup;
mod options;
mod recorded;
mod records;
mod report;
mod result;
mod run;
mod start;
mod step;
mod teachers;
mod team;
mod told;
mod transfer;
mod validation;

pub use card::REVISION;
pub use checkpoint::{Checkpoint, Progress, network_of, parameters_of};
pub use folder::RunFolder;
pub(crate) use leak::{data_set_known_to, stated_leak};
pub(crate) use lineage::ancestors;
pub use options::{BatchNorm, Distillation, DropoutUnit, EarlierPlan, Precision, TrainOptions};
pub use records::Records;
pub(crate) use records::{ICENTIA_LABELS, RELEASED_LABELS};
pub use report::Report;
pub use run::Training;
pub use start::Changes;
#[cfg(test)]
pub(crate) use step::drawing;
pub use team::Team;

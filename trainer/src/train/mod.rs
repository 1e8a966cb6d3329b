//! The training loop: epochs of augmented batches, validation, checkpoints, and a log of every epoch.

mod card;
mod checkpoint;
mod log;
mod options;
mod report;
mod run;

pub use checkpoint::{Checkpoint, Progress, network_of, parameters_of};
pub use log::{EpochLog, EpochRecord};
pub use options::{DATASETS, EarlierPlan, TrainOptions};
pub use report::Report;
pub use run::{Records, Training};

//! How well predictions fit the reference: accuracy, F1 scores, confusion, calibration, their intervals, losses, and the
//! score of the PhysioNet/CinC 2017 competition. Written once; the trainer's validation and `engine score` both use it.

mod bootstrap;
pub mod competition;
mod confusion;
mod error;
mod evaluation;
mod label;
mod outcome;

pub use bootstrap::{Bootstrap, Intervals};
pub use competition::{CompetitionScore, score_files};
pub use confusion::ConfusionMatrix;
pub use error::ScoreError;
pub use evaluation::Evaluation;
pub use label::{Label, read_reference};

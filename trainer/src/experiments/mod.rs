//! The experiments of the paper (Rohr et al. 2022): what each is, what was published of it, running them and reporting on them.

mod deviation;
mod overrides;
mod provenance;
mod published;
mod recipe;
pub mod report;
mod reproduction;
mod standing;
mod table;

pub use deviation::deviations;
pub use overrides::Overrides;
pub use published::{Curve, Published, published, published_source};
pub use recipe::{Ablation, Data, Group, Recipe};
pub use reproduction::{Beginning, Listener, Outcome, Reproduction, Run};
pub use standing::{Standing, run_folder, seeds_of};
pub use table::{TABLE, find, select};

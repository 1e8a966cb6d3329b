//! The experiments of the paper (Rohr et al. 2022): what each is, what was published of it, running them and reporting on them.

mod overrides;
mod published;
mod recipe;
mod table;

pub use overrides::Overrides;
pub use published::{Curve, Published, published, published_source};
pub use recipe::{Ablation, Group, Recipe, Records};
pub use table::{TABLE, find, select};

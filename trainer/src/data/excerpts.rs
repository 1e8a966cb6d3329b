//! Parts of recordings instead of the whole.

use std::sync::Arc;

use dualnet_engine::signal::Excerpt;

use super::{Batch, DataError, Dataset, Pass, Source, Workspace};

/// A data set of each of whose recordings one part is read.
#[derive(Clone, Debug)]
pub struct Excerpts {
    /// The recordings.
    pub dataset: Arc<Dataset>,
    /// Which part.
    pub excerpt: Excerpt,
}

impl Source for Excerpts {
    fn units(&self) -> usize {
        self.dataset.units()
    }

    fn records_per_unit(&self) -> usize {
        self.dataset.records_per_unit()
    }

    fn name(&self, unit: u32) -> String {
        self.dataset.name(unit)
    }

    fn load(&self, unit: u32, pass: &Pass, workspace: &mut Workspace, batch: &mut Batch) -> Result<(), DataError> {
        self.dataset.load_excerpt(unit, self.excerpt, pass, workspace, batch)
    }
}

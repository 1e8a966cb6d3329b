//! What a caller changes in every recipe, for a machine or a trial.

/// Values that replace a recipe's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Another published network.
    pub network: Option<String>,
    /// Another number of epochs.
    pub epochs: Option<usize>,
    /// Another number of records of one step.
    pub batch_size: Option<usize>,
    /// Another number of parts in which a step is computed, as memory allows. Batch normalization sees each part apart, and so
    /// the run is one of another recipe.
    pub accumulate: Option<usize>,
    /// At most this many training and validation records, or segments of each Icentia11k file.
    pub limit: Option<usize>,
    /// Where to compute.
    pub device: Option<String>,
}

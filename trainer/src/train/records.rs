//! What a run trains, chooses and validates on.

use super::options::TrainOptions;
use crate::data::{DataError, Dataset, Icentia, KnownDataset, Labels, Source, Split, physionet};
use crate::error::TrainerError;
use crate::folds::hold_back;
use dualnet_engine::model::digest::hexadecimal;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;

/// A data set and which of its units (records, or files of segments) are for what.
#[derive(Clone, Debug)]
pub struct Records {
    /// Where batches come from.
    pub source: Arc<dyn Source>,
    /// The labelled leads in memory, where the data set is small enough to be read at once.
    pub dataset: Option<Arc<Dataset>>,
    /// Which units train and which validate.
    pub split: Split,
    /// Training units held back for choosing the best epoch, no longer in `split.train`; `None` chooses on the validation units.
    pub held_back: Option<Vec<u32>>,
    /// Threads that prepare batches ahead of the training.
    pub threads: usize,
    /// The data set and its licence, for the model card.
    pub data: String,
    /// Its labels, for the model card.
    pub labels: String,
}

const PHYSIONET_DATA: &str = "PhysioNet/CinC 2017 training set (Clifford et al. 2017, ODC-BY 1.0)";
const ICENTIA_DATA: &str = "Icentia11k (Tan et al. 2019, CC BY-NC-SA 4.0)";
/// What the labels of Icentia11k are called.
pub(crate) const ICENTIA_LABELS: &str =
    "beats' rhythms of a crop: ~ noise or unlabelled, N normal or not annotated, A AF, F atrial flutter";
const COURSE_DATA: &str = "6000-record course set drawn from PhysioNet/CinC 2017";

/// What the labels of the released archive are called.
pub(crate) const RELEASED_LABELS: &str = "as released (REFERENCE.csv)";

impl Records {
    /// The records of a data set in memory.
    pub fn new(dataset: Arc<Dataset>, split: Split, threads: usize) -> Self {
        Self {
            source: Arc::<Dataset>::clone(&dataset),
            labels: labels(&dataset, Labels::Released),
            dataset: Some(dataset),
            split,
            held_back: None,
            threads,
            data: PHYSIONET_DATA.to_owned(),
        }
    }

    /// Reads the data set in `folder` that the options name.
    ///
    /// # Errors
    /// Whatever is missing or damaged, by name.
    pub fn open(options: &TrainOptions, folder: &Path, threads: usize) -> Result<Self, TrainerError> {
        if options.dataset == KnownDataset::Icentia11k {
            return Self::open_icentia(options, folder, threads);
        }
        let split = Split::find(&options.split)?;
        let dataset = Arc::new(physionet::read(folder, options.labels)?);
        split.check(&dataset)?;
        let labels = labels(&dataset, options.labels);
        let mut records = Self::new(dataset, split, threads);
        records.labels = labels;
        if options.dataset == KnownDataset::Course6000 {
            records.data = COURSE_DATA.to_owned();
        }
        Ok(records)
    }

    /// The patients of Icentia11k, a file of segments being a unit.
    fn open_icentia(options: &TrainOptions, folder: &Path, threads: usize) -> Result<Self, TrainerError> {
        let source = Icentia::open(folder, options.limit, options.fresh_crops)?;
        let step = source.records_per_unit();
        let batch_size = options.batch_size;
        if batch_size == 0 || !batch_size.is_multiple_of(step) {
            return Err(DataError::BatchSize { batch_size, step }.into());
        }
        Ok(Self {
            split: source.split()?,
            source: Arc::new(source),
            dataset: None,
            held_back: None,
            threads,
            data: ICENTIA_DATA.to_owned(),
            labels: ICENTIA_LABELS.to_owned(),
        })
    }

    /// Applies the limit and holds records back, as the options say.
    pub(super) fn restrict(mut self, options: &TrainOptions) -> Result<Self, TrainerError> {
        let Some(dataset) = &self.dataset else { return Ok(self) };
        if let Some(limit) = options.limit {
            self.split.train.truncate(limit);
            self.split.validation.truncate(limit);
        }
        if options.hold_back > 0.0 && self.held_back.is_none() {
            let (train, held) = hold_back(dataset, &self.split.train, options.hold_back, options.seed)?;
            self.split.train = train;
            self.held_back = Some(held);
        }
        Ok(self)
    }

    /// Sixteen digits that tell which units are for what and what they are called, and of a data set in memory their labels and
    /// lengths.
    pub(super) fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let held_back = self.held_back.as_deref().unwrap_or_default();
        for units in [&self.split.train, held_back, &self.split.validation] {
            digest.update(format!("{} units\n", units.len()));
            for &unit in units {
                digest.update(format!("{unit} {}\n", self.source.name(unit)));
                let recordings = self.dataset.as_deref().map_or(&[][..], |dataset| &dataset.recordings);
                if let Some(recording) = recordings.get(unit as usize) {
                    digest.update(format!("{} {}\n", recording.label.symbol(), recording.samples.len()));
                }
            }
        }
        hexadecimal(&digest.finalize()[..8])
    }

    /// Sixteen digits that tell what the validation units are called.
    pub(crate) fn validation_digest(&self) -> String {
        let mut digest = Sha256::new();
        for &unit in &self.split.validation {
            digest.update(format!("{}\n", self.source.name(unit)));
        }
        hexadecimal(&digest.finalize()[..8])
    }

    /// What the best epoch is chosen on.
    pub fn choice(&self) -> &[u32] {
        self.held_back.as_deref().unwrap_or(&self.split.validation)
    }
}

/// Which of the published sets of labels the data set has, told by their counts; of another set the file it was read from and its counts.
fn labels(dataset: &Dataset, read_from: Labels) -> String {
    let counts = dataset.label_counts();
    if counts == Labels::Released.counts() {
        return RELEASED_LABELS.to_owned();
    }
    if counts == Labels::V3.counts() {
        return "revised (REFERENCE-v3.csv)".to_owned();
    }
    let [n, o, a, noise] = counts;
    format!("{} with N {n}, O {o}, A {a}, ~ {noise}", read_from.file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Label, Recording};

    #[test]
    fn labels_are_called_by_what_they_are() {
        let dataset = |counts: [usize; 4]| Dataset {
            recordings: Label::ALL
                .into_iter()
                .zip(counts)
                .flat_map(|(label, count)| {
                    let recording = Recording {
                        name: String::new(),
                        label,
                        samples: Vec::new(),
                    };
                    std::iter::repeat_n(recording, count)
                })
                .collect(),
        };
        let whole = |labels: Labels| dataset(labels.counts());
        assert_eq!(
            labels(&whole(Labels::Released), Labels::V3),
            "as released (REFERENCE.csv)"
        );
        assert_eq!(labels(&whole(Labels::V3), Labels::V3), "revised (REFERENCE-v3.csv)");
        let few = dataset([3, 2, 1, 0]);
        assert_eq!(labels(&few, Labels::Released), "REFERENCE.csv with N 3, O 2, A 1, ~ 0");
        assert_eq!(labels(&few, Labels::V3), "REFERENCE-v3.csv with N 3, O 2, A 1, ~ 0");
    }
}

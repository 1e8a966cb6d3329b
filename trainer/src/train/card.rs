//! What a checkpoint says about its training: the `dualnet.training` entry, which becomes part of the model card.

use super::{Records, TrainOptions};
use crate::data::Dataset;
use dualnet_export::network::NetworkConfig;
use serde_json::{Value, json};

const DATA: &str = "PhysioNet/CinC 2017 training set (Clifford et al. 2017, ODC-BY 1.0)";
/// Records of each label (N, O, A, ~) in the released archive.
const RELEASED: [usize; 4] = [5050, 2456, 738, 284];
/// The same in the later set of labels, which the competition's ranking uses.
const REVISED: [usize; 4] = [5076, 2415, 758, 279];

/// The entry of a network of this configuration that was trained up to `epoch`.
pub(super) fn training(config: &NetworkConfig, options: &TrainOptions, records: &Records, epoch: usize) -> Value {
    json!({
        "data": DATA,
        "labels": labels(&records.dataset),
        "split": options.split,
        "training_records": records.split.train.len(),
        "validation_records": records.split.validation.len(),
        "epoch": epoch,
        "epochs": options.epochs,
        "seed": options.seed,
        "dropout": options.dropout(config.classes, config.dropout),
        "options": options,
    })
}

/// Which of the published sets of labels the data set has, told by their counts.
fn labels(dataset: &Dataset) -> String {
    match dataset.label_counts() {
        RELEASED => "as released (REFERENCE.csv)".to_owned(),
        REVISED => "revised (REFERENCE-v3.csv)".to_owned(),
        [n, o, a, noise] => format!("REFERENCE.csv with N {n}, O {o}, A {a}, ~ {noise}"),
    }
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
        assert_eq!(labels(&dataset(RELEASED)), "as released (REFERENCE.csv)");
        assert_eq!(labels(&dataset(REVISED)), "revised (REFERENCE-v3.csv)");
        assert_eq!(labels(&dataset([3, 2, 1, 0])), "REFERENCE.csv with N 3, O 2, A 1, ~ 0");
    }
}

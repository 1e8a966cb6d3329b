//! Every experiment of the paper, in the order of its tables.

use super::recipe::{Ablation, Data, Group, Recipe};
use crate::loss::{CLASS_WEIGHTS, CLASS_WEIGHTS_ICENTIA, CLASS_WEIGHTS_TWO};
use crate::train::DropoutUnit;

/// The published recipe on the paper's split, 7000 records to 1528: what every row has unless it says otherwise.
const PAPER: Recipe = Recipe {
    name: "",
    title: "",
    group: Group::Results,
    network: "",
    ablation: None,
    data: Data::Paper,
    classes: 4,
    epochs: 100,
    batch_size: 24,
    accumulate: 1,
    augmentation: 0.2,
    dropout: 0.05,
    dropout_unit: DropoutUnit::Elements,
    class_weights: &CLASS_WEIGHTS,
    starts_from: None,
    runs: 3,
};

const fn result(name: &'static str, title: &'static str) -> Recipe {
    Recipe {
        name,
        title,
        network: name,
        ..PAPER
    }
}

/// Published as trained by PyTorch's `DataParallel` on four GPUs, each of which normalized 6 of a step's 24 records. Its running
/// statistics were those of the first GPU; parts on one device all add to them.
const fn on_four_gpus(recipe: Recipe) -> Recipe {
    Recipe {
        accumulate: 4,
        ..recipe
    }
}

/// The paper ablates ECG-DualNet M; its published script ran L.
const fn ablation(name: &'static str, title: &'static str, ablation: Ablation) -> Recipe {
    let is_plain = matches!(ablation, Ablation::Augmentation);
    Recipe {
        name,
        title,
        group: Group::Ablation,
        network: "dualnet-m",
        ablation: Some(ablation),
        augmentation: if is_plain { 0.0 } else { PAPER.augmentation },
        dropout: if is_plain { 0.0 } else { PAPER.dropout },
        runs: 1,
        ..PAPER
    }
}

const fn pre_training(name: &'static str, title: &'static str, network: &'static str) -> Recipe {
    Recipe {
        name,
        title,
        group: Group::PreTraining,
        network,
        data: Data::Icentia11k,
        epochs: 20,
        batch_size: 100,
        augmentation: 0.0,
        class_weights: &CLASS_WEIGHTS_ICENTIA,
        runs: 1,
        ..PAPER
    }
}

/// A network and the row whose weights it starts from.
type FromIcentia = (&'static str, &'static str);

const XL: FromIcentia = ("dualnet-xl", "pretrain-dualnet-xl");
const PP_XL: FromIcentia = ("dualnet-pp-xl", "pretrain-dualnet-pp-xl");

const fn fine_tuned(name: &'static str, title: &'static str, (network, starts_from): FromIcentia) -> Recipe {
    Recipe {
        name,
        title,
        group: Group::FineTuned,
        network,
        starts_from: Some(starts_from),
        ..PAPER
    }
}

const fn on_challenge_split(recipe: Recipe) -> Recipe {
    Recipe {
        group: Group::Challenge,
        data: Data::Challenge,
        ..recipe
    }
}

/// AF against the rest. The published training script uses dropout 0.3 and leaves augmentation at 0.2; the challenge
/// submission's own training uses 0.4 and leaves dropout at 0.05.
const fn two_classes(recipe: Recipe, augmentation: f64, dropout: f64) -> Recipe {
    Recipe {
        group: Group::TwoClasses,
        data: Data::Challenge,
        classes: 2,
        class_weights: &CLASS_WEIGHTS_TWO,
        augmentation,
        dropout,
        dropout_unit: DropoutUnit::Channels,
        runs: 1,
        ..recipe
    }
}

/// The experiments. What starts from another one comes after it.
#[rustfmt::skip]
pub static TABLE: [Recipe; 22] = [
    // Results on the paper's split.
    result("dualnet-s",       "ECG-DualNet S"),
    result("dualnet-m",       "ECG-DualNet M"),
    result("dualnet-l",       "ECG-DualNet L"),
    result("dualnet-xl",      "ECG-DualNet XL"),
    result("dualnet-pp-s",    "ECG-DualNet++ S"),
    result("dualnet-pp-m",    "ECG-DualNet++ M"),
    result("dualnet-pp-l",    "ECG-DualNet++ L"),
    result("dualnet-pp-xl",   "ECG-DualNet++ XL"),
    on_four_gpus(result("dualnet-pp-130m", "ECG-DualNet++ 130M")),
    // Ablations; the full network is the row dualnet-m.
    ablation("no-augmentation",        "ECG-DualNet M without augmentation and dropout", Ablation::Augmentation),
    ablation("no-signal-encoder",      "ECG-DualNet M without signal encoder",           Ablation::SignalEncoder),
    ablation("no-spectrogram-encoder", "ECG-DualNet M without spectrogram encoder",      Ablation::SpectrogramEncoder),
    // Pre-training on Icentia11k.
    pre_training("pretrain-dualnet-xl",    "ECG-DualNet XL, Icentia11k",   "dualnet-xl"),
    pre_training("pretrain-dualnet-pp-xl", "ECG-DualNet++ XL, Icentia11k", "dualnet-pp-xl"),
    // Fine-tuned from it, on the paper's split.
    fine_tuned("fine-tuned-dualnet-xl",    "ECG-DualNet XL, fine-tuned",   XL),
    fine_tuned("fine-tuned-dualnet-pp-xl", "ECG-DualNet++ XL, fine-tuned", PP_XL),
    // Fine-tuned from it, on the challenge split, 8028 records to 500.
    on_challenge_split(fine_tuned("challenge-dualnet-xl",    "ECG-DualNet XL, challenge split",   XL)),
    on_challenge_split(fine_tuned("challenge-dualnet-pp-xl", "ECG-DualNet++ XL, challenge split", PP_XL)),
    // The same with two classes.
    two_classes(fine_tuned("two-classes-dualnet-xl",        "ECG-DualNet XL, two classes",                     XL),    0.2, 0.3),
    two_classes(fine_tuned("two-classes-dualnet-pp-xl",     "ECG-DualNet++ XL, two classes",                   PP_XL), 0.2, 0.3),
    two_classes(fine_tuned("two-classes-0.4-dualnet-xl",    "ECG-DualNet XL, two classes, augmentation 0.4",   XL),    0.4, 0.05),
    two_classes(fine_tuned("two-classes-0.4-dualnet-pp-xl", "ECG-DualNet++ XL, two classes, augmentation 0.4", PP_XL), 0.4, 0.05),
];

/// The experiment called `name`.
pub fn find(name: &str) -> Option<&'static Recipe> {
    TABLE.iter().find(|recipe| recipe.name == name)
}

/// The experiments called `names` in the table's order, each once; all of them when no name is given.
///
/// # Errors
/// A name that is not in the table, with those that are.
pub fn select(names: &[String]) -> Result<Vec<&'static Recipe>, String> {
    if let Some(unknown) = names.iter().find(|name| find(name).is_none()) {
        let known: Vec<&str> = TABLE.iter().map(|recipe| recipe.name).collect();
        return Err(format!("no row is called {unknown:?}; there are {}", known.join(", ")));
    }
    let is_wanted = |recipe: &&Recipe| names.is_empty() || names.iter().any(|name| name == recipe.name);
    Ok(TABLE.iter().filter(is_wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiments::{Overrides, deviations};

    /// On four V100.
    #[test]
    fn the_largest_network_alone_was_published_in_parts() {
        let parted = TABLE.iter().filter(|row| row.accumulate != 1);
        let parted: Vec<(&str, usize)> = parted.map(|row| (row.name, row.accumulate)).collect();
        assert_eq!(parted, [("dualnet-pp-130m", 4)]);
    }

    #[test]
    fn parts_are_the_recipes_unless_others_are_asked_for_which_is_a_deviation() {
        let recipe = find("dualnet-pp-130m").expect("a row");
        let [published, at_once] = [None, Some(1)].map(|accumulate| {
            let overrides = Overrides {
                accumulate,
                ..Overrides::default()
            };
            let network = recipe.network(&overrides).expect("a network");
            (network, recipe.options(1, None, &overrides))
        });
        assert_eq!((published.1.batch_size, published.1.accumulate), (24, 4));
        let found = deviations((&at_once.0, &at_once.1), (&published.0, &published.1));
        assert_eq!(found, ["accumulate 1, not 4"]);
    }
}

//! What an epoch's record says, figure by figure, under the names of each log.

use super::EpochRecord;

/// The event of `log.jsonl` with what training says of an epoch.
pub(super) const EPOCH: &str = "epoch";
/// The event of `log.jsonl` with what the validation records say.
pub(super) const VALIDATION: &str = "validation";

/// One figure of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    /// The event of `log.jsonl` that it belongs to.
    pub(super) event: &'static str,
    /// Its name there.
    pub(super) name: &'static str,
    /// Its name in TensorBoard.
    pub(super) tag: &'static str,
    pub(super) value: f64,
}

/// The figures of an epoch that are numbers.
pub(super) fn figures(record: &EpochRecord) -> Vec<Figure> {
    let EpochRecord {
        epoch: _,
        learning_rate,
        train_loss,
        records_per_second,
        accuracy,
        f1_macro,
        f1_challenge,
        trained_accuracy,
        trained_f1_macro,
    } = *record;
    let training = [
        ("learning_rate", "learning_rate", learning_rate),
        ("train_loss", "loss/train", train_loss),
        ("records_per_second", "speed/records_per_second", records_per_second),
    ];
    let validation = [
        ("accuracy", "validation/accuracy", accuracy),
        ("f1_macro", "validation/f1_macro", f1_macro),
        ("f1_challenge", "validation/f1_challenge", f1_challenge),
        ("trained_accuracy", "validation/trained_accuracy", trained_accuracy),
        ("trained_f1_macro", "validation/trained_f1_macro", trained_f1_macro),
    ];
    let training = training.map(|(name, tag, value)| (EPOCH, name, tag, Some(value)));
    let validation = validation.map(|(name, tag, value)| (VALIDATION, name, tag, value));
    training
        .into_iter()
        .chain(validation)
        .filter_map(|(event, name, tag, value)| {
            let value = value.filter(|value| value.is_finite())?;
            Some(Figure {
                event,
                name,
                tag,
                value,
            })
        })
        .collect()
}

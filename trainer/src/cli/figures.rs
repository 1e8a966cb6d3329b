//! Figures and their intervals, for a person.

use crate::evaluate::Measured;
use std::fmt::Write;

/// The figures of a measurement, a line each, with their 95 % intervals, and the confusion matrix.
pub(super) fn text(measured: &Measured, classes: &[String]) -> String {
    let Measured { evaluation, intervals } = measured;
    let mut text = format!("{:<20}{:>6}   95 % interval\n", "records", evaluation.records);
    let mut line = |name: &str, figure: Option<f64>, interval: Option<[f64; 2]>| {
        let (Some(figure), Some([low, high])) = (figure, interval) else {
            return;
        };
        writeln!(text, "{name:<20}{figure:.4}   {low:.4} to {high:.4}").ok();
    };
    line("accuracy", Some(evaluation.accuracy), Some(intervals.accuracy));
    line("macro F1", Some(evaluation.f1_macro), Some(intervals.f1_macro));
    line("F1 of N, A, O", evaluation.f1_challenge, intervals.f1_challenge);
    for ((class, f1), interval) in classes
        .iter()
        .zip(&evaluation.f1_per_class)
        .zip(&intervals.f1_per_class)
    {
        line(&format!("F1 of {class}"), Some(*f1), Some(*interval));
    }
    line("AF sensitivity", evaluation.af_sensitivity, intervals.af_sensitivity);
    line("AF specificity", evaluation.af_specificity, intervals.af_specificity);
    line(
        "calibration error",
        Some(evaluation.calibration_error),
        Some(intervals.calibration_error),
    );
    text.push_str("\nconfusion (row: reference, column: predicted)\n      ");
    for class in classes {
        write!(text, "{class:>6}").ok();
    }
    for (class, row) in classes.iter().zip(&evaluation.confusion.counts) {
        write!(text, "\n{class:>6}").ok();
        for count in row {
            write!(text, "{count:>6}").ok();
        }
    }
    text.push('\n');
    text
}

//! Progress of a run: a live view on a terminal, one line per epoch in any case.

mod pace;
mod sparkline;

use crate::logs::EpochRecord;
use crate::train::Report;
use indicatif::{FormattedDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pace::Pace;
use sparkline::sparkline;
use std::ops::ControlFlow;
use std::time::Instant;

/// Columns of the curve of past epochs.
const CURVE: usize = 40;

/// Where standard error is a terminal, a bar with the epoch's loss and speed and the time left, the last validation, and
/// the curve of the loss; standard output gets a line for every epoch.
pub(super) struct Terminal {
    bar: ProgressBar,
    quiet: bool,
    records_per_step: Option<usize>,
    epoch: usize,
    epochs: usize,
    batches: usize,
    done: usize,
    loss: Option<f64>,
    pace: Pace,
    losses: Vec<f64>,
    validation: Option<String>,
}

/// A bar of unknown length that looks like this; one that shows nothing when `quiet`.
pub(super) fn bar(template: &str, quiet: bool) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let target = match quiet {
        true => ProgressDrawTarget::hidden(),
        false => ProgressDrawTarget::stderr_with_hz(4),
    };
    ProgressBar::with_draw_target(None, target).with_style(style)
}

impl Terminal {
    /// A view that shows nothing at all when `quiet`.
    pub(super) fn new(quiet: bool) -> Self {
        Self {
            bar: bar("{prefix} {bar:20} {pos}/{len}  {msg}", quiet),
            quiet,
            records_per_step: None,
            epoch: 0,
            epochs: 0,
            batches: 0,
            done: 0,
            loss: None,
            pace: Pace::default(),
            losses: Vec::new(),
            validation: None,
        }
    }

    /// Says how many records a step has, so that the speed is in records and not in steps.
    pub(super) fn with_records_per_step(mut self, records: usize) -> Self {
        self.records_per_step = Some(records);
        self
    }

    /// What stands behind the bar, and the lines below it.
    fn text(&self) -> String {
        let mut parts = Vec::new();
        if let Some(speed) = self.pace.batches_per_second() {
            parts.push(match self.records_per_step {
                Some(records) => format!("{:.1} records/s", speed * records as f64),
                None => format!("{speed:.2} steps/s"),
            });
        }
        parts.extend(self.loss.map(|loss| format!("loss {loss:.4}")));
        let left = self.batches.saturating_sub(self.done);
        if let Some(epoch) = self.pace.remaining(left, 0, self.batches) {
            let epochs = self.epochs.saturating_sub(self.epoch);
            let run = self.pace.remaining(left, epochs, self.batches).unwrap_or(epoch);
            let (epoch, run) = (FormattedDuration(epoch), FormattedDuration(run));
            parts.push(format!("left: epoch {epoch}, run {run}"));
        }
        parts.join("  ") + &self.past()
    }

    /// The lines below the bar.
    fn past(&self) -> String {
        let mut text = String::new();
        if let Some(validation) = &self.validation {
            text += &format!("\n{validation}");
        }
        if let (Some(first), Some(last)) = (self.losses.first(), self.losses.last()) {
            let curve = sparkline(&self.losses, CURVE);
            text += &format!("\nloss of the epochs {first:.4} {curve} {last:.4}");
        }
        text
    }
}

impl Report for Terminal {
    fn epoch(&mut self, epoch: usize, epochs: usize, batches: usize, done: usize) {
        (self.epoch, self.epochs, self.batches, self.done) = (epoch, epochs, batches, done);
        self.loss = None;
        self.pace.begin_epoch(Instant::now());
        self.bar.reset();
        self.bar.set_length(batches as u64);
        self.bar.set_position(done as u64);
        self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        self.bar.set_message(self.text());
    }

    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        self.done += 1;
        self.loss = Some(loss);
        self.pace.batch(Instant::now());
        self.bar.inc(1);
        if !self.bar.is_hidden() {
            self.bar.set_message(self.text());
        }
        ControlFlow::Continue(())
    }

    fn validating(&mut self, record: usize, records: usize) {
        self.bar
            .set_message(format!("validating {record}/{records}{}", self.past()));
    }

    fn finished(&mut self, record: &EpochRecord, best: Option<(f64, usize)>) {
        self.pace.end_epoch(Instant::now());
        self.losses.push(record.train_loss);
        let mut line = format!(
            "epoch {}/{}: loss {:.4}, {:.1} records/s, learning rate {:.1e}",
            record.epoch, self.epochs, record.train_loss, record.records_per_second, record.learning_rate
        );
        if let (Some(accuracy), Some(f1), Some((best, epoch))) = (record.accuracy, record.f1_macro, best) {
            let figures = format!("accuracy {accuracy:.4}, macro F1 {f1:.4} (best {best:.4}, epoch {epoch})");
            line += &format!("; validation {figures}");
            self.validation = Some(format!("validation of epoch {}: {figures}", record.epoch));
        }
        if !self.quiet {
            self.bar.suspend(|| super::say(&line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_view_shows_what_is_known_and_nothing_else() {
        let mut view = Terminal::new(true).with_records_per_step(24);
        view.epoch(1, 3, 10, 4);
        assert_eq!(view.text(), "", "nothing is known before the first batch");
        assert!(view.batch(0.5).is_continue());
        let text = view.text();
        assert!(
            text.contains("records/s  loss 0.5000  left: ") && !text.contains('\n'),
            "{text}"
        );
        let record = json!({
            "epoch": 1, "learning_rate": 0.1, "train_loss": 1.25, "records_per_second": 4.0,
            "accuracy": 0.75, "f1_macro": 0.5, "f1_challenge": null,
        });
        view.finished(&serde_json::from_value(record).expect("a record"), Some((0.75, 1)));
        let text = view.text();
        let below: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(
            below,
            [
                "validation of epoch 1: accuracy 0.7500, macro F1 0.5000 (best 0.7500, epoch 1)",
                "loss of the epochs 1.2500 ▁ 1.2500"
            ]
        );
    }
}

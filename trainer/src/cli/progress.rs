//! Progress on a terminal, one line per epoch elsewhere.

use crate::train::{EpochRecord, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::ops::ControlFlow;

/// A bar for the batches of the epoch, and a line for every epoch that is done.
pub(super) struct Terminal {
    bar: ProgressBar,
    epochs: usize,
}

impl Terminal {
    pub(super) fn new(_quiet: bool) -> Self {
        let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {per_sec} {msg} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4)).with_style(style);
        Self { bar, epochs: 0 }
    }
}

impl Report for Terminal {
    fn epoch(&mut self, epoch: usize, epochs: usize, batches: usize, done: usize) {
        self.epochs = epochs;
        self.bar.reset();
        self.bar.set_length(batches as u64);
        self.bar.set_position(done as u64);
        self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        self.bar.set_message("");
    }

    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        self.bar.inc(1);
        self.bar.set_message(format!("loss {loss:.4}"));
        ControlFlow::Continue(())
    }

    fn validating(&mut self, record: usize, records: usize) {
        self.bar.set_message(format!("validating {record}/{records}"));
    }

    fn finished(&mut self, record: &EpochRecord, best: Option<(f64, usize)>) {
        let mut line = format!(
            "epoch {}/{}: loss {:.4}, {:.1} records/s, learning rate {:.1e}",
            record.epoch, self.epochs, record.train_loss, record.records_per_second, record.learning_rate
        );
        if let (Some(accuracy), Some(f1), Some((best, epoch))) = (record.accuracy, record.f1_macro, best) {
            line += &format!("; validation accuracy {accuracy:.4}, macro F1 {f1:.4} (best {best:.4}, epoch {epoch})");
        }
        self.bar.suspend(|| println!("{line}"));
    }
}

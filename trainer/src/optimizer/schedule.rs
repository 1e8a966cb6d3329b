//! How the learning rate falls over the epochs.

use serde::{Deserialize, Serialize};

/// The learning rate as a function of the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// × 0.1 after ⌊E/4⌋, ⌊2E/4⌋ and ⌊3E/4⌋ of E epochs (the published recipe).
    #[default]
    Step,
    /// Half a cosine from the full rate to 1 % of it.
    Cosine,
}

const COSINE_FLOOR: f64 = 0.01;

impl Schedule {
    /// The factor on the base learning rate in `epoch` (counted from 1) of `epochs`.
    pub fn factor(self, epoch: usize, epochs: usize) -> f64 {
        match self {
            Self::Step => {
                let drops = (1..=3).filter(|quarter| epoch > quarter * epochs / 4).count();
                0.1_f64.powi(drops as i32)
            }
            Self::Cosine => {
                let progress = (epoch.saturating_sub(1)) as f64 / epochs.max(1) as f64;
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                COSINE_FLOOR + (1.0 - COSINE_FLOOR) * cosine
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_run_drops_after_epochs_25_50_and_75() {
        let factor = |epoch| Schedule::Step.factor(epoch, 100);
        assert_eq!([factor(1), factor(25)], [1.0, 1.0]);
        assert!((factor(26) - 0.1).abs() < 1e-12 && (factor(50) - 0.1).abs() < 1e-12);
        assert!((factor(51) - 0.01).abs() < 1e-12 && (factor(76) - 0.001).abs() < 1e-12);
    }

    #[test]
    fn the_cosine_starts_full_and_never_rises() {
        let factors: Vec<f64> = (1..=30).map(|epoch| Schedule::Cosine.factor(epoch, 30)).collect();
        assert_eq!(factors[0], 1.0);
        assert!(factors.windows(2).all(|pair| pair[1] < pair[0]) && factors[29] >= COSINE_FLOOR);
    }
}

//! One number that makes a network's probabilities mean what they say (Guo et al. 2017, section 4.2).

use dualnet_engine::score::ScoreError;

/// Divides a network's logits before the softmax; the predicted class stays, its probability moves.
///
/// It is chosen on records that were held back, never on those that the calibration is reported of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    value: f64,
}

impl Temperature {
    /// Temperatures lie within these; records that are all right, or no better than chance, would have none.
    pub const RANGE: [f64; 2] = [0.05, 20.0];

    /// The temperature of least negative log-likelihood.
    ///
    /// `logits` is `[records, classes]`, row-major, one label per record; logarithms of probabilities are logits too
    /// ([`log_probabilities`]). Without records, and where every temperature is as good, it is 1.
    ///
    /// # Errors
    /// Sizes that do not fit together, a label outside the classes, a logit that is not finite.
    pub fn fit(logits: &[f32], classes: usize, labels: &[i64]) -> Result<Self, ScoreError> {
        let labels = checked(logits, classes, labels)?;
        // In the inverse temperature the negative log-likelihood is convex: its slope rises and is 0 at most once.
        let [mut high, mut low] = Self::RANGE.map(|temperature| -temperature.ln());
        let slope = |log_inverse: f64| slope(logits, classes, &labels, log_inverse.exp());
        let (at_low, at_high) = (slope(low), slope(high));
        if at_low == 0.0 && at_high == 0.0 {
            return Ok(Self { value: 1.0 });
        }
        if at_low >= 0.0 {
            high = low;
        } else if at_high <= 0.0 {
            low = high;
        }
        // Sixty halvings of ln 400 are below the spacing of float64.
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            if slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(Self {
            value: (-0.5 * (low + high)).exp(),
        })
    }

    /// The temperature of this value, `None` outside [`Temperature::RANGE`].
    pub fn new(value: f64) -> Option<Self> {
        let [least, most] = Self::RANGE;
        // Fitting ends within rounding of a bound.
        (value >= least * (1.0 - 1e-12) && value <= most * (1.0 + 1e-12)).then_some(Self { value })
    }

    /// The number logits are divided by.
    pub fn value(self) -> f64 {
        self.value
    }

    /// Replaces probabilities `[records, classes]`, row-major, by those of their logits divided by the temperature.
    pub fn apply(self, probabilities: &mut [f32], classes: usize) {
        for row in probabilities.chunks_exact_mut(classes.max(1)) {
            let powers: Vec<f64> = log_probabilities(row)
                .into_iter()
                .map(|logit| f64::from(logit) / self.value)
                .collect();
            let largest = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = powers.iter().map(|power| (power - largest).exp()).sum();
            for (probability, power) in row.iter_mut().zip(powers) {
                *probability = ((power - largest).exp() / sum) as f32;
            }
        }
    }
}

/// The logarithms of probabilities; 0 counts as the smallest positive normal number.
pub fn log_probabilities(probabilities: &[f32]) -> Vec<f32> {
    probabilities
        .iter()
        .map(|probability| probability.max(f32::MIN_POSITIVE).ln())
        .collect()
}

/// The slope of the negative log-likelihood in the inverse temperature: over the records, the mean logit under the
/// network's probabilities less the logit of the label.
fn slope(logits: &[f32], classes: usize, labels: &[usize], inverse: f64) -> f64 {
    let of_record = |(row, &label): (&[f32], &usize)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let (mut sum, mut mean) = (0.0, 0.0);
        for &logit in row {
            let below = f64::from(logit) - f64::from(largest);
            let weight = (inverse * below).exp();
            sum += weight;
            mean += weight * below;
        }
        mean / sum - (f64::from(row[label]) - f64::from(largest))
    };
    logits.chunks_exact(classes).zip(labels).map(of_record).sum()
}

fn checked(logits: &[f32], classes: usize, labels: &[i64]) -> Result<Vec<usize>, ScoreError> {
    if classes == 0 || !logits.len().is_multiple_of(classes) || logits.len() / classes != labels.len() {
        return Err(ScoreError::Shape {
            probabilities: logits.len(),
            classes,
            labels: labels.len(),
        });
    }
    if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
        let (record, class) = (at / classes, at % classes);
        return Err(ScoreError::NotFinite { record, class });
    }
    let class = |(record, &label): (usize, &i64)| {
        let class = usize::try_from(label).ok().filter(|&class| class < classes);
        class.ok_or(ScoreError::Label { record, label, classes })
    };
    labels.iter().enumerate().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Rng;

    /// Logits of `records` records and labels drawn from their softmax, so that they are calibrated as they are.
    fn calibrated(records: usize, classes: usize) -> (Vec<f32>, Vec<i64>) {
        let mut random = Rng::for_epoch(17, 4);
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..records {
            let row: Vec<f64> = (0..classes).map(|_| 2.0 * random.normal()).collect();
            let sum: f64 = row.iter().map(|logit| logit.exp()).sum();
            let mut left = random.unit_f64() * sum;
            let drawn = row.iter().position(|logit| {
                left -= logit.exp();
                left < 0.0
            });
            labels.push(drawn.unwrap_or(classes - 1) as i64);
            logits.extend(row.iter().map(|&logit| logit as f32));
        }
        (logits, labels)
    }

    /// 20 000 records: the standard error of the inverse temperature is 1/√(records × variance of the logits under the
    /// probabilities), below 0.01 here; 4 % are over four of them.
    #[test]
    fn a_known_temperature_is_recovered() {
        let (logits, labels) = calibrated(20_000, 4);
        for known in [0.25, 1.0, 3.0] {
            let scaled: Vec<f32> = logits.iter().map(|logit| logit * known).collect();
            let found = Temperature::fit(&scaled, 4, &labels).expect("a temperature").value();
            assert!(
                (found / f64::from(known) - 1.0).abs() < 0.04,
                "{found} instead of {known}"
            );
        }
    }

    /// Whatever the records, scaling the logits scales the temperature: 1e-5 is float32's rounding of the logits.
    #[test]
    fn the_temperature_scales_with_the_logits_and_its_slope_is_zero() {
        let (logits, labels) = calibrated(50, 2);
        let one = Temperature::fit(&logits, 2, &labels).expect("a temperature").value();
        let doubled: Vec<f32> = logits.iter().map(|logit| 2.0 * logit).collect();
        let two = Temperature::fit(&doubled, 2, &labels).expect("a temperature").value();
        assert!((two / one - 2.0).abs() < 1e-5, "{one} {two}");
        let labels: Vec<usize> = labels.iter().map(|&label| label as usize).collect();
        assert!(slope(&logits, 2, &labels, 1.0 / one).abs() < 1e-9);
    }

    #[test]
    fn temperatures_that_do_not_exist_end_at_a_bound_or_at_one() {
        let fit = |logits: &[f32], labels: &[i64]| Temperature::fit(logits, 2, labels).expect("a temperature").value();
        assert!((fit(&[2.0, 0.0, 0.0, 1.0], &[0, 1]) - 0.05).abs() < 1e-9, "all right");
        assert!((fit(&[2.0, 0.0, 0.0, 1.0], &[1, 0]) - 20.0).abs() < 1e-9, "all wrong");
        assert_eq!(fit(&[], &[]), 1.0);
        assert_eq!(fit(&[3.0, 3.0], &[0]), 1.0);
        assert_eq!(Temperature::new(0.0), None);
        assert_eq!(Temperature::new(f64::NAN), None);
        assert!(Temperature::new(fit(&[2.0, 0.0], &[0])).is_some());
    }

    #[test]
    fn applied_to_probabilities_it_is_the_softmax_of_divided_logits() {
        let temperature = Temperature::new(2.0).expect("a temperature");
        let mut probabilities = [0.8_f32, 0.2, 1.0, 0.0];
        temperature.apply(&mut probabilities, 2);
        // √0.8 : √0.2 = 2 : 1.
        assert!((probabilities[0] - 2.0 / 3.0).abs() < 1e-6, "{probabilities:?}");
        assert!(probabilities[2] > 0.999_999 && probabilities.iter().all(|p| p.is_finite()));
        let mut unchanged = [0.7_f32, 0.3];
        Temperature::new(1.0).expect("a temperature").apply(&mut unchanged, 2);
        assert!((unchanged[0] - 0.7).abs() < 1e-6);
    }

    #[test]
    fn what_cannot_be_fitted_is_an_error() {
        assert!(Temperature::fit(&[0.0; 4], 2, &[0]).is_err());
        assert!(Temperature::fit(&[0.0; 4], 0, &[]).is_err());
        assert!(Temperature::fit(&[0.0; 4], 2, &[0, 2]).is_err());
        assert!(Temperature::fit(&[0.0, f32::INFINITY], 2, &[0]).is_err());
    }
}

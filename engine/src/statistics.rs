//! Order statistics and moments of a few numbers.

/// The numbers in ascending order, without those that are none.
pub(crate) fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// The quantile `share`, 0 to 1, of ascending numbers, linear between two of them; NaN without numbers.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * last as f64;
    let below = (place as usize).min(last);
    let above = (below + 1).min(last);
    ascending[below] + (place - below as f64) * (ascending[above] - ascending[below])
}

/// The quantile of numbers in any order, without sorting them all; NaN without numbers.
pub(crate) fn quantile_of(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
    let Some(last) = values.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * last as f64;
    let below = (place as usize).min(last);
    let (_, &mut low, higher) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = higher.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    low + (place - below as f64) * (high - low)
}

/// Several quantiles.
pub(crate) fn quantiles<const N: usize>(values: impl IntoIterator<Item = f64>, shares: [f64; N]) -> [f64; N] {
    let ascending = sorted(values);
    shares.map(|share| quantile(&ascending, share))
}

/// The median; NaN without numbers.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile_of(values, 0.5)
}

/// The mean; NaN without numbers.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation of all of a population; NaN without numbers.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    moment(values, 2).sqrt()
}

/// The central moment of this order; NaN without numbers.
pub(crate) fn moment(values: &[f64], order: i32) -> f64 {
    let mean = mean(values);
    values.iter().map(|value| (value - mean).powi(order)).sum::<f64>() / values.len() as f64
}

/// Pearson's correlation of two series of one length; 0 where one of them is constant, NaN without numbers.
pub(crate) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut of_a, mut of_b) = (0.0, 0.0, 0.0);
    for (&a, &b) in a.iter().zip(b) {
        both += (a - mean_a) * (b - mean_b);
        of_a += (a - mean_a) * (a - mean_a);
        of_b += (b - mean_b) * (b - mean_b);
    }
    match (of_a * of_b).sqrt() {
        0.0 => 0.0,
        scale => both / scale,
    }
}

/// Which share of the numbers fulfils a condition; NaN without numbers.
pub(crate) fn share(values: &[f64], fulfils: impl Fn(f64) -> bool) -> f64 {
    count(values, fulfils) / values.len() as f64
}

/// How many of the numbers fulfil a condition.
pub(crate) fn count(values: &[f64], fulfils: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|&&value| fulfils(value)).count() as f64
}

/// Shannon's entropy, in nat, of the numbers over `bins` bins of equal width; numbers outside `range` are left out.
pub(crate) fn entropy(values: &[f64], range: [f64; 2], bins: usize) -> f64 {
    let [low, high] = range;
    let mut counts = vec![0.0; bins];
    for &value in values.iter().filter(|&&value| value >= low && value < high) {
        let bin = ((value - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let term = |count: f64| -(count / all) * (count / all).ln();
    counts.into_iter().filter(|&count| count > 0.0).map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_linear_between_numbers_and_nan_without_any() {
        assert_eq!(
            quantiles([4.0, 1.0, 3.0, 2.0], [0.0, 0.5, 0.75, 1.0]),
            [1.0, 2.5, 3.25, 4.0]
        );
        assert_eq!(quantiles([7.0], [0.0, 1.0]), [7.0, 7.0]);
        assert!(median([]).is_nan() && mean(&[]).is_nan() && share(&[], |_| true).is_nan());
    }

    #[test]
    fn selecting_and_sorting_find_the_same_quantiles() {
        let values: Vec<f64> = (0..101).map(|i| f64::from(i * 37 % 101) * 0.1).collect();
        for share in [0.0, 0.003, 0.5, 0.98, 1.0] {
            let wanted = quantile(&sorted(values.iter().copied()), share);
            assert_eq!(quantile_of(values.iter().copied(), share), wanted, "{share}");
        }
        assert!(quantile_of([f64::NAN], 0.5).is_nan());
    }

    #[test]
    fn moments_correlation_and_entropy_of_known_numbers() {
        assert_eq!(deviation(&[1.0, 3.0]), 1.0);
        assert_eq!(moment(&[-1.0, 1.0], 4), 1.0);
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        assert_eq!(correlation(&[1.0, 1.0], &[2.0, 4.0]), 0.0);
        assert!((entropy(&[0.1, 0.6, 2.0], [0.0, 1.0], 2) - 2f64.ln()).abs() < 1e-12);
        assert_eq!(entropy(&[], [0.0, 1.0], 2), 0.0);
    }
}

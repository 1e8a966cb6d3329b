//! A curve in one line of text.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values from left to right as blocks between the lowest and the highest of them, in at most `width` columns: each is
/// the mean of as many neighbours as need be. What is not finite leaves a gap.
pub(super) fn sparkline(values: &[f64], width: usize) -> String {
    let per_column = values.len().div_ceil(width.max(1)).max(1);
    let means: Vec<f64> = values
        .chunks(per_column)
        .map(|chunk| chunk.iter().sum::<f64>() / chunk.len() as f64)
        .collect();
    let finite = || means.iter().copied().filter(|mean| mean.is_finite());
    let lowest = finite().fold(f64::INFINITY, f64::min);
    let range = finite().fold(f64::NEG_INFINITY, f64::max) - lowest;
    let block = |mean: f64| match mean.is_finite() {
        true if range > 0.0 => BLOCKS[(((mean - lowest) / range * 8.0) as usize).min(7)],
        true => BLOCKS[0],
        false => ' ',
    };
    means.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_spans_all_blocks() {
        let values: Vec<f64> = (0..8).rev().map(f64::from).collect();
        assert_eq!(sparkline(&values, 8), "█▇▆▅▄▃▂▁");
        assert_eq!(sparkline(&values, 4), "█▆▃▁");
        assert_eq!(sparkline(&values, 7).chars().count(), 4);
        assert_eq!(sparkline(&[3.0, 3.0], 8), "▁▁");
        assert_eq!(sparkline(&[1.0, f64::NAN, 2.0, f64::INFINITY], 8), "▁ █ ");
        assert_eq!(sparkline(&[f64::NAN], 0), " ");
        assert_eq!(sparkline(&[], 8), "");
        assert_eq!(sparkline(&[0.5; 1000], 40).chars().count(), 40);
    }
}

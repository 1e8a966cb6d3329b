//! Relative embeddings as rows instead of maps of every pair of positions.

/// `R [channels, 2·span − 1]` with `E[c, i, j] = R[c, i − j + span − 1]`, each row backwards: from `span − 1 − i` on it holds `E[c, i, ·]`.
pub(super) struct Embeddings {
    backwards: Vec<f32>,
    span: usize,
}

/// Where `E[c, i, 0]` lies in rows backwards; `E[c, i, 1]` and so on follow.
#[inline(always)]
pub(super) fn first_pair(c: usize, span: usize, i: usize) -> usize {
    c * (2 * span - 1) + span - 1 - i
}

impl Embeddings {
    /// Turns the rows of `values` around.
    pub(super) fn new(values: &[f32], span: usize) -> Self {
        let rows = values.chunks_exact(2 * span - 1);
        Self {
            backwards: rows.flat_map(|row| row.iter().rev().copied()).collect(),
            span,
        }
    }

    /// `E[c, i, ·]` of `N` channels from the `first` on.
    #[inline(always)]
    pub(super) fn rows<const N: usize>(&self, first: usize, i: usize) -> [&[f32]; N] {
        let mut rows: [&[f32]; N] = [&[]; N];
        for (c, row) in rows.iter_mut().enumerate() {
            let at = first_pair(first + c, self.span, i);
            *row = &self.backwards[at..at + self.span];
        }
        rows
    }
}

/// Adds gradients of rows laid out as in [`Embeddings`] to `sums`, laid out as `R`.
pub(super) fn add_backwards(backwards: &[f64], span: usize, sums: &mut [f64]) {
    let length = 2 * span - 1;
    for (sums, backwards) in sums.chunks_exact_mut(length).zip(backwards.chunks_exact(length)) {
        for (sum, gradient) in sums.iter_mut().zip(backwards.iter().rev()) {
            *sum += gradient;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_what_the_map_of_pairs_would() {
        let span = 5;
        let values: Vec<f32> = (0..2 * 9).map(|i| i as f32).collect();
        let embeddings = Embeddings::new(&values, span);
        for i in 0..span {
            let rows: [&[f32]; 2] = embeddings.rows(0, i);
            for (c, j) in (0..2).flat_map(|c| (0..span).map(move |j| (c, j))) {
                assert_eq!(rows[c][j], values[c * 9 + (i + span - 1 - j)]);
            }
        }
        let backwards: Vec<f64> = embeddings.backwards.iter().map(|&value| f64::from(value)).collect();
        let mut sums = vec![1.0; values.len()];
        add_backwards(&backwards, span, &mut sums);
        let expected: Vec<f64> = values.iter().map(|&value| 1.0 + f64::from(value)).collect();
        assert_eq!(sums, expected);
    }
}

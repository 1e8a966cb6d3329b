//! Relative embeddings as rows, read in both directions, instead of maps of every pair of positions.

use super::channels::{Rows, RowsMut};

/// The direction that rows are read in.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Forward,
    Backward,
}

/// `R [rows, 2·span − 1]` with `E[c, i, j] = R[c, i − j + span − 1]`, each row also backwards, both padded with zeros.
///
/// From `span − 1 − i` on, a backward row holds `E[c, i, ·]` and a forward row `E[c, ·, i]`.
pub(super) struct Embeddings {
    pub(super) forward: Vec<f32>,
    pub(super) backward: Vec<f32>,
    /// Floats of a padded row.
    pub(super) length: usize,
    span: usize,
}

impl Embeddings {
    /// Copies `values`; rows of attention maps are `stride` long.
    pub(super) fn new(values: &[f32], span: usize, stride: usize) -> Self {
        let mut new = Self::zeros(values.len() / (2 * span - 1), span, stride);
        let rows = values.chunks_exact(2 * span - 1);
        let padded = new
            .forward
            .chunks_exact_mut(new.length)
            .zip(new.backward.chunks_exact_mut(new.length));
        for (row, (forward, backward)) in rows.zip(padded) {
            forward[..row.len()].copy_from_slice(row);
            for (to, &from) in backward.iter_mut().zip(row.iter().rev()) {
                *to = from;
            }
        }
        new
    }

    /// Zeros to add gradients to.
    pub(super) fn zeros(rows: usize, span: usize, stride: usize) -> Self {
        let length = span - 1 + stride;
        Self {
            forward: vec![0.0; rows * length],
            backward: vec![0.0; rows * length],
            length,
            span,
        }
    }

    /// Where the rows that belong to position `i` begin.
    pub(super) fn start(&self, i: usize) -> usize {
        self.span - 1 - i
    }

    /// The rows from channel `first` on, as they belong to position `i`.
    pub(super) fn row(&self, direction: Direction, first: usize, i: usize) -> Rows<'_> {
        let at = first * self.length + self.start(i);
        Rows {
            values: match direction {
                Direction::Forward => &self.forward[at..],
                Direction::Backward => &self.backward[at..],
            },
            apart: self.length,
        }
    }

    /// The same, to add to.
    pub(super) fn row_mut(&mut self, direction: Direction, first: usize, i: usize) -> RowsMut<'_> {
        let at = first * self.length + self.start(i);
        RowsMut {
            values: match direction {
                Direction::Forward => &mut self.forward[at..],
                Direction::Backward => &mut self.backward[at..],
            },
            apart: self.length,
        }
    }

    /// Adds what both directions hold to `sums`, laid out as `R`.
    pub(super) fn add_to(&self, sums: &mut [f64]) {
        let width = 2 * self.span - 1;
        let padded = self
            .forward
            .chunks_exact(self.length)
            .zip(self.backward.chunks_exact(self.length));
        for (sums, (forward, backward)) in sums.chunks_exact_mut(width).zip(padded) {
            let backward = backward[..width].iter().rev();
            for ((sum, &forward), &backward) in sums.iter_mut().zip(forward).zip(backward) {
                *sum += f64::from(forward) + f64::from(backward);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_what_the_map_of_pairs_would() {
        let (span, stride) = (5, 8);
        let values: Vec<f32> = (0..2 * 9).map(|i| i as f32).collect();
        let embeddings = Embeddings::new(&values, span, stride);
        for c in 0..2 {
            for i in 0..span {
                for j in 0..span {
                    let pair = values[c * 9 + (i + span - 1 - j)];
                    let row = c * embeddings.length;
                    assert_eq!(embeddings.backward[row + embeddings.start(i) + j], pair);
                    assert_eq!(embeddings.forward[row + embeddings.start(j) + i], pair);
                }
            }
        }
        let mut sums = vec![0.0; values.len()];
        embeddings.add_to(&mut sums);
        let doubled: Vec<f64> = values.iter().map(|&value| 2.0 * f64::from(value)).collect();
        assert_eq!(sums, doubled);
    }
}

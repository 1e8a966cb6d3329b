//! Matrices of small integers in the order an integer product reads them.

use super::super::PANEL;
use super::super::aligned::{Buffer, Number};

/// Matrices `[rows, columns]` of equal shape, as panels of [`PANEL`] columns of pairs of rows: `[matrix][panel][pair][PANEL][2]`, zeros
/// where rows or columns end.
#[derive(Clone, Debug)]
pub(in crate::cpu) struct Pairs<T: Number> {
    data: Buffer<T>,
    pairs: usize,
    panels: usize,
}

impl<T: Number> Pairs<T> {
    /// Zeros.
    pub(in crate::cpu) fn zeros(matrices: usize, rows: usize, columns: usize) -> Self {
        let (pairs, panels) = (rows.div_ceil(2), columns.div_ceil(PANEL));
        Self {
            data: Buffer::zeros(matrices * panels * pairs * 2 * PANEL),
            pairs,
            panels,
        }
    }

    /// One matrix, its element at `(row, column)` given by `value`.
    pub(in crate::cpu) fn of(rows: usize, columns: usize, mut value: impl FnMut(usize, usize) -> T) -> Self {
        let mut packed = Self::zeros(1, rows, columns);
        for column in 0..columns {
            for row in 0..rows {
                packed.set((0, row, column), value(row, column));
            }
        }
        packed
    }

    /// Sets an element: matrix, row, column.
    pub(in crate::cpu) fn set(&mut self, (matrix, row, column): (usize, usize, usize), value: T) {
        let panel = matrix * self.panels + column / PANEL;
        self.data[((panel * self.pairs + row / 2) * PANEL + column % PANEL) * 2 + row % 2] = value;
    }

    /// Columns, whole panels of them.
    pub(in crate::cpu) fn columns(&self) -> usize {
        self.panels * PANEL
    }

    /// Everything, borrowed.
    pub(in crate::cpu) fn view(&self) -> PairPanels<'_, T> {
        PairPanels {
            data: &self.data,
            pairs: self.pairs,
            panels: self.panels,
        }
    }
}

/// Borrowed matrices in the layout of [`Pairs`].
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct PairPanels<'a, T> {
    pub(in crate::cpu) data: &'a [T],
    /// Half the contraction's length.
    pub(in crate::cpu) pairs: usize,
    pub(in crate::cpu) panels: usize,
}

impl<'a, T> PairPanels<'a, T> {
    /// Columns, whole panels of them.
    pub(in crate::cpu) fn columns(&self) -> usize {
        self.panels * PANEL
    }

    /// The panels of one matrix.
    pub(in crate::cpu) fn matrix(&self, matrix: usize) -> &'a [T] {
        let length = self.panels * self.pairs * 2 * PANEL;
        &self.data[matrix * length..][..length]
    }
}

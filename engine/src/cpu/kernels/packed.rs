//! Matrices in the order a product reads them.

use super::Aligned;

/// Columns of a panel: the widest vector's lanes.
pub(in crate::cpu) const PANEL: usize = 16;

/// `extent` filled up to whole panels.
pub(in crate::cpu) fn padded(extent: usize) -> usize {
    extent.next_multiple_of(PANEL)
}

/// Matrices `[rows, columns]` of equal shape, each as panels of [`PANEL`] columns: `[matrix][panel][row][PANEL]`, zeros where the
/// columns end.
#[derive(Clone, Debug)]
pub(in crate::cpu) struct Packed {
    data: Aligned,
    /// The contraction's length.
    rows: usize,
    panels: usize,
}

impl Packed {
    /// Zeros.
    pub(in crate::cpu) fn zeros(matrices: usize, rows: usize, columns: usize) -> Self {
        let panels = columns.div_ceil(PANEL);
        Self {
            data: Aligned::zeros(matrices * panels * rows * PANEL),
            rows,
            panels,
        }
    }

    /// One matrix, its element at `(row, column)` given by `value`.
    pub(in crate::cpu) fn of(rows: usize, columns: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut packed = Self::zeros(1, rows, columns);
        for column in 0..columns {
            for row in 0..rows {
                packed.set(0, row, column, value(row, column));
            }
        }
        packed
    }

    /// Stores one element.
    pub(in crate::cpu) fn set(&mut self, matrix: usize, row: usize, column: usize, value: f32) {
        let panel = matrix * self.panels + column / PANEL;
        self.data[(panel * self.rows + row) * PANEL + column % PANEL] = value;
    }

    /// The contraction's length.
    pub(in crate::cpu) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns, whole panels of them.
    pub(in crate::cpu) fn columns(&self) -> usize {
        self.panels * PANEL
    }

    /// Everything, borrowed.
    pub(in crate::cpu) fn view(&self) -> Panels<'_> {
        Panels {
            data: &self.data,
            rows: self.rows,
            panels: self.panels,
        }
    }
}

/// Borrowed matrices in the layout of [`Packed`].
#[derive(Clone, Copy, Debug)]
pub(in crate::cpu) struct Panels<'a> {
    pub(in crate::cpu) data: &'a [f32],
    /// The contraction's length.
    pub(in crate::cpu) rows: usize,
    pub(in crate::cpu) panels: usize,
}

impl<'a> Panels<'a> {
    /// Columns, whole panels of them.
    pub(in crate::cpu) fn columns(self) -> usize {
        self.panels * PANEL
    }

    /// The panels of one matrix.
    pub(in crate::cpu) fn matrix(self, matrix: usize) -> &'a [f32] {
        let length = self.panels * self.rows * PANEL;
        &self.data[matrix * length..][..length]
    }
}

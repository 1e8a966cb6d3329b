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
#[derive(Clone, Debug, Default)]
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

    /// Other extents, whatever is held then, in memory that is never smaller than it was.
    pub(in crate::cpu) fn resize(&mut self, matrices: usize, rows: usize, columns: usize) {
        self.panels = columns.div_ceil(PANEL);
        self.rows = rows;
        self.data.resize(matrices * self.panels * rows * PANEL);
    }

    /// One matrix, its element at `(row, column)` given by `value`, which is asked in the order they are stored.
    pub(in crate::cpu) fn of(rows: usize, columns: usize, mut value: impl FnMut(usize, usize) -> f32) -> Self {
        let mut packed = Self::zeros(1, rows, columns);
        for panel in 0..packed.panels {
            let first = panel * PANEL;
            let count = PANEL.min(columns - first);
            for row in 0..rows {
                for (lane, to) in packed.lanes(0, panel, row)[..count].iter_mut().enumerate() {
                    *to = value(row, first + lane);
                }
            }
        }
        packed
    }

    /// A row of a panel.
    pub(in crate::cpu) fn lanes(&mut self, matrix: usize, panel: usize, row: usize) -> &mut [f32] {
        let start = ((matrix * self.panels + panel) * self.rows + row) * PANEL;
        &mut self.data[start..start + PANEL]
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

//! The steps of some records, from the first to the last and back.

// Vectors are counted by index, as in the engine's kernels: iterators over several slices at once are not inlined into kernels of this size.
#![allow(clippy::needless_range_loop)]

use super::panels::{Panels, VECTORS, product};
use super::{GATES, Shape};
use dualnet_engine::cpu::{sigmoid, tanh};
use dualnet_engine::simd::{Kernel, Simd};

/// The most records that go through a panel together: their sums, the panel's vectors and a factor are in registers where there are 16.
const fn most(registers: usize) -> usize {
    if registers >= 32 { 6 } else { 2 }
}

/// Runs `$body` for all of `$count` records, `$R` from `$first` on at a time, as many as registers allow.
macro_rules! in_tiles {
    ($count:expr, |$first:ident, $R:ident| $body:expr) => {{
        let mut $first = 0;
        while $first < $count {
            match ($count - $first).min(most(S::REGISTERS)) {
                6.. => in_tiles!(6, $first, $R, $body),
                3..=5 => in_tiles!(3, $first, $R, $body),
                2 => in_tiles!(2, $first, $R, $body),
                _ => in_tiles!(1, $first, $R, $body),
            }
        }
    }};
    ($records:literal, $first:ident, $R:ident, $body:expr) => {{
        const $R: usize = $records;
        $body;
        $first += $R;
    }};
}

/// Of some records: gates from what input and biases contribute, `[records, steps, 4, units]`, to activated ones; cells and outputs.
pub(super) struct Forward<'a> {
    pub(super) shape: Shape,
    /// Of outputs.
    pub(super) panels: &'a Panels,
    pub(super) gates: &'a mut [f32],
    pub(super) cells: &'a mut [f32],
    pub(super) hidden: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Shape { records, steps, units } = self.shape;
        // Of each tile `[units, R]`: the outputs of the step before.
        let mut before = vec![0.0; records * units];
        for t in 0..steps {
            if t > 0 {
                in_tiles!(records, |first, R| interleave::<R>(
                    self.hidden,
                    [steps, units],
                    first,
                    t - 1,
                    &mut before
                ));
            }
            for block in 0..self.panels.count() {
                in_tiles!(records, |first, R| self.tile::<S, R>(simd, first, t, block, &before));
            }
        }
    }
}

impl Forward<'_> {
    /// Step `t` of a vector of units.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, first: usize, t: usize, block: usize, before: &[f32]) {
        let Shape { steps, units, .. } = self.shape;
        let at = block * S::LANES;
        let mut sums = [[simd.splat(0.0); GATES]; R];
        for r in 0..R {
            let row = ((first + r) * steps + t) * units;
            for gate in 0..GATES {
                sums[r][gate] = simd.load(&self.gates[GATES * row + gate * units + at..]);
            }
        }
        if t > 0 {
            let before = &before[first * units..(first + R) * units];
            sums = product(simd, before, self.panels.panel(block), sums);
        }
        for r in 0..R {
            let row = ((first + r) * steps + t) * units;
            let input = sigmoid(simd, sums[r][0]);
            let forget = sigmoid(simd, sums[r][1]);
            let candidate = tanh(simd, sums[r][2]);
            let output = sigmoid(simd, sums[r][3]);
            let mut cell = simd.mul(input, candidate);
            if t > 0 {
                cell = simd.mul_add(forget, simd.load(&self.cells[row - units + at..]), cell);
            }
            let activated = [input, forget, candidate, output];
            for gate in 0..GATES {
                simd.store(activated[gate], &mut self.gates[GATES * row + gate * units + at..]);
            }
            simd.store(cell, &mut self.cells[row + at..]);
            simd.store(simd.mul(output, tanh(simd, cell)), &mut self.hidden[row + at..]);
        }
    }
}

/// Of some records: gradients by the gates before their activation, from those by the outputs and what [`Forward`] left.
pub(super) struct Backward<'a> {
    pub(super) shape: Shape,
    /// Of gates.
    pub(super) panels: &'a Panels,
    pub(super) gates: &'a [f32],
    pub(super) cells: &'a [f32],
    pub(super) grad_hidden: &'a [f32],
    pub(super) grad_gates: &'a mut [f32],
}

/// What a step hands back to the one before it, `[records, units]`.
struct Handed {
    /// By its outputs.
    hidden: Vec<f32>,
    /// By its cells.
    cell: Vec<f32>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let Shape { records, steps, units } = self.shape;
        let mut handed = Handed {
            hidden: vec![0.0; records * units],
            cell: vec![0.0; records * units],
        };
        // Of each tile `[4 · units, R]`: a step's gradients by its gates.
        let mut gates = vec![0.0; records * GATES * units];
        for t in (0..steps).rev() {
            for record in 0..records {
                self.gates(simd, record, t, &mut handed);
            }
            if t > 0 {
                in_tiles!(records, |first, R| interleave::<R>(
                    self.grad_gates,
                    [steps, GATES * units],
                    first,
                    t,
                    &mut gates
                ));
                for panel in 0..self.panels.count() {
                    in_tiles!(records, |first, R| self.tile::<S, R>(
                        simd,
                        first,
                        panel,
                        &gates,
                        &mut handed.hidden
                    ));
                }
            }
        }
    }
}

impl Backward<'_> {
    /// Through the recurrent weight to four vectors of the outputs of the step before.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(
        &self,
        simd: S,
        first: usize,
        panel: usize,
        gates: &[f32],
        grad_hidden: &mut [f32],
    ) {
        let units = self.shape.units;
        let gates = &gates[first * GATES * units..(first + R) * GATES * units];
        let sums = [[simd.splat(0.0); VECTORS]; R];
        let sums = product(simd, gates, self.panels.panel(panel), sums);
        for v in 0..VECTORS {
            let at = (panel * VECTORS + v) * S::LANES;
            if at < units {
                for r in 0..R {
                    simd.store(sums[r][v], &mut grad_hidden[(first + r) * units + at..]);
                }
            }
        }
    }

    /// Step `t` of a record: through the output, the cell and the activations of the gates.
    #[inline(always)]
    fn gates<S: Simd>(&mut self, simd: S, record: usize, t: usize, handed: &mut Handed) {
        let Shape { steps, units, .. } = self.shape;
        let row = (record * steps + t) * units;
        let one = simd.splat(1.0);
        for at in (0..units).step_by(S::LANES) {
            let gate = |gate: usize| GATES * row + gate * units + at;
            let input = simd.load(&self.gates[gate(0)..]);
            let forget = simd.load(&self.gates[gate(1)..]);
            let candidate = simd.load(&self.gates[gate(2)..]);
            let output = simd.load(&self.gates[gate(3)..]);
            let tanh_cell = tanh(simd, simd.load(&self.cells[row + at..]));
            let after = record * units + at;

            let grad_hidden = simd.add(
                simd.load(&self.grad_hidden[row + at..]),
                simd.load(&handed.hidden[after..]),
            );
            let grad_cell = simd.add(
                simd.load(&handed.cell[after..]),
                simd.mul(
                    simd.mul(grad_hidden, output),
                    simd.neg_mul_add(tanh_cell, tanh_cell, one),
                ),
            );
            simd.store(simd.mul(grad_cell, forget), &mut handed.cell[after..]);

            let grad_input = simd.mul(simd.mul(grad_cell, candidate), slope(simd, input));
            let mut grad_forget = simd.splat(0.0);
            if t > 0 {
                let before = simd.load(&self.cells[row - units + at..]);
                grad_forget = simd.mul(simd.mul(grad_cell, before), slope(simd, forget));
            }
            let grad_candidate = simd.mul(simd.mul(grad_cell, input), simd.neg_mul_add(candidate, candidate, one));
            let grad_output = simd.mul(simd.mul(grad_hidden, tanh_cell), slope(simd, output));
            let gradients = [grad_input, grad_forget, grad_candidate, grad_output];
            for index in 0..GATES {
                simd.store(gradients[index], &mut self.grad_gates[gate(index)..]);
            }
        }
    }
}

/// The derivative of the logistic function where it is `y`.
#[inline(always)]
fn slope<S: Simd>(simd: S, y: S::Vector) -> S::Vector {
    simd.neg_mul_add(y, y, y)
}

/// Of the tile of `R` records from `first` on, step `t` of `rows [records, steps, depth]` as `[depth, R]`; `to` has all tiles, one behind the other.
#[inline(always)]
fn interleave<const R: usize>(rows: &[f32], [steps, depth]: [usize; 2], first: usize, t: usize, to: &mut [f32]) {
    let mut own: [&[f32]; R] = [&[]; R];
    for (r, own) in own.iter_mut().enumerate() {
        *own = &rows[((first + r) * steps + t) * depth..][..depth];
    }
    let tile = &mut to[first * depth..(first + R) * depth];
    for (k, to) in tile.chunks_exact_mut(R).enumerate() {
        for (to, own) in to.iter_mut().zip(&own) {
            *to = own[k];
        }
    }
}

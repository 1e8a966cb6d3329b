//! The steps of a few records, from the first to the last and back.

// Vectors are counted by index, as in the engine's kernels: iterators over several slices at once are not inlined into kernels of this size.
#![allow(clippy::needless_range_loop)]

use super::panels::{Panels, VECTORS, product};
use super::{GATES, Shape};
use dualnet_engine::cpu::{sigmoid, tanh};
use dualnet_engine::simd::{Isa, Kernel, Simd};

/// The most records that go together: their sums, the weights and a factor fill the registers.
const fn most(registers: usize) -> usize {
    if registers >= 32 { 6 } else { 2 }
}

/// The most records that this instruction set takes together.
pub(super) fn at_once(isa: Isa) -> usize {
    struct Most;
    impl Kernel for Most {
        type Output = usize;

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> usize {
            most(S::REGISTERS)
        }
    }
    isa.run(Most)
}

/// Calls `$self.$some::<S, R>(…)` for all of `$count` records, `R` from `$first` on at a time, as many as registers allow.
macro_rules! in_tiles {
    ($count:expr, |$first:ident| $self:ident.$some:ident($($argument:expr),*)) => {{
        let mut $first = 0;
        while $first < $count {
            match ($count - $first).min(most(S::REGISTERS)) {
                6.. => {
                    $self.$some::<S, 6>($($argument),*);
                    $first += 6;
                }
                3 | 4 | 5 => {
                    $self.$some::<S, 3>($($argument),*);
                    $first += 3;
                }
                2 => {
                    $self.$some::<S, 2>($($argument),*);
                    $first += 2;
                }
                _ => {
                    $self.$some::<S, 1>($($argument),*);
                    $first += 1;
                }
            }
        }
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
        let records = self.cells.len() / (self.shape.steps * self.shape.units);
        in_tiles!(records, |first| self.tile(simd, first));
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, first: usize) {
        let Shape { steps, units, .. } = self.shape;
        let mut left = vec![0.0; units * R];
        for t in 0..steps {
            if t > 0 {
                interleave::<R>(self.hidden, |r| ((first + r) * steps + t - 1) * units, &mut left);
            }
            for block in 0..units / S::LANES {
                let at = block * S::LANES;
                let mut sums = [[simd.splat(0.0); GATES]; R];
                for r in 0..R {
                    let row = ((first + r) * steps + t) * units;
                    for gate in 0..GATES {
                        sums[r][gate] = simd.load(&self.gates[GATES * row + gate * units + at..]);
                    }
                }
                if t > 0 {
                    sums = product(simd, &left, self.panels.panel(block), sums);
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

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let records = self.cells.len() / (self.shape.steps * self.shape.units);
        in_tiles!(records, |first| self.tile(simd, first));
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, first: usize) {
        let Shape { steps, units, .. } = self.shape;
        let mut left = vec![0.0; GATES * units * R];
        // What the step after hands back: by this one's outputs and by its cells, `[R, units]`.
        let (mut by_hidden, mut by_cell) = (vec![0.0; R * units], vec![0.0; R * units]);
        for t in (0..steps).rev() {
            for r in 0..R {
                self.gate(simd, first + r, t, &by_hidden[r * units..], &mut by_cell[r * units..]);
            }
            if t == 0 {
                break;
            }
            interleave::<R>(
                self.grad_gates,
                |r| ((first + r) * steps + t) * GATES * units,
                &mut left,
            );
            for panel in 0..self.panels.count() {
                let sums = [[simd.splat(0.0); VECTORS]; R];
                let sums = product(simd, &left, self.panels.panel(panel), sums);
                for v in 0..VECTORS {
                    let at = (panel * VECTORS + v) * S::LANES;
                    if at < units {
                        for r in 0..R {
                            simd.store(sums[r][v], &mut by_hidden[r * units + at..]);
                        }
                    }
                }
            }
        }
    }

    /// Step `t` of a record: through the output, the cell and the activations of the gates.
    #[inline(always)]
    fn gate<S: Simd>(&mut self, simd: S, record: usize, t: usize, by_hidden: &[f32], by_cell: &mut [f32]) {
        let Shape { steps, units, .. } = self.shape;
        let row = (record * steps + t) * units;
        let one = simd.splat(1.0);
        for at in (0..units).step_by(S::LANES) {
            let place = |gate: usize| GATES * row + gate * units + at;
            let input = simd.load(&self.gates[place(0)..]);
            let forget = simd.load(&self.gates[place(1)..]);
            let candidate = simd.load(&self.gates[place(2)..]);
            let output = simd.load(&self.gates[place(3)..]);
            let shown = tanh(simd, simd.load(&self.cells[row + at..]));
            let grad = simd.add(simd.load(&self.grad_hidden[row + at..]), simd.load(&by_hidden[at..]));

            let through = simd.mul(grad, output);
            let by_state = simd.add(
                simd.load(&by_cell[at..]),
                simd.mul(through, simd.neg_mul_add(shown, shown, one)),
            );
            simd.store(simd.mul(by_state, forget), &mut by_cell[at..]);

            let grad_output = simd.mul(simd.mul(grad, shown), slope(simd, output));
            let grad_input = simd.mul(simd.mul(by_state, candidate), slope(simd, input));
            let grad_candidate = simd.mul(simd.mul(by_state, input), simd.neg_mul_add(candidate, candidate, one));
            let mut grad_forget = simd.splat(0.0);
            if t > 0 {
                let before = simd.load(&self.cells[row - units + at..]);
                grad_forget = simd.mul(simd.mul(by_state, before), slope(simd, forget));
            }
            let gradients = [grad_input, grad_forget, grad_candidate, grad_output];
            for gate in 0..GATES {
                simd.store(gradients[gate], &mut self.grad_gates[place(gate)..]);
            }
        }
    }
}

/// The derivative of the logistic function where it is `y`.
#[inline(always)]
fn slope<S: Simd>(simd: S, y: S::Vector) -> S::Vector {
    simd.neg_mul_add(y, y, y)
}

/// `to[k, r] = rows[start(r) + k]`.
#[inline(always)]
fn interleave<const R: usize>(rows: &[f32], start: impl Fn(usize) -> usize, to: &mut [f32]) {
    let depth = to.len() / R;
    let mut own: [&[f32]; R] = [&[]; R];
    for (r, own) in own.iter_mut().enumerate() {
        *own = &rows[start(r)..start(r) + depth];
    }
    for (k, to) in to.chunks_exact_mut(R).enumerate() {
        for (to, own) in to.iter_mut().zip(&own) {
            *to = own[k];
        }
    }
}

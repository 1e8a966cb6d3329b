//! The Padé activation unit: `y = F(x)`, and the gradients of x and of the coefficients (`pau.cu`).
//!
//! Kernels exist for the orders of [`ORDERS`]; a unit runs on the smallest that holds its coefficients. Coefficients and their
//! gradients are f32, whatever the elements are.

use crate::{Argument, CudaError, Element, Launch};

/// Orders m/n that are compiled: a unit of up to m + 1 coefficients above and n below runs on m/n.
pub const ORDERS: [(usize, usize); 7] = [(3, 3), (4, 4), (5, 4), (5, 5), (6, 6), (7, 7), (8, 8)];
/// Threads of a block; `THREADS` in `pau.cu`.
const THREADS: u32 = 256;
/// Elements of one block of backward; `CHUNK` in `pau.cu`.
const CHUNK: u64 = 8192;
/// Bytes that one block of forward reads in one go: 256 threads, two accesses of 16 bytes each.
const SWEEP_BYTES: u64 = 256 * 2 * 16;
/// Blocks of forward beyond which each takes several sweeps: more than any GPU holds at once.
const MOST_BLOCKS: u64 = 1 << 14;

/// A unit's coefficients in device memory, or their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coefficients<M> {
    /// `a_0 …`, f32.
    pub numerator: M,
    /// `b_1 …`, f32.
    pub denominator: M,
}

/// The kernels for units of one shape and elements of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pau {
    element: Element,
    order: (usize, usize),
    numerators: usize,
    denominators: usize,
}

impl Pau {
    /// Kernels for a unit of `numerators` coefficients `a_0 …` and `denominators` coefficients `b_1 …`.
    ///
    /// # Errors
    /// When there is none, or more than order 8/8 holds.
    pub fn new(element: Element, numerators: usize, denominators: usize) -> Result<Self, CudaError> {
        let holds = |&&(m, n): &&(usize, usize)| numerators <= m + 1 && denominators <= n;
        match ORDERS.iter().find(holds) {
            Some(&order) if numerators > 0 && denominators > 0 => Ok(Self {
                element,
                order,
                numerators,
                denominators,
            }),
            _ => Err(CudaError::Launch(format!(
                "a PAU of {numerators} and {denominators} coefficients has no CUDA kernel; 1 to 9 and 1 to 8 are supported"
            ))),
        }
    }

    /// The same unit on the kernels of another order.
    ///
    /// # Errors
    /// When they are not compiled or do not hold it.
    pub fn with_order(self, m: usize, n: usize) -> Result<Self, CudaError> {
        if ORDERS.contains(&(m, n)) && self.numerators <= m + 1 && self.denominators <= n {
            Ok(Self { order: (m, n), ..self })
        } else {
            Err(CudaError::Launch(format!(
                "PAU kernels of order {m}/{n} do not hold this unit"
            )))
        }
    }

    /// The order of the kernels, m/n.
    pub fn order(&self) -> (usize, usize) {
        self.order
    }

    /// f32 values of the `partials` that [`backward`](Self::backward) needs for `count` elements.
    pub fn partials(&self, count: u64) -> u64 {
        (self.order.0 + 1 + self.order.1) as u64 * count.div_ceil(CHUNK)
    }

    /// `y = F(x)` for `count` elements; nothing to launch when there are none.
    ///
    /// x and y may lie anywhere their type allows, and are fast at multiples of 16 bytes. They must not overlap.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there are too many elements.
    pub fn forward<M: Copy>(&self, x: M, y: M, unit: Coefficients<M>, count: u64) -> Result<Vec<Launch<M>>, CudaError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let blocks = (count * self.element.bytes() as u64).div_ceil(SWEEP_BYTES);
        let mut arguments = vec![Argument::Memory(x), Argument::Memory(y)];
        arguments.extend(self.coefficients(unit));
        arguments.push(Argument::I64(signed(count)?));
        Ok(vec![self.launch("forward", blocks.min(MOST_BLOCKS) as u32, arguments)])
    }

    /// `grad_x = grad_y · F'(x)` for `count` elements and the gradients of the coefficients, in two launches.
    ///
    /// `partials` holds [`partials`](Self::partials) f32 values and needs no initial values; `gradients` is overwritten. As
    /// [`forward`](Self::forward) for where the others may lie. With no elements the gradients are zeros.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there are too many elements.
    pub fn backward<M: Copy>(
        &self,
        [x, grad_y, grad_x]: [M; 3],
        partials: M,
        unit: Coefficients<M>,
        gradients: Coefficients<M>,
        count: u64,
    ) -> Result<Vec<Launch<M>>, CudaError> {
        let blocks = i32::try_from(count.div_ceil(CHUNK)).map_err(|_| too_many(count))?;
        let mut launches = Vec::new();
        if count > 0 {
            let mut arguments = [x, grad_y, grad_x, partials].map(Argument::Memory).to_vec();
            arguments.extend(self.coefficients(unit));
            arguments.push(Argument::I64(signed(count)?));
            launches.push(self.launch("backward", blocks as u32, arguments));
        }
        let mut arguments = vec![
            Argument::Memory(partials),
            Argument::I32(blocks),
            Argument::I32(self.order.0 as i32 + 1),
        ];
        arguments.extend(self.coefficients(unit));
        arguments.extend([gradients.numerator, gradients.denominator].map(Argument::Memory));
        launches.push(Launch {
            kernel: "pau_gradients".to_owned(),
            ..self.launch("", (self.numerators + self.denominators) as u32, arguments)
        });
        Ok(launches)
    }

    fn coefficients<M: Copy>(&self, unit: Coefficients<M>) -> [Argument<M>; 4] {
        [
            Argument::Memory(unit.numerator),
            Argument::I32(self.numerators as i32),
            Argument::Memory(unit.denominator),
            Argument::I32(self.denominators as i32),
        ]
    }

    fn launch<M>(&self, what: &str, blocks: u32, arguments: Vec<Argument<M>>) -> Launch<M> {
        let (m, n) = self.order;
        Launch {
            family: "pau",
            kernel: format!("pau_{what}_{}_{m}_{n}", self.element.name()),
            blocks,
            rows: 1,
            threads: THREADS,
            shared_bytes: 0,
            together: false,
            arguments,
        }
    }
}

fn signed(count: u64) -> Result<i64, CudaError> {
    i64::try_from(count).map_err(|_| too_many(count))
}

fn too_many(count: u64) -> CudaError {
    CudaError::Launch(format!("a PAU of {count} elements is too large for CUDA"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_runs_on_the_smallest_order_that_holds_it() {
        for (shape, order) in [((4, 2), (3, 3)), ((6, 2), (5, 4)), ((1, 5), (5, 5)), ((9, 8), (8, 8))] {
            let pau = Pau::new(Element::F32, shape.0, shape.1).expect("a compiled order");
            assert_eq!(pau.order(), order);
        }
        for (numerators, denominators) in [(0, 1), (1, 0), (10, 1), (1, 9)] {
            let error = Pau::new(Element::F32, numerators, denominators).unwrap_err();
            assert!(error.to_string().contains("1 to 9"), "{error}");
        }
    }

    #[test]
    fn grids_cover_every_element() {
        let pau = Pau::new(Element::F16, 6, 4).expect("order 5/4");
        let unit = Coefficients {
            numerator: 0,
            denominator: 0,
        };
        assert!(pau.forward(0, 0, unit, 0).unwrap().is_empty());
        assert_eq!(pau.forward(0, 0, unit, 4096).unwrap()[0].blocks, 1);
        assert_eq!(pau.forward(0, 0, unit, 4097).unwrap()[0].blocks, 2);
        assert_eq!(
            u64::from(pau.forward(0, 0, unit, 1 << 40).unwrap()[0].blocks),
            MOST_BLOCKS
        );
        let backward = |count| pau.backward([0; 3], 0, unit, unit, count);
        assert_eq!(backward(0).unwrap().len(), 1);
        assert_eq!(backward(8193).unwrap()[0].blocks, 2);
        assert_eq!(pau.partials(8193), 20);
        assert!(backward(u64::MAX).is_err());
    }
}

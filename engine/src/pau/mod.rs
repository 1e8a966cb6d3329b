//! The Padé activation unit on the CPU, forward and backward: tract's operator and the trainer's autograd both call it.
//!
//! `F(x) = (a_0 + a_1 x + … + a_m x^m) / (1 + |b_1||x| + … + |b_n||x|^n)`: the "safe" form of Molina, Schramowski and
//! Kersting, *Padé Activation Units* (2019), whose denominator has no zero.
//!
//! **Accuracy.** For every finite `x`, `F(x)` is within 1e-6 · `Σ|a_k x^k| / Q(x)` of the exact value, an element's gradient
//! within 2e-6 · `|g| (Σ k|a_k x^(k−1)| + |F| Σ k|b_k x^(k−1)|) / Q`, and a coefficient's gradient within 1e-5 of the sum of its terms'
//! magnitudes, however many there are. Where `f32` arithmetic would overflow on the way (order 5/4: beyond 2²² ≈ 4·10⁶), the
//! elements concerned take a slower path in `f64`. An infinite or NaN `x` gives NaN.
//!
//! **Determinism.** Results depend on the instruction set, but not on the number of threads: every `_parallel` method gives
//! its serial sibling's result bit for bit.

pub mod affine;
mod backward;
mod forward;
pub mod initial;
mod order;
pub(crate) mod rational;
pub mod reference;

pub use reference::MAX_COEFFICIENTS;

use crate::simd::{Isa, IsaError};
use backward::Backward;
use forward::Forward;
pub(crate) use forward::ForwardInPlace;
use order::{Order, with_order};
use rational::{Rational, Sums};
use rayon::prelude::*;
use thiserror::Error;

/// Elements of one parallel task, and of one partial sum of coefficient gradients.
const CHUNK: usize = 32_768;

/// Why a [`Pau`] cannot be made.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum PauError {
    /// The number of coefficients is not supported.
    #[error("PAU {polynomial} has {count} coefficients; between 1 and {MAX_COEFFICIENTS} are supported")]
    Count {
        /// `numerator` or `denominator`.
        polynomial: &'static str,
        /// Its number of coefficients.
        count: usize,
    },
    /// A coefficient is infinite or NaN.
    #[error("PAU {polynomial} coefficient {index} is {value}; coefficients must be finite")]
    NotFinite {
        /// `numerator` or `denominator`.
        polynomial: &'static str,
        /// Position in the slice given, from 0.
        index: usize,
        /// The coefficient.
        value: f32,
    },
    /// The instruction set asked for cannot be used.
    #[error(transparent)]
    Isa(#[from] IsaError),
}

/// A Padé activation unit: one set of coefficients, applied to every element.
#[derive(Clone, Debug, PartialEq)]
pub struct Pau {
    numerator: Vec<f32>,
    denominator: Vec<f32>,
    kernel: Order,
    isa: Isa,
}

/// Coefficients are finite, so that equality is an equivalence.
impl Eq for Pau {}

/// Gradients of the coefficients, in the order of the coefficients.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gradients {
    /// `∂L/∂a_0 … ∂L/∂a_m`.
    pub numerator: Vec<f32>,
    /// `∂L/∂b_1 … ∂L/∂b_n`, with `∂|b|/∂b = sign(b)` and `sign(0) = 0`.
    pub denominator: Vec<f32>,
}

impl Pau {
    /// A unit with numerator `a_0 … a_m` and denominator `b_1 … b_n` (the denominator's 1 is implied), on the instruction set of
    /// [`Isa::detect`].
    ///
    /// # Errors
    /// When either has no coefficient, more than [`MAX_COEFFICIENTS`], or one that is not finite, or `ENGINE_ISA` names
    /// what this processor has not got.
    pub fn new(numerator: &[f32], denominator: &[f32]) -> Result<Self, PauError> {
        Self::with_isa(numerator, denominator, Isa::detect()?)
    }

    /// The same on a chosen instruction set.
    ///
    /// # Errors
    /// As [`Pau::new`], the instruction set excepted.
    pub fn with_isa(numerator: &[f32], denominator: &[f32], isa: Isa) -> Result<Self, PauError> {
        check("numerator", numerator)?;
        check("denominator", denominator)?;
        let kernel = Order::new(numerator, denominator);
        Ok(Self {
            numerator: numerator.to_vec(),
            denominator: denominator.to_vec(),
            kernel,
            isa,
        })
    }

    /// `a_0 … a_m`.
    pub fn numerator(&self) -> &[f32] {
        &self.numerator
    }

    /// `b_1 … b_n`, as given.
    pub fn denominator(&self) -> &[f32] {
        &self.denominator
    }

    /// The coefficients in the order 5/4 or below that every published fit has; `None` for a higher one.
    pub(crate) fn published_order(&self) -> Option<&Rational<6, 4>> {
        match &self.kernel {
            Order::UpTo5Over4(rational) => Some(rational),
            Order::UpTo15Over16(_) => None,
        }
    }

    /// The instruction set it computes with.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// `y = F(x)` on the calling thread.
    ///
    /// # Panics
    /// When `x` and `y` differ in length.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        same_length(x, y);
        with_order!(self, rational => self.isa.run(Forward { rational, x, y }));
    }

    /// `x = F(x)` on the calling thread.
    pub fn forward_in_place(&self, x: &mut [f32]) {
        with_order!(self, rational => self.isa.run(ForwardInPlace { rational, x }));
    }

    /// [`Pau::forward`] on rayon's current thread pool.
    ///
    /// # Panics
    /// When `x` and `y` differ in length.
    pub fn forward_parallel(&self, x: &[f32], y: &mut [f32]) {
        same_length(x, y);
        x.par_chunks(CHUNK)
            .zip(y.par_chunks_mut(CHUNK))
            .for_each(|(x, y)| self.forward(x, y));
    }

    /// `grad_x = grad_y · F'(x)` and the gradients of the coefficients, on the calling thread.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn backward(&self, x: &[f32], grad_y: &[f32], grad_x: &mut [f32]) -> Gradients {
        same_length(x, grad_y);
        same_length(x, grad_x);
        let chunks = x.chunks(CHUNK).zip(grad_y.chunks(CHUNK)).zip(grad_x.chunks_mut(CHUNK));
        with_order!(self, rational => self.gradients(
            chunks.map(|((x, grad_y), grad_x)| self.isa.run(Backward { rational, x, grad_y, grad_x }))
        ))
    }

    /// [`Pau::backward`] on rayon's current thread pool.
    ///
    /// # Panics
    /// When the slices differ in length.
    pub fn backward_parallel(&self, x: &[f32], grad_y: &[f32], grad_x: &mut [f32]) -> Gradients {
        same_length(x, grad_y);
        same_length(x, grad_x);
        let chunks = x
            .par_chunks(CHUNK)
            .zip(grad_y.par_chunks(CHUNK))
            .zip(grad_x.par_chunks_mut(CHUNK));
        with_order!(self, rational => {
            let partials: Vec<_> = chunks
                .map(|((x, grad_y), grad_x)| self.isa.run(Backward { rational, x, grad_y, grad_x }))
                .collect();
            self.gradients(partials.into_iter())
        })
    }

    /// Partial sums, added in their order.
    fn gradients<const M: usize, const N: usize>(&self, partials: impl Iterator<Item = Sums<M, N>>) -> Gradients {
        let mut total = Sums::<M, N>::ZERO;
        for partial in partials {
            total.add(&partial);
        }
        let signed = |(sum, b): (&f64, &f32)| (sum * reference::sign(f64::from(*b))) as f32;
        Gradients {
            numerator: total.numerator[..self.numerator.len()]
                .iter()
                .map(|&sum| sum as f32)
                .collect(),
            denominator: total.denominator.iter().zip(&self.denominator).map(signed).collect(),
        }
    }
}

fn check(polynomial: &'static str, coefficients: &[f32]) -> Result<(), PauError> {
    let count = coefficients.len();
    if count == 0 || count > MAX_COEFFICIENTS {
        return Err(PauError::Count { polynomial, count });
    }
    match coefficients.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(PauError::NotFinite {
            polynomial,
            index,
            value: coefficients[index],
        }),
        None => Ok(()),
    }
}

#[track_caller]
fn same_length(x: &[f32], other: &[f32]) {
    assert_eq!(x.len(), other.len(), "PAU slices differ in length");
}

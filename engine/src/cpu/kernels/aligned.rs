//! Numbers that start at a cache line.

use std::marker::PhantomData;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A number that is valid whatever its bits, at most 64 bytes long and a divisor of that.
///
/// # Safety
/// Implementors promise exactly this.
pub(in crate::cpu) unsafe trait Number: Copy {}
// SAFETY: four bytes, any bits.
unsafe impl Number for f32 {}
// SAFETY: four bytes, any bits.
unsafe impl Number for i32 {}
// SAFETY: two bytes, any bits.
unsafe impl Number for i16 {}
// SAFETY: one byte, any bits.
unsafe impl Number for i8 {}

/// A buffer of numbers whose first element starts a cache line, so that no vector of a panel crosses one.
#[derive(Clone, Debug)]
pub(in crate::cpu) struct Buffer<T> {
    lines: Vec<Line>,
    len: usize,
    numbers: PhantomData<T>,
}

/// A buffer of floats.
pub(in crate::cpu) type Aligned = Buffer<f32>;

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            len: 0,
            numbers: PhantomData,
        }
    }
}

impl<T: Number> Buffer<T> {
    /// Numbers of a line.
    const PER_LINE: usize = 64 / size_of::<T>();

    /// `len` zeros.
    pub(in crate::cpu) fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line([0; 64]); len.div_ceil(Self::PER_LINE)],
            len,
            numbers: PhantomData,
        }
    }

    /// Makes the buffer `len` long, whatever it holds then, and never smaller than it was in memory.
    pub(in crate::cpu) fn resize(&mut self, len: usize) -> &mut [T] {
        if self.lines.len() * Self::PER_LINE < len {
            // Zeros come from the system; the old contents are not needed.
            self.lines = vec![Line([0; 64]); len.div_ceil(Self::PER_LINE)];
        }
        self.len = len;
        self
    }
}

impl<T: Number> std::ops::Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: a `Line` is 64 initialized bytes, aligned for every `Number`, any bits of which are one; the vector owns lines
        // for at least `len` numbers, and the borrow of `self` keeps them alive and unchanged.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

//! Numbers that start at a cache line, in pages as large as the system has where there are many.

use memmap2::MmapMut;
use std::marker::PhantomData;

/// One cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// A number that is valid whatever its bits, at most 64 bytes long and a divisor of that.
///
/// # Safety
/// Implementors promise exactly this.
pub unsafe trait Number: Copy {}
// SAFETY: four bytes, any bits.
unsafe impl Number for f32 {}
// SAFETY: four bytes, any bits.
unsafe impl Number for i32 {}
// SAFETY: two bytes, any bits.
unsafe impl Number for i16 {}
// SAFETY: one byte, any bits.
unsafe impl Number for i8 {}

/// A buffer of numbers whose first element starts a cache line, so that no vector of a panel crosses one.
#[derive(Debug)]
pub struct Buffer<T> {
    memory: Memory,
    len: usize,
    numbers: PhantomData<T>,
}

/// Floats whose first one starts a cache line; `resize` leaves open what they hold then.
pub type Aligned = Buffer<f32>;

#[derive(Debug)]
enum Memory {
    Lines(Vec<Line>),
    /// Weights that are read once a record miss the cache of page addresses as often as they have pages.
    Pages(MmapMut),
}

impl Memory {
    /// At least as many zero bytes.
    fn zeros(bytes: usize) -> Self {
        /// A large page of x86-64 and aarch64, in bytes. Half of one is worth a mapping.
        const PAGE: usize = 2 << 20;
        if bytes >= PAGE / 2
            && !cfg!(miri)
            && let Some(bytes) = bytes.checked_next_multiple_of(PAGE)
            && let Ok(pages) = MmapMut::map_anon(bytes)
        {
            // Without large pages it works as well, only more slowly.
            #[cfg(target_os = "linux")]
            let _ = pages.advise(memmap2::Advice::HugePage);
            return Self::Pages(pages);
        }
        Self::Lines(vec![Line([0; 64]); bytes.div_ceil(64)])
    }

    /// Bytes.
    fn capacity(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.len() * 64,
            Self::Pages(pages) => pages.len(),
        }
    }
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Self {
            memory: Memory::Lines(Vec::new()),
            len: 0,
            numbers: PhantomData,
        }
    }
}

impl<T: Number> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        Self {
            memory: Memory::zeros(len.saturating_mul(size_of::<T>())),
            len,
            numbers: PhantomData,
        }
    }

    /// Makes the buffer `len` long, whatever it holds then, and never smaller than it was in memory.
    pub fn resize(&mut self, len: usize) -> &mut [T] {
        let bytes = len.saturating_mul(size_of::<T>());
        if self.memory.capacity() < bytes {
            // Zeros come from the system; the old contents are not needed.
            self.memory = Memory::zeros(bytes);
        }
        self.len = len;
        self
    }
}

impl<T: Number> Clone for Buffer<T> {
    fn clone(&self) -> Self {
        let mut clone = Self::zeros(self.len);
        clone.copy_from_slice(self);
        clone
    }
}

impl<T: Number> std::ops::Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        let start: *const T = match &self.memory {
            Memory::Lines(lines) => lines.as_ptr().cast(),
            Memory::Pages(pages) => pages.as_ptr().cast(),
        };
        // SAFETY: `zeros` and `resize` keep `len` numbers within the memory's capacity. Lines and pages are aligned for every `Number`,
        // any bits of which are one, a mapping is private to this value, both are initialized, and the borrow of `self` keeps them alive
        // and unchanged.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl<T: Number> std::ops::DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        let start: *mut T = match &mut self.memory {
            Memory::Lines(lines) => lines.as_mut_ptr().cast(),
            Memory::Pages(pages) => pages.as_mut_ptr().cast(),
        };
        // SAFETY: as in `deref`, and the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(start, self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_buffers_start_a_line_with_zeros() {
        let mut buffer = Aligned::default();
        for len in [1, 17, 1 << 20, 3 << 20] {
            let numbers = buffer.resize(len);
            assert_eq!(numbers.as_ptr() as usize % 64, 0);
            assert!(numbers.len() == len && numbers.iter().all(|&number| number == 0.0));
            let clone = buffer.clone();
            assert_eq!(clone[len - 1].to_bits(), 0);
        }
        buffer[5] = 2.0;
        assert_eq!((buffer.clone()[5], buffer.resize(6)[5]), (2.0, 2.0));
    }
}

//! Numbers that start at a cache line, in pages as large as the system has where there are many.

use memmap2::MmapMut;

/// One cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A buffer of `f32` whose first element starts a cache line, so that no vector of a panel crosses one.
#[derive(Debug, Default)]
pub(in crate::cpu) struct Aligned {
    memory: Memory,
    len: usize,
}

#[derive(Debug)]
enum Memory {
    Lines(Vec<Line>),
    /// Weights that are read once a record miss the cache of page addresses as often as they have pages.
    Pages(MmapMut),
}

impl Default for Memory {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

impl Memory {
    /// At least `len` zeros.
    fn zeros(len: usize) -> Self {
        /// A large page of x86-64 and aarch64, in bytes. Half of one is worth a mapping.
        const PAGE: usize = 2 << 20;
        let bytes = len.saturating_mul(size_of::<f32>());
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
        Self::Lines(vec![Line::default(); len.div_ceil(16)])
    }

    /// Numbers that fit in.
    fn capacity(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.len() * 16,
            Self::Pages(pages) => pages.len() / size_of::<f32>(),
        }
    }
}

impl Aligned {
    /// `len` zeros.
    pub(in crate::cpu) fn zeros(len: usize) -> Self {
        Self {
            memory: Memory::zeros(len),
            len,
        }
    }

    /// Makes the buffer `len` long, whatever it holds then, and never smaller than it was in memory.
    pub(in crate::cpu) fn resize(&mut self, len: usize) -> &mut [f32] {
        if self.memory.capacity() < len {
            // Zeros come from the system; the old contents are not needed.
            self.memory = Memory::zeros(len);
        }
        self.len = len;
        self
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut clone = Self::zeros(self.len);
        clone.copy_from_slice(self);
        clone
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let start: *const f32 = match &self.memory {
            Memory::Lines(lines) => lines.as_ptr().cast(),
            Memory::Pages(pages) => pages.as_ptr().cast(),
        };
        // SAFETY: `zeros` and `resize` keep `len` within the memory's capacity. A `Line` is 16 `f32` without padding (`repr(C)`, its size is
        // its alignment), a mapping starts at a page and is private to this value; both are initialized, and the borrow of `self`
        // keeps them alive and unchanged.
        unsafe { std::slice::from_raw_parts(start, self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        let start: *mut f32 = match &mut self.memory {
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

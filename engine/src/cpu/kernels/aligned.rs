//! Numbers that start at a cache line.

/// One cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// A buffer of `f32` whose first element starts a cache line, so that no vector of a panel crosses one.
#[derive(Clone, Debug, Default)]
pub(in crate::cpu) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(in crate::cpu) fn zeros(len: usize) -> Self {
        Self {
            lines: vec![Line::default(); len.div_ceil(16)],
            len,
        }
    }

    /// Makes the buffer `len` long, whatever it holds then, and never smaller than it was in memory.
    pub(in crate::cpu) fn resize(&mut self, len: usize) -> &mut [f32] {
        if self.lines.len() * 16 < len {
            // Zeros come from the system; the old contents are not needed.
            self.lines = vec![Line::default(); len.div_ceil(16)];
        }
        self.len = len;
        self
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: a `Line` is 16 `f32` without padding (`repr(C)`, its size is its alignment), the vector owns at least `len`
        // of them in initialized lines, and the borrow of `self` keeps them alive and unchanged.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

//! Feature maps, channels-last with a border of zeros, and the stretch of equal rows in them.

use super::super::kernels::integer::{Quantize, Target};
use super::super::kernels::{Aligned, Buffer, Equal, Scheme, padded};
use crate::plan::Quantization;
use crate::simd::Isa;

/// A feature map `[rows, width, channels]`.
///
/// Around it lies a border of zeros: one column before, at least one behind (whole tiles of a convolution fit in), and one row, which
/// stands for both the row above and the rows below. Channels are padded to whole panels, except a single one.
///
/// Values are floats, or 8-bit values minus their zero point, as the layers that read them need them.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    data: Aligned,
    bytes: Buffer<i16>,
    /// How its values are rounded; `None` when they are floats.
    pub(super) quantization: Option<Quantization>,
    rows: usize,
    pub(super) width: usize,
    columns: usize,
    pub(super) channels: usize,
    pub(super) stretch: Stretch,
}

/// Rows `start..start + stored` of a map are equal and stand for `real` rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: usize,
    pub(super) stored: usize,
    pub(super) real: usize,
}

/// A map's rows as an operation sees them: offsets of the pixel left of each row's first.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    offsets: Vec<usize>,
    /// Rows of the map; the first offset is of the row above.
    pub(super) height: usize,
    pub(super) stretch: Stretch,
}

impl Map {
    /// Gives the map these extents, for floats; its border is zero then, the rest undefined.
    pub(super) fn reset(&mut self, rows: usize, width: usize, channels: usize) {
        self.reset_as(rows, width, channels, None);
    }

    /// The same for values rounded like this.
    pub(super) fn reset_as(&mut self, rows: usize, width: usize, channels: usize, quantization: Option<Quantization>) {
        self.rows = rows;
        self.width = width;
        self.columns = width.next_multiple_of(Scheme::of(width).outputs()) + 2;
        self.channels = if channels == 1 { 1 } else { padded(channels) };
        self.stretch = Stretch::default();
        self.quantization = quantization;
        let (row, channels) = (self.row_length(), self.channels);
        let length = (rows + 1) * row;
        let border = [0..channels, (width + 1) * channels..row];
        match quantization {
            None => clear(self.data.resize(length), row, border, 0.0),
            Some(_) => clear(self.bytes.resize(length), row, border, 0),
        }
    }

    /// The map's values, which were floats, rounded.
    pub(super) fn quantize(&mut self, isa: Isa, quantization: Quantization) {
        self.quantization = Some(quantization);
        isa.run(Quantize {
            from: &self.data,
            to: self.bytes.resize((self.rows + 1) * self.row_length()),
            rounding: quantization.into(),
        });
    }

    /// One channel, `[rows, width]`; equal last rows become a stretch if `skip`.
    pub(super) fn fill_single(&mut self, values: &[f32], rows: usize, width: usize, skip: bool) {
        self.reset(rows, width, 1);
        for (row, values) in values.chunks_exact(width).take(rows).enumerate() {
            let start = self.offset(row);
            self.data[start..start + width].copy_from_slice(values);
        }
        if skip {
            let equal = equal_last_rows(&values[..rows * width], width);
            self.stretch = Stretch {
                start: rows - equal,
                stored: equal,
                real: equal,
            };
        }
    }

    fn row_length(&self) -> usize {
        self.columns * self.channels
    }

    /// Where the first pixel of a row lies.
    pub(super) fn offset(&self, row: usize) -> usize {
        (row + 1) * self.row_length() + self.channels
    }

    /// Rows stored.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Everything, borders too.
    pub(super) fn data(&self) -> &[f32] {
        &self.data
    }

    /// Everything, borders too, of a map of 8-bit values.
    pub(super) fn bytes(&self) -> &[i16] {
        &self.bytes
    }

    /// Where a layer writes what the map is to hold; borders must stay zero.
    pub(super) fn target(&mut self) -> Target<'_> {
        match self.quantization {
            None => Target::Floats(&mut self.data),
            Some(to) => Target::Quantized(&mut self.bytes, to.into()),
        }
    }

    /// Everything, borders too, which must stay zero.
    pub(super) fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The pixels of a row.
    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.data[self.offset(row)..][..self.width * self.channels]
    }

    /// The pixels of a row.
    pub(super) fn row_mut(&mut self, row: usize) -> &mut [f32] {
        let start = self.offset(row);
        let length = self.width * self.channels;
        &mut self.data[start..][..length]
    }

    /// The rows with the stretch as short as two 3×3 convolutions and a pooling leave one of its rows over, and some rows of zeros
    /// behind.
    ///
    /// Each convolution takes a row from either end of the stretch, pooling an odd one more. What comes after it keeps its parity.
    pub(super) fn rows_for_block(&self) -> Rows {
        let Stretch { start, real, .. } = self.stretch;
        let least = 4 + 2 + start % 2;
        let short = least + (real + least) % 2;
        self.rows_with(if short < real { short } else { real })
    }

    /// The rows with one for the whole stretch: enough for what works on each position alone.
    pub(super) fn distinct_rows(&self) -> Rows {
        self.rows_with(self.stretch.real.min(1))
    }

    /// Every row that the map stands for.
    pub(super) fn all_rows(&self) -> Rows {
        self.rows_with(self.stretch.real)
    }

    fn rows_with(&self, shown: usize) -> Rows {
        let Stretch { start, stored, real } = self.stretch;
        let left = |row: usize| self.offset(row) - self.channels;
        let mut offsets = vec![0];
        offsets.extend((0..start).map(left));
        offsets.extend((0..shown).map(|_| left(start)));
        offsets.extend((start + stored..self.rows).map(left));
        let height = offsets.len() - 1;
        // A tile may begin in the last row and reads five more.
        offsets.extend([0; 6]);
        Rows {
            offsets,
            height,
            stretch: Stretch {
                start,
                stored: shown,
                real,
            },
        }
    }
}

/// How many rows at the end of `values [.., width]` are equal.
pub(super) fn equal_last_rows(values: &[f32], width: usize) -> usize {
    let rows = values.chunks_exact(width);
    let last = rows.clone().next_back();
    rows.rev().take_while(|&row| Some(row) == last).count()
}

/// A row of zeros, and the borders of all others.
fn clear<T: Copy>(data: &mut [T], row: usize, border: [std::ops::Range<usize>; 2], zero: T) {
    data[..row].fill(zero);
    for row in data[row..].chunks_exact_mut(row) {
        for part in &border {
            row[part.clone()].fill(zero);
        }
    }
}

impl Rows {
    /// Offsets of the rows `first − 1` to `last`, for a convolution of the rows from `first` on.
    pub(super) fn around(&self, first: usize, count: usize) -> &[usize] {
        &self.offsets[first..first + count + 2]
    }

    /// The offset of a row of the map.
    pub(super) fn left(&self, row: usize) -> usize {
        self.offsets[row + 1]
    }
}

impl Stretch {
    /// What is left of it after two 3×3 convolutions and a pooling.
    pub(super) fn after_block(self) -> Self {
        let end = |length: usize| (self.start + length).saturating_sub(2) / 2;
        let start = (self.start + 2).div_ceil(2);
        let stored = end(self.stored).saturating_sub(start);
        if stored == 0 {
            return Self::default();
        }
        Self {
            start,
            stored,
            real: end(self.real) - start,
        }
    }
}

/// Of the rows that the map stands for.
impl From<Stretch> for Equal {
    fn from(Stretch { start, real, .. }: Stretch) -> Self {
        Self {
            start,
            end: start + real,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a stretch of every length and parity through five blocks: rows shown and rows hidden always make the real height, a
    /// stretch that was shortened has a row left, and what follows it keeps its parity.
    #[test]
    fn a_stretch_survives_every_block() {
        for start in 0..563 {
            let mut map = Map::default();
            map.reset(563, 33, 1);
            map.stretch = Stretch {
                start,
                stored: 563 - start,
                real: 563 - start,
            };
            let mut real_height = 563;
            for _ in 0..5 {
                let rows = map.rows_for_block();
                let hidden = rows.stretch.real - rows.stretch.stored;
                assert_eq!(rows.height + hidden, real_height, "start {start}");
                assert_eq!(hidden % 2, 0);
                let after = rows.stretch.after_block();
                real_height /= 2;
                let height = rows.height / 2;
                assert!(hidden == 0 || after.stored > 0, "start {start}: {rows:?}");
                assert_eq!(height + (after.real - after.stored), real_height);
                assert!(after.start + after.stored <= height);
                map.reset(height, 2, 1);
                map.stretch = after;
            }
        }
    }

    #[test]
    fn borders_are_zero_and_rows_repeat() {
        let mut map = Map::default();
        let values: Vec<f32> = (0..60).map(|i| if i < 9 { i as f32 + 1.0 } else { 7.0 }).collect();
        map.fill_single(&values, 20, 3, true);
        assert_eq!(
            map.stretch,
            Stretch {
                start: 3,
                stored: 17,
                real: 17
            }
        );
        let rows = map.rows_for_block();
        assert_eq!((rows.height, rows.stretch.stored), (10, 7));
        for (row, values) in [(0, [0.0, 1.0, 2.0, 3.0, 0.0]), (5, [0.0, 7.0, 7.0, 7.0, 0.0])] {
            assert_eq!(map.data()[rows.left(row)..][..5], values);
        }
        assert_eq!(map.all_rows().height, 20);
        assert_eq!(map.data()[rows.around(0, 1)[0]..][..5], [0.0; 5]);
    }
}

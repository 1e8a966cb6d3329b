//! The patches a convolution of one channel reads.

/// Values of a patch.
pub(in crate::cpu) const PATCH: usize = 9;
/// Values of a patch in whole pairs: those, and a zero.
pub(in crate::cpu) const PAIRED_PATCH: usize = 10;

/// The 3×3 neighbourhoods of `width` pixels of one channel, `[width, LENGTH]`, zeros behind the nine values: `rows` are the offsets of the three rows at
/// the first pixel's left neighbour.
pub(in crate::cpu) fn patches<const LENGTH: usize, T: Copy + Default>(
    map: &[T],
    rows: [usize; 3],
    width: usize,
    out: &mut [T],
) {
    let rows = rows.map(|row| &map[row..][..width + 2]);
    for (x, patch) in out.as_chunks_mut::<LENGTH>().0.iter_mut().take(width).enumerate() {
        for (row, values) in rows.iter().enumerate() {
            patch[3 * row..][..3].copy_from_slice(&values[x..x + 3]);
        }
        patch[PATCH..].fill(T::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_neighbourhoods() {
        let map: Vec<f32> = (0..30).map(|i| i as f32).collect();
        let mut out = [-1.0; 2 * PATCH];
        patches::<PATCH, _>(&map, [0, 10, 20], 2, &mut out);
        assert_eq!(out[PATCH..], [1.0, 2.0, 3.0, 11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
    }

    #[test]
    fn pairs_end_in_a_zero() {
        let map: Vec<i16> = (0..30).collect();
        let mut out = [-1; 2 * PAIRED_PATCH];
        patches::<PAIRED_PATCH, _>(&map, [0, 10, 20], 2, &mut out);
        assert_eq!(out[PAIRED_PATCH..], [1, 2, 3, 11, 12, 13, 21, 22, 23, 0]);
    }
}

//! The patches a convolution of one channel reads.

/// Values of a patch: 9, and a zero that makes them pairs.
pub(in crate::cpu) const PATCH: usize = 10;

/// The 3×3 neighbourhoods of `width` pixels of one channel, `[width, PATCH]`: `rows` are the offsets of the three rows at the first
/// pixel's left neighbour.
pub(in crate::cpu) fn integer_patches(map: &[i16], rows: [usize; 3], width: usize, out: &mut [i16]) {
    let rows = rows.map(|row| &map[row..][..width + 2]);
    for (x, patch) in out.as_chunks_mut::<PATCH>().0.iter_mut().take(width).enumerate() {
        for (row, values) in rows.iter().enumerate() {
            patch[3 * row..][..3].copy_from_slice(&values[x..x + 3]);
        }
        patch[PATCH - 1] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_neighbourhoods_and_a_zero() {
        let map: Vec<i16> = (0..30).collect();
        let mut out = vec![-1; 2 * PATCH];
        integer_patches(&map, [0, 10, 20], 2, &mut out);
        assert_eq!(out[PATCH..], [1, 2, 3, 11, 12, 13, 21, 22, 23, 0]);
    }
}

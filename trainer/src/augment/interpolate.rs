//! Linear interpolation between equally spaced values, in float32 as the published code does it.

/// Stretches `values` to `count` values: output `j` reads at `max(0, s·(j + ½) − ½)` with `s = values.len() / count`,
/// the neighbour beyond the last value being the last. Nothing comes of nothing.
pub(super) fn stretch(values: &[f32], count: usize) -> impl Iterator<Item = f32> + '_ {
    stretch_by(values, values.len() as f32 / count as f32, count)
}

/// As [`stretch`], with a stated step `s`.
pub(crate) fn stretch_by(values: &[f32], step: f32, count: usize) -> impl Iterator<Item = f32> + '_ {
    let count = if values.is_empty() { 0 } else { count };
    let last = values.len().saturating_sub(1);
    (0..count).map(move |j| {
        let position = (step * (j as f32 + 0.5) - 0.5).max(0.0);
        let before = (position as usize).min(last);
        let after = (before + 1).min(last);
        let weight = position - before as f32;
        (1.0 - weight) * values[before] + weight * values[after]
    })
}

//! An attention's parameters as the kernels read them.

use super::{Arithmetic, Axial, Kind, Rounding, TILE};
use crate::{CudaError, Element, Quantization};

/// An attention's parameters, row-major, the projection's aside.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// `R [2gc, 2·span − 1]`: for queries (`gc/2` rows), keys (`gc/2`) and values (`gc`), the same for all groups.
    pub embeddings: &'a [f32],
    /// α, β, γ `[groups]`.
    pub similarity: [&'a [f32]; 3],
    /// `[groups · gc]`.
    pub position: &'a [f32],
}

/// What a launch reads beside the map, as little-endian bytes for device memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Relative embeddings, see [`Axial::pack`].
    pub embeddings: Vec<u8>,
    /// f32 factors, see [`Axial::pack`].
    pub factors: Vec<f32>,
}

/// Factors before those of groups and channels; `HEAD` in `axial.cu`.
const HEAD: usize = 25;
/// Where the factors of the rounded maps, of the sums over values, and the output's zero point are among them.
const MAP_FACTORS: usize = 21;
const VALUE_FACTOR: usize = 23;
const OUTPUT_ZERO_POINT: usize = 24;
/// Channels of queries and keys come in steps of so many, those of values in steps of 8.
const DEPTH: usize = 16;

impl Axial {
    /// Lays out what the kernels read.
    ///
    /// **Factors**: 7 roundings of three values (1/scale, least, largest: of q, k, qe, ke, v, S and the output), the scales of a sum of the
    /// query map and of the key map, that of a sum over values, the output's zero point; then α, β, γ of each group, times the scales of
    /// the sums they multiply, `[groups, 3]`; then `position`, times the scales, `[groups · gc]`. Without rounding the scales are 1.
    ///
    /// **Embeddings**: reversed, so that `E[c, i, ·]` is a stretch. For a short line f32 `[2gc, 2·span − 1]`. Otherwise elements of the
    /// operands' type (f16 for 8-bit numbers minus their zero point) at places `p = P − 1 + j − i`, where `P` is the kernel's 48, 80 or 144 positions,
    /// zeros where no pair of positions is: queries, then keys `[2P, gc/2 in steps of 16]`, values `[gc in steps of 8, 2P]`.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when a tensor has not the length that the shape gives it.
    pub fn pack(&self, parameters: Parameters<'_>) -> Result<Packed, CudaError> {
        let (groups, gc, span) = (self.shape.groups, self.shape.group_channels, self.shape.span());
        let lengths = [
            ("embeddings", parameters.embeddings.len(), 2 * gc * (2 * span - 1)),
            ("α", parameters.similarity[0].len(), groups),
            ("β", parameters.similarity[1].len(), groups),
            ("γ", parameters.similarity[2].len(), groups),
            ("position", parameters.position.len(), groups * gc),
        ];
        if let Some((what, found, expected)) = lengths.into_iter().find(|(_, found, expected)| found != expected) {
            return Err(CudaError::Launch(format!(
                "axial attention with {found} values of {what}; {expected} fit its shape"
            )));
        }
        Ok(Packed {
            embeddings: self.pack_embeddings(parameters.embeddings),
            factors: self.pack_factors(parameters),
        })
    }

    fn pack_factors(&self, parameters: Parameters<'_>) -> Vec<f32> {
        let mut factors = vec![0.0; HEAD];
        factors[MAP_FACTORS..=VALUE_FACTOR].fill(1.0);
        let mut scales = [1.0; 3];
        let mut position_scale = 1.0;
        if let Arithmetic::Integer { rounding, output } = self.arithmetic {
            let Rounding {
                queries,
                keys,
                maps,
                values,
                positions,
            } = rounding;
            let all = [queries[0], keys[0], maps[0], maps[1], values[1], values[0]];
            for (to, by) in factors.chunks_exact_mut(3).zip(all.into_iter().chain(output)) {
                let (low, high) = ends(by);
                to.copy_from_slice(&[by.scale.recip(), low, high]);
            }
            let scale = |by: [Quantization; 2]| by[0].scale * by[1].scale;
            factors[MAP_FACTORS] = scale(queries);
            factors[MAP_FACTORS + 1] = scale(keys);
            factors[VALUE_FACTOR] = scale(values);
            factors[OUTPUT_ZERO_POINT] = output.map_or(0.0, |by| f32::from(by.zero_point));
            scales = [scale(maps), scale(queries), scale(keys)];
            position_scale = scale(positions);
        }
        for group in 0..self.shape.groups {
            factors.extend((0..3).map(|term| scales[term] * parameters.similarity[term][group]));
        }
        factors.extend(parameters.position.iter().map(|factor| position_scale * factor));
        factors
    }

    fn pack_embeddings(&self, embeddings: &[f32]) -> Vec<u8> {
        let (gc, span) = (self.shape.group_channels, self.shape.span());
        let (half, length) = (gc / 2, 2 * span - 1);
        // Of channel `row` for positions j − i = `distance`.
        let value = |row: usize, distance: isize| {
            let offset = span as isize - 1 - distance;
            if !(0..length as isize).contains(&offset) {
                return 0.0;
            }
            let value = embeddings[row * length + offset as usize];
            match self.arithmetic {
                Arithmetic::Float(_) => value,
                Arithmetic::Integer { rounding, .. } => {
                    let part = [rounding.queries, rounding.keys, rounding.positions, rounding.positions];
                    let by = part[row / half][1];
                    let (low, high) = ends(by);
                    (value / by.scale).round_ties_even().clamp(low, high)
                }
            }
        };
        let tiles = match self.kind {
            Kind::Short(_) => {
                let reversed =
                    (0..2 * gc).flat_map(|row| (0..length).map(move |p| (row, p as isize + 1 - span as isize)));
                let values = reversed.map(|(row, distance)| value(row, distance));
                return Element::F32.encode(values);
            }
            Kind::Tiled(tiles) => tiles,
        };
        let places = 2 * TILE * tiles;
        let distance = |place: usize| place as isize + 1 - (TILE * tiles) as isize;
        let mut packed = Vec::new();
        for part in 0..2 {
            for place in 0..places {
                let row = (0..half).map(|channel| value(part * half + channel, distance(place)));
                packed.extend(row);
                packed.resize(packed.len().next_multiple_of(DEPTH), 0.0);
            }
        }
        for channel in 0..gc {
            packed.extend((0..places).map(|place| value(gc + channel, distance(place))));
        }
        packed.resize(packed.len() + (gc.next_multiple_of(8) - gc) * places, 0.0);
        self.operand().encode(packed)
    }

    /// Type of the packed embeddings' elements.
    pub fn operand(&self) -> Element {
        match (self.kind, self.arithmetic) {
            (Kind::Short(_), _) => Element::F32,
            (Kind::Tiled(_), Arithmetic::Float(element)) => element,
            (Kind::Tiled(_), Arithmetic::Integer { .. }) => Element::F16,
        }
    }
}

/// Ends of 8 bits minus the zero point.
fn ends(by: Quantization) -> (f32, f32) {
    let zero_point = f32::from(by.zero_point);
    (-128.0 - zero_point, 127.0 - zero_point)
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Shape};
    use super::*;

    /// The value of every channel and distance is where the kernels look for it, and nothing else but zeros.
    #[test]
    fn embeddings_lie_by_distance() {
        let (span, gc) = (19, 12);
        let shape = Shape {
            axis: Axis::Time,
            height: span,
            width: 1,
            groups: 1,
            group_channels: gc,
        };
        let axial = Axial::new(Arithmetic::Float(Element::F32), shape).expect("a shape");
        let embeddings: Vec<f32> = (1..=2 * gc * (2 * span - 1)).map(|value| value as f32).collect();
        let parameters = Parameters {
            embeddings: &embeddings,
            similarity: [&[2.0], &[3.0], &[4.0]],
            position: &[5.0; 12],
        };
        let packed = axial.pack(parameters).expect("a fitting attention");
        let values: Vec<f32> = packed
            .embeddings
            .as_chunks()
            .0
            .iter()
            .map(|&v| f32::from_le_bytes(v))
            .collect();
        let (places, depth) = (96, 16);
        assert_eq!(values.len(), 2 * places * depth + 16 * places);
        let mut seen = 0;
        for c in 0..2 * gc {
            for (i, j) in (0..span).flat_map(|i| (0..span).map(move |j| (i, j))) {
                let place = 48 - 1 + j - i;
                let at = match c {
                    0..6 => place * depth + c,
                    6..12 => (places + place) * depth + c - 6,
                    _ => 2 * places * depth + (c - 12) * places + place,
                };
                assert_eq!(
                    values[at],
                    embeddings[c * (2 * span - 1) + i + span - 1 - j],
                    "{c} {i} {j}"
                );
            }
            seen += 2 * span - 1;
        }
        assert_eq!(values.iter().filter(|&&value| value != 0.0).count(), seen);
        assert_eq!(packed.factors[MAP_FACTORS..HEAD], [1.0, 1.0, 1.0, 0.0]);
        assert_eq!(packed.factors[HEAD..HEAD + 4], [2.0, 3.0, 4.0, 5.0]);
    }
}

//! Batch normalization folded away, in float64.
//!
//! In evaluation a batch norm is `y·s + t` with `s = γ/√(σ² + ε)` and `t = β − μ·s` (Ioffe & Szegedy 2015), so it merges
//! with the linear map before or after it.

use super::error::ExportError;
use crate::network::NORM_EPSILON;
use crate::weights::StateDict;

/// `y·scale + shift`, one pair per channel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Affine {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

impl Affine {
    /// The batch norm whose five tensors start with `norm`.
    pub(super) fn of(weights: &StateDict, norm: &str) -> Result<Self, ExportError> {
        let tensor = |name: &str| floats(weights, &format!("{norm}.{name}"));
        let (gamma, beta) = (tensor("weight")?, tensor("bias")?);
        let (mean, variance) = (tensor("running_mean")?, tensor("running_var")?);
        Ok(Self::from_statistics(gamma, beta, mean, variance))
    }

    fn from_statistics(gamma: &[f32], beta: &[f32], mean: &[f32], variance: &[f32]) -> Self {
        let wide = |value: &f32| f64::from(*value);
        let scale: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(gamma, variance)| wide(gamma) / (wide(variance) + NORM_EPSILON).sqrt())
            .collect();
        let shift = beta
            .iter()
            .zip(mean)
            .zip(&scale)
            .map(|((beta, mean), scale)| wide(beta) - wide(mean) * scale)
            .collect();
        Self { scale, shift }
    }
}

/// A real tensor of the state dict.
pub(super) fn floats<'a>(weights: &'a StateDict, name: &str) -> Result<&'a [f32], ExportError> {
    weights
        .get(name)
        .and_then(|tensor| tensor.as_f32())
        .ok_or_else(|| ExportError::lowering(name, "there is no such float32 tensor among the weights"))
}

/// A linear map without bias followed by `norm`: its rows scaled, and the bias it gets.
///
/// `weight` has one row per channel of `norm`.
pub(super) fn into_linear(weight: &[f32], norm: &Affine) -> (Vec<f32>, Vec<f32>) {
    let folded = rows(weight, norm.scale.len())
        .zip(&norm.scale)
        .flat_map(|(row, scale)| row.iter().map(move |&value| (f64::from(value) * scale) as f32))
        .collect();
    (folded, norm.shift.iter().map(|&shift| shift as f32).collect())
}

/// Conditional batch normalization: the matrix `W'` with `[scale', bias'] = W'·latent` such that
/// `scale'·y + bias'` equals `scale·(y·s + t) + bias` for `[scale, bias] = W·latent`.
///
/// `weight` is `W [2C, latent]`, the scale's rows first, and so is the result.
pub(super) fn into_condition(weight: &[f32], norm: &Affine) -> Vec<f32> {
    let (scale_rows, bias_rows) = weight.split_at(weight.len() / 2);
    let channels = norm.scale.len();
    let scales = rows(scale_rows, channels)
        .zip(&norm.scale)
        .flat_map(|(row, s)| row.iter().map(move |&value| (f64::from(value) * s) as f32));
    let biases = rows(scale_rows, channels)
        .zip(rows(bias_rows, channels))
        .zip(&norm.shift)
        .flat_map(|((scale, bias), t)| {
            scale
                .iter()
                .zip(bias)
                .map(move |(&scale, &bias)| (f64::from(scale) * t + f64::from(bias)) as f32)
        });
    scales.chain(biases).collect()
}

/// The three norms of an axial attention, folded into what surrounds them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axial {
    /// `[2C, C]`, rows as in the state dict: per group q, k, v.
    pub(super) weight: Vec<f32>,
    /// `[2C]`.
    pub(super) bias: Vec<f32>,
    /// Factors of the maps qk, qe, ke, one per group. Their shifts are the same along the softmax's axis and vanish.
    pub(super) similarity: [Vec<f32>; 3],
    /// `[C]`, factors of what the relative positions contribute.
    pub(super) position: Vec<f32>,
}

/// Folds the norms of an axial attention with `groups` groups of `group_channels` channels.
///
/// The output norm sees y and z in turn. Because the attention weights sum to 1, y's factor and both shifts can move
/// through the attention into the rows that make v; z's factor stays behind.
pub(super) fn into_axial(
    weight: &[f32],
    projection: &Affine,
    similarity: &Affine,
    output: &Affine,
    groups: usize,
    group_channels: usize,
) -> Axial {
    let rows_per_group = 2 * group_channels;
    let mut combined = projection.clone();
    for channel in 0..groups * group_channels {
        let (group, within) = (channel / group_channels, channel % group_channels);
        let row = group * rows_per_group + group_channels + within;
        let (y, z) = (2 * channel, 2 * channel + 1);
        combined.scale[row] *= output.scale[y];
        combined.shift[row] = combined.shift[row] * output.scale[y] + output.shift[y] + output.shift[z];
    }
    let (weight, bias) = into_linear(weight, &combined);
    let narrow = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
    let part = |index: usize| narrow(&similarity.scale[index * groups..(index + 1) * groups]);
    Axial {
        weight,
        bias,
        similarity: [part(0), part(1), part(2)],
        position: output
            .scale
            .iter()
            .skip(1)
            .step_by(2)
            .map(|&scale| scale as f32)
            .collect(),
    }
}

fn rows(values: &[f32], count: usize) -> std::slice::ChunksExact<'_, f32> {
    values.chunks_exact((values.len() / count.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_fixtures::stream;

    /// Folding happens in float64 and is rounded once to float32.
    const TOLERANCE: f64 = 1e-5;

    fn wide(key: &str, count: usize) -> Vec<f64> {
        stream(key, count)
    }

    fn narrow(key: &str, count: usize) -> Vec<f32> {
        wide(key, count).iter().map(|&value| value as f32).collect()
    }

    fn norm(key: &str, channels: usize) -> Affine {
        let positive: Vec<f32> = narrow(&format!("{key}/variance"), channels)
            .iter()
            .map(|v| 1.5 + v)
            .collect();
        let part = |name: &str| narrow(&format!("{key}/{name}"), channels);
        Affine::from_statistics(&part("gamma"), &part("beta"), &part("mean"), &positive)
    }

    fn close(a: &[f64], b: &[f64]) {
        assert_eq!(a.len(), b.len());
        for (index, (a, b)) in a.iter().zip(b).enumerate() {
            assert!(
                (a - b).abs() <= TOLERANCE * (1.0 + b.abs()),
                "element {index}: {a} and {b}"
            );
        }
    }

    fn product(matrix: &[f32], vector: &[f64]) -> Vec<f64> {
        matrix
            .chunks_exact(vector.len())
            .map(|row| row.iter().zip(vector).map(|(&m, v)| f64::from(m) * v).sum())
            .collect()
    }

    fn apply(norm: &Affine, values: &[f64]) -> Vec<f64> {
        values
            .iter()
            .zip(&norm.scale)
            .zip(&norm.shift)
            .map(|((value, s), t)| value * s + t)
            .collect()
    }

    #[test]
    fn a_norm_is_what_its_definition_says() {
        let affine = Affine::from_statistics(&[2.0], &[0.5], &[3.0], &[4.0]);
        close(
            &apply(&affine, &[7.0]),
            &[(7.0 - 3.0) / (4.0_f64 + 1e-5).sqrt() * 2.0 + 0.5],
        );
    }

    #[test]
    fn a_linear_map_takes_its_norm_in() {
        let (channels, inputs) = (6, 9);
        let (weight, x, norm) = (
            narrow("weight", channels * inputs),
            wide("x", inputs),
            norm("norm", channels),
        );
        let (folded, bias) = into_linear(&weight, &norm);
        let result: Vec<f64> = product(&folded, &x)
            .iter()
            .zip(&bias)
            .map(|(y, &b)| y + f64::from(b))
            .collect();
        close(&result, &apply(&norm, &product(&weight, &x)));
    }

    #[test]
    fn a_condition_takes_its_norm_in() {
        let (channels, latent_width) = (5, 7);
        let (weight, latent) = (
            narrow("condition", 2 * channels * latent_width),
            wide("latent", latent_width),
        );
        let (y, norm) = (wide("y", channels), norm("conditioned", channels));
        let modulate = |condition: &[f64], y: &[f64]| -> Vec<f64> {
            (0..channels)
                .map(|c| condition[c] * y[c] + condition[channels + c])
                .collect()
        };
        close(
            &modulate(&product(&into_condition(&weight, &norm), &latent), &y),
            &modulate(&product(&weight, &latent), &apply(&norm, &y)),
        );
    }

    /// Axial attention on one line, its norms not folded: `x [C][L]`, `embedding [2gc][2L − 1]`; `[C][L]`.
    struct Line {
        groups: usize,
        group_channels: usize,
        span: usize,
        x: Vec<f64>,
        embedding: Vec<f64>,
    }

    impl Line {
        /// Steps 1 to 7 with `project` for the first, `weigh` for the similarity's norm and `combine` for the output's.
        fn attend(
            &self,
            project: impl Fn(&[f64]) -> Vec<f64>,
            weigh: impl Fn(usize, f64) -> f64,
            combine: impl Fn(usize, f64, f64) -> f64,
        ) -> Vec<f64> {
            let (gc, span, channels) = (self.group_channels, self.span, self.groups * self.group_channels);
            let columns: Vec<Vec<f64>> = (0..span)
                .map(|i| project(&(0..channels).map(|c| self.x[c * span + i]).collect::<Vec<f64>>()))
                .collect();
            let embedded = |c: usize, i: usize, j: usize| self.embedding[c * (2 * span - 1) + i + span - 1 - j];
            let mut output = vec![0.0; channels * span];
            for group in 0..self.groups {
                let at = |row: usize, i: usize| columns[i][group * 2 * gc + row];
                let map = |first: usize, i: usize, j: usize| -> f64 {
                    (first..first + gc / 2).map(|c| at(c, i) * embedded(c, i, j)).sum()
                };
                for i in 0..span {
                    let scores: Vec<f64> = (0..span)
                        .map(|j| {
                            let product: f64 = (0..span).map(|r| map(0, r, i) * map(gc / 2, r, j)).sum();
                            weigh(group, product)
                                + weigh(self.groups + group, map(0, i, j))
                                + weigh(2 * self.groups + group, map(gc / 2, i, j))
                        })
                        .collect();
                    let total: f64 = scores.iter().map(|score| score.exp()).sum();
                    for c in 0..gc {
                        let sum = |term: &dyn Fn(usize) -> f64| -> f64 {
                            (0..span).map(|j| scores[j].exp() / total * term(j)).sum()
                        };
                        let channel = group * gc + c;
                        output[channel * span + i] =
                            combine(channel, sum(&|j| at(gc + c, j)), sum(&|j| embedded(gc + c, i, j)));
                    }
                }
            }
            output
        }
    }

    #[test]
    fn axial_attention_takes_its_three_norms_in() {
        let (groups, group_channels, span) = (3, 4, 5);
        let channels = groups * group_channels;
        let weight = narrow("projection", 2 * channels * channels);
        let (projection, similarity, output) = (
            norm("projection", 2 * channels),
            norm("similarity", 3 * groups),
            norm("output", 2 * channels),
        );
        let line = Line {
            groups,
            group_channels,
            span,
            x: wide("line", channels * span),
            embedding: wide("embedding", 2 * group_channels * (2 * span - 1)),
        };
        let separate = line.attend(
            |x| apply(&projection, &product(&weight, x)),
            |map, value| value * similarity.scale[map] + similarity.shift[map],
            |c, y, z| {
                y * output.scale[2 * c] + output.shift[2 * c] + z * output.scale[2 * c + 1] + output.shift[2 * c + 1]
            },
        );
        let folded = into_axial(&weight, &projection, &similarity, &output, groups, group_channels);
        let merged = line.attend(
            |x| {
                product(&folded.weight, x)
                    .iter()
                    .zip(&folded.bias)
                    .map(|(y, &b)| y + f64::from(b))
                    .collect()
            },
            |map, value| value * f64::from(folded.similarity[map / groups][map % groups]),
            |c, y, z| y + z * f64::from(folded.position[c]),
        );
        close(&merged, &separate);
    }
}

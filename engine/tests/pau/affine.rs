//! The fused normalization and PAU against the same steps in `f64`, one element at a time.

use crate::bound::{COEFFICIENT, DERIVATIVE, VALUE, expected, wide, within};
use dualnet_engine::pau::Pau;
use dualnet_engine::pau::affine::{
    Affine, AffineGradients, ChannelsLast, ElementDropout, Gain, InputGradient, PooledMaps, affine_backward,
    affine_backward_pooled, affine_forward, affine_forward_pooled, affine_input_gradient, channel_moments,
};
use dualnet_engine::simd::Isa;
use dualnet_fixtures::stream;
use rayon::ThreadPoolBuilder;

const A: [f32; 6] = [0.03, 0.5, -1.6, 2.0, 0.9, 0.15];
const B: [f32; 4] = [0.1, -3.9, 0.2, 0.3];

/// Channels of every residue modulo the vectors, single pixels, and more than one block per record.
const SHAPES: [[usize; 3]; 12] = [
    [2, 3, 1],
    [3, 50, 2],
    [2, 7, 3],
    [2, 33, 4],
    [1, 19, 7],
    [2, 5000, 16],
    [2, 40, 24],
    [3, 1, 256],
    [2, 100, 100],
    [1, 70, 509],
    [2, 90, 512],
    [5, 17, 33],
];

struct Data {
    shape: ChannelsLast,
    x: Vec<f32>,
    grad_y: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    shortcut: Option<Vec<f32>>,
    gain: Option<Vec<f32>>,
    /// Dropout of elements, and their factors.
    dropout: Option<(ElementDropout, Vec<f32>)>,
}

impl Data {
    /// With a shortcut and a gain, some of which are 0 as a dropout's are.
    fn residual(extents: [usize; 3]) -> Self {
        let plain = Self::new(extents);
        let shortcut = stream("affine/shortcut", plain.shape.elements());
        let gain = stream("affine/gain", plain.shape.lines());
        Self {
            shortcut: Some(shortcut.into_iter().map(|v| v as f32).collect()),
            gain: Some(
                gain.into_iter()
                    .map(|v| if v < -0.5 { 0.0 } else { 1.0 + v as f32 / 4.0 })
                    .collect(),
            ),
            ..plain
        }
    }

    /// With a shortcut, and without some elements.
    fn with_dropout(extents: [usize; 3]) -> Self {
        let residual = Self::residual(extents);
        let dropout = ElementDropout::new(0x0123_4567_89ab_cdef, 0.2);
        let mut factors = vec![f32::NAN; residual.x.len()];
        dropout.factors(Isa::detect().expect("an instruction set"), &mut factors);
        Self {
            gain: None,
            dropout: Some((dropout, factors)),
            ..residual
        }
    }

    fn operands(&self) -> Affine<'_> {
        Affine {
            x: &self.x,
            scale: &self.scale,
            shift: &self.shift,
            shortcut: self.shortcut.as_deref(),
            gain: match &self.dropout {
                Some((dropout, _)) => Some(Gain::Elements(*dropout)),
                None => self.gain.as_deref().map(Gain::Channels),
            },
        }
    }

    fn gain(&self, i: usize) -> f32 {
        match (&self.gain, &self.dropout) {
            (Some(gain), _) => gain[self.line(i)],
            (None, Some((_, factors))) => factors[i],
            (None, None) => 1.0,
        }
    }

    fn new([samples, pixels, channels]: [usize; 3]) -> Self {
        let shape = ChannelsLast {
            samples,
            pixels,
            channels,
        };
        let values = |key: &str, n: usize| {
            stream(key, n)
                .into_iter()
                .map(|v| (2.0 * v) as f32)
                .collect::<Vec<f32>>()
        };
        Self {
            shape,
            x: values("affine/x", shape.elements()),
            grad_y: values("affine/g", shape.elements()),
            scale: values("affine/scale", shape.lines()),
            shift: values("affine/shift", shape.lines()),
            shortcut: None,
            gain: None,
            dropout: None,
        }
    }

    /// Position of an element among the values per record and channel.
    fn line(&self, i: usize) -> usize {
        i / self.shape.sample() * self.shape.channels + i % self.shape.channels
    }

    /// `scale · x + shift + shortcut`, rounded to `f32` once; the kernels may round at every step.
    fn u(&self) -> Vec<f32> {
        let shortcut = |i: usize| self.shortcut.as_ref().map_or(0.0, |shortcut| f64::from(shortcut[i]));
        let affine =
            |i: usize| f64::from(self.scale[self.line(i)]) * f64::from(self.x[i]) + f64::from(self.shift[self.line(i)]);
        let at = |i: usize| affine(i) + shortcut(i);
        (0..self.x.len()).map(|i| at(i) as f32).collect()
    }

    fn backward(&self, pau: &Pau) -> (Vec<f32>, AffineGradients) {
        let mut grad_u = vec![f32::NAN; self.x.len()];
        let gradients = affine_backward(pau, self.shape, self.operands(), &self.grad_y, &mut grad_u);
        (grad_u, gradients)
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn unit(isa: Isa) -> Pau {
    Pau::with_isa(&A, &B, isa).expect("finite coefficients")
}

/// The PAU's tolerances, and as much again for `u`: its rounding to `f32`, at most 3·2⁻²⁴ of |scale · x| + |shift| + |shortcut| ≤ 7, moves values
/// by a slope below 4 and slopes by a curvature below 20, which the absolute parts cover.
#[test]
fn forward_and_backward() {
    for isa in Isa::available() {
        for data in SHAPES
            .into_iter()
            .flat_map(|extents| [Data::new, Data::residual, Data::with_dropout].map(|data| data(extents)))
        {
            let of = |what: &str| format!("{what} of {:?} on {isa:?}", data.shape);
            let gained: Vec<f32> = data
                .grad_y
                .iter()
                .enumerate()
                .map(|(i, grad_y)| grad_y * data.gain(i))
                .collect();
            let (want, scale) = expected(&A, &B, &data.u(), &gained);
            let mut y = vec![f32::NAN; data.x.len()];
            affine_forward(&unit(isa), data.shape, data.operands(), &mut y);
            let loosened: Vec<f64> = scale.y.iter().map(|scale| scale + 3.0).collect();
            let values: Vec<f64> = want
                .y
                .iter()
                .enumerate()
                .map(|(i, y)| y * f64::from(data.gain(i)))
                .collect();
            within(&of("y"), VALUE, &wide(&y), &values, &loosened);

            let (grad_u, got) = data.backward(&unit(isa));
            let loosened: Vec<f64> = scale.grad_x.iter().map(|scale| scale + 15.0).collect();
            within(&of("grad_u"), DERIVATIVE, &wide(&grad_u), &want.grad_x, &loosened);
            within(
                &of("a"),
                2.0 * COEFFICIENT,
                &wide(&got.coefficients.numerator),
                &want.numerator,
                &scale.numerator,
            );
            within(
                &of("b"),
                2.0 * COEFFICIENT,
                &wide(&got.coefficients.denominator),
                &want.denominator,
                &scale.denominator,
            );

            let mut sums = [0; 4].map(|_| vec![0.0; data.shape.lines()]);
            for (i, &gradient) in grad_u.iter().enumerate() {
                let (gradient, x) = (f64::from(gradient), f64::from(data.x[i]));
                for (sums, term) in sums
                    .iter_mut()
                    .zip([gradient, gradient.abs(), gradient * x, (gradient * x).abs()])
                {
                    sums[data.line(i)] += term;
                }
            }
            within(&of("sum_u"), COEFFICIENT, &got.sum_u, &sums[0], &sums[1]);
            within(&of("sum_ux"), COEFFICIENT, &got.sum_ux, &sums[2], &sums[3]);
        }
    }
}

/// A mean a thousand standard deviations off zero: what a difference of plain sums would lose.
#[test]
fn moments() {
    for isa in Isa::available() {
        for extents in SHAPES {
            let mut data = Data::new(extents);
            let channels = data.shape.channels;
            for (i, x) in data.x.iter_mut().enumerate() {
                *x += [0.0, 1000.0, -30.0][i % channels % 3];
            }
            let got = channel_moments(isa, data.shape, &data.x);
            let count = (data.x.len() / channels) as f64;
            let mut mean = vec![0.0; channels];
            let mut variance = vec![0.0; channels];
            for (i, &x) in data.x.iter().enumerate() {
                mean[i % channels] += f64::from(x) / count;
            }
            for (i, &x) in data.x.iter().enumerate() {
                variance[i % channels] += (f64::from(x) - mean[i % channels]).powi(2) / count;
            }
            let deviations: Vec<f64> = variance
                .iter()
                .zip(&mean)
                .map(|(v, m)| v.sqrt() + 1e-9 * m.abs())
                .collect();
            within(
                &format!("mean of {extents:?} on {isa:?}"),
                1e-6,
                &got.mean,
                &mean,
                &deviations,
            );
            let floor: Vec<f64> = variance.iter().map(|v| v + 1e-12).collect();
            within(
                &format!("variance of {extents:?} on {isa:?}"),
                1e-6,
                &got.variance,
                &variance,
                &floor,
            );
        }
    }
}

/// Three roundings to `f32`.
#[test]
fn input_gradient() {
    for isa in Isa::available() {
        for extents in SHAPES {
            let data = Data::new(extents);
            let channels = data.shape.channels;
            let (beta, delta) = (&data.shift[..channels], &data.scale[..channels]);
            let mut out = vec![f32::NAN; data.x.len()];
            let coefficients = InputGradient {
                alpha: &data.scale,
                beta,
                delta,
            };
            affine_input_gradient(isa, data.shape, &data.x, &data.grad_y, coefficients, &mut out);
            let terms = |i: usize| {
                let [alpha, beta, delta] =
                    [data.scale[data.line(i)], beta[i % channels], delta[i % channels]].map(f64::from);
                [alpha * f64::from(data.grad_y[i]), beta * f64::from(data.x[i]), delta]
            };
            let sums: Vec<f64> = (0..out.len()).map(|i| terms(i).iter().sum()).collect();
            let magnitudes: Vec<f64> = (0..out.len())
                .map(|i| terms(i).iter().map(|term| term.abs()).sum())
                .collect();
            within(
                &format!("{extents:?} on {isa:?}"),
                2e-7,
                &wide(&out),
                &sums,
                &magnitudes,
            );
        }
    }
}

/// One `u` beyond the limit in a block that is computed again in `f64` for its sake.
#[test]
fn large_inputs() {
    for isa in Isa::available() {
        let mut data = Data::new([2, 900, 24]);
        for i in [5, 777, 30_000] {
            data.x[i] = 1e9;
        }
        let (want, scale) = expected(&A, &B, &data.u(), &data.grad_y);
        let (grad_u, got) = data.backward(&unit(isa));
        let loosened: Vec<f64> = scale.grad_x.iter().map(|scale| scale + 15.0).collect();
        within("grad_u", DERIVATIVE, &wide(&grad_u), &want.grad_x, &loosened);
        within(
            "a",
            COEFFICIENT,
            &wide(&got.coefficients.numerator),
            &want.numerator,
            &scale.numerator,
        );
        within(
            "b",
            COEFFICIENT,
            &wide(&got.coefficients.denominator),
            &want.denominator,
            &scale.denominator,
        );
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for isa in Isa::available() {
        let (pau, data) = (unit(isa), Data::new([3, 9000, 24]));
        let results: Vec<_> = [1, 2, 3, 7]
            .into_iter()
            .map(|threads| {
                let pool = ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .expect("a thread pool");
                pool.install(|| (data.backward(&pau), channel_moments(isa, data.shape, &data.x)))
            })
            .collect();
        assert!(results.iter().all(|result| result == &results[0]), "{isa:?}");
    }
}

#[test]
fn nothing_in_nothing_out() {
    for data in [[0, 3, 4], [2, 0, 4], [2, 3, 0]].map(Data::residual) {
        let isa = Isa::available()[0];
        let (_, gradients) = data.backward(&unit(isa));
        assert_eq!(gradients.sum_u, vec![0.0; data.shape.lines()]);
        assert_eq!(gradients.coefficients.numerator, [0.0; 6]);
        assert_eq!(
            channel_moments(isa, data.shape, &data.x).variance,
            vec![0.0; data.shape.channels]
        );
        affine_forward(&unit(isa), data.shape, data.operands(), &mut []);
    }
}

/// Pooled, the unit gives the bits of the unit and a pool after it, and so do its gradients; odd last rows and columns count for nothing.
#[test]
fn pooling_changes_no_bits() {
    for isa in Isa::available() {
        let pau = unit(isa);
        for [samples, height, width, channels] in [
            [2, 563, 33, 16],
            [3, 7, 2, 24],
            [2, 2, 3, 5],
            [1, 5, 4, 509],
            [2, 1, 1, 3],
        ] {
            let maps = PooledMaps {
                samples,
                height,
                width,
                channels,
            };
            for data in [Data::residual, Data::with_dropout] {
                let mut data = data([samples, height * width, channels]);
                let mut y = vec![f32::NAN; data.x.len()];
                affine_forward(&pau, data.shape, data.operands(), &mut y);
                let grad_means: Vec<f32> = stream("affine/means", maps.means().elements())
                    .into_iter()
                    .map(|v| v as f32)
                    .collect();
                let at = |sample: usize, row: usize, column: usize, channel: usize| {
                    ((sample * height + row) * width + column) * channels + channel
                };
                let mut expected = Vec::new();
                data.grad_y.fill(0.0);
                for sample in 0..samples {
                    for (row, column) in (0..height / 2).flat_map(|row| (0..width / 2).map(move |column| (row, column)))
                    {
                        for channel in 0..channels {
                            let quad = [(0, 0), (0, 1), (1, 0), (1, 1)]
                                .map(|(dy, dx)| at(sample, 2 * row + dy, 2 * column + dx, channel));
                            for index in quad {
                                data.grad_y[index] = grad_means[expected.len()] / 4.0;
                            }
                            let [a, b, c, d] = quad.map(|index| y[index]);
                            expected.push((a + b + c + d) / 4.0);
                        }
                    }
                }
                let mut means = vec![f32::NAN; expected.len()];
                affine_forward_pooled(&pau, maps, data.operands(), &mut means);
                assert_eq!(bits(&means), bits(&expected), "{isa:?} {maps:?}");

                let (expected, sums) = data.backward(&pau);
                let mut grad_u = vec![f32::NAN; data.x.len()];
                let pooled = affine_backward_pooled(&pau, maps, data.operands(), &grad_means, &mut grad_u);
                assert_eq!(bits(&grad_u), bits(&expected), "{isa:?} {maps:?}");
                assert_eq!(pooled, sums);
            }
        }
    }
}

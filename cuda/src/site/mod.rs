//! What lies between two convolutions in training, as one operation and its gradient (`site.cu`): batch normalization that a latent may
//! condition, a shortcut, the Padé activation, dropout of channels or elements, and means over 2×2 pixels.
//!
//! With `x [N, H, W, C]`, statistics `μ, σ` of each channel and a modulation `[N, 2C]` of factors `s` and summands `t`:
//! `u = s·(γ·(x − μ)/σ + β) + t + shortcut`, `y = gain · F(u)`, or the means of `y` over 2×2 pixels, an odd last row or column left out.
//! All elements are f32, maps are channels-last and contiguous, at multiples of 16 bytes. Sums over pixels are taken per block in f32, from
//! values less their channel's running mean or mean, and over blocks in f64, in an order that depends on the extents alone.

use crate::pau::Coefficients;
use crate::{Argument, CudaError, Launch};

/// Threads of a block; `THREADS` in `site.cu`.
const THREADS: usize = 256;
/// Pixels that each thread takes; `STEPS` in `site.cu`.
const STEPS: usize = 16;
/// Coefficients above and below of the units that the kernels take: `M + 1` and `N` in `site.cu`.
const UNIT: (usize, usize) = (6, 4);

/// A feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Maps of the batch.
    pub records: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
}

/// The kernels for one place in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    extents: Extents,
    pool: bool,
    numerators: usize,
    denominators: usize,
    /// Blocks that share a record's pixels, and those that share a pixel's channels.
    chunks: usize,
    slices: usize,
}

/// What both directions read. `M` is an address.
#[derive(Clone, Copy, Debug)]
pub struct Operands<M> {
    /// `[N, H, W, C]`.
    pub x: M,
    /// `[C]`.
    pub gamma: M,
    /// `[C]`.
    pub beta: M,
    /// `[N, 2C]`; factors of 1 and summands of 0 when absent.
    pub modulation: Option<M>,
    /// `[N, H, W, C]`.
    pub shortcut: Option<M>,
    /// 1 when absent.
    pub gain: Option<Gain<M>>,
    /// The unit's coefficients.
    pub unit: Coefficients<M>,
}

/// What the result is multiplied by. `M` is an address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gain<M> {
    /// `[N, C]`, such as dropout of channels.
    Channels(M),
    /// Dropout of single elements: 0 for what is left out, `1/(1 − share)` for the others.
    Elements {
        /// Two u32 numbers, the low word first, read when the kernels run; with an element's index in `[N, H, W, C]` they alone decide
        /// about it.
        key: M,
        /// Probability of each element to be left out, limited to `0 … 1 − 2⁻³²`.
        share: f64,
    },
}

impl<M: Copy> Gain<M> {
    /// How the kernels take a gain, or none: factors and key, with another address for what is not read; which of them it is,
    /// `BY_CHANNELS` and `BY_ELEMENTS` in `site.cu`, and the draws below which an element is left out; the factor of the others.
    fn arguments(gain: Option<Self>, instead: M) -> ([M; 2], [i32; 2], f32) {
        match gain {
            None => ([instead; 2], [0, 0], 1.0),
            Some(Self::Channels(factors)) => ([factors, instead], [1, 0], 1.0),
            Some(Self::Elements { key, share }) => {
                // As `ElementDropout::new` of `dualnet-engine`.
                let threshold = (share.clamp(0.0, 1.0) * 2_f64.powi(32)) as u32;
                let factor = (1.0 / (1.0 - f64::from(threshold) * 2_f64.powi(-32))) as f32;
                ([instead, key], [2, threshold as i32], factor)
            }
        }
    }
}

/// What forward leaves for backward, which both need.
#[derive(Clone, Copy, Debug)]
pub struct Kept<M> {
    /// Mean and reciprocal deviation of each channel, f64, [`Site::statistics`] numbers.
    pub statistics: M,
    /// Normalization and modulation as one factor and one summand of each record's channel, f32, [`Site::lines`] numbers.
    pub lines: M,
}

/// What forward changes.
#[derive(Clone, Copy, Debug)]
pub struct Forward<M> {
    /// `[C]`; with statistics of the batch it moves by a tenth towards the batch's mean, otherwise it is what `μ` is.
    pub running_mean: M,
    /// `[C]`, likewise, of the unbiased variance.
    pub running_variance: M,
    /// Workspace of [`Site::partials`] f32 numbers.
    pub partials: M,
    /// `[N, H, W, C]`, or `[N, H/2, W/2, C]`.
    pub y: M,
}

/// What backward reads and writes beside the operands.
#[derive(Clone, Copy, Debug)]
pub struct Backward<M> {
    /// As y.
    pub grad_y: M,
    /// Gradient of u, which is that of the shortcut too: `[N, H, W, C]`.
    pub grad_u: M,
    /// `[N, H, W, C]`.
    pub grad_x: M,
    /// `[C]`.
    pub grad_gamma: M,
    /// `[C]`.
    pub grad_beta: M,
    /// `[N, 2C]`; given exactly when there is a modulation.
    pub grad_modulation: Option<M>,
    /// Of the unit's coefficients.
    pub grad_unit: Coefficients<M>,
    /// Workspace of [`Site::partials`] f32 numbers.
    pub sums: M,
    /// Workspace of [`Site::unit_partials`] f32 numbers.
    pub unit_partials: M,
    /// Workspace of `2·C` f32 numbers.
    pub towards: M,
}

impl Site {
    /// Whether there are kernels for maps of so many channels and units of so many coefficients: channels a multiple of 4 whose quarter
    /// divides 256 or is a multiple of it, units of at most 6 and 4 coefficients.
    pub fn covers(channels: usize, numerators: usize, denominators: usize) -> bool {
        let quads = channels / 4;
        channels > 0
            && channels.is_multiple_of(4)
            && (THREADS.is_multiple_of(quads) || quads.is_multiple_of(THREADS))
            && (1..=UNIT.0).contains(&numerators)
            && (1..=UNIT.1).contains(&denominators)
    }

    /// Kernels for such maps and a unit of `numerators` and `denominators` coefficients; with `pool`, of means over 2×2 pixels.
    ///
    /// # Errors
    /// [`CudaError::Launch`] for what [`covers`](Self::covers) refuses, for maps that are empty or too large, and for pooling of less than 2×2 pixels.
    pub fn new(extents: Extents, pool: bool, numerators: usize, denominators: usize) -> Result<Self, CudaError> {
        let Extents {
            records,
            height,
            width,
            channels,
        } = extents;
        let elements = [records, height, width, channels]
            .into_iter()
            .try_fold(1_usize, |product, extent| product.checked_mul(extent))
            .filter(|&elements| elements > 0 && i32::try_from(elements).is_ok());
        let least = if pool { 2 } else { 1 };
        // A grid has at most 65535 rows.
        let fits = elements.is_some() && records <= 65535 && height >= least && width >= least;
        if !fits || !Self::covers(channels, numerators, denominators) {
            return Err(CudaError::Launch(format!(
                "{records} maps of {height}×{width} pixels of {channels} channels with a PAU of {numerators} and {denominators} coefficients \
                 have no CUDA kernel; less than 2³¹ numbers, channels of which a quarter divides 256 or is a multiple of it, and up to 6 and 4 coefficients are supported"
            )));
        }
        let quads = channels / 4;
        let of_block = quads.min(THREADS);
        let chunk = THREADS / of_block * STEPS;
        Ok(Self {
            extents,
            pool,
            numerators,
            denominators,
            chunks: (height * width).div_ceil(chunk),
            slices: quads / of_block,
        })
    }

    /// Numbers of y.
    pub fn result(&self) -> usize {
        let Extents {
            records,
            height,
            width,
            channels,
        } = self.extents;
        match self.pool {
            true => records * (height / 2) * (width / 2) * channels,
            false => records * height * width * channels,
        }
    }

    /// Numbers of [`Kept::statistics`].
    pub fn statistics(&self) -> usize {
        2 * self.extents.channels
    }

    /// Numbers of [`Kept::lines`].
    pub fn lines(&self) -> usize {
        2 * self.extents.records * self.extents.channels
    }

    /// Numbers of [`Forward::partials`] and [`Backward::sums`]: `[N · chunks, 2, C]`.
    pub fn partials(&self) -> usize {
        2 * self.extents.records * self.chunks * self.extents.channels
    }

    /// Numbers of [`Backward::unit_partials`]: `[coefficients, blocks]`.
    pub fn unit_partials(&self) -> usize {
        (UNIT.0 + UNIT.1) * self.extents.records * self.chunks * self.slices
    }

    /// `y`, and what backward needs, in two launches or, with statistics of the batch, three.
    pub fn forward<M: Copy>(
        &self,
        operands: Operands<M>,
        kept: Kept<M>,
        to: Forward<M>,
        batch_statistics: bool,
    ) -> Vec<Launch<M>> {
        let mut launches = Vec::new();
        if batch_statistics {
            let arguments = [operands.x, to.running_mean, to.partials].map(Argument::Memory);
            launches.push(self.over_pixels("site_moments", self.chunks, &arguments, &self.numbers()));
        }
        let (modulation, is_modulated) = self.optional(operands.modulation, operands.x);
        let arguments = [
            to.partials,
            operands.gamma,
            operands.beta,
            modulation,
            to.running_mean,
            to.running_variance,
            kept.statistics,
            kept.lines,
        ];
        let mut numbers = self.numbers().to_vec();
        numbers.extend([is_modulated, i32::from(batch_statistics)]);
        launches.push(self.over_channels("site_lines", &arguments.map(Argument::Memory), &numbers));

        let (shortcut, has_shortcut) = self.optional(operands.shortcut, operands.x);
        let ([gain, key], of_gain, factor) = Gain::arguments(operands.gain, operands.x);
        let arguments = [
            operands.x,
            kept.lines,
            shortcut,
            gain,
            key,
            to.y,
            operands.unit.numerator,
            operands.unit.denominator,
        ];
        let mut numbers = self.numbers().to_vec();
        numbers.push(has_shortcut);
        numbers.extend(of_gain);
        numbers.extend(self.unit_numbers());
        let (kernel, pixels) = match self.pool {
            true => (
                "site_forward_pooled",
                self.extents.height / 2 * (self.extents.width / 2),
            ),
            false => ("site_forward", self.extents.height * self.extents.width),
        };
        let arguments = arguments.map(Argument::Memory);
        let mut launch = self.over_pixels(kernel, self.chunks_of(pixels), &arguments, &numbers);
        launch.arguments.push(Argument::F32(factor));
        launches.push(launch);
        launches
    }

    /// All gradients, in four launches. `batch_statistics` as in forward.
    pub fn backward<M: Copy>(
        &self,
        operands: Operands<M>,
        kept: Kept<M>,
        to: Backward<M>,
        batch_statistics: bool,
    ) -> Vec<Launch<M>> {
        let (shortcut, has_shortcut) = self.optional(operands.shortcut, operands.x);
        let ([gain, key], of_gain, factor) = Gain::arguments(operands.gain, operands.x);
        let arguments = [
            operands.x,
            kept.lines,
            kept.statistics,
            shortcut,
            gain,
            key,
            to.grad_y,
            to.grad_u,
            to.sums,
            to.unit_partials,
            operands.unit.numerator,
            operands.unit.denominator,
        ];
        let mut numbers = self.numbers().to_vec();
        numbers.push(has_shortcut);
        numbers.extend(of_gain);
        numbers.extend(self.unit_numbers());
        numbers.push(i32::from(self.pool));
        let mut launch = self.over_pixels("site_backward", self.chunks, &arguments.map(Argument::Memory), &numbers);
        launch.arguments.push(Argument::F32(factor));
        let mut launches = vec![launch];

        let (modulation, is_modulated) = self.optional(operands.modulation, operands.x);
        let (grad_modulation, _) = self.optional(to.grad_modulation, to.grad_gamma);
        let arguments = [
            to.sums,
            kept.statistics,
            operands.gamma,
            operands.beta,
            modulation,
            to.grad_gamma,
            to.grad_beta,
            grad_modulation,
            to.towards,
        ];
        let mut numbers = self.numbers().to_vec();
        numbers.extend([is_modulated, i32::from(batch_statistics)]);
        launches.push(self.over_channels("site_gradients", &arguments.map(Argument::Memory), &numbers));

        let arguments = [
            to.unit_partials,
            operands.unit.numerator,
            operands.unit.denominator,
            to.grad_unit.numerator,
            to.grad_unit.denominator,
        ];
        let mut numbers = vec![(self.extents.records * self.chunks * self.slices) as i32];
        numbers.extend(self.unit_numbers());
        launches.push(self.launch(
            "site_unit_gradients",
            [self.numerators + self.denominators, 1],
            &arguments.map(Argument::Memory),
            &numbers,
        ));

        let arguments = [operands.x, to.grad_u, kept.lines, to.towards, to.grad_x].map(Argument::Memory);
        launches.push(self.over_pixels("site_input", self.chunks, &arguments, &self.numbers()));
        launches
    }

    /// An operand, or another in its place that is not read, and which of them it is.
    fn optional<M>(&self, memory: Option<M>, instead: M) -> (M, i32) {
        let is_there = i32::from(memory.is_some());
        (memory.unwrap_or(instead), is_there)
    }

    /// Chunks of so many pixels.
    fn chunks_of(&self, pixels: usize) -> usize {
        let of_block = (self.extents.channels / 4).min(THREADS);
        pixels.div_ceil(THREADS / of_block * STEPS)
    }

    fn numbers(&self) -> [i32; 5] {
        let Extents {
            records,
            height,
            width,
            channels,
        } = self.extents;
        // `new` has checked their product.
        [records, height, width, channels, self.chunks].map(|number| number as i32)
    }

    fn unit_numbers(&self) -> [i32; 2] {
        [self.numerators as i32, self.denominators as i32]
    }

    /// Blocks over chunks of pixels and slices of channels, a row of them for each record.
    fn over_pixels<M: Copy>(&self, kernel: &str, chunks: usize, memory: &[Argument<M>], numbers: &[i32]) -> Launch<M> {
        self.launch(kernel, [chunks * self.slices, self.extents.records], memory, numbers)
    }

    /// A block for each channel.
    fn over_channels<M: Copy>(&self, kernel: &str, memory: &[Argument<M>], numbers: &[i32]) -> Launch<M> {
        self.launch(kernel, [self.extents.channels, 1], memory, numbers)
    }

    fn launch<M: Copy>(
        &self,
        kernel: &str,
        [blocks, rows]: [usize; 2],
        memory: &[Argument<M>],
        numbers: &[i32],
    ) -> Launch<M> {
        let mut arguments = memory.to_vec();
        arguments.extend(numbers.iter().map(|&number| Argument::I32(number)));
        Launch {
            family: "site",
            kernel: kernel.to_owned(),
            blocks: blocks as u32,
            rows: rows as u32,
            threads: THREADS as u32,
            shared_bytes: 0,
            together: false,
            arguments,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dualnet_engine::pau::affine::ElementDropout;
    use dualnet_engine::simd::Isa;

    fn extents(records: usize, height: usize, width: usize, channels: usize) -> Extents {
        Extents {
            records,
            height,
            width,
            channels,
        }
    }

    #[test]
    fn blocks_cover_all_pixels_and_channels() {
        // 16 channels: 64 pixels at once, 16 times.
        let site = Site::new(extents(24, 563, 33, 16), true, 6, 4).expect("kernels");
        assert_eq!((site.chunks, site.slices), (19, 1));
        assert_eq!(site.result(), 24 * 281 * 16 * 16);
        let wide = Site::new(extents(1, 4, 4, 2048), false, 6, 4).expect("kernels");
        assert_eq!((wide.chunks, wide.slices), (1, 2));
        assert_eq!(wide.unit_partials(), 20);
    }

    /// 1 without dropout of elements, finite however many are left out, and what the CPU's kernels have.
    #[test]
    fn what_is_kept_has_the_factor_of_the_cpu() {
        let factor = |gain| Gain::arguments(gain, ()).2;
        assert_eq!((factor(None), factor(Some(Gain::Channels(())))), (1.0, 1.0));
        let of_elements = |share| factor(Some(Gain::Elements { key: (), share }));
        assert!(of_elements(1.0).is_finite());
        let isa = Isa::detect().expect("an instruction set");
        for share in [0.0, 0.05, 0.25, 0.3] {
            let mut factors = [0.0; 64];
            ElementDropout::new(5, share).factors(isa, &mut factors);
            let kept = factors.into_iter().find(|&factor| factor != 0.0);
            assert_eq!(Some(of_elements(share)), kept, "{share}");
        }
    }

    #[test]
    fn what_has_no_kernels_is_refused() {
        for refused in [
            Site::new(extents(1, 4, 4, 6), false, 6, 4),
            Site::new(extents(1, 4, 4, 48), false, 6, 4),
            Site::new(extents(1, 1, 4, 16), true, 6, 4),
            Site::new(extents(0, 4, 4, 16), false, 6, 4),
            Site::new(extents(1 << 20, 1 << 10, 4, 16), false, 6, 4),
            Site::new(extents(1, 4, 4, 16), false, 7, 4),
        ] {
            let error = refused.expect_err("refused").to_string();
            assert!(error.contains("supported"), "{error}");
        }
        assert!(!Site::covers(12, 6, 4) && Site::covers(512, 1, 1));
    }
}

//! The convolution of a map of 16 or more channels.

use super::tiling::{Tiling, WARPS, patch};
use super::{
    Conditions, Extents, Rounded, Shortcut, THREADS, Weights, activation, check_channels, check_extents, check_stride,
    pack, too_large, unlike,
};
use crate::pau::Coefficients;
use crate::{Argument, CudaError, Launch, Precision, Quantization};

/// A convolution of a map of 16 or more channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    pub(super) precision: Precision,
    pub(super) extents: Extents,
    pub(super) side: usize,
    pub(super) pooled: bool,
    pub(super) tiling: Tiling,
}

/// What a convolution reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Operands<M> {
    /// `[records, height, width, inputs]`.
    pub input: M,
    /// How it is rounded, in 8 bits.
    pub input_rounding: Option<Quantization>,
    /// Packed for the precision and taps.
    pub weights: Weights<M>,
    /// The norm's; for a bias, scales of 1 and stride 0.
    pub conditions: Conditions<M>,
    /// What is added.
    pub shortcut: Shortcut<M>,
    /// F, order 5/4: 6 and 4 coefficients. None for the identity.
    pub activation: Option<Coefficients<M>>,
    /// `[records, height, width, outputs]`, or of `⌊height/2⌋` and `⌊width/2⌋` if pooled.
    pub output: M,
    /// 8 bits: the rounding of an output of i8, or none for one of f32.
    pub output_rounding: Option<Quantization>,
}

impl Convolution {
    /// A convolution of `side`×`side` taps, followed by 2×2 average pooling if `pooled`; cut so that `processors` multiprocessors have
    /// work where there is enough.
    ///
    /// # Errors
    /// [`CudaError::Launch`] for channels that are not multiples of 16, for sides but 1 and 3, and for maps that are empty or too large.
    pub fn new(
        precision: Precision,
        extents: Extents,
        side: usize,
        pooled: bool,
        processors: usize,
    ) -> Result<Self, CudaError> {
        check_channels(extents.inputs, extents.outputs)?;
        check_extents(extents)?;
        if ![1, 3].contains(&side) || pooled && (extents.height < 2 || extents.width < 2) {
            return Err(CudaError::Launch(format!(
                "a convolution of {side}×{side} taps on {}×{} pixels has no CUDA kernel; 3×3 and 1×1 are supported",
                extents.height, extents.width
            )));
        }
        let mut this = Self {
            precision,
            extents,
            side,
            pooled,
            tiling: Tiling {
                columns: 0,
                warps: [0, 0],
                depth: 0,
            },
        };
        let tilings = this.tilings();
        let enough = tilings.iter().find(|tiling| this.blocks(tiling) >= processors);
        // Of equally many blocks the last: the others have warps over pixels that are not there.
        let most = || tilings.iter().max_by_key(|tiling| this.blocks(tiling));
        this.tiling = *enough.or_else(most).ok_or_else(|| {
            CudaError::Launch(format!("{extents:?} with {side}×{side} taps cannot be cut into blocks"))
        })?;
        this.grid()?;
        Ok(this)
    }

    /// The same cut in another way.
    ///
    /// # Errors
    /// When the kernels cannot do that.
    pub fn with_tiling(self, tiling: Tiling) -> Result<Self, CudaError> {
        let Tiling { columns, warps, depth } = tiling;
        let fits = [2, 4, 8].contains(&columns)
            && [1, 2, 4].contains(&(warps[0] * warps[1]))
            && self.extents.outputs.is_multiple_of(pack::GROUP * warps[1])
            && self.holds(&tiling, self.side, self.extents.inputs, depth);
        if !fits {
            return Err(CudaError::Launch(format!(
                "{tiling:?} does not suit {:?}",
                self.extents
            )));
        }
        let this = Self { tiling, ..self };
        this.grid()?;
        Ok(this)
    }

    /// How it is cut.
    pub fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// One launch.
    ///
    /// # Errors
    /// [`CudaError::Launch`] for a shortcut or roundings that do not fit the precision, and coefficients that are not of order 5/4.
    pub fn launch<M: Copy>(&self, operands: &Operands<M>) -> Result<Launch<M>, CudaError> {
        let Extents {
            records,
            height,
            width,
            inputs,
            outputs,
        } = self.extents;
        let Tiling { columns, warps, depth } = self.tiling;
        let input_zero = self.zero_point(operands.input_rounding)?;
        let output = Rounded::of(self.precision, operands.output_rounding)?;
        let any = operands.input;
        let mut shortcut = ShortcutArguments {
            maps: [any, any],
            weights: [any, any, any],
            kind: 0,
            inputs: 0,
            depth: 0,
            zero_point: 0,
            scale: 1.0,
        };
        match operands.shortcut {
            Shortcut::None => {}
            Shortcut::Identity(map, rounding) => {
                shortcut.kind = 1;
                shortcut.maps[0] = map;
                shortcut.zero_point = self.zero_point(rounding)?;
                shortcut.scale = rounding.map_or(1.0, |rounding| rounding.scale);
            }
            Shortcut::Plain(map) => {
                shortcut.kind = 2;
                shortcut.maps[1] = map;
            }
            Shortcut::Projection(map, channels, weights, rounding) => {
                check_channels(channels, outputs)?;
                shortcut.kind = 3;
                shortcut.maps[0] = map;
                shortcut.weights = [weights.values, weights.sums, weights.factors];
                shortcut.inputs = channels;
                shortcut.depth = self
                    .depth(&self.tiling, 1, channels)
                    .ok_or_else(|| too_large(self.extents))?;
                shortcut.zero_point = self.zero_point(rounding)?;
            }
            Shortcut::Single(map, weights, rounding) => {
                let rounded = Rounded::of(self.precision, rounding)?;
                self.zero_point(rounding)?;
                shortcut.kind = 4;
                shortcut.maps[1] = map;
                shortcut.weights[2] = weights;
                shortcut.zero_point = rounded.zero_point;
                shortcut.scale = rounded.factor;
            }
        }
        let (coefficients, counts) = activation(operands.activation, any);
        let memory = [
            any,
            operands.weights.values,
            operands.weights.sums,
            operands.conditions.values,
        ]
        .into_iter()
        .chain(shortcut.maps)
        .chain(shortcut.weights)
        .chain(coefficients)
        .chain([operands.output]);
        let numbers = [
            records,
            height,
            width,
            inputs,
            outputs,
            self.side,
            self.pooled.into(),
            check_stride(operands.conditions.stride)?,
            shortcut.kind,
            shortcut.inputs,
            counts[0],
            counts[1],
            columns,
            warps[0],
            warps[1],
            depth,
            shortcut.depth,
        ];
        let mut arguments: Vec<Argument<M>> = memory.map(Argument::Memory).collect();
        arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
        arguments.extend([input_zero, shortcut.zero_point, output.zero_point].map(Argument::I32));
        arguments.extend([shortcut.scale, output.factor].map(Argument::F32));
        let of_shortcut = patch(&self.tiling, 1) * self.stride(shortcut.depth);
        let elements = (patch(&self.tiling, self.side) * self.stride(depth)).max(of_shortcut);
        let [blocks, rows] = self.grid()?;
        let split = if warps[0] * warps[1] < WARPS { "_split" } else { "" };
        Ok(Launch {
            family: "residual",
            kernel: format!("residual_convolution_{}_{}{split}", self.precision.name(), output.name),
            blocks,
            rows,
            threads: THREADS,
            shared_bytes: (elements * self.precision.bytes()) as u32,
            together: false,
            arguments,
        })
    }

    fn zero_point(&self, rounding: Option<Quantization>) -> Result<i32, CudaError> {
        match (self.precision, rounding) {
            (Precision::Int8, Some(rounding)) => Ok(rounding.zero_point.into()),
            (Precision::Float(_), None) => Ok(0),
            _ => Err(unlike(self.precision)),
        }
    }
}

struct ShortcutArguments<M> {
    /// Of the input's type, and of the one that is not rounded.
    maps: [M; 2],
    weights: [M; 3],
    kind: usize,
    inputs: usize,
    depth: usize,
    zero_point: i32,
    scale: f32,
}

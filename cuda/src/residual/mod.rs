//! Convolutions of feature maps with everything that follows them, and pooling (`residual.cu`).
//!
//! Maps are channels-last, `[records, height, width, channels]`, contiguous, at multiples of 256 bytes. A convolution has stride 1, 3×3
//! taps padded by 1 or 1×1, and gives for every output
//!
//! `y = pool(F(scale·sum + shift + shortcut))`
//!
//! with the scale and shift of a conditional norm, and shortcut, F and 2×2 average pooling where they are asked for: a
//! residual block is two launches. The first convolution, of a single channel, is [`Single`]; [`Convolution`] is all others.
//!
//! **8 bits.** A map of 8-bit values holds `q` of `value = scale·(q − zero_point)`. Sums of their products are exact, less the zero point,
//! at the border too. What the sum is multiplied by (`Packed::factors`) is **part of the norm's scale**: fold it into the rows of the
//! condition's weights, or into the fixed scales. Conditions must be within 1e28 for 8-bit results to be defined; `head` looks at that.
//! A map that is not rounded is f32 then: what [`Convolution`] gives without rounding, the single channel of the first block, and
//! the pooled input that an axial block adds.

mod pack;

pub use pack::{Filters, Packed, PackedSingle, pack, pack_single};

use crate::pau::Coefficients;
use crate::{Argument, CudaError, Element, Launch, Precision, Quantization};

/// Threads of a block; `THREADS` in `residual.cu`.
const THREADS: u32 = 128;
/// Pixels of a warp's tile.
const TILE: usize = 64;
/// Warps of a block.
const WARPS: usize = THREADS as usize / 32;
/// Pixels of the largest patch of a map that a block reads; `PATCH` in `residual.cu`.
const LARGEST_PATCH: usize = 672;
/// Shared memory for it: what remains of 48 KB beside the kernels' own.
const PATCH_BYTES: usize = 29 << 10;
/// Rows of a thread of `residual_single`; `SINGLE_ROWS` there.
const SINGLE_ROWS: usize = 4;
/// The most channels of a patch at a time.
const DEEPEST: usize = 128;

/// Extents of a convolution's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Records.
    pub records: usize,
    /// Extent along time of the input.
    pub height: usize,
    /// Extent along frequency of the input.
    pub width: usize,
    /// Channels of the input, a multiple of 16.
    pub inputs: usize,
    /// Channels of the output, a multiple of 16.
    pub outputs: usize,
}

/// How a convolution is cut into blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Columns of a tile: 2, 4 or 8. It has 64 pixels for each warp over pixels.
    pub columns: usize,
    /// Warps over pixels, and over tiles of 16 outputs; 4 over their product share the sums of each.
    pub warps: [usize; 2],
    /// Channels that a block has in shared memory at a time: a power of two that divides the inputs, or 32 for 16 inputs of 8 bits.
    pub depth: usize,
}

/// A convolution of a map of 16 or more channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    precision: Precision,
    extents: Extents,
    side: usize,
    pooled: bool,
    tiling: Tiling,
}

/// A packed convolution in device memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights<M> {
    /// [`Packed::values`].
    pub values: M,
    /// [`Packed::sums`], i32; any memory for floats.
    pub sums: M,
    /// [`Packed::factors`], f32, which only a projection reads; any memory otherwise.
    pub factors: M,
}

/// Scale and shift per record and output, f32: record r's scales begin at `r·stride`, its shifts `outputs` further on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions<M> {
    /// Those of record 0, at a multiple of 16 bytes.
    pub values: M,
    /// Values from a record to the next: a multiple of 4, 0 when all records have the same.
    pub stride: usize,
}

/// What a convolution adds before the activation. Its map has the height and width of the convolution's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shortcut<M> {
    /// Nothing.
    None,
    /// A map of the output's channels and the input's type; the rounding is that of 8 bits.
    Identity(M, Option<Quantization>),
    /// A map of the output's channels which is not rounded: f32 for 8 bits, otherwise the same as `Identity`.
    Plain(M),
    /// The 1×1 convolution of a map of the input's type, of so many channels (a multiple of 16), by a packed convolution of 1 tap; the
    /// rounding is that of 8 bits.
    Projection(M, usize, Weights<M>, Option<Quantization>),
    /// The 1×1 convolution of a map of one channel ([`PackedSingle::values`]), in the input's type; for 8 bits of f32, which is
    /// rounded like this on the way.
    Single(M, M, Option<Quantization>),
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
                columns: 2,
                warps: [1, 1],
                depth: pack::step(precision),
            },
        };
        let tilings = this.tilings();
        let enough = tilings.iter().find(|tiling| this.blocks(tiling) >= processors);
        // Of equally many blocks those with the least to add up.
        let most = || tilings.iter().rev().max_by_key(|tiling| this.blocks(tiling));
        if let Some(&tiling) = enough.or_else(most) {
            this.tiling = tiling;
        }
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
            && self.extents.outputs % (pack::GROUP * warps[1]) == 0
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

    /// Ways to cut it, from the one with the most reuse to the one with the most blocks.
    fn tilings(&self) -> Vec<Tiling> {
        let Extents {
            width, inputs, outputs, ..
        } = self.extents;
        let covered = if self.pooled { width / 2 * 2 } else { width };
        let columns = [8, 4].into_iter().find(|&columns| columns <= covered).unwrap_or(2);
        let wide = [[1, 4], [2, 2], [4, 1]];
        let half = [[1, 2], [2, 1]];
        let suits = |warps: &[usize; 2]| outputs % (pack::GROUP * warps[1]) == 0;
        let first = |list: &[[usize; 2]]| list.iter().copied().find(suits);
        [first(&wide), first(&half), Some([1, 1])]
            .into_iter()
            .flatten()
            .filter_map(|warps| {
                let mut tiling = Tiling {
                    columns,
                    warps,
                    depth: 0,
                };
                tiling.depth = self.depth(&tiling, self.side, inputs)?;
                let shares = WARPS / (warps[0] * warps[1]);
                (shares == 1 || tiling.depth / pack::step(self.precision) >= shares).then_some(tiling)
            })
            .collect()
    }

    /// The most channels of `inputs` that a patch of `side`×`side` taps can have at a time.
    fn depth(&self, tiling: &Tiling, side: usize, inputs: usize) -> Option<usize> {
        let candidates = (0..).map(|halvings| DEEPEST >> halvings).take_while(|&depth| depth > 0);
        candidates
            .into_iter()
            .find(|&depth| self.holds(tiling, side, inputs, depth))
    }

    fn holds(&self, tiling: &Tiling, side: usize, inputs: usize, depth: usize) -> bool {
        let step = pack::step(self.precision);
        let patch = patch(tiling, side);
        depth.is_power_of_two()
            && (16 / self.precision.bytes()..=DEEPEST).contains(&depth)
            && depth % step == 0
            && inputs.next_multiple_of(step) % depth == 0
            && patch <= LARGEST_PATCH
            && patch * self.stride(depth) * self.precision.bytes() <= PATCH_BYTES
    }

    /// Elements from a pixel of a patch to the next: an odd multiple of 32 bytes, so that no two lanes meet a bank of shared memory.
    fn stride(&self, depth: usize) -> usize {
        let each = 32 / self.precision.bytes();
        let units = depth.div_ceil(each);
        (units + (units + 1) % 2) * each
    }

    /// Rows of all records one below another, with one or two that are none between them: zeros for 3×3 taps, and pairs stay pairs.
    fn rows(&self) -> usize {
        let Extents { records, height, .. } = self.extents;
        let pitch = match self.side {
            3 => height + 2 - height % 2,
            _ => height + height % 2,
        };
        records * pitch
    }

    fn blocks(&self, tiling: &Tiling) -> usize {
        let [tiles, groups] = self.tiles(tiling);
        tiles * groups
    }

    /// Tiles over pixels, and over outputs.
    fn tiles(&self, tiling: &Tiling) -> [usize; 2] {
        let Extents { width, outputs, .. } = self.extents;
        let covered = if self.pooled { width / 2 * 2 } else { width };
        let rows = TILE * tiling.warps[0] / tiling.columns;
        [
            self.rows().div_ceil(rows) * covered.div_ceil(tiling.columns),
            outputs / (pack::GROUP * tiling.warps[1]),
        ]
    }

    fn grid(&self) -> Result<[u32; 2], CudaError> {
        let [tiles, groups] = self.tiles(&self.tiling);
        match (i32::try_from(tiles), i32::try_from(self.rows())) {
            (Ok(tiles), Ok(_)) if groups <= 0xffff => Ok([tiles as u32, groups as u32]),
            _ => Err(too_large(self.extents)),
        }
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

/// How kernels round what they write, or do not.
struct Rounded {
    name: &'static str,
    factor: f32,
    zero_point: i32,
}

impl Rounded {
    fn of(precision: Precision, rounding: Option<Quantization>) -> Result<Self, CudaError> {
        match (precision, rounding) {
            (_, Some(rounding)) if precision == Precision::Int8 => Ok(Self {
                name: "i8",
                factor: 1.0 / rounding.scale,
                zero_point: rounding.zero_point.into(),
            }),
            (_, None) => Ok(Self {
                name: plain(precision).name(),
                factor: 1.0,
                zero_point: 0,
            }),
            _ => Err(unlike(precision)),
        }
    }
}

/// The type of a map that is not rounded.
fn plain(precision: Precision) -> Element {
    match precision {
        Precision::Float(element) => element,
        Precision::Int8 => Element::F32,
    }
}

/// Pixels of the patch that a tile reads, whose rows are of odd length where they are short: see `stride`.
fn patch(tiling: &Tiling, side: usize) -> usize {
    let columns = tiling.columns + side - 1;
    let pitch = if tiling.columns == 2 {
        columns / 2 * 2 + 1
    } else {
        columns
    };
    (TILE * tiling.warps[0] / tiling.columns + side - 1) * pitch
}

/// Coefficients or any memory, and their numbers, 0 for no activation.
fn activation<M: Copy>(unit: Option<Coefficients<M>>, any: M) -> ([M; 2], [usize; 2]) {
    match unit {
        Some(unit) => ([unit.numerator, unit.denominator], [6, 4]),
        None => ([any, any], [0, 0]),
    }
}

/// The 3×3 convolution of a single channel, the network's first: without pooling and shortcut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single {
    precision: Precision,
    extents: Extents,
}

/// What [`Single`] reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SingleOperands<M> {
    /// `[records, height, width]`, of the precision's type, of f32 for 8 bits.
    pub input: M,
    /// How it is rounded on the way, in 8 bits.
    pub input_rounding: Option<Quantization>,
    /// [`PackedSingle::values`] of 9 taps.
    pub weights: M,
    /// The norm's.
    pub conditions: Conditions<M>,
    /// F, order 5/4.
    pub activation: Option<Coefficients<M>>,
    /// `[records, height, width, outputs]` of the precision.
    pub output: M,
    /// How it is rounded, in 8 bits.
    pub output_rounding: Option<Quantization>,
}

impl Single {
    /// For `extents` whose `inputs` is 1.
    ///
    /// # Errors
    /// As [`Convolution::new`].
    pub fn new(precision: Precision, extents: Extents) -> Result<Self, CudaError> {
        check_channels(pack::GROUP, extents.outputs)?;
        check_extents(extents)?;
        if extents.inputs != 1 {
            return Err(CudaError::Launch(format!(
                "{} channels are not a single one",
                extents.inputs
            )));
        }
        Ok(Self { precision, extents })
    }

    /// One launch.
    ///
    /// # Errors
    /// As [`Convolution::launch`].
    pub fn launch<M: Copy>(&self, operands: &SingleOperands<M>) -> Result<Launch<M>, CudaError> {
        let Extents {
            records,
            height,
            width,
            outputs,
            ..
        } = self.extents;
        let [input, output] = match (self.precision, operands.input_rounding, operands.output_rounding) {
            (Precision::Int8, Some(_), Some(_)) | (Precision::Float(_), None, None) => [
                Rounded::of(self.precision, operands.input_rounding)?,
                Rounded::of(self.precision, operands.output_rounding)?,
            ],
            _ => return Err(unlike(self.precision)),
        };
        let threads = records * height.div_ceil(SINGLE_ROWS) * width * (outputs / 4);
        let (coefficients, counts) = activation(operands.activation, operands.input);
        let mut arguments: Vec<Argument<M>> = [operands.input, operands.weights, operands.conditions.values]
            .into_iter()
            .chain(coefficients)
            .chain([operands.output])
            .map(Argument::Memory)
            .collect();
        let stride = check_stride(operands.conditions.stride)?;
        let numbers = [records, height, width, outputs, stride, counts[0], counts[1]];
        arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
        arguments.extend([input.zero_point, output.zero_point].map(Argument::I32));
        arguments.extend([input.factor, output.factor].map(Argument::F32));
        Ok(Launch {
            family: "residual",
            kernel: format!("residual_single_{}_{}", plain(self.precision).name(), output.name),
            blocks: blocks(threads).ok_or_else(|| too_large(self.extents))?,
            rows: 1,
            threads: THREADS,
            shared_bytes: 0,
            arguments,
        })
    }
}

/// 2×2 average pooling (`side` 2; an odd row or column is dropped) or none (`side` 1), from a map of one type to one of another.
///
/// Kernels exist from every precision to itself, from every one to i8, and from i8 to f32. `from_rounding` and `to_rounding` are those of 8
/// bits. `channels` is a multiple of 4.
///
/// # Errors
/// [`CudaError::Launch`] for other types, sides and channels, and maps that are empty or too large.
pub fn pool<M: Copy>(
    (from, from_precision, from_rounding): (M, Precision, Option<Quantization>),
    (to, to_precision, to_rounding): (M, Precision, Option<Quantization>),
    [records, height, width, channels]: [usize; 4],
    side: usize,
) -> Result<Launch<M>, CudaError> {
    let compiled = from_precision == to_precision
        || to_precision == Precision::Int8
        || (from_precision, to_precision) == (Precision::Int8, Precision::Float(Element::F32));
    let rounded =
        |precision: Precision, rounding: Option<Quantization>| (precision == Precision::Int8) == rounding.is_some();
    let extents = Extents {
        records,
        height,
        width,
        inputs: channels,
        outputs: channels,
    };
    check_extents(extents)?;
    let fits = rounded(from_precision, from_rounding) && rounded(to_precision, to_rounding);
    if !compiled || !fits || ![1, 2].contains(&side) || height < side || width < side || channels % 4 != 0 {
        return Err(CudaError::Launch(format!(
            "pooling {side}×{side} of {height}×{width} pixels of {channels} channels from {} to {} has no CUDA kernel; 1×1 and 2×2 of \
             multiples of 4 channels, to the same type or to i8, are supported",
            from_precision.name(),
            to_precision.name()
        )));
    }
    let numbers = [records, height, width, channels, side];
    let zero = |rounding: Option<Quantization>| rounding.map_or(0, |rounding| i32::from(rounding.zero_point));
    let scale = from_rounding.map_or(1.0, |rounding| rounding.scale);
    let factor = to_rounding.map_or(1.0, |rounding| 1.0 / rounding.scale);
    let threads = records * (height / side) * (width / side) * (channels / 4);
    let mut arguments = [from, to].map(Argument::Memory).to_vec();
    arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
    arguments.extend([from_rounding, to_rounding].map(|rounding| Argument::I32(zero(rounding))));
    arguments.extend([scale, factor].map(Argument::F32));
    Ok(Launch {
        family: "residual",
        kernel: format!("residual_pool_{}_{}", from_precision.name(), to_precision.name()),
        blocks: blocks(threads).ok_or_else(|| too_large(extents))?,
        rows: 1,
        threads: THREADS,
        shared_bytes: 0,
        arguments,
    })
}

/// Blocks for so many threads.
fn blocks(threads: usize) -> Option<u32> {
    let blocks = threads.div_ceil(THREADS as usize);
    (blocks * THREADS as usize <= i32::MAX as usize).then_some(blocks as u32)
}

fn check_channels(inputs: usize, outputs: usize) -> Result<(), CudaError> {
    if inputs > 0 && outputs > 0 && inputs % pack::GROUP == 0 && outputs % pack::GROUP == 0 {
        return Ok(());
    }
    Err(CudaError::Launch(format!(
        "a convolution of {inputs} to {outputs} channels has no CUDA kernel; multiples of 16 are supported"
    )))
}

/// Elements are counted in 64 bits, pixels and everything else in 31.
fn check_extents(extents: Extents) -> Result<(), CudaError> {
    let Extents {
        records,
        height,
        width,
        inputs,
        outputs,
    } = extents;
    let pixels = height
        .checked_add(2)
        .and_then(|height| records.checked_mul(height))
        .and_then(|rows| rows.checked_mul(width));
    let fits = |value: usize| value > 0 && i32::try_from(value).is_ok();
    match pixels {
        Some(pixels) if [records, height, width, inputs, outputs, pixels].into_iter().all(fits) => Ok(()),
        _ => Err(too_large(extents)),
    }
}

fn check_stride(stride: usize) -> Result<usize, CudaError> {
    if stride % 4 == 0 && i32::try_from(stride).is_ok() {
        return Ok(stride);
    }
    Err(CudaError::Launch(format!(
        "conditions {stride} values apart are not at multiples of 4"
    )))
}

fn too_large(extents: Extents) -> CudaError {
    let Extents {
        records,
        height,
        width,
        inputs,
        outputs,
    } = extents;
    CudaError::Launch(format!(
        "{records} maps of {height}×{width} pixels, {inputs} to {outputs} channels, are too large for CUDA, or empty"
    ))
}

fn unlike(precision: Precision) -> CudaError {
    CudaError::Launch(format!(
        "maps of {} are rounded in 8 bits, and only then",
        precision.name()
    ))
}

//! Axial attention along one axis, for all lines and groups at once, from the projected map to its output (`axial.cu`).
//!
//! For every line along the axis and every group of `gc` channels, with `E[c, i, j] = R[c, i − j + span − 1]`:
//! `qe[i, j] = Σ q[c, i]·Eq[c, i, j]`, `ke` likewise, `qk[i, j] = Σᵣ qe[r, i]·ke[r, j]`, `S = softmax over j of α·qk + β·qe + γ·ke`, and
//! `y[c, i] = Σⱼ S[i, j]·(v[c, j] + position[c]·Ev[c, i, j])`.
//!
//! A block takes one line and one group; lines of 2, 4 and 8 positions go many to a block. Nothing of the size `span²` leaves it.
//! Products are made on tensor cores where operands have 16 bits: `qe`, `ke` and `S` are rounded to them for their products, β and γ
//! multiply what was not rounded. Short lines are computed in f32 throughout. Numbers rounded to 8 bits are such operands too: a value minus its zero
//! point is a whole number of up to 255, exact in f16, and its sums stay below 2²⁴, exact in f32; an 8-bit tensor-core product could not take
//! it, as it has 9 bits.

mod pack;

use crate::{Argument, CudaError, Element, Launch, Quantization};
pub use pack::{Packed, Parameters};

/// Most positions of a line.
pub const MOST_POSITIONS: usize = TILE * TILES[TILES.len() - 1];
/// Most channels of a group; their number is a multiple of 4.
pub const MOST_CHANNELS: usize = 128;
/// Lines that a kernel for short ones takes.
const SHORT: [usize; 3] = [2, 4, 8];
/// Row tiles of 16 positions that kernels for longer lines are compiled for.
const TILES: [usize; 3] = [3, 5, 9];
/// Threads of a block of the kernels for short lines; `SHORT_THREADS` in `axial.cu`.
const SHORT_THREADS: usize = 128;
/// Records of one launch.
const MOST_RECORDS: usize = 65_535;
const WARP: usize = 32;
/// Rows of a tile.
const TILE: usize = 16;

/// The axis attention runs along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Rows of the map: a line is a column.
    Time,
    /// Columns of the map: a line is a row.
    Frequency,
}

/// How the operands of the products are rounded to 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// `q` and `Eq`.
    pub queries: [Quantization; 2],
    /// `k` and `Ek`.
    pub keys: [Quantization; 2],
    /// `qe` and `ke`, for their product; the similarity's other terms take them as they are.
    pub maps: [Quantization; 2],
    /// `S` and `v`.
    pub values: [Quantization; 2],
    /// `S` again, rounded alike, and `Ev`.
    pub positions: [Quantization; 2],
}

/// What the kernels compute with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arithmetic {
    /// Projected map and output are of the element; sums and softmax are f32.
    Float(Element),
    /// The projected map is f32. Operands are rounded within the kernel; the output is f32, or i8 rounded for its consumer.
    Integer {
        /// Of the operands.
        rounding: Rounding,
        /// Of the output; `None` leaves it f32.
        output: Option<Quantization>,
    },
}

/// A map and its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The axis attention runs along; the span is the map's extent along it.
    pub axis: Axis,
    /// Rows of the map.
    pub height: usize,
    /// Columns of the map.
    pub width: usize,
    /// Groups: 16 in every published network.
    pub groups: usize,
    /// `gc`, a multiple of 4 up to [`MOST_CHANNELS`].
    pub group_channels: usize,
}

/// Device memory of one launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory<M> {
    /// `[records, height, width, groups · 2gc]`: for each group its `gc/2` queries, `gc/2` keys and `gc` values, bias included.
    pub projected: M,
    /// [`Packed::embeddings`].
    pub embeddings: M,
    /// [`Packed::factors`].
    pub factors: M,
    /// `[records, height, width, groups · gc]`.
    pub output: M,
}

/// The kernels for one attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axial {
    arithmetic: Arithmetic,
    shape: Shape,
    kind: Kind,
}

/// The kernel that a span runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Lines of so many positions.
    Short(usize),
    /// Lines of up to so many tiles of positions.
    Tiled(usize),
}

impl Axial {
    /// Kernels for attention of this shape.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when the line is longer than [`MOST_POSITIONS`], when there are no positions or groups, when the channels of
    /// a group are no multiple of 4 up to [`MOST_CHANNELS`], or when a scale is not a normal positive number.
    pub fn new(arithmetic: Arithmetic, shape: Shape) -> Result<Self, CudaError> {
        let span = shape.span();
        let fault = |what: String| Err(CudaError::Launch(format!("axial attention {what} are supported")));
        let kind = match TILES.into_iter().find(|tiles| span <= TILE * tiles) {
            _ if SHORT.contains(&span) => Kind::Short(span),
            Some(tiles) if span > 0 => Kind::Tiled(tiles),
            _ => return fault(format!("along {span} positions; 1 to {MOST_POSITIONS}")),
        };
        // More than any network's; every index of the kernels stays far within 32 bits.
        if shape.across() == 0 || shape.across() > 4096 || shape.groups == 0 || shape.groups > 64 {
            return fault(format!(
                "of {} lines in {} groups; up to 4096 in up to 64",
                shape.across(),
                shape.groups
            ));
        }
        let gc = shape.group_channels;
        if gc == 0 || !gc.is_multiple_of(4) || gc > MOST_CHANNELS {
            return fault(format!(
                "of {gc} channels a group; multiples of 4 up to {MOST_CHANNELS}"
            ));
        }
        if let Arithmetic::Integer { rounding, output } = arithmetic {
            let Rounding {
                queries,
                keys,
                maps,
                values,
                positions,
            } = rounding;
            let all = [queries, keys, maps, values, positions].into_iter().flatten();
            if let Some(found) = all
                .chain(output)
                .find(|by| !(by.scale.is_normal() && by.scale > 0.0 && by.scale.recip().is_normal()))
            {
                return fault(format!("rounded by steps of {}; normal positive ones", found.scale));
            }
            if values[0] != positions[0] {
                return fault("whose softmax is rounded in two ways; one".to_owned());
            }
        }
        let pixels = shape.height * shape.width;
        if i32::try_from(2 * pixels * shape.groups * gc).is_err() {
            return fault("on more than 2³¹ values a record; fewer".to_owned());
        }
        Ok(Self {
            arithmetic,
            shape,
            kind,
        })
    }

    /// Attention on a batch, in one launch.
    ///
    /// # Errors
    /// [`CudaError::Launch`] when there are no records or more than 65 535.
    pub fn launch<M: Copy>(&self, memory: Memory<M>, records: usize) -> Result<Launch<M>, CudaError> {
        if records == 0 || records > MOST_RECORDS {
            return Err(CudaError::Launch(format!(
                "a batch of {records} records; 1 to {MOST_RECORDS} are supported"
            )));
        }
        let shape = self.shape;
        let name = match self.arithmetic {
            Arithmetic::Float(element) => element.name(),
            Arithmetic::Integer { .. } => "i8",
        };
        let rounded = matches!(self.arithmetic, Arithmetic::Integer { output: Some(_), .. });
        // The output twice: floats or bytes, whichever the kernel writes.
        let mut arguments = vec![
            Argument::Memory(memory.projected),
            Argument::Memory(memory.embeddings),
            Argument::Memory(memory.factors),
            Argument::Memory(memory.output),
            Argument::Memory(memory.output),
        ];
        let (along, across) = match shape.axis {
            Axis::Time => (shape.width, 1),
            Axis::Frequency => (1, shape.width),
        };
        let numbers = [
            shape.across(),
            shape.groups,
            shape.group_channels,
            shape.span(),
            along,
            across,
            usize::from(rounded),
        ];
        arguments.extend(numbers.map(|number| Argument::I32(number as i32)));
        let pairs = shape.across() * shape.groups;
        let (kernel, blocks, threads) = match self.kind {
            Kind::Short(span) => (
                format!("axial_short_{name}_{span}"),
                pairs.div_ceil(SHORT_THREADS / span),
                SHORT_THREADS,
            ),
            Kind::Tiled(tiles) => (format!("axial_{name}_{tiles}"), pairs, WARP * tiles),
        };
        Ok(Launch {
            family: "axial",
            kernel,
            blocks: blocks as u32,
            rows: records as u32,
            threads: threads as u32,
            shared_bytes: self.shared_bytes() as u32,
            together: false,
            arguments,
        })
    }

    /// Dynamic shared memory of a block, as `axial.cu` divides it.
    fn shared_bytes(&self) -> usize {
        let tiles = match self.kind {
            Kind::Short(span) => return 2 * self.shape.group_channels * (2 * span - 1) * 4,
            Kind::Tiled(tiles) => tiles,
        };
        let operand = self.operand().bytes();
        let positions = TILE * tiles;
        let chunk = match tiles {
            9 => 48,
            5 => 80,
            _ => 16,
        };
        // Rows lie an odd multiple of 32 bytes apart.
        let stride = |count: usize| match count * operand / 32 % 2 {
            0 => count + 32 / operand,
            _ => count,
        };
        let maps = 2 * positions * stride(chunk);
        let weights = positions * (stride(chunk) + stride(chunk + TILE));
        let channels = if operand == 4 { 8 } else { 32 };
        (maps.max(weights) + channels * stride(positions)) * operand
    }
}

impl Shape {
    /// Positions of a line.
    pub fn span(&self) -> usize {
        match self.axis {
            Axis::Time => self.height,
            Axis::Frequency => self.width,
        }
    }

    /// Lines.
    pub fn across(&self) -> usize {
        match self.axis {
            Axis::Time => self.width,
            Axis::Frequency => self.height,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(span: usize, group_channels: usize) -> Shape {
        Shape {
            axis: Axis::Time,
            height: span,
            width: 8,
            groups: 16,
            group_channels,
        }
    }

    #[test]
    fn spans_run_on_the_smallest_kernel_that_holds_them() {
        let memory = Memory {
            projected: 0,
            embeddings: 0,
            factors: 0,
            output: 0,
        };
        for (span, kernel, blocks, threads) in [
            (8, "axial_short_f16_8", 8, 128),
            (2, "axial_short_f16_2", 2, 128),
            (3, "axial_f16_3", 128, 96),
            (49, "axial_f16_5", 128, 160),
            (140, "axial_f16_9", 128, 288),
        ] {
            let axial = Axial::new(Arithmetic::Float(Element::F16), time(span, 16)).expect("a shape");
            let launch = axial.launch(memory, 7).expect("seven records");
            assert_eq!(
                (launch.kernel.as_str(), launch.blocks, launch.rows, launch.threads),
                (kernel, blocks, 7, threads)
            );
        }
    }

    /// With the f32 rows that kernels of 16-bit operands keep beside it.
    #[test]
    fn a_block_fits_into_96_kilobytes() {
        for element in Element::ALL {
            for span in 1..=MOST_POSITIONS {
                let axial = Axial::new(Arithmetic::Float(element), time(span, MOST_CHANNELS)).expect("a shape");
                let beside = match (axial.kind, element) {
                    (Kind::Tiled(tiles), Element::F16 | Element::Bf16) => {
                        let chunk = [16, 80, 48][TILES.iter().position(|&t| t == tiles).expect("compiled")];
                        tiles * TILE * (chunk + TILE + 4) * 4
                    }
                    (Kind::Short(span), _) => 3 * SHORT_THREADS * span * 4,
                    _ => 0,
                };
                assert!(axial.shared_bytes() + beside <= 96 << 10, "{element:?}, {span}");
            }
        }
    }

    #[test]
    fn what_has_no_kernel_is_an_error() {
        let float = Arithmetic::Float(Element::F32);
        for (span, channels) in [(0, 16), (145, 16), (8, 0), (8, 2), (8, 18), (140, 132)] {
            let error = Axial::new(float, time(span, channels)).expect_err("no kernel");
            assert!(error.to_string().contains("are supported"), "{error}");
        }
        let by = |scale| Quantization { scale, zero_point: 0 };
        let rounding = |scale| Rounding {
            queries: [by(1.0); 2],
            keys: [by(1.0); 2],
            maps: [by(scale), by(1.0)],
            values: [by(1.0); 2],
            positions: [by(1.0); 2],
        };
        let integer = |scale| Arithmetic::Integer {
            rounding: rounding(scale),
            output: None,
        };
        assert!(Axial::new(integer(0.5), time(140, 16)).is_ok());
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY, 1e-39] {
            assert!(Axial::new(integer(scale), time(140, 16)).is_err(), "{scale}");
        }
        let axial = Axial::new(float, time(4, 4)).expect("a shape");
        let parameters = Parameters {
            embeddings: &[0.0; 56],
            similarity: [&[0.0; 16]; 3],
            position: &[0.0; 64],
        };
        assert!(axial.pack(parameters).is_ok());
        let short = Parameters {
            similarity: [&[0.0; 16], &[0.0; 15], &[0.0; 16]],
            ..parameters
        };
        let error = axial.pack(short).expect_err("15 factors");
        assert!(error.to_string().contains("15 values of β"), "{error}");
    }
}

//! The samples of a patient: `NNNNN_batched.pkl.gz`, an array `[S, N]` of up to 50 segments.

use super::SEGMENTS;
use super::crops::{Crop, Draws, MAX_LENGTH};
use super::file::{at, finish, open};
use super::numpy::{Layout, Number, Numpy, Sink};
use crate::data::DataError;
use dualnet_export::pickle::{Limits, Machine, Payload, Step};
use half::f16;
use std::path::Path;

/// Everything but the samples is a few hundred bytes.
const LIMITS: Limits = Limits {
    bytes: 1 << 20,
    instructions: 10_000,
};
/// Protocol 2 encodes one character that says how empty an array begins.
const ENCODED: usize = 64;
/// Draws below 2²⁸ are what torch makes of 32 bits.
const MAX_SAMPLES: u64 = 1 << 27;

/// Hears the samples of each crop, with the index of its segment.
pub(super) type Deliver<'a> = dyn FnMut(usize, &[f32]) -> Step<()> + 'a;

/// How many segments a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// At most 50.
    pub(super) segments: usize,
    /// Samples of each.
    pub(super) samples: u32,
}

/// What one reading of a file does with its samples.
struct Reading<'a> {
    /// The layout, where an earlier reading found it.
    known: Option<Layout>,
    /// Once it is known.
    shape: Option<Shape>,
    /// Whether the bytes came before their layout, and were passed over.
    passed_over: bool,
    cut: Cut<'a>,
}

/// The crops to cut.
struct Cut<'a> {
    draws: Draws,
    /// Segments that are wanted; the file is not read beyond them.
    segments: usize,
    deliver: &'a mut Deliver<'a>,
    crops: Vec<Crop>,
}

/// How many segments of how many samples there are, read from the beginning of the file; from the whole of a pickle of protocol 5, which says it at
/// its end.
///
/// # Errors
/// The file does not hold an array of up to 50 segments longer than a crop.
pub(super) fn shape(path: &Path) -> Result<Shape, DataError> {
    let mut machine = Machine::new(open(path)?, Numpy::new(Peek::default(), ENCODED), LIMITS);
    loop {
        let root = machine.step().map_err(|error| at(path, error))?;
        let peek = &machine.dialect().sink;
        if let Some(shape) = peek.shape {
            return Ok(shape);
        }
        let Some(root) = root else { continue };
        let fault = |message| at(path, machine.fault(message));
        if !peek.passed_over {
            return Err(fault("holds no array of segments".to_owned()));
        }
        let (layout, _) = machine.dialect().array(root, machine.heap()).map_err(fault)?;
        return check(layout).map_err(fault);
    }
}

/// Cuts the crops of the first `segments` segments, or of all where there are fewer, and gives them, in order, to `deliver`; returns where they lie.
/// Whole segments are delivered in pieces.
///
/// The samples are decoded as they come and never held but for one crop. When all segments are wanted the file is read to its
/// end, which verifies its checksum.
///
/// # Errors
/// A file that cannot be read, or is not such an array; what `deliver` says.
pub(super) fn read(
    path: &Path,
    draws: Draws,
    segments: usize,
    deliver: &mut Deliver<'_>,
) -> Result<(Vec<Crop>, Shape), DataError> {
    // A pickle of protocol 5 has its layout behind the samples and is read twice.
    let mut known = None;
    loop {
        let reading = Reading {
            known: known.take(),
            shape: None,
            passed_over: false,
            cut: Cut {
                draws,
                segments,
                deliver: &mut *deliver,
                crops: Vec::new(),
            },
        };
        let mut machine = Machine::new(open(path)?, Numpy::new(reading, ENCODED), LIMITS);
        let root = loop {
            let done = machine.step().map_err(|error| at(path, error))?;
            let is_enough = machine
                .dialect()
                .sink
                .shape
                .is_some_and(|shape| segments < shape.segments);
            if is_enough || done.is_some() {
                break done;
            }
        };
        if let Some(root) = root {
            let fault = |message| at(path, machine.fault(message));
            let (layout, bytes) = machine.dialect().array(root, machine.heap()).map_err(fault)?;
            let reading = &machine.dialect().sink;
            if bytes.is_some() || Some(check(layout).map_err(fault)?) != reading.shape {
                if !reading.passed_over {
                    return Err(fault("holds no array of segments".to_owned()));
                }
                known = Some(layout.clone());
            }
        }
        let is_whole = root.is_some();
        let (dialect, unpacked) = machine.into_parts();
        if is_whole {
            finish(path, unpacked)?;
        }
        let Reading { shape, cut, .. } = dialect.sink;
        if let Some(shape) = shape {
            return Ok((cut.crops, shape));
        }
    }
}

/// The shape of a layout that is up to 50 segments longer than a crop.
fn check(layout: &Layout) -> Step<Shape> {
    let &[segments, samples] = layout.shape.as_slice() else {
        return Err(format!(
            "an array of shape {:?}; expected [segments, samples]",
            layout.shape
        ));
    };
    if segments == 0 || segments > SEGMENTS as u64 {
        return Err(format!("{segments} segments; a file has 1 to {SEGMENTS}"));
    }
    if samples <= u64::from(MAX_LENGTH) || samples > MAX_SAMPLES {
        return Err(format!(
            "segments of {samples} samples; crops need more than {MAX_LENGTH}, and {MAX_SAMPLES} are the most"
        ));
    }
    Ok(Shape {
        segments: segments as usize,
        samples: samples as u32,
    })
}

/// Reads the layout alone.
#[derive(Default)]
struct Peek {
    shape: Option<Shape>,
    /// Whether the bytes came before their layout.
    passed_over: bool,
}

/// Anything as long belongs to the samples.
const STREAMED: Option<u64> = Some(64 << 10);

impl Sink for Peek {
    const STREAMED: Option<u64> = STREAMED;

    fn read(&mut self, layout: Option<Layout>, payload: &mut Payload<'_>) -> Step<()> {
        match layout {
            None => {
                self.passed_over = true;
                payload.skip_rest().map(drop)
            }
            Some(layout) => {
                self.shape = Some(checked(&layout, payload)?);
                Ok(())
            }
        }
    }
}

impl Sink for Reading<'_> {
    const STREAMED: Option<u64> = STREAMED;

    fn read(&mut self, layout: Option<Layout>, payload: &mut Payload<'_>) -> Step<()> {
        if self.shape.is_some() || self.passed_over {
            return Err("more than one array".to_owned());
        }
        let Some(layout) = layout.or(self.known.take()) else {
            self.passed_over = true;
            return payload.skip_rest().map(drop);
        };
        let shape = checked(&layout, payload)?;
        self.shape = Some(shape);
        self.cut.read(layout.number, shape, payload)
    }
}

/// The shape, where the bytes are as many as it needs.
fn checked(layout: &Layout, payload: &Payload<'_>) -> Step<Shape> {
    let shape = check(layout)?;
    match payload.left() {
        Some(left) if Some(left) != layout.bytes() => {
            Err(format!("an array of shape {:?} with {left} bytes", layout.shape))
        }
        _ => Ok(shape),
    }
}

impl Cut<'_> {
    fn read(&mut self, number: Number, shape: Shape, payload: &mut Payload<'_>) -> Step<()> {
        let Shape { segments, samples } = shape;
        self.crops = self.draws.crops(segments, samples);
        self.crops.truncate(self.segments);
        let size = number.size() as u64;
        let (mut bytes, mut crop) = (Vec::new(), Vec::new());
        let mut position = 0;
        for (segment, part) in self.crops.iter().enumerate() {
            let first = segment as u64 * u64::from(samples);
            let range = part.range();
            payload.skip((first + range.start - position) * size)?;
            position = first + range.end;
            let mut left = part.length;
            while left > 0 {
                let piece = left.min(MAX_LENGTH);
                left -= piece;
                bytes.resize(piece as usize * number.size(), 0);
                payload.fill(&mut bytes)?;
                decode(number, &bytes, &mut crop);
                (self.deliver)(segment, &crop).map_err(|problem| format!("segment {segment}: {problem}"))?;
            }
        }
        if self.segments < segments {
            return Ok(());
        }
        payload.skip((segments as u64 * u64::from(samples) - position) * size)?;
        match payload.skip_rest()? {
            0 => Ok(()),
            more => Err(format!("{more} bytes more than the array's shape says")),
        }
    }
}

fn decode(number: Number, bytes: &[u8], samples: &mut Vec<f32>) {
    samples.clear();
    match number {
        Number::F16 => samples.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32())),
        Number::F32 => samples.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        Number::F64 => samples.extend(bytes.as_chunks().0.iter().map(|&b| f64::from_le_bytes(b) as f32)),
        Number::I16 => samples.extend(bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)))),
        Number::I32 => samples.extend(bytes.as_chunks().0.iter().map(|&b| i32::from_le_bytes(b) as f32)),
        Number::I64 => samples.extend(bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b) as f32)),
    }
}

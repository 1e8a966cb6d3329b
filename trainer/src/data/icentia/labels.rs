//! The annotations of a patient: `NNNNN_batched_lbls.pkl.gz`, a list of as many dicts as there are segments.

use super::RELEASED_SAMPLES;
use super::crops::Crop;
use super::file::{at, fault, finish, open};
use super::numpy::{Layout, Number, Numpy, Sink, Values};
use super::signal::Shape;
use crate::data::DataError;
use dualnet_export::pickle::{Limits, Machine, Payload, Step};
use std::io::Read;
use std::path::Path;

/// Released files have 3 MB and 20 000 instructions.
const LIMITS: Limits = Limits {
    bytes: 64 << 20,
    instructions: 1_000_000,
};

/// Arrays of `rtype`: three kinds of noise and unlabelled beats, then normal, AF and flutter.
const KINDS: usize = 6;
const NOISE: std::ops::Range<usize> = 0..3;
const AF: usize = 4;
const FLUTTER: usize = 5;

/// The class of every crop: the first of flutter (3), AF (2), noise (0) that is annotated in it, or else normal (1), also when
/// nothing is annotated. `shape` is that of the samples, where it is known.
///
/// # Errors
/// A file that cannot be read, or is no list of a dict for each segment whose `rtype` is six arrays of positions.
pub(super) fn classes(path: &Path, crops: &[Crop], shape: Option<Shape>) -> Result<Vec<i64>, DataError> {
    let mut machine = Machine::new(open(path)?, Numpy::new(NoSink, LIMITS.bytes as usize), LIMITS);
    let root = machine.run().map_err(|error| at(path, error))?;
    let wrong = |problem: String| fault(path, problem);
    let heap = machine.heap();
    let segments = heap.sequence(root).map_err(wrong)?;
    if let Some(shape) = shape.filter(|shape| shape.segments != segments.len()) {
        return Err(wrong(format!(
            "annotates {} segments; the file of the samples has {}",
            segments.len(),
            shape.segments
        )));
    }
    let beyond = i64::from(shape.map_or(0, |shape| shape.samples).max(RELEASED_SAMPLES));
    let mut classes = Vec::with_capacity(crops.len());
    for (index, &segment) in segments.iter().enumerate() {
        let here = |problem: String| wrong(format!("segment {index}: {problem}"));
        let arrays = rhythms(heap.dict(segment).map_err(here)?, heap).map_err(here)?;
        let mut found = [false; KINDS];
        for (kind, &array) in arrays.iter().enumerate() {
            let here = |problem: String| here(format!("rtype[{kind}]: {problem}"));
            let (layout, bytes) = machine.dialect().array(array, heap).map_err(here)?;
            if layout.shape.iter().any(|&extent| extent > beyond as u64) {
                return Err(here(format!("more positions than samples: {:?}", layout.shape)));
            }
            let positions = positions(layout, bytes.unwrap_or_default()).map_err(here)?;
            let crop = crops.get(index);
            for position in positions {
                if !(0..beyond).contains(&position) {
                    return Err(here(format!(
                        "position {position} is in no segment of {beyond} samples"
                    )));
                }
                found[kind] |= crop.is_some_and(|crop| crop.contains(position));
            }
        }
        if index < crops.len() {
            classes.push(match found {
                _ if found[FLUTTER] => 3,
                _ if found[AF] => 2,
                _ if found[NOISE].contains(&true) => 0,
                _ => 1,
            });
        }
    }
    finish(path, machine.into_parts().1)?;
    Ok(classes)
}

/// Whether the file begins as a gzip file with a pickle in it, which tells it from an empty or damaged one cheaply.
pub(super) fn begins(path: &Path) -> Result<(), DataError> {
    let mut first = [0; 2];
    open(path)?
        .read_exact(&mut first)
        .map_err(|error| fault(path, error.to_string()))?;
    match first {
        [0x80, 2..=5] => Ok(()),
        _ => Err(fault(path, "does not begin as a pickle of protocol 2 to 5".to_owned())),
    }
}

type Item = super::numpy::Item;

/// The arrays of a segment's `rtype`.
fn rhythms<'a>(dict: &[(Item, Item)], heap: &'a Values) -> Step<&'a [Item]> {
    let is_rtype = |key: &Item| heap.text(*key).is_ok_and(|key| key == "rtype");
    let mut entries = dict.iter().filter(|(key, _)| is_rtype(key));
    let (Some(&(_, arrays)), None) = (entries.next(), entries.next()) else {
        return Err("not one entry \"rtype\"".to_owned());
    };
    let arrays = heap.sequence(arrays)?;
    match arrays.len() {
        KINDS => Ok(arrays),
        count => Err(format!("rtype has {count} arrays; expected {KINDS}")),
    }
}

/// The integers of an array of one extent; an empty one may be of any type.
fn positions<'a>(layout: &Layout, bytes: &'a [u8]) -> Step<Box<dyn Iterator<Item = i64> + 'a>> {
    if layout.shape.len() != 1 {
        return Err(format!("an array of shape {:?}; expected one extent", layout.shape));
    }
    Ok(match layout.number {
        _ if bytes.is_empty() => Box::new(std::iter::empty()),
        Number::I16 => Box::new(bytes.as_chunks().0.iter().map(|&b| i64::from(i16::from_le_bytes(b)))),
        Number::I32 => Box::new(bytes.as_chunks().0.iter().map(|&b| i64::from(i32::from_le_bytes(b)))),
        Number::I64 => Box::new(bytes.as_chunks().0.iter().map(|&b| i64::from_le_bytes(b))),
        Number::F16 | Number::F32 | Number::F64 => return Err("positions that are no integers".to_owned()),
    })
}

/// Everything is held: a file's annotations are small.
struct NoSink;

impl Sink for NoSink {
    const STREAMED: Option<u64> = None;

    fn read(&mut self, _: Option<Layout>, _: &mut Payload<'_>) -> Step<()> {
        Err("long bytes".to_owned())
    }
}

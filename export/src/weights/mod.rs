//! Weights of a network, read from what PyTorch and this project's trainer write, and checked before they are used.
//!
//! A zip archive is read as the `.pt` that Python's `torch.save(state_dict)` writes, everything else as `.safetensors`: the
//! content decides, not the extension. Nothing in a file is ever executed.

mod check;
mod element;
mod error;
mod pickle;
mod pt;
mod pt_writer;
mod recognize;
mod safetensors;

pub use check::Mismatch;
pub use error::WeightsError;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::Path;

use dualnet_engine::bounded::read_up_to;

/// Tensors whose names start with this are the trainer's own state (moments, counters); a network has none of them.
pub const OPTIMIZER_PREFIX: &str = "optimizer.";

/// The prefix that PyTorch's `DataParallel` puts in front of every name.
const DATA_PARALLEL_PREFIX: &str = "module.";

/// The elements of a [`Tensor`] in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Real numbers. Files may hold them as float16, bfloat16 or float64; here they are float32.
    F32(Vec<f32>),
    /// Integers and truth values of any width.
    I64(Vec<i64>),
}

impl Data {
    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A dense tensor in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Data,
}

impl Tensor {
    /// A tensor of float32, or `None` when `shape` does not hold exactly `values`.
    pub fn f32(shape: &[usize], values: Vec<f32>) -> Option<Self> {
        Self::new(shape, Data::F32(values))
    }

    /// A tensor of int64, or `None` when `shape` does not hold exactly `values`.
    pub fn i64(shape: &[usize], values: Vec<i64>) -> Option<Self> {
        Self::new(shape, Data::I64(values))
    }

    fn new(shape: &[usize], data: Data) -> Option<Self> {
        (element_count(shape) == Some(data.len())).then(|| Self {
            shape: shape.to_vec(),
            data,
        })
    }

    /// The extents, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements when they are real numbers.
    pub fn as_f32(&self) -> Option<&[f32]> {
        match &self.data {
            Data::F32(values) => Some(values),
            Data::I64(_) => None,
        }
    }

    /// The elements when they are integers.
    pub fn as_i64(&self) -> Option<&[i64]> {
        match &self.data {
            Data::I64(values) => Some(values),
            Data::F32(_) => None,
        }
    }
}

/// The product of `shape`, or `None` when it does not fit.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1_usize, |count, &extent| count.checked_mul(extent))
}

/// Named tensors, sorted by name, and the text entries that travel with them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StateDict {
    /// The tensors by state-dict name, without a `module.` prefix.
    pub tensors: BTreeMap<String, Tensor>,
    /// The `__metadata__` of a safetensors file; empty for a `.pt`.
    pub metadata: BTreeMap<String, String>,
}

/// What can be read at any place.
trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// The most that is read of a file that is no archive, of a pipe or a device: eight times the weights of the largest network of the ten, of
/// which a checkpoint to go on from holds four.
const LONGEST: u64 = 4 << 30;

/// An open file of weights. A pipe is read once, from the beginning to the end.
struct Source {
    /// The first bytes, which say what it is.
    start: Vec<u8>,
    /// All of it, from the beginning on.
    content: Box<dyn Content>,
    /// In bytes.
    length: u64,
}

impl Source {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        Self::of(File::open(path).map_err(|cause| WeightsError::io(path, cause))?)
            .map_err(|cause| WeightsError::io(path, cause))
    }

    fn of(mut file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mut start = Vec::with_capacity(8);
        if metadata.is_file() {
            Read::by_ref(&mut file).take(8).read_to_end(&mut start)?;
            file.rewind()?;
            return Ok(Self {
                start,
                length: metadata.len(),
                content: Box::new(file),
            });
        }
        let bytes =
            read_up_to(LONGEST, file)?.ok_or_else(|| io::Error::other(format!("has more than {LONGEST} bytes")))?;
        start.extend(bytes.iter().take(8));
        Ok(Self {
            start,
            length: bytes.len() as u64,
            content: Box::new(Cursor::new(bytes)),
        })
    }
}

impl StateDict {
    /// Reads a `.pt` or `.safetensors` file.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read, is malformed, or holds something else than named tensors.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let source = Source::open(path)?;
        let mut state = match source.start.as_slice() {
            [] => {
                return Err(WeightsError::format(
                    path,
                    "is empty; expected a .pt or .safetensors file",
                ));
            }
            [b'P', b'K', ..] => pt::read(path, source)?,
            [0x80, _, 0x8a, ..] => {
                return Err(WeightsError::format(
                    path,
                    "is in torch.save's format from before version 1.6; save it again with a current PyTorch, or as safetensors",
                ));
            }
            _ => {
                let read = read_up_to(LONGEST, source.content).map_err(|cause| WeightsError::io(path, cause))?;
                let too_long = || WeightsError::format(path, format!("has more than {LONGEST} bytes"));
                safetensors::parse(&read.ok_or_else(too_long)?, path)?
            }
        };
        state.strip_data_parallel_prefix(path)?;
        Ok(state)
    }

    /// Parses the content of a safetensors file; `path` names it in messages.
    ///
    /// # Errors
    /// [`WeightsError`] when it is malformed.
    pub fn from_safetensors(bytes: &[u8], path: &Path) -> Result<Self, WeightsError> {
        safetensors::parse(bytes, path)
    }

    /// Writes a safetensors file: beside `path` first, then renamed, so that `path` is never half-written.
    ///
    /// The same tensors and metadata give the same bytes.
    ///
    /// # Errors
    /// [`WeightsError::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), WeightsError> {
        safetensors::write(self, path.as_ref())
    }

    /// Writes a `.pt` file, in the same way, that Python's `torch.load(weights_only=True)` opens as a state dict.
    ///
    /// The tensors stand there in the order of their names; the metadata is left out, because the format has no place for it.
    ///
    /// # Errors
    /// [`WeightsError::Io`] when the file cannot be written, [`WeightsError::Format`] when a name has 4 GiB.
    pub fn save_pt(&self, path: impl AsRef<Path>) -> Result<(), WeightsError> {
        pt_writer::write(self, path.as_ref())
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    fn strip_data_parallel_prefix(&mut self, path: &Path) -> Result<(), WeightsError> {
        if !self.tensors.keys().any(|name| name.starts_with(DATA_PARALLEL_PREFIX)) {
            return Ok(());
        }
        for (name, tensor) in std::mem::take(&mut self.tensors) {
            let bare = name.strip_prefix(DATA_PARALLEL_PREFIX).unwrap_or(&name).to_owned();
            if self.tensors.insert(bare.clone(), tensor).is_some() {
                return Err(WeightsError::tensor(
                    path,
                    &bare,
                    "is there twice, with and without `module.` in front",
                ));
            }
        }
        Ok(())
    }
}

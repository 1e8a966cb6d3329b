//! A model file: one ONNX file with its metadata, checked before any of it is used.
//!
//! [`Model::open`] accepts what `export` writes, and little else: known operators with known attributes, known shapes, finite weights,
//! complete metadata, and the checksums of both the weights and the file. What passes can still fail to be prepared, but nothing in it names
//! another file, and no byte of it is other than it was exported.

mod attributes;
mod card;
mod constants;
pub mod digest;
mod error;
mod graph;
mod interface;
mod operators;
mod preprocessing;
mod quantization;
mod tensors;
mod wire;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::Framework;

use crate::bounded::read_up_to;
use digest::Initializer;

pub use card::{FORMAT_VERSION, ModelCard, keys};
pub(crate) use error::one_line;
pub use error::{ModelError, ModelFault};
pub use interface::{ECG, PROBABILITIES, SPECTROGRAM};
pub use operators::{DOMAIN, OPERATORS, PADE_ACTIVATION};
pub use preprocessing::Preprocessing;

/// The longest file read: protobuf messages end at 2 GiB.
pub const MAX_FILE_BYTES: u64 = i32::MAX as u64;

/// A trained network, read from a model file and checked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Model {
    name: Arc<str>,
    card: Arc<ModelCard>,
    proto: Arc<ModelProto>,
}

impl Model {
    /// The bytes of the embedded model file of 32-bit floats.
    #[cfg(feature = "embedded")]
    pub const EMBEDDED_FILE: &'static [u8] = include_bytes!("../../models/dualnet-s.onnx");

    /// The bytes of the same network, quantized.
    #[cfg(feature = "embedded")]
    pub const EMBEDDED_INT8_FILE: &'static [u8] = include_bytes!("../../models/dualnet-s-int8.onnx");

    /// The trained ECG-DualNet S inside this library. Its checksums are verified by the tests, not again at every start.
    ///
    /// # Errors
    /// None in a build that passes its tests.
    #[cfg(feature = "embedded")]
    pub fn embedded() -> Result<Self, ModelError> {
        Self::trusted("embedded dualnet-s.onnx", Self::EMBEDDED_FILE)
    }

    /// [`Model::embedded`] in 8-bit integers; its card says what that costs in accuracy.
    ///
    /// # Errors
    /// None in a build that passes its tests.
    #[cfg(feature = "embedded")]
    pub fn embedded_int8() -> Result<Self, ModelError> {
        Self::trusted("embedded dualnet-s-int8.onnx", Self::EMBEDDED_INT8_FILE)
    }

    #[cfg(feature = "embedded")]
    fn trusted(name: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        Self::read(name, bytes, Checksums::Trusted).map_err(|fault| ModelError::new(name, fault))
    }

    /// Reads and checks the model file at `path`.
    ///
    /// # Errors
    /// [`ModelError`] when the file cannot be read, is not what `export` wrote, or is not supported by this engine.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ModelError> {
        let path = path.as_ref();
        Self::from_bytes(&path.display().to_string(), &Self::bytes_of(path)?)
    }

    /// The bytes of a model file, nothing of which is checked yet but their number.
    ///
    /// # Errors
    /// A file that cannot be read or has more than [`MAX_FILE_BYTES`].
    pub fn bytes_of(path: &Path) -> Result<Vec<u8>, ModelError> {
        read_file(path).map_err(|fault| ModelError::new(&path.display().to_string(), fault))
    }

    /// Checks the bytes of a model file; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        Self::read(name, bytes, Checksums::Verified).map_err(|fault| ModelError::new(name, fault))
    }

    fn read(name: &str, bytes: &[u8], checksums: Checksums) -> Result<Self, ModelFault> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(ModelFault::TooLarge {
                bytes: bytes.len() as u64,
                limit: MAX_FILE_BYTES,
            });
        }
        if let Some(form) = form_of_weights(bytes) {
            return Err(ModelFault::Weights { form });
        }
        wire::check(bytes)?;
        let proto = parse(bytes)?;
        let Some(graph) = &proto.graph else {
            return Err(ModelFault::NotOnnx {
                reason: "there is no graph".to_owned(),
            });
        };
        let mut card = ModelCard::read(&proto)?;
        if matches!(checksums, Checksums::Verified) {
            verify(bytes, graph, &card)?;
        }
        card.opset = operators::check_sets(&proto)?;
        card.weights = tensors::check(graph)?;
        card.operators = graph::check(graph)?;
        quantization::check(graph, card.precision)?;
        interface::check(graph, card.classes.len())?;
        Ok(Self {
            name: name.into(),
            card: Arc::new(card),
            proto: Arc::new(proto),
        })
    }

    /// What the file is called: its path, or `embedded dualnet-s.onnx`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the file says about itself.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// Class names, in the order of the output.
    pub fn classes(&self) -> &[String] {
        &self.card.classes
    }

    pub(crate) fn proto(&self) -> &ModelProto {
        &self.proto
    }
}

/// Whether a file's checksums are computed again.
enum Checksums {
    Verified,
    #[cfg_attr(not(feature = "embedded"), allow(dead_code))]
    Trusted,
}

fn read_file(path: &Path) -> Result<Vec<u8>, ModelFault> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(ModelFault::TooLarge {
            bytes,
            limit: MAX_FILE_BYTES,
        });
    }
    // Of a device, which has no length before it is read.
    read_up_to(MAX_FILE_BYTES, file)?.ok_or(ModelFault::TooLarge {
        bytes: MAX_FILE_BYTES + 1,
        limit: MAX_FILE_BYTES,
    })
}

/// How a file stores a network's weights, if its first bytes are of such a file.
fn form_of_weights(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\x80\x02") {
        return Some("PyTorch");
    }
    // A number of bytes, and so many of JSON.
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let is_within = u64::from_le_bytes(*length) <= rest.len() as u64;
    (is_within && rest.starts_with(b"{\"")).then_some("safetensors")
}

fn parse(mut bytes: &[u8]) -> Result<ModelProto, ModelFault> {
    if bytes.is_empty() {
        return Err(ModelFault::NotOnnx {
            reason: "the file is empty".to_owned(),
        });
    }
    tract_onnx::onnx()
        .proto_model_for_read(&mut bytes)
        .map_err(|error| ModelFault::NotOnnx {
            reason: one_line(&format!("{error:#}")),
        })
}

/// Fails unless the digests of the file and of its weights are those written into it.
fn verify(bytes: &[u8], graph: &GraphProto, card: &ModelCard) -> Result<(), ModelFault> {
    let digits = digest::file_digest_position(bytes);
    if digits.and_then(|digits| digest::file_sha256(bytes, digits)).as_deref() != Some(&card.content_sha256) {
        return Err(ModelFault::Checksum { key: keys::FILE_SHA256 });
    }
    let initializers = graph.initializer.iter().map(|tensor| Initializer {
        name: &tensor.name,
        data_type: tensor.data_type,
        dims: &tensor.dims,
        raw_data: &tensor.raw_data,
    });
    if digest::weights_sha256(initializers) != card.weights_sha256 {
        return Err(ModelFault::Checksum {
            key: keys::WEIGHTS_SHA256,
        });
    }
    Ok(())
}

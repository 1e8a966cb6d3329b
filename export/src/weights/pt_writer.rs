//! Writes the `.pt` file that Python's `torch.load(weights_only=True)` opens: a zip archive of stored files, in which the
//! elements of every tensor begin at a multiple of 64 bytes as in the files of `torch.save`.

use super::element::Element;
use super::pickle::{Entry, write_state_dict};
use super::safetensors::write_elements;
use super::{Data, StateDict, WeightsError};
use dualnet_engine::pending;
use std::io::{self, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The folder inside the archive; `torch.load` takes any name.
const ROOT: &str = "archive";
/// So that a reader may map the elements into memory.
const ALIGNMENT: u16 = 64;
/// The version of the archive's layout.
const VERSION: &[u8] = b"3\n";

pub(super) fn write(state: &StateDict, path: &Path) -> Result<(), WeightsError> {
    let entries: Vec<Entry<'_>> = state
        .tensors
        .iter()
        .map(|(name, tensor)| Entry {
            name,
            element: match tensor.data {
                Data::F32(_) => Element::F32,
                Data::I64(_) => Element::I64,
            },
            shape: &tensor.shape,
        })
        .collect();
    let pickle = write_state_dict(&entries)
        .ok_or_else(|| WeightsError::format(path, "cannot be written: a name or a shape is too large for a pickle"))?;
    pending::write_with(path, |file| {
        let mut archive = ZipWriter::new_stream(file);
        add(&mut archive, "data.pkl", pickle.len(), |file| file.write_all(&pickle))?;
        add(&mut archive, "byteorder", 6, |file| file.write_all(b"little"))?;
        for (key, tensor) in state.tensors.values().enumerate() {
            let width = match tensor.data {
                Data::F32(_) => 4,
                Data::I64(_) => 8,
            };
            let length = tensor.data.len() * width;
            add(&mut archive, &format!("data/{key}"), length, |file| {
                write_elements(file, &tensor.data)
            })?;
        }
        add(&mut archive, "version", VERSION.len(), |file| file.write_all(VERSION))?;
        archive.finish()?;
        Ok(())
    })
    .map_err(|cause| WeightsError::io(path, cause))
}

fn add<W: Write + io::Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    length: usize,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .large_file(u32::try_from(length).is_err())
        .with_alignment(ALIGNMENT);
    archive.start_file(format!("{ROOT}/{name}"), options)?;
    // The archive computes its checksum with every write: few large ones instead of one per element.
    let mut buffered = io::BufWriter::with_capacity(1 << 16, archive);
    write(&mut buffered)?;
    buffered.flush()
}

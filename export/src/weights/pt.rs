//! The `.pt` file that Python's `torch.save(state_dict)` writes: a zip archive, stored without compression, of
//! `<name>/data.pkl` and one file `<name>/data/<key>` per storage.

use super::element::Element;
use super::pickle::{self, View};
use super::{Content, Data, Source, StateDict, Tensor, WeightsError, element_count};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// The largest `data.pkl` that is read; that of ECG-DualNet++ 130M has some 100 kB.
const MAX_PICKLE: u64 = 8 << 20;
/// Tensors may share storages, but all of them together hold at most this many elements per byte of the file.
const MAX_ELEMENTS_PER_BYTE: usize = 4;

pub(super) fn read(path: &Path, source: Source) -> Result<StateDict, WeightsError> {
    let mut archive = Archive::open(path, source)?;
    let pickle = archive.file("data.pkl", MAX_PICKLE)?;
    if archive.has("byteorder") && archive.file("byteorder", 16)? != b"little" {
        return Err(WeightsError::format(
            path,
            "holds big-endian numbers; only little-endian ones are supported",
        ));
    }
    let views = pickle::read_state_dict(&pickle).map_err(|error| WeightsError::Pickle {
        path: path.to_owned(),
        offset: error.offset,
        message: error.message,
    })?;
    let mut budget = usize::try_from(archive.length)
        .unwrap_or(usize::MAX)
        .saturating_mul(MAX_ELEMENTS_PER_BYTE);
    let mut tensors = BTreeMap::new();
    for (name, view) in views {
        let wrong = |message: String| WeightsError::tensor(path, &name, message);
        let layout = Layout::of(&view).map_err(wrong)?;
        budget = budget
            .checked_sub(layout.elements)
            .ok_or_else(|| WeightsError::format(path, "claims more tensor elements than its size allows"))?;
        let tensor = Tensor::new(&layout.shape, archive.elements(&name, &view, &layout)?)
            .ok_or_else(|| WeightsError::tensor(path, &name, "does not fill its shape"))?;
        tensors.insert(name, tensor);
    }
    Ok(StateDict {
        tensors,
        metadata: BTreeMap::new(),
    })
}

/// The open archive and the storages read so far.
struct Archive<'a> {
    path: &'a Path,
    zip: ZipArchive<BufReader<Box<dyn Content>>>,
    length: u64,
    /// Bytes that may still be read: an archive whose entries overlap could claim more than it has.
    unread: u64,
    root: String,
    storages: HashMap<String, (Element, Data)>,
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path, source: Source) -> Result<Self, WeightsError> {
        let length = source.length;
        let zip = ZipArchive::new(BufReader::new(source.content))
            .map_err(|cause| WeightsError::format(path, format!("is not a whole zip archive ({cause})")))?;
        let mut roots = zip
            .file_names()
            .flatten()
            .filter_map(|name| Some(name.strip_suffix("data.pkl")?.to_owned()));
        let root = roots.next().ok_or_else(|| {
            WeightsError::format(path, "holds no data.pkl; expected what torch.save(state_dict) writes")
        })?;
        if roots.next().is_some() {
            return Err(WeightsError::format(path, "holds several files called data.pkl"));
        }
        drop(roots);
        Ok(Self {
            path,
            zip,
            length,
            unread: length,
            root,
            storages: HashMap::new(),
        })
    }

    fn has(&self, name: &str) -> bool {
        self.zip.index_for_name(&format!("{}{name}", self.root)).is_some()
    }

    fn file(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, WeightsError> {
        let full = format!("{}{name}", self.root);
        let wrong = |message: String| WeightsError::format(self.path, format!("{full}: {message}"));
        let mut entry = self.zip.by_name(&full).map_err(|cause| wrong(cause.to_string()))?;
        let size = entry.size();
        if size != entry.compressed_size() {
            return Err(wrong("is compressed; torch.save stores without compression".to_owned()));
        }
        if size > limit || size > self.unread {
            return Err(wrong(format!(
                "claims {size} bytes; at most {} are possible",
                limit.min(self.unread)
            )));
        }
        self.unread -= size;
        let mut bytes = Vec::with_capacity(size as usize);
        entry
            .by_ref()
            .take(size + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| wrong(cause.to_string()))?;
        if bytes.len() as u64 != size {
            return Err(wrong(format!("has {} bytes, said to have {size}", bytes.len())));
        }
        Ok(bytes)
    }

    fn elements(&mut self, name: &str, view: &View, layout: &Layout) -> Result<Data, WeightsError> {
        let storage = &view.storage;
        let key = &storage.key;
        if !self.storages.contains_key(key) {
            let limit = self.length;
            let bytes = self.file(&format!("data/{key}"), limit)?;
            let width = storage.element.width();
            if bytes.len() % width != 0 {
                let message = format!("lies in storage {key} of {} bytes, no multiple of {width}", bytes.len());
                return Err(WeightsError::tensor(self.path, name, message));
            }
            self.storages
                .insert(key.clone(), (storage.element, storage.element.decode(&bytes)));
        }
        let (element, data) = &self.storages[key];
        let wrong = |message: String| WeightsError::tensor(self.path, name, message);
        if *element != storage.element {
            return Err(wrong(format!(
                "lies in storage {key} of {element:?}, said to be of {:?}",
                storage.element
            )));
        }
        if usize::try_from(storage.elements) != Ok(data.len()) {
            return Err(wrong(format!(
                "lies in storage {key} of {} elements, said to have {}",
                data.len(),
                storage.elements
            )));
        }
        if layout.end > data.len() {
            return Err(wrong(format!(
                "reaches element {} of storage {key}, which has {}",
                layout.end.saturating_sub(1),
                data.len()
            )));
        }
        Ok(match data {
            Data::F32(values) => Data::F32(layout.gather(values)),
            Data::I64(values) => Data::I64(layout.gather(values)),
        })
    }
}

/// Where the elements of a tensor lie in its storage, checked.
struct Layout {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    elements: usize,
    /// One past the last element that is touched.
    end: usize,
}

impl Layout {
    fn of(view: &View) -> Result<Self, String> {
        if view.shape.len() != view.strides.len() {
            return Err(format!(
                "has {} sizes and {} strides",
                view.shape.len(),
                view.strides.len()
            ));
        }
        let natural = |values: &[i64], what: &str| -> Result<Vec<usize>, String> {
            let convert = |&value: &i64| usize::try_from(value).map_err(|_| format!("has {what} {value}"));
            values.iter().map(convert).collect()
        };
        let shape = natural(&view.shape, "size")?;
        let strides = natural(&view.strides, "stride")?;
        let offset = usize::try_from(view.offset).map_err(|_| format!("has offset {}", view.offset))?;
        let too_large = || format!("has sizes {shape:?} and strides {strides:?}, which overflow");
        let elements = element_count(&shape).ok_or_else(too_large)?;
        let end = if elements == 0 {
            offset
        } else {
            shape
                .iter()
                .zip(&strides)
                .try_fold(offset, |last, (size, stride)| {
                    (size - 1).checked_mul(*stride)?.checked_add(last)
                })
                .and_then(|last| last.checked_add(1))
                .ok_or_else(too_large)?
        };
        Ok(Self {
            shape,
            strides,
            offset,
            elements,
            end,
        })
    }

    /// The elements in row-major order; `storage` reaches at least to `end`.
    fn gather<T: Copy>(&self, storage: &[T]) -> Vec<T> {
        let mut index = vec![0_usize; self.shape.len()];
        let mut at = self.offset;
        let mut values = Vec::with_capacity(self.elements);
        for _ in 0..self.elements {
            values.push(storage[at]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    at += self.strides[axis];
                    break;
                }
                at -= self.strides[axis] * (self.shape[axis] - 1);
                index[axis] = 0;
            }
        }
        values
    }
}

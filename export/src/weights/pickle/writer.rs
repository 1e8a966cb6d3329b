//! The instructions that `torch.save` gives for a state dict, byte by byte (pickle protocol 2).
//!
//! A state dict with `_metadata`, which only modules have, would end in one instruction more: `BUILD`.

use crate::weights::element::Element;
use std::collections::HashMap;

/// Entries that one `SETITEMS` takes, as Python's pickler groups them.
const GROUP: usize = 1000;

/// One tensor in row-major order, alone in its storage `data/<position of the entry>`.
pub(in crate::weights) struct Entry<'a> {
    pub(in crate::weights) name: &'a str,
    pub(in crate::weights) element: Element,
    pub(in crate::weights) shape: &'a [usize],
}

/// Pickles a state dict of these entries; `None` when a number or a name is too large for a pickle.
pub(in crate::weights) fn write_state_dict(entries: &[Entry<'_>]) -> Option<Vec<u8>> {
    let mut pickle = Pickle::default();
    pickle.bytes.extend_from_slice(&[0x80, 2]);
    pickle.ordered_dict();
    for (group, entries) in entries.chunks(GROUP).enumerate() {
        let several = entries.len() > 1;
        if several {
            pickle.code(b'(');
        }
        for (index, entry) in entries.iter().enumerate() {
            pickle.text(entry.name)?;
            pickle.tensor(group * GROUP + index, entry)?;
        }
        pickle.code(if several { b'u' } else { b's' });
    }
    pickle.code(b'.');
    Some(pickle.bytes)
}

/// A pickle under construction.
#[derive(Default)]
struct Pickle {
    bytes: Vec<u8>,
    /// Values that the pickle's memo holds.
    remembered: u32,
    /// The place in the memo of what occurs again and again.
    memo: HashMap<&'static str, u32>,
}

impl Pickle {
    fn tensor(&mut self, key: usize, entry: &Entry<'_>) -> Option<()> {
        self.repeated("torch._utils\n_rebuild_tensor_v2\n", b'c');
        self.code(b'(');
        self.code(b'(');
        self.repeated("storage", b'X');
        self.repeated(class(entry.element)?, b'c');
        self.text(&key.to_string())?;
        self.repeated("cpu", b'X');
        self.integer(
            entry
                .shape
                .iter()
                .try_fold(1_usize, |count, &extent| count.checked_mul(extent))?,
        )?;
        self.code(b't');
        self.remember();
        self.code(b'Q');
        self.integer(0)?;
        self.tuple(entry.shape)?;
        self.tuple(&strides(entry.shape)?)?;
        self.code(0x89);
        self.ordered_dict();
        self.code(b't');
        self.remember();
        self.code(b'R');
        self.remember();
        Some(())
    }

    fn code(&mut self, code: u8) {
        self.bytes.push(code);
    }

    fn remember(&mut self) {
        self.place(b'q', self.remembered);
        self.remembered += 1;
    }

    /// An instruction on a place in the memo: `code` for small places, `code + 1` or, of `h`, `j` for the others.
    fn place(&mut self, code: u8, place: u32) {
        match u8::try_from(place) {
            Ok(place) => self.bytes.extend_from_slice(&[code, place]),
            Err(_) => {
                self.code(if code == b'q' { b'r' } else { b'j' });
                self.bytes.extend_from_slice(&place.to_le_bytes());
            }
        }
    }

    /// A text (`X`) or a global (`c`) that the memo gives from its second use on.
    fn repeated(&mut self, value: &'static str, code: u8) {
        if let Some(&place) = self.memo.get(value) {
            return self.place(b'h', place);
        }
        self.memo.insert(value, self.remembered);
        self.code(code);
        if code == b'X' {
            self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        }
        self.bytes.extend_from_slice(value.as_bytes());
        self.remember();
    }

    fn ordered_dict(&mut self) {
        self.repeated("collections\nOrderedDict\n", b'c');
        self.code(b')');
        self.code(b'R');
        self.remember();
    }

    fn text(&mut self, text: &str) -> Option<()> {
        self.code(b'X');
        self.bytes
            .extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
        self.bytes.extend_from_slice(text.as_bytes());
        self.remember();
        Some(())
    }

    fn integer(&mut self, value: usize) -> Option<()> {
        if let Ok(value) = u8::try_from(value) {
            self.bytes.extend_from_slice(&[b'K', value]);
        } else if let Ok(value) = u16::try_from(value) {
            self.code(b'M');
            self.bytes.extend_from_slice(&value.to_le_bytes());
        } else if let Ok(value) = i32::try_from(value) {
            self.code(b'J');
            self.bytes.extend_from_slice(&value.to_le_bytes());
        } else {
            let digits = i64::try_from(value).ok()?.to_le_bytes();
            // The shortest two's complement, whose highest bit is 0.
            let width = digits.len() - (value.leading_zeros() as usize - 1) / 8;
            self.bytes.extend_from_slice(&[0x8a, width as u8]);
            self.bytes.extend_from_slice(&digits[..width]);
        }
        Some(())
    }

    fn tuple(&mut self, items: &[usize]) -> Option<()> {
        let code = match items.len() {
            0 => {
                self.code(b')');
                return Some(());
            }
            length @ 1..=3 => 0x84 + length as u8,
            _ => {
                self.code(b'(');
                b't'
            }
        };
        items.iter().try_for_each(|&item| self.integer(item))?;
        self.code(code);
        self.remember();
        Some(())
    }
}

fn class(element: Element) -> Option<&'static str> {
    match element {
        Element::F32 => Some("torch\nFloatStorage\n"),
        Element::I64 => Some("torch\nLongStorage\n"),
        _ => None,
    }
}

/// Row-major strides; an axis without elements counts as one of 1, as in PyTorch.
fn strides(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].checked_mul(shape[axis].max(1))?;
    }
    Some(strides)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::pickle::read_state_dict;
    use std::io::Read;

    /// The golden file was written by PyTorch, in its module's order and with `_metadata` behind the entries.
    #[test]
    fn the_pickle_of_torch_save_is_met_byte_by_byte() {
        let path = dualnet_fixtures::golden_dir().join("checkpoints/dualnet-s.pt");
        let mut archive = zip::ZipArchive::new(std::fs::File::open(path).expect("the golden file")).expect("a zip");
        let mut golden = Vec::new();
        let mut file = archive.by_name("dualnet-s/data.pkl").expect("a pickle");
        file.read_to_end(&mut golden).expect("bytes");
        let entries = read_state_dict(&golden).expect("a state dict");
        let shapes: Vec<Vec<usize>> = entries
            .iter()
            .map(|(_, view)| view.shape.iter().map(|&extent| extent as usize).collect())
            .collect();
        let entries: Vec<Entry<'_>> = entries
            .iter()
            .zip(&shapes)
            .map(|((name, view), shape)| Entry {
                name,
                element: view.storage.element,
                shape,
            })
            .collect();
        let written = write_state_dict(&entries).expect("a pickle");
        let (end, body) = written.split_last().expect("not empty");
        assert_eq!(*end, b'.');
        assert!(
            golden.starts_with(body),
            "first difference at byte {:?}",
            body.iter().zip(&golden).position(|(a, b)| a != b)
        );
        assert_eq!(&golden[body.len()..body.len() + 2], b"}r", "`_metadata` follows");
        dualnet_fixtures::report(format_args!(
            "{} bytes of a pickle of {} tensors compared",
            body.len(),
            entries.len()
        ));
    }

    #[test]
    fn numbers_of_every_width_come_back() {
        let widths = [
            0,
            255,
            256,
            65_535,
            65_536,
            0x7fff_ffff,
            0x8000_0000,
            0x7f_ffff_ffff,
            0x80_0000_0000,
            i64::MAX as usize,
        ];
        for extent in widths {
            let shape = [extent, 1, 0];
            let entry = Entry {
                name: "",
                element: Element::I64,
                shape: &shape,
            };
            let pickle = write_state_dict(&[entry]).expect("a pickle");
            let (_, view) = read_state_dict(&pickle).expect("a state dict").remove(0);
            assert_eq!(view.shape, [extent as i64, 1, 0]);
            assert_eq!(view.strides, [1, 1, 1]);
            assert_eq!(view.storage.elements, 0);
        }
        let too_large = Entry {
            name: "",
            element: Element::I64,
            shape: &[usize::MAX],
        };
        assert!(write_state_dict(&[too_large]).is_none());
    }
}

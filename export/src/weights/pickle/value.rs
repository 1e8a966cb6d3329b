//! What a state dict is made of.

use crate::weights::element::Element;

/// The storage classes of the module `torch`.
pub(super) const STORAGES: [(&str, Element); 10] = [
    ("FloatStorage", Element::F32),
    ("DoubleStorage", Element::F64),
    ("HalfStorage", Element::F16),
    ("BFloat16Storage", Element::BF16),
    ("LongStorage", Element::I64),
    ("IntStorage", Element::I32),
    ("ShortStorage", Element::I16),
    ("CharStorage", Element::I8),
    ("ByteStorage", Element::U8),
    ("BoolStorage", Element::Bool),
];

/// A stretch of a storage seen as a tensor.
#[derive(Clone, Debug)]
pub(in crate::weights) struct View {
    pub(in crate::weights) storage: Storage,
    pub(in crate::weights) offset: i64,
    pub(in crate::weights) shape: Vec<i64>,
    pub(in crate::weights) strides: Vec<i64>,
}

/// A file of the archive: `data/<key>`, with `elements` of one type.
#[derive(Clone, Debug)]
pub(in crate::weights) struct Storage {
    pub(in crate::weights) element: Element,
    pub(in crate::weights) key: String,
    pub(in crate::weights) elements: i64,
}

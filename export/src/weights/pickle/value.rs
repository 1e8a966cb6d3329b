//! What a state dict is made of.

/// The element type of a storage, by PyTorch's class name.
pub(in crate::weights) type StorageType = &'static str;

/// The storage classes of the module `torch`.
pub(super) const STORAGES: [StorageType; 10] = [
    "FloatStorage",
    "DoubleStorage",
    "HalfStorage",
    "BFloat16Storage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
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
    pub(in crate::weights) element: StorageType,
    pub(in crate::weights) key: String,
    pub(in crate::weights) elements: i64,
}

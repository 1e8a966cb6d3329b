//! What a pickle holds.

/// The element type of a storage, by PyTorch's class name.
pub(in crate::weights) type StorageType = &'static str;

/// The storage classes of the module `torch`.
const STORAGES: [StorageType; 10] = [
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

/// A name that stands for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(StorageType),
}

/// A value on the stack; the indexed ones live in the lists of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    Nothing,
    Truth,
    Integer(i64),
    Real,
    Text(usize),
    Global(Global),
    Sequence(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

impl Value {
    /// What it is, for a message.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Nothing => "None",
            Self::Truth => "a truth value",
            Self::Integer(_) => "an integer",
            Self::Real => "a number",
            Self::Text(_) => "a text",
            Self::Global(_) => "a class or function",
            Self::Sequence(_) => "a tuple or list",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

impl Global {
    /// The global `module.name`, if a state dict may hold it.
    pub(super) fn named(module: &str, name: &str) -> Result<Self, String> {
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Self::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Self::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Self::RebuildParameter),
            ("torch", class) => match STORAGES.iter().find(|&&storage| storage == class) {
                Some(storage) => Ok(Self::Storage(storage)),
                None => Err(unknown_global(module, name)),
            },
            _ => Err(unknown_global(module, name)),
        }
    }
}

fn unknown_global(module: &str, name: &str) -> String {
    format!(
        "`{module}.{name}` is not allowed; a state dict holds collections.OrderedDict, torch._utils._rebuild_tensor_v2, \
         torch._utils._rebuild_parameter and torch.FloatStorage and its like"
    )
}

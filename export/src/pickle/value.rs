//! What a pickle holds.

use super::Step;

/// A pickle can recall one list any number of times, and each recalled one is copied.
const MAX_INTEGERS: usize = 64;

/// A value on the stack; the indexed ones live in the [`Heap`]. `G` are the globals of the dialect, `O` the objects it builds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<G, O> {
    /// `None`.
    Nothing,
    /// `True` or `False`.
    Truth(bool),
    /// An integer of at most 8 bytes.
    Integer(i64),
    /// A real number, whose value no dialect needs.
    Real,
    /// A text.
    Text(usize),
    /// Bytes.
    Bytes(usize),
    /// A global name, standing for itself.
    Global(G),
    /// A tuple or list.
    Sequence(usize),
    /// A dict.
    Dict(usize),
    /// Something that a call stands for.
    Object(O),
}

/// A key of a dict and its value.
pub type Entry<G, O> = (Value<G, O>, Value<G, O>);

/// The values that others refer to.
#[derive(Debug)]
pub struct Heap<G, O> {
    texts: Vec<String>,
    bytes: Vec<Vec<u8>>,
    pub(super) sequences: Vec<Vec<Value<G, O>>>,
    pub(super) dicts: Vec<Vec<Entry<G, O>>>,
}

impl<G, O> Default for Heap<G, O> {
    fn default() -> Self {
        Self {
            texts: Vec::new(),
            bytes: Vec::new(),
            sequences: Vec::new(),
            dicts: Vec::new(),
        }
    }
}

impl<G: Copy, O: Copy> Heap<G, O> {
    /// A new text.
    pub fn push_text(&mut self, text: String) -> Value<G, O> {
        self.texts.push(text);
        Value::Text(self.texts.len() - 1)
    }

    /// New bytes.
    pub fn push_bytes(&mut self, bytes: Vec<u8>) -> Value<G, O> {
        self.bytes.push(bytes);
        Value::Bytes(self.bytes.len() - 1)
    }

    /// A new tuple or list.
    pub fn push_sequence(&mut self, items: Vec<Value<G, O>>) -> Value<G, O> {
        self.sequences.push(items);
        Value::Sequence(self.sequences.len() - 1)
    }

    /// A new, empty dict.
    pub fn push_dict(&mut self) -> Value<G, O> {
        self.dicts.push(Vec::new());
        Value::Dict(self.dicts.len() - 1)
    }

    /// The items of a tuple or list.
    ///
    /// # Errors
    /// The value is something else; so too below.
    pub fn sequence(&self, value: Value<G, O>) -> Step<&[Value<G, O>]> {
        match value {
            Value::Sequence(sequence) => Ok(&self.sequences[sequence]),
            other => Err(format!("{} where a tuple is expected", other.kind())),
        }
    }

    /// The characters of a text.
    pub fn text(&self, value: Value<G, O>) -> Step<&str> {
        match value {
            Value::Text(text) => Ok(&self.texts[text]),
            other => Err(format!("{} where a text is expected", other.kind())),
        }
    }

    /// Bytes.
    pub fn bytes(&self, value: Value<G, O>) -> Step<&[u8]> {
        match value {
            Value::Bytes(bytes) => Ok(&self.bytes[bytes]),
            other => Err(format!("{} where bytes are expected", other.kind())),
        }
    }

    /// The keys and values of a dict, in order.
    pub fn dict(&self, value: Value<G, O>) -> Step<&[Entry<G, O>]> {
        match value {
            Value::Dict(dict) => Ok(&self.dicts[dict]),
            other => Err(format!("{} where a dict is expected", other.kind())),
        }
    }

    /// The integers of a tuple or list of at most 64; `what` they are, for the message.
    pub fn integers(&self, value: Value<G, O>, what: &str) -> Step<Vec<i64>> {
        let items = self.sequence(value)?;
        if items.len() > MAX_INTEGERS {
            return Err(format!("{} items where {what} are expected", items.len()));
        }
        items
            .iter()
            .map(|item| match item {
                Value::Integer(integer) => Ok(*integer),
                other => Err(format!("{} among {what}", other.kind())),
            })
            .collect()
    }
}

impl<G, O> Value<G, O> {
    /// What it is, for a message.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "None",
            Self::Truth(_) => "a truth value",
            Self::Integer(_) => "an integer",
            Self::Real => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::Global(_) => "a class or function",
            Self::Sequence(_) => "a tuple or list",
            Self::Dict(_) => "a dict",
            Self::Object(_) => "an object",
        }
    }
}

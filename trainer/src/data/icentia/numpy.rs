//! The few calls by which numpy pickles an array.

use dualnet_export::pickle::{Dialect, Heap, Payload, Step, Value};

/// How a number is stored, always little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    F16,
    F32,
    F64,
    I16,
    I32,
    I64,
}

impl Number {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "f2" => Self::F16,
            "f4" => Self::F32,
            "f8" => Self::F64,
            "i2" => Self::I16,
            "i4" => Self::I32,
            "i8" => Self::I64,
            _ => return None,
        })
    }

    /// Bytes of one.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::I16 => 2,
            Self::F32 | Self::I32 => 4,
            Self::F64 | Self::I64 => 8,
        }
    }
}

/// The shape of an array and what its numbers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) shape: Vec<u64>,
    pub(super) number: Number,
}

impl Layout {
    /// Bytes of the whole array.
    pub(super) fn bytes(&self) -> Option<u64> {
        let size = self.number.size() as u64;
        self.shape
            .iter()
            .try_fold(size, |bytes, &extent| bytes.checked_mul(extent))
    }
}

/// A global name that may occur.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    Reconstruct,
    FromBuffer,
    Array,
    Dtype,
    Encode,
    Bytes,
}

/// What a call stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Array(usize),
    Dtype(usize),
    /// Bytes that were read as a stream.
    Streamed,
}

pub(super) type Item = Value<Global, Object>;
pub(super) type Values = Heap<Global, Object>;

/// Reads the bytes of a large array while they come.
pub(super) trait Sink {
    /// Bytes of at least this length are streamed; `None` streams nothing.
    const STREAMED: Option<u64>;

    /// Reads `payload`, the bytes of an array of this layout; protocol 5 gives the bytes before the layout, which is `None`
    /// then.
    fn read(&mut self, layout: Option<Layout>, payload: &mut Payload<'_>) -> Step<()>;
}

/// Of an array, its layout and its bytes.
#[derive(Debug)]
struct Array {
    filled: Option<(Layout, Item)>,
}

#[derive(Clone, Copy, Debug)]
struct Dtype {
    number: Number,
    is_little: bool,
}

/// Pickled arrays.
#[derive(Debug)]
pub(super) struct Numpy<S> {
    pub(super) sink: S,
    arrays: Vec<Array>,
    dtypes: Vec<Dtype>,
    /// Bytes that texts may still become: one text can be recalled again and again.
    encoded_left: usize,
}

const HOLDER: &str = "a pickled array";

impl<S> Numpy<S> {
    /// Texts become at most `encoded` bytes, all together.
    pub(super) fn new(sink: S, encoded: usize) -> Self {
        Self {
            sink,
            arrays: Vec::new(),
            dtypes: Vec::new(),
            encoded_left: encoded,
        }
    }

    /// The layout of an array that is complete, and its bytes, `None` where they were streamed.
    pub(super) fn array<'a>(&'a self, value: Item, heap: &'a Values) -> Step<(&'a Layout, Option<&'a [u8]>)> {
        let Value::Object(Object::Array(array)) = value else {
            return Err(format!("{} where an array is expected", kind(value)));
        };
        match &self.arrays[array].filled {
            None => Err("an array without its numbers".to_owned()),
            Some((layout, Value::Object(Object::Streamed))) => Ok((layout, None)),
            Some((layout, bytes)) => Ok((layout, Some(heap.bytes(*bytes)?))),
        }
    }

    /// The layout that shape and type on the stack describe.
    fn layout(&self, shape: Item, dtype: Item, heap: &Values) -> Step<Layout> {
        let Value::Object(Object::Dtype(dtype)) = dtype else {
            return Err(format!("{} where the type of an array is expected", kind(dtype)));
        };
        let Dtype { number, is_little } = self.dtypes[dtype];
        if !is_little {
            return Err("an array of big-endian numbers; only little-endian ones are supported".to_owned());
        }
        let extents = heap.integers(shape, "an array's extents")?;
        let extent = |&extent: &i64| u64::try_from(extent).map_err(|_| format!("an array of extent {extent}"));
        Ok(Layout {
            shape: extents.iter().map(extent).collect::<Step<_>>()?,
            number,
        })
    }

    /// An array of this layout with these bytes, which must be as many as it needs.
    fn fill(&self, layout: Layout, bytes: Item, heap: &Values) -> Step<Array> {
        let needed = layout.bytes();
        let found = match bytes {
            Value::Object(Object::Streamed) => needed,
            _ => Some(heap.bytes(bytes)?.len() as u64),
        };
        if needed.is_none() || found != needed {
            return Err(format!(
                "an array of shape {:?} with {} bytes",
                layout.shape,
                found.unwrap_or_default()
            ));
        }
        Ok(Array {
            filled: Some((layout, bytes)),
        })
    }

    fn push(&mut self, array: Array) -> Item {
        self.arrays.push(array);
        Value::Object(Object::Array(self.arrays.len() - 1))
    }

    fn dtype(&mut self, arguments: &[Item], heap: &Values) -> Step<Item> {
        let name = heap.text(arguments.first().copied().unwrap_or(Value::Nothing))?;
        let number = Number::named(name)
            .ok_or_else(|| format!("an array of type {name:?}; supported are f2, f4, f8, i2, i4, i8"))?;
        self.dtypes.push(Dtype {
            number,
            is_little: false,
        });
        Ok(Value::Object(Object::Dtype(self.dtypes.len() - 1)))
    }

    fn encode(&mut self, arguments: &[Item], heap: &mut Values) -> Step<Item> {
        let &[text, encoding] = arguments else {
            return Err("_codecs.encode without a text and an encoding".to_owned());
        };
        let encoding = heap.text(encoding)?;
        if !matches!(encoding, "latin1" | "latin-1") {
            return Err(format!("a text encoded as {encoding:?}; only latin1 is supported"));
        }
        if text == Value::Object(Object::Streamed) {
            return Ok(text);
        }
        let text = heap.text(text)?;
        self.encoded_left = self
            .encoded_left
            .checked_sub(text.len())
            .ok_or("more bytes than such a file can have")?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        let bytes = bytes.map_err(|_| "a text beyond latin-1 where bytes are expected".to_owned())?;
        Ok(heap.push_bytes(bytes))
    }
}

impl<S: Sink> Dialect for Numpy<S> {
    type Global = Global;
    type Object = Object;

    const HOLDER: &'static str = HOLDER;
    const STREAMED: Option<u64> = S::STREAMED;

    fn global(&mut self, module: &str, name: &str) -> Step<Global> {
        match (module, name) {
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Ok(Global::Reconstruct),
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Ok(Global::FromBuffer),
            ("numpy", "ndarray") => Ok(Global::Array),
            ("numpy", "dtype") => Ok(Global::Dtype),
            ("_codecs", "encode") => Ok(Global::Encode),
            ("__builtin__" | "builtins", "bytes") => Ok(Global::Bytes),
            _ => Err(format!(
                "`{module}.{name}` is not allowed; {HOLDER} holds numpy's ndarray, dtype, _reconstruct and _frombuffer, \
                 _codecs.encode and bytes"
            )),
        }
    }

    fn call(&mut self, callable: Item, arguments: &[Item], heap: &mut Values) -> Step<Item> {
        match (callable, arguments) {
            (Value::Global(Global::Reconstruct), [Value::Global(Global::Array), ..]) => {
                Ok(self.push(Array { filled: None }))
            }
            (Value::Global(Global::FromBuffer), &[bytes, dtype, shape, order]) => {
                if heap.text(order)? != "C" {
                    return Err(FORTRAN.to_owned());
                }
                let array = self.fill(self.layout(shape, dtype, heap)?, bytes, heap)?;
                Ok(self.push(array))
            }
            (Value::Global(Global::Dtype), _) => self.dtype(arguments, heap),
            (Value::Global(Global::Encode), _) => self.encode(arguments, heap),
            (Value::Global(Global::Bytes), []) => Ok(heap.push_bytes(Vec::new())),
            (other, _) => Err(format!(
                "{} is called with {} arguments, which does not occur in {HOLDER}",
                kind(other),
                arguments.len()
            )),
        }
    }

    fn build(&mut self, target: Item, state: Item, heap: &Values) -> Step<()> {
        let state = heap.sequence(state)?;
        match (target, state) {
            (Value::Object(Object::Array(index)), &[_version, shape, dtype, Value::Truth(is_fortran), bytes]) => {
                if is_fortran {
                    return Err(FORTRAN.to_owned());
                }
                self.arrays[index] = self.fill(self.layout(shape, dtype, heap)?, bytes, heap)?;
                Ok(())
            }
            (Value::Object(Object::Dtype(index)), [_version, order, ..]) => {
                self.dtypes[index].is_little = heap.text(*order)? == "<";
                Ok(())
            }
            (other, _) => Err(format!(
                "sets {} attributes of {}, which does not occur in {HOLDER}",
                state.len(),
                kind(other)
            )),
        }
    }

    fn stream(&mut self, payload: &mut Payload<'_>, frame: &[Item], heap: &Values) -> Step<Item> {
        let layout = match (frame, payload.is_text()) {
            (&[_version, shape, dtype, Value::Truth(is_fortran)], false)
            | (
                &[
                    _version,
                    shape,
                    dtype,
                    Value::Truth(is_fortran),
                    Value::Global(Global::Encode),
                ],
                true,
            ) => {
                if is_fortran {
                    return Err(FORTRAN.to_owned());
                }
                Some(self.layout(shape, dtype, heap)?)
            }
            ([], false) => None,
            _ => return Err(format!("long bytes where {HOLDER} has none")),
        };
        self.sink.read(layout, payload)?;
        Ok(Value::Object(Object::Streamed))
    }
}

const FORTRAN: &str = "an array in Fortran's order; only C's order is supported";

/// What a value is, for a message.
fn kind(value: Item) -> &'static str {
    match value {
        Value::Object(Object::Array(_)) => "an array",
        Value::Object(Object::Dtype(_)) => "the type of an array",
        Value::Object(Object::Streamed) => "bytes",
        other => other.kind(),
    }
}

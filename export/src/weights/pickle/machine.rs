//! The instructions.

use super::value::{Global, Storage, Value, View};
use std::collections::HashMap;

/// A result, or what is wrong with the current instruction.
pub(super) type Step<T> = Result<T, String>;

/// A pickle and what has been made of it so far.
#[derive(Default)]
pub(super) struct Machine<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) position: usize,
    /// Where the current instruction starts.
    pub(super) instruction: usize,
    pub(super) stack: Vec<Value>,
    pub(super) marks: Vec<usize>,
    pub(super) texts: Vec<&'a str>,
    pub(super) sequences: Vec<Vec<Value>>,
    pub(super) dicts: Vec<Vec<(Value, Value)>>,
    memo: HashMap<u32, Value>,
    storages: Vec<Storage>,
    tensors: Vec<View>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }

    /// Runs all instructions; the value that is left.
    pub(super) fn run(&mut self) -> Step<Value> {
        loop {
            self.instruction = self.position;
            let code = self.byte()?;
            match code {
                b'.' => return self.pop(),
                0x80 => {
                    let protocol = self.byte()?;
                    if !(2..=5).contains(&protocol) {
                        return Err(format!("pickle protocol {protocol}; supported are 2 to 5"));
                    }
                }
                0x95 => drop(self.take(8)?),
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.stack.push(Value::Nothing),
                0x88 | 0x89 => self.stack.push(Value::Truth),
                b'K' | b'M' | b'J' | 0x8a => self.integer(code)?,
                b'G' => {
                    self.take(8)?;
                    self.stack.push(Value::Real);
                }
                b'X' | 0x8c | 0x8d => self.text(code)?,
                b'c' | 0x93 => self.global(code)?,
                b')' | b']' => self.push_sequence(Vec::new()),
                b't' => {
                    let items = self.pop_mark()?;
                    self.push_sequence(items);
                }
                0x85..=0x87 => {
                    let items = self.pop_many(usize::from(code - 0x84))?;
                    self.push_sequence(items);
                }
                b'a' => {
                    let items = self.pop_many(1)?;
                    self.append(items)?;
                }
                b'e' => {
                    let items = self.pop_mark()?;
                    self.append(items)?;
                }
                b'}' => self.push_dict(),
                b's' => {
                    let items = self.pop_many(2)?;
                    self.set_items(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set_items(&items)?;
                }
                b'Q' => self.persistent()?,
                b'R' => self.reduce()?,
                b'b' => self.build()?,
                b'q' | b'r' | 0x94 => self.remember(code)?,
                b'h' | b'j' => self.recall(code)?,
                _ => return Err(format!("instruction 0x{code:02x} does not occur in a state dict")),
            }
        }
    }

    /// The tensors of the finished dict.
    pub(super) fn entries(&self, root: Value) -> Step<Vec<(String, View)>> {
        let Value::Dict(dict) = root else {
            return Err(format!("holds {}, not a state dict", root.kind()));
        };
        let mut entries = Vec::with_capacity(self.dicts[dict].len());
        for &(key, value) in &self.dicts[dict] {
            let Value::Text(name) = key else {
                return Err(format!("has {} as a key; a state dict's keys are texts", key.kind()));
            };
            let name = self.texts[name];
            let Value::Tensor(view) = value else {
                return Err(format!(
                    "entry `{name}` is {}, not a tensor; save the state dict alone: torch.save(model.state_dict(), …)",
                    value.kind()
                ));
            };
            entries.push((name.to_owned(), self.tensors[view].clone()));
        }
        Ok(entries)
    }

    fn integer(&mut self, code: u8) -> Step<()> {
        let value = match code {
            b'K' => i64::from(self.byte()?),
            b'M' => i64::from(u16::from_le_bytes(self.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.array()?)),
            _ => {
                let width = usize::from(self.byte()?);
                let digits = self.take(width)?;
                if width > 8 {
                    return Err(format!("an integer of {width} bytes; at most 8 are supported"));
                }
                let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
                let mut extended = [if negative { 0xff } else { 0 }; 8];
                extended[..width].copy_from_slice(digits);
                i64::from_le_bytes(extended)
            }
        };
        self.stack.push(Value::Integer(value));
        Ok(())
    }

    fn text(&mut self, code: u8) -> Step<()> {
        let length = match code {
            b'X' => u64::from(u32::from_le_bytes(self.array()?)),
            0x8c => u64::from(self.byte()?),
            _ => u64::from_le_bytes(self.array()?),
        };
        let length = usize::try_from(length).map_err(|_| "a text longer than the memory".to_owned())?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8".to_owned())?;
        self.texts.push(text);
        self.stack.push(Value::Text(self.texts.len() - 1));
        Ok(())
    }

    fn global(&mut self, code: u8) -> Step<()> {
        let (module, name) = if code == b'c' {
            (self.line()?, self.line()?)
        } else {
            let names = self.pop_many(2)?;
            (self.as_text(names[0])?, self.as_text(names[1])?)
        };
        let global = Global::named(module, name)?;
        self.stack.push(Value::Global(global));
        Ok(())
    }

    fn persistent(&mut self) -> Step<()> {
        let reference = self.pop()?;
        let items = self.as_sequence(reference)?;
        let &[kind, class, key, _device, elements] = items else {
            return Err(format!("a storage reference of {} parts; expected 5", items.len()));
        };
        let (Value::Global(Global::Storage(element)), Value::Integer(elements)) = (class, elements) else {
            return Err("a storage reference without a storage class and a number of elements".to_owned());
        };
        let kind = self.as_text(kind)?;
        if kind != "storage" {
            return Err(format!(
                "a persistent reference to a `{kind}`; only storages are supported"
            ));
        }
        let key = self.as_text(key)?.to_owned();
        self.storages.push(Storage { element, key, elements });
        self.stack.push(Value::Storage(self.storages.len() - 1));
        Ok(())
    }

    fn reduce(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let arguments = self.as_sequence(arguments)?;
        match callable {
            Value::Global(Global::OrderedDict) if arguments.is_empty() => self.push_dict(),
            Value::Global(Global::OrderedDict) => return Err("an OrderedDict built from arguments".to_owned()),
            Value::Global(Global::RebuildTensor) => {
                let view = self.view(arguments)?;
                self.tensors.push(view);
                self.stack.push(Value::Tensor(self.tensors.len() - 1));
            }
            Value::Global(Global::RebuildParameter) => match arguments.first() {
                Some(&tensor @ Value::Tensor(_)) => self.stack.push(tensor),
                _ => return Err("a parameter that holds no tensor".to_owned()),
            },
            other => {
                return Err(format!(
                    "{} is called; only tensors and dicts are built in a state dict",
                    other.kind()
                ));
            }
        }
        Ok(())
    }

    fn view(&self, arguments: &[Value]) -> Step<View> {
        let &[Value::Storage(storage), Value::Integer(offset), shape, strides, ..] = arguments else {
            return Err("a tensor without storage, offset, size and stride".to_owned());
        };
        Ok(View {
            storage: self.storages[storage].clone(),
            offset,
            shape: self.as_integers(shape)?,
            strides: self.as_integers(strides)?,
        })
    }

    /// `BUILD` sets attributes of an object; the only one in a state dict is its `_metadata`, which says nothing about tensors.
    fn build(&mut self) -> Step<()> {
        self.pop()?;
        match self.top()? {
            Value::Dict(_) => Ok(()),
            other => Err(format!(
                "sets attributes of {}; only an OrderedDict may have some",
                other.kind()
            )),
        }
    }

    fn remember(&mut self, code: u8) -> Step<()> {
        let key = match code {
            b'q' => u32::from(self.byte()?),
            b'r' => u32::from_le_bytes(self.array()?),
            _ => u32::try_from(self.memo.len()).map_err(|_| "too many remembered values".to_owned())?,
        };
        let value = self.top()?;
        self.memo.insert(key, value);
        Ok(())
    }

    fn recall(&mut self, code: u8) -> Step<()> {
        let key = match code {
            b'h' => u32::from(self.byte()?),
            _ => u32::from_le_bytes(self.array()?),
        };
        let value = self
            .memo
            .get(&key)
            .ok_or_else(|| format!("value {key} is recalled but was never remembered"))?;
        self.stack.push(*value);
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Step<()> {
        match self.top()? {
            Value::Sequence(list) => self.sequences[list].extend(items),
            other => return Err(format!("appends to {}", other.kind())),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Step<()> {
        let Value::Dict(dict) = self.top()? else {
            return Err(format!("sets items of {}", self.top()?.kind()));
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".to_owned());
        }
        self.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }
}

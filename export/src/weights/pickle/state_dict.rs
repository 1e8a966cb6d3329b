//! What a state dict may hold.

use super::value::{STORAGES, Storage, View};
use crate::pickle::{Dialect, Heap, Step, Value};
use crate::weights::element::Element;
use std::collections::HashSet;

/// Bytes of a storage's name, which is a number; each reference copies it.
const MAX_KEY: usize = 64;
/// Bytes of a tensor's name; that of every entry is copied, though the pickle may hold it once.
const MAX_NAME: usize = 1 << 10;
/// The highest rank of a tensor.
const MAX_RANK: usize = 8;
/// Tensors and references to storages. The largest network of the ten has less than a thousand.
const MAX_TENSORS: usize = 1 << 16;

/// A name that stands for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
}

/// What the calls and references of a state dict stand for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object {
    Storage(usize),
    Tensor(usize),
}

type Item = Value<Global, Object>;
type Values = Heap<Global, Object>;

/// The storages and tensors of a state dict.
#[derive(Debug, Default)]
pub(super) struct TorchDialect {
    storages: Vec<Storage>,
    tensors: Vec<View>,
}

impl TorchDialect {
    /// The tensors of the finished dict.
    pub(super) fn entries(&self, root: Item, heap: &Values) -> Step<Vec<(String, View)>> {
        let dict = heap
            .dict(root)
            .map_err(|_| format!("holds {}, not a state dict", kind(root)))?;
        let (mut names, mut entries) = (HashSet::new(), Vec::new());
        for &(key, value) in dict {
            let name = heap
                .text(key)
                .map_err(|_| format!("has {} as a key; a state dict's keys are texts", kind(key)))?;
            if name.len() > MAX_NAME {
                return Err(format!(
                    "a tensor's name of {} bytes; at most {MAX_NAME} are supported",
                    name.len()
                ));
            }
            let Value::Object(Object::Tensor(view)) = value else {
                return Err(format!(
                    "entry `{name}` is {}, not a tensor; save the state dict alone: torch.save(model.state_dict(), …)",
                    kind(value)
                ));
            };
            if !names.insert(name) {
                return Err(format!("entry `{name}` is there twice"));
            }
            entries.push((name.to_owned(), self.tensors[view].clone()));
        }
        Ok(entries)
    }

    fn view(&self, arguments: &[Item], heap: &Values) -> Step<View> {
        let &[
            Value::Object(Object::Storage(storage)),
            Value::Integer(offset),
            shape,
            strides,
            ..,
        ] = arguments
        else {
            return Err("a tensor without storage, offset, size and stride".to_owned());
        };
        let extents = |extents: Item| match heap.sequence(extents)?.len() {
            0..=MAX_RANK => heap.integers(extents, "a tensor's sizes or strides"),
            rank => Err(format!(
                "a tensor of {rank} sizes or strides; at most {MAX_RANK} are supported"
            )),
        };
        Ok(View {
            storage: self.storages[storage].clone(),
            offset,
            shape: extents(shape)?,
            strides: extents(strides)?,
        })
    }
}

impl Dialect for TorchDialect {
    type Global = Global;
    type Object = Object;

    const HOLDER: &'static str = "a state dict";

    fn global(&mut self, module: &str, name: &str) -> Step<Global> {
        match (module, name) {
            ("collections", "OrderedDict") => Ok(Global::OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => Ok(Global::RebuildTensor),
            ("torch._utils", "_rebuild_parameter") => Ok(Global::RebuildParameter),
            ("torch", class) if class.ends_with("Storage") => storage(class).map(Global::Storage),
            _ => Err(format!(
                "`{module}.{name}` is not allowed; a state dict holds collections.OrderedDict, \
                 torch._utils._rebuild_tensor_v2, torch._utils._rebuild_parameter and torch.FloatStorage and its like"
            )),
        }
    }

    fn call(&mut self, callable: Item, arguments: &[Item], heap: &mut Values) -> Step<Item> {
        match callable {
            Value::Global(Global::OrderedDict) if arguments.is_empty() => Ok(heap.push_dict()),
            Value::Global(Global::OrderedDict) => Err("an OrderedDict built from arguments".to_owned()),
            Value::Global(Global::RebuildTensor) => {
                room(&self.tensors)?;
                let view = self.view(arguments, heap)?;
                self.tensors.push(view);
                Ok(Value::Object(Object::Tensor(self.tensors.len() - 1)))
            }
            Value::Global(Global::RebuildParameter) => match arguments.first() {
                Some(&tensor @ Value::Object(Object::Tensor(_))) => Ok(tensor),
                _ => Err("a parameter that holds no tensor".to_owned()),
            },
            other => Err(format!(
                "{} is called; only tensors and dicts are built in a state dict",
                kind(other)
            )),
        }
    }

    /// The only attribute in a state dict is its `_metadata`, which says nothing about tensors.
    fn build(&mut self, target: Item, _: Item, _: &Values) -> Step<()> {
        match target {
            Value::Dict(_) => Ok(()),
            other => Err(format!(
                "sets attributes of {}; only an OrderedDict may have some",
                kind(other)
            )),
        }
    }

    fn persistent(&mut self, reference: Item, heap: &Values) -> Step<Item> {
        let items = heap.sequence(reference)?;
        let &[what, class, key, _device, elements] = items else {
            return Err(format!("a storage reference of {} parts; expected 5", items.len()));
        };
        let (Value::Global(Global::Storage(element)), Value::Integer(elements)) = (class, elements) else {
            return Err("a storage reference without a storage class and a number of elements".to_owned());
        };
        let what = heap.text(what)?;
        if what != "storage" {
            return Err(format!(
                "a persistent reference to a `{what}`; only storages are supported"
            ));
        }
        let key = heap.text(key)?.to_owned();
        if key.len() > MAX_KEY {
            return Err(format!("a storage's name of {} bytes", key.len()));
        }
        room(&self.storages)?;
        self.storages.push(Storage { element, key, elements });
        Ok(Value::Object(Object::Storage(self.storages.len() - 1)))
    }
}

/// The elements of a storage class.
fn storage(class: &str) -> Step<Element> {
    let known = STORAGES.iter().find(|(name, _)| *name == class);
    known.map(|(_, element)| *element).ok_or_else(|| {
        let names = STORAGES.map(|(name, _)| name).join(", ");
        format!("elements of `torch.{class}`; supported are those of {names}")
    })
}

/// Fails when there is one too many.
fn room<T>(items: &[T]) -> Step<()> {
    if items.len() < MAX_TENSORS {
        return Ok(());
    }
    Err(format!(
        "more than {MAX_TENSORS} tensors or storages, which no network has"
    ))
}

/// What a value is, for a message.
fn kind(value: Item) -> &'static str {
    match value {
        Value::Object(Object::Storage(_)) => "a storage",
        Value::Object(Object::Tensor(_)) => "a tensor",
        other => other.kind(),
    }
}

//! The machine: a stack, what is remembered, and what a dialect makes of calls.

use super::input::{Input, Limits, Payload};
use super::value::{Heap, Value};
use super::{PickleError, Step};
use std::collections::HashMap;
use std::fmt::Debug;
use std::io::BufRead;

/// A value of a dialect.
pub type Item<D> = Value<<D as Dialect>::Global, <D as Dialect>::Object>;
/// The values that others of a dialect refer to.
type Store<D> = Heap<<D as Dialect>::Global, <D as Dialect>::Object>;

/// The more arguments a call has, the longer it takes to look at them.
const MAX_ARGUMENTS: usize = 16;

/// What one kind of file may hold beside plain values.
pub trait Dialect {
    /// A global name that may occur.
    type Global: Copy + Debug;
    /// What a call may stand for.
    type Object: Copy + Debug;

    /// What holds the pickled value, for messages.
    const HOLDER: &'static str;
    /// Texts and bytes of at least this length are offered to [`stream`](Self::stream); `None` offers nothing.
    const STREAMED: Option<u64> = None;

    /// The global `module.name`.
    ///
    /// # Errors
    /// It may not occur.
    fn global(&mut self, module: &str, name: &str) -> Step<Self::Global>;

    /// What a call stands for.
    ///
    /// # Errors
    /// It may not occur, or not with these arguments.
    fn call(
        &mut self,
        callable: Value<Self::Global, Self::Object>,
        arguments: &[Value<Self::Global, Self::Object>],
        heap: &mut Heap<Self::Global, Self::Object>,
    ) -> Step<Value<Self::Global, Self::Object>>;

    /// Sets the state of an object.
    ///
    /// # Errors
    /// It may not be set, or not to this.
    fn build(
        &mut self,
        target: Value<Self::Global, Self::Object>,
        state: Value<Self::Global, Self::Object>,
        heap: &Heap<Self::Global, Self::Object>,
    ) -> Step<()>;

    /// What a persistent reference stands for.
    ///
    /// # Errors
    /// It may not occur, as by default, or not like this.
    fn persistent(
        &mut self,
        _reference: Value<Self::Global, Self::Object>,
        _heap: &Heap<Self::Global, Self::Object>,
    ) -> Step<Value<Self::Global, Self::Object>> {
        Err(format!("a persistent reference does not occur in {}", Self::HOLDER))
    }

    /// Reads a long text or long bytes, all or as much as is wanted before the machine is abandoned; `frame` is the stack
    /// above the last mark.
    ///
    /// # Errors
    /// It may not occur here, as by default, or is not what it should be.
    fn stream(
        &mut self,
        _payload: &mut Payload<'_>,
        _frame: &[Value<Self::Global, Self::Object>],
        _heap: &Heap<Self::Global, Self::Object>,
    ) -> Step<Value<Self::Global, Self::Object>> {
        Err(format!("a text or bytes too long for {}", Self::HOLDER))
    }
}

/// A pickle and what has been made of it so far.
#[derive(Debug)]
pub struct Machine<R, D: Dialect> {
    pub(super) input: Input<R>,
    dialect: D,
    heap: Store<D>,
    pub(super) stack: Vec<Item<D>>,
    pub(super) marks: Vec<usize>,
    memo: HashMap<u32, Item<D>>,
    instructions_left: u64,
    /// Where the current instruction starts.
    instruction: u64,
}

impl<R: BufRead, D: Dialect> Machine<R, D> {
    /// A machine before its first instruction.
    pub fn new(reader: R, dialect: D, limits: Limits) -> Self {
        Self {
            input: Input::new(reader, limits.bytes),
            dialect,
            heap: Heap::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            instructions_left: limits.instructions,
            instruction: 0,
        }
    }

    /// Runs all instructions; the value that is left.
    ///
    /// # Errors
    /// What is wrong with the pickle, and where.
    pub fn run(&mut self) -> Result<Item<D>, PickleError> {
        loop {
            if let Some(value) = self.step()? {
                return Ok(value);
            }
        }
    }

    /// Runs one instruction; the value that is left when it was the last.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn step(&mut self) -> Result<Option<Item<D>>, PickleError> {
        self.instruction = self.input.position();
        self.try_step().map_err(|message| self.fault(message))
    }

    /// An error at the current instruction.
    pub fn fault(&self, message: String) -> PickleError {
        PickleError {
            offset: self.instruction,
            message,
        }
    }

    /// The values that others refer to.
    pub fn heap(&self) -> &Heap<D::Global, D::Object> {
        &self.heap
    }

    /// What the dialect knows by now.
    pub fn dialect(&self) -> &D {
        &self.dialect
    }

    /// The dialect, and the reader behind the last instruction.
    pub fn into_parts(self) -> (D, R) {
        (self.dialect, self.input.into_reader())
    }

    fn try_step(&mut self) -> Step<Option<Item<D>>> {
        let left = self.instructions_left.checked_sub(1);
        self.instructions_left = left.ok_or("more instructions than such a file can have")?;
        let code = self.input.byte()?;
        if code == b'.' {
            return self.pop().map(Some);
        }
        self.instruction(code).map(|()| None)
    }

    /// The lowest stack position that the current instruction may touch.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn push(&mut self, value: Item<D>) {
        self.stack.push(value);
    }

    pub(super) fn top(&self) -> Step<Item<D>> {
        let top = self.stack[self.floor()..].last().copied();
        top.ok_or_else(|| "the stack is empty".to_owned())
    }

    pub(super) fn pop(&mut self) -> Step<Item<D>> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Step<Vec<Item<D>>> {
        if self.stack.len() - self.floor() < count {
            return Err("the stack is empty".to_owned());
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    pub(super) fn pop_mark(&mut self) -> Step<Vec<Item<D>>> {
        let mark = self.marks.pop().ok_or_else(|| "no mark on the stack".to_owned())?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn push_sequence(&mut self, items: Vec<Item<D>>) {
        let value = self.heap.push_sequence(items);
        self.stack.push(value);
    }

    pub(super) fn push_dict(&mut self) {
        let value = self.heap.push_dict();
        self.stack.push(value);
    }

    /// Texts and bytes, held or streamed.
    pub(super) fn data(&mut self, length: u64, is_text: bool) -> Step<()> {
        let value = if D::STREAMED.is_some_and(|least| length >= least) {
            let frame = &self.stack[self.marks.last().copied().unwrap_or(0)..];
            let mut payload = self.input.payload(length, is_text);
            self.dialect.stream(&mut payload, frame, &self.heap)?
        } else if is_text {
            let text = self.input.text(length)?;
            self.heap.push_text(text)
        } else {
            let bytes = self.input.take(length)?;
            self.heap.push_bytes(bytes)
        };
        self.push(value);
        Ok(())
    }

    pub(super) fn global(&mut self, module: &str, name: &str) -> Step<()> {
        let global = self.dialect.global(module, name)?;
        self.push(Value::Global(global));
        Ok(())
    }

    /// Module and name, which lie on the stack.
    pub(super) fn stacked_global(&mut self) -> Step<()> {
        let names = self.pop_many(2)?;
        let global = {
            let (module, name) = (self.heap.text(names[0])?, self.heap.text(names[1])?);
            self.dialect.global(module, name)?
        };
        self.push(Value::Global(global));
        Ok(())
    }

    pub(super) fn persistent(&mut self) -> Step<()> {
        let reference = self.pop()?;
        let value = self.dialect.persistent(reference, &self.heap)?;
        self.push(value);
        Ok(())
    }

    pub(super) fn reduce(&mut self) -> Step<()> {
        let arguments = self.pop()?;
        let callable = self.pop()?;
        let arguments = self.heap.sequence(arguments)?;
        if arguments.len() > MAX_ARGUMENTS {
            return Err(format!("a call with {} arguments", arguments.len()));
        }
        let arguments = arguments.to_vec();
        let value = self.dialect.call(callable, &arguments, &mut self.heap)?;
        self.push(value);
        Ok(())
    }

    pub(super) fn build(&mut self) -> Step<()> {
        let state = self.pop()?;
        let target = self.top()?;
        self.dialect.build(target, state, &self.heap)
    }

    /// Remembers the top of the stack under `key`, or under the next free one.
    pub(super) fn remember(&mut self, key: Option<u32>) -> Step<()> {
        let next = || u32::try_from(self.memo.len()).map_err(|_| "too many remembered values".to_owned());
        let key = key.map_or_else(next, Ok)?;
        let value = self.top()?;
        self.memo.insert(key, value);
        Ok(())
    }

    pub(super) fn recall(&mut self, key: u32) -> Step<()> {
        let value = self.memo.get(&key).copied();
        let value = value.ok_or_else(|| format!("value {key} is recalled but was never remembered"))?;
        self.push(value);
        Ok(())
    }

    pub(super) fn append(&mut self, items: Vec<Item<D>>) -> Step<()> {
        match self.top()? {
            Value::Sequence(list) => self.heap.sequences[list].extend(items),
            other => return Err(format!("appends to {}", other.kind())),
        }
        Ok(())
    }

    pub(super) fn set_items(&mut self, items: &[Item<D>]) -> Step<()> {
        let Value::Dict(dict) = self.top()? else {
            return Err(format!("sets items of {}", self.top()?.kind()));
        };
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err("a key without a value".to_owned());
        }
        self.heap.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }
}

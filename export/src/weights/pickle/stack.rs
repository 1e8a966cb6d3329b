//! The stack and the bytes behind the instructions.

use super::machine::{Machine, Step};
use super::value::Value;

const ENDS: &str = "ends in the middle of an instruction";

impl<'a> Machine<'a> {
    pub(super) fn push_sequence(&mut self, items: Vec<Value>) {
        self.sequences.push(items);
        self.stack.push(Value::Sequence(self.sequences.len() - 1));
    }

    pub(super) fn push_dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    /// The lowest stack position that the current instruction may touch.
    pub(super) fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    pub(super) fn top(&self) -> Step<Value> {
        self.stack[self.floor()..]
            .last()
            .copied()
            .ok_or_else(|| "the stack is empty".to_owned())
    }

    pub(super) fn pop(&mut self) -> Step<Value> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    pub(super) fn pop_many(&mut self, count: usize) -> Step<Vec<Value>> {
        if self.stack.len() - self.floor() < count {
            return Err("the stack is empty".to_owned());
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    pub(super) fn pop_mark(&mut self) -> Step<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| "no mark on the stack".to_owned())?;
        Ok(self.stack.split_off(mark))
    }

    pub(super) fn as_sequence(&self, value: Value) -> Step<&[Value]> {
        match value {
            Value::Sequence(sequence) => Ok(&self.sequences[sequence]),
            other => Err(format!("{} where a tuple is expected", other.kind())),
        }
    }

    pub(super) fn as_text(&self, value: Value) -> Step<&'a str> {
        match value {
            Value::Text(text) => Ok(self.texts[text]),
            other => Err(format!("{} where a text is expected", other.kind())),
        }
    }

    pub(super) fn as_integers(&self, value: Value) -> Step<Vec<i64>> {
        self.as_sequence(value)?
            .iter()
            .map(|item| match item {
                Value::Integer(integer) => Ok(*integer),
                other => Err(format!("{} among a tensor's sizes or strides", other.kind())),
            })
            .collect()
    }

    pub(super) fn byte(&mut self) -> Step<u8> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let bytes = self.take(N)?;
        <[u8; N]>::try_from(bytes).map_err(|_| ENDS.to_owned())
    }

    pub(super) fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let end = self
            .position
            .checked_add(count)
            .filter(|&end| end <= self.bytes.len())
            .ok_or(ENDS)?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    pub(super) fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.position..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or(ENDS)?;
        self.position += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| "a name that is not UTF-8".to_owned())
    }
}

//! The instructions.

use super::Step;
use super::machine::{Dialect, Machine};
use super::value::Value;
use std::io::BufRead;

impl<R: BufRead, D: Dialect> Machine<R, D> {
    /// Runs the instruction `code`, which is not the last one.
    pub(super) fn instruction(&mut self, code: u8) -> Step<()> {
        match code {
            0x80 => {
                let protocol = self.input.byte()?;
                if !(2..=5).contains(&protocol) {
                    return Err(format!("pickle protocol {protocol}; supported are 2 to 5"));
                }
            }
            // A frame's length.
            0x95 => {
                self.input.array::<8>()?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'N' => self.push(Value::Nothing),
            0x88 | 0x89 => self.push(Value::Truth(code == 0x88)),
            b'K' | b'M' | b'J' | 0x8a => self.integer(code)?,
            b'G' => {
                self.input.array::<8>()?;
                self.push(Value::Real);
            }
            b'X' | 0x8c | 0x8d => {
                let length = self.length(code)?;
                self.data(length, true)?;
            }
            b'C' | b'B' | 0x8e | 0x96 => {
                let length = self.length(code)?;
                self.data(length, false)?;
            }
            b'c' => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.global(&module, &name)?;
            }
            0x93 => self.stacked_global()?,
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
            b'q' | b'r' | 0x94 => {
                let key = match code {
                    b'q' => Some(u32::from(self.input.byte()?)),
                    b'r' => Some(u32::from_le_bytes(self.input.array()?)),
                    _ => None,
                };
                self.remember(key)?;
            }
            b'h' | b'j' => {
                let key = match code {
                    b'h' => u32::from(self.input.byte()?),
                    _ => u32::from_le_bytes(self.input.array()?),
                };
                self.recall(key)?;
            }
            _ => return Err(format!("instruction 0x{code:02x} does not occur in {}", D::HOLDER)),
        }
        Ok(())
    }

    fn length(&mut self, code: u8) -> Step<u64> {
        Ok(match code {
            b'X' | b'B' => u64::from(u32::from_le_bytes(self.input.array()?)),
            0x8c | b'C' => u64::from(self.input.byte()?),
            _ => u64::from_le_bytes(self.input.array()?),
        })
    }

    fn integer(&mut self, code: u8) -> Step<()> {
        let value = match code {
            b'K' => i64::from(self.input.byte()?),
            b'M' => i64::from(u16::from_le_bytes(self.input.array()?)),
            b'J' => i64::from(i32::from_le_bytes(self.input.array()?)),
            _ => {
                let width = usize::from(self.input.byte()?);
                let digits = self.input.take(width as u64)?;
                if width > 8 {
                    return Err(format!("an integer of {width} bytes; at most 8 are supported"));
                }
                let negative = digits.last().is_some_and(|byte| byte & 0x80 != 0);
                let mut extended = [if negative { 0xff } else { 0 }; 8];
                extended[..width].copy_from_slice(&digits);
                i64::from_le_bytes(extended)
            }
        };
        self.push(Value::Integer(value));
        Ok(())
    }
}

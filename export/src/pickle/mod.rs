//! The few pickle instructions that data files are made of (pickle protocols 2 to 5).
//!
//! Nothing is imported and nothing called: a [`Dialect`] names the globals that a kind of file may hold and says what a call
//! of one stands for; every other name is an error. Values live in flat lists and refer to each other by index, so neither
//! deep nesting nor a value that contains itself can exhaust the stack. The pickle comes from any buffered reader, within
//! stated [`Limits`], and long texts and bytes can be read as a stream without being held.

mod input;
mod instructions;
mod machine;
mod value;

pub use input::{Input, Limits, Payload};
pub use machine::{Dialect, Item, Machine};
pub use value::{Entry, Heap, Value};

/// A result, or what is wrong with the current instruction.
pub type Step<T> = Result<T, String>;

/// What is wrong, at a byte of the pickle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickleError {
    /// Where the instruction starts.
    pub offset: u64,
    /// What is wrong and what is expected.
    pub message: String,
}

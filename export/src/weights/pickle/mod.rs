//! The few pickle instructions that a state dict is made of (pickle protocols 2 to 5; written is 2, as PyTorch does).
//!
//! When reading, nothing is imported and nothing called: the global names that occur in a state dict stand for themselves, every other
//! one is an error. Values live in one flat list and refer to each other by index, so neither deep nesting nor a value
//! that contains itself can exhaust the stack.

mod machine;
mod stack;
mod value;
mod writer;

pub(super) use value::{StorageType, View};
pub(super) use writer::{Entry, write_state_dict};

use machine::Machine;

/// What is wrong, at a byte of the pickle.
#[derive(Debug)]
pub(super) struct PickleError {
    pub(super) offset: usize,
    pub(super) message: String,
}

/// Reads a pickled state dict: its entries in order.
pub(super) fn read_state_dict(pickle: &[u8]) -> Result<Vec<(String, View)>, PickleError> {
    let mut machine = Machine::new(pickle);
    machine
        .run()
        .and_then(|root| machine.entries(root))
        .map_err(|message| PickleError {
            offset: machine.instruction,
            message,
        })
}

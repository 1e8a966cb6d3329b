//! The pickle inside a `.pt` (written is protocol 2, as PyTorch does).

mod state_dict;
mod value;
mod writer;

pub(super) use value::View;
pub(super) use writer::{Entry, write_state_dict};

use crate::pickle::{Limits, Machine, PickleError};
use state_dict::TorchDialect;

/// About thirty go to a tensor, and the largest of the networks has a thousand.
const MOST_INSTRUCTIONS: u64 = 1 << 20;

/// Reads a pickled state dict: its entries in order.
pub(super) fn read_state_dict(pickle: &[u8]) -> Result<Vec<(String, View)>, PickleError> {
    let limits = Limits {
        bytes: pickle.len() as u64,
        instructions: MOST_INSTRUCTIONS,
    };
    let mut machine = Machine::new(pickle, TorchDialect::default(), limits);
    let root = machine.run()?;
    machine
        .dialect()
        .entries(root, machine.heap())
        .map_err(|message| machine.fault(message))
}

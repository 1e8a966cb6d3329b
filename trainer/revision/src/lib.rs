//! The state of the sources a program was built from.

/// The version and, in a clone with git, the commit, marked when files differ from it.
pub const REVISION: &str = env!("DUALNET_REVISION");

//! The program `engine`: reads ECG recordings and names their rhythm.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

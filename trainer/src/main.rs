//! The program `trainer`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dualnet_trainer::environment::settle();
    dualnet_trainer::cli::run()
}

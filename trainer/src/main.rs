use std::process::ExitCode;

fn main() -> ExitCode {
    dualnet_trainer::cli::run()
}

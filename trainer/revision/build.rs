//! Asks git for the commit.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A commit, and what may differ from it in the program: a build keeps no revision that its sources have left.
    for changed in [
        "../../.git/HEAD",
        "../../.git/logs/HEAD",
        "../../Cargo.toml",
        "../../Cargo.lock",
        "../../cuda/src",
        "../../engine/src",
        "../../engine/models",
        "../../export/src",
        "../src",
    ] {
        if Path::new(changed).exists() {
            println!("cargo::rerun-if-changed={changed}");
        }
    }
    let version = env!("CARGO_PKG_VERSION");
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"])
        .output();
    let revision = match described {
        Ok(output) if output.status.success() => {
            format!("{version} ({})", String::from_utf8_lossy(&output.stdout).trim())
        }
        _ => version.to_owned(),
    };
    println!("cargo::rustc-env=DUALNET_REVISION={revision}");
}

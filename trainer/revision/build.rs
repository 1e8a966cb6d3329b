//! Asks git for the commit.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A commit, and what may differ from it in the program: a build keeps no revision that its sources have left.
    let sources = [
        "../../.cargo/config.toml",
        "../../Cargo.toml",
        "../../Cargo.lock",
        "../../cuda/Cargo.toml",
        "../../cuda/build.rs",
        "../../cuda/src",
        "../../engine/Cargo.toml",
        "../../engine/src",
        "../../engine/models",
        "../../export/Cargo.toml",
        "../../export/src",
        "../Cargo.toml",
        "../build.rs",
        "../src",
    ];
    let of_git = ["HEAD", "logs/HEAD"].map(|name| git(&["rev-parse", "--git-path", name]));
    let watched = sources
        .into_iter()
        .map(str::to_owned)
        .chain(of_git.into_iter().flatten());
    for path in watched.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    let version = env!("CARGO_PKG_VERSION");
    let described = git(&["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]);
    let revision = described.map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=DUALNET_REVISION={revision}");
}

/// What git answers; `None` where there is no git, or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let answer = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| answer.trim().to_owned())
}

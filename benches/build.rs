//! Lets the benchmarks that train find libtorch's libraries where they lie, and all of them say how they were optimized.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Cargo sets it for build scripts alone.
    println!(
        "cargo::rustc-env=BENCH_OPT_LEVEL={}",
        env::var("OPT_LEVEL").unwrap_or_default()
    );
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) {
        let lib = lib.canonicalize().unwrap_or(lib);
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

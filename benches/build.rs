//! Lets the benchmarks that train find libtorch's libraries where they lie.

use std::env;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) {
        let lib = lib.canonicalize().unwrap_or(lib);
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

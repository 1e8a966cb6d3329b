//! Compiles the C++ shims against libtorch and lets programs and tests find libtorch's libraries where they lie.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

const SHIMS: [&str; 11] = [
    "src/axial/autograd.cpp",
    "src/capture/graph.cpp",
    "src/convolution/autograd.cpp",
    "src/distributed/c10d.cpp",
    "src/distributed/hooks.cpp",
    "src/lstm/autograd.cpp",
    "src/optimizer/foreach.cpp",
    "src/pau/autograd.cpp",
    "src/pau/conditional.cpp",
    "src/shim.cpp",
    "src/torch/gradient.cpp",
];
const HEADER: &str = "src/shim.h";
/// What stands for the headers of gloo, which libtorch does not bring.
const GLOO: &str = "src/distributed/gloo";

fn main() -> ExitCode {
    for source in SHIMS.into_iter().chain([HEADER, GLOO]) {
        println!("cargo::rerun-if-changed={source}");
    }
    let Some(lib) = env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        println!(
            "cargo::error=torch-sys found no libtorch; run scripts/fetch_libtorch.py or set LIBTORCH to its folder"
        );
        return ExitCode::FAILURE;
    };
    // torch-sys names the libraries only; both layouts of libtorch (a zip, a wheel) keep the headers beside them.
    let include = lib.with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .pic(true)
        .define("USE_DISTRIBUTED", None)
        .define("USE_C10D_GLOO", None)
        .include(GLOO)
        .flag("-isystem")
        .flag(include.as_os_str())
        .flag("-isystem")
        .flag(include.join("torch/csrc/api/include").as_os_str())
        .files(SHIMS)
        .compile("dualnet_shims");

    let lib = lib.canonicalize().unwrap_or(lib);
    println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    ExitCode::SUCCESS
}

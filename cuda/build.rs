//! Embeds the compiled kernels that `cuda/tools/compile.py` left, when they are those of the sources.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where the tool's link leads, from this crate's folder.
const COMPILED: &str = "../.cuda-kernels/kernels.bin";
const MAGIC: &[u8] = b"DUALNET-CUDA-1\n";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    // Cargo takes a file that is missing for one that has changed, at every build. The tool touches this file when it leaves kernels where
    // there were none or others.
    if Path::new(COMPILED).exists() {
        println!("cargo::rerun-if-changed={COMPILED}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let compiled = fs::read(COMPILED).unwrap_or_default();
    let identity = identity(Path::new("src"))?;
    let fits = compiled.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<8>()) == Some(&identity.to_le_bytes());
    // An empty archive means that this build has no kernels, which `Archive::embedded` reports.
    fs::write(out.join("kernels.bin"), if fits { &compiled[..] } else { &[] })
}

/// FNV-1a over names and contents of the device sources, as `compile.py` computes it.
fn identity(folder: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    let mut named: Vec<(String, PathBuf)> = files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(folder).expect("found below the folder");
            (name.to_string_lossy().replace('\\', "/"), file)
        })
        .collect();
    named.sort();
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for &byte in bytes.iter().chain(&[0]) {
            state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    for (name, file) in named {
        add(name.as_bytes());
        add(&fs::read(file)?);
    }
    Ok(state)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "cu" || extension == "cuh")
            && !path.ends_with("host.cuh")
        {
            files.push(path);
        }
    }
    Ok(())
}

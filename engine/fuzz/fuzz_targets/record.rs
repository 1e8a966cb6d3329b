//! Any bytes are a recording or an error: `cargo +nightly fuzz run record corpus/record ../../fixtures/records`.
#![no_main]

use dualnet_engine::record::{OpenOptions, Record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let options = OpenOptions::new().lead("0").sampling_rate_hz(50.0);
    let _ = Record::from_bytes("fuzz", bytes, &options);
});

//! The networks and records that are measured.

use dualnet_engine::Model;
use dualnet_engine::plan::Plan;
use dualnet_engine::record::Record;
use dualnet_engine::signal::{ECG_LEN, Inputs, Preprocessor, SPECTROGRAM_LEN};
use dualnet_export::onnx::Card;
use dualnet_export::quantize::{Recordings, quantize, sensitive};
use dualnet_fixtures::records_dir;
use std::path::Path;

/// Networks of both kinds, small and large.
pub const NETWORKS: &str = "dualnet-s,dualnet-m,dualnet-xl,dualnet-pp-s,dualnet-pp-xl";
/// Lengths of the cuts of a record of 60 s.
pub const SECONDS: [usize; 3] = [10, 30, 60];

/// The networks to measure: those that `ECG_BENCH_NETWORKS` names, or else `usual`.
pub fn networks(usual: &str) -> Vec<String> {
    let wanted = std::env::var("ECG_BENCH_NETWORKS").unwrap_or_else(|_| usual.to_owned());
    wanted.split(',').map(str::to_owned).collect()
}

/// A float file in 8 bits, as `export quantize` makes it. It must run on the fused kernels.
///
/// # Panics
/// Where it is none, or cannot be quantized, or runs on tract.
pub fn int8(name: &str, float: &[u8]) -> Model {
    /// Records that the ranges are found on.
    const CALIBRATION: usize = 4;
    let recordings = Recordings::draw(&records_dir(), None, CALIBRATION, 0).expect("the fixture records");
    let model = Model::from_bytes(name, float).expect("a model file");
    let keep_float = sensitive(&model);
    let file = quantize(&model, float, &recordings, &keep_float, &Card::default(), |_| {});
    let model = Model::from_bytes(name, &file.expect("a file that can be quantized").bytes).expect("a model file");
    Plan::of(&model).expect("a recognized int8 network");
    model
}

/// The network's inputs for the first samples of a fixture record.
///
/// # Panics
/// Where there is no such record.
pub fn inputs(record: &str, samples: usize) -> Inputs {
    let path = records_dir().join(record).with_extension("mat");
    let record = Record::open(path).expect("a fixture record");
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    let lead = &record.samples()[..samples.min(record.samples().len())];
    Preprocessor::new()
        .prepare(lead, &mut ecg, &mut spectrogram)
        .expect("finite samples");
    Inputs { ecg, spectrogram }
}

/// Writes `ecg0.f32`, `spectrogram0.f32`, … into `folder`.
///
/// # Panics
/// Where it cannot be written to.
pub fn write_inputs(folder: &Path, records: &[Inputs]) {
    let raw = |name: String, values: &[f32]| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(folder.join(name), bytes).expect("the temporary folder is writable");
    };
    for (index, inputs) in records.iter().enumerate() {
        raw(format!("ecg{index}.f32"), &inputs.ecg);
        raw(format!("spectrogram{index}.f32"), &inputs.spectrogram);
    }
}

//! What the benchmarks of whole networks share: files with golden weights, cuts of a real record.

use dualnet_engine::record::Record;
use dualnet_engine::signal::{ECG_LEN, Inputs, Preprocessor, SPECTROGRAM_LEN};
use dualnet_export::network::{Initial, Network, ParameterKind};
use dualnet_export::onnx::{Card, export};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::{golden_weight, records_dir};
use std::path::Path;

/// The networks measured, unless `ECG_BENCH_NETWORKS` names others.
const NETWORKS: [&str; 5] = ["dualnet-s", "dualnet-m", "dualnet-xl", "dualnet-pp-s", "dualnet-pp-xl"];
/// A record of 60 s.
const RECORD: &str = "A00005";
/// Its cuts.
pub const SECONDS: [usize; 3] = [10, 30, 60];

/// The networks to measure.
pub fn networks() -> Vec<String> {
    let wanted = std::env::var("ECG_BENCH_NETWORKS").unwrap_or_else(|_| NETWORKS.join(","));
    wanted.split(',').map(str::to_owned).collect()
}

/// The network's inputs for the first samples of the record.
pub fn inputs(samples: usize) -> Inputs {
    let path = records_dir().join(RECORD).with_extension("mat");
    let record = Record::open(path).expect("a fixture record");
    let (mut ecg, mut spectrogram) = (vec![0.0; ECG_LEN], vec![0.0; SPECTROGRAM_LEN]);
    let lead = &record.samples()[..samples];
    Preprocessor::new()
        .prepare(lead, &mut ecg, &mut spectrogram)
        .expect("finite samples");
    Inputs { ecg, spectrogram }
}

/// The exported file of a preset with the golden weights.
pub fn file(name: &str) -> Vec<u8> {
    let network = Network::preset(name).expect("a preset");
    let mut weights = StateDict::default();
    for parameter in network.parameters() {
        if parameter.kind == ParameterKind::Integer {
            continue;
        }
        let initial: Vec<f32> = match &parameter.initial {
            Initial::Values(values) => values.iter().map(|&value| value as f32).collect(),
            _ => Vec::new(),
        };
        let values = golden_weight(name, &parameter.name, &parameter.shape, &initial);
        let tensor = Tensor::f32(&parameter.shape, values).expect("the rule fills the shape");
        weights.tensors.insert(parameter.name, tensor);
    }
    export(&network, &weights, Path::new("golden weights"), &Card::default()).expect("an exportable network")
}

/// The processor's name.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

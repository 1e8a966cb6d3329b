//! A step recorded as a CUDA graph against the same step operation by operation, on a GPU where there is one: three epochs with a short last
//! batch and a validation between, label smoothing, a teacher, the average of the weights, and either mixup or a file of answers.
//! Dropout is off, whose draws differ.
//!
//! Tolerance: libtorch sums in another order from run to run on a GPU, and the optimizer divides by small gradients' sizes: 1 % of a loss. A
//! weight of a class, an input or a gradient that a graph reads or writes elsewhere is off by far more.

use dualnet_export::network::{Network, preset};
use dualnet_export::weights::{StateDict, Tensor};
use dualnet_fixtures::{records_dir, report};
use dualnet_trainer::data::{Labels, Recording, Split, physionet};
use dualnet_trainer::device::device;
use dualnet_trainer::logs::EpochRecord;
use dualnet_trainer::train::{Distillation, Records, Report, TrainOptions, Training};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const TOLERANCE: f64 = 0.01;

/// The mean training loss of every epoch.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Report for Losses {
    fn batch(&mut self, _: f64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finished(&mut self, record: &EpochRecord, _: Option<(f64, usize)>) {
        self.0.push(record.train_loss);
    }
}

/// Trains on the fixture records and returns the losses of the epochs.
fn losses(options: TrainOptions, run: &Path, is_recorded: bool) -> Vec<f64> {
    let dataset = Arc::new(physionet::read(&records_dir(), Labels::Released).expect("the fixtures"));
    let count = dataset.recordings.len() as u32;
    let split = Split {
        name: "fixtures".to_owned(),
        train: (2..count).collect(),
        validation: vec![0, 1],
    };
    let network = Network::new(preset("dualnet-s").expect("a preset")).expect("a network");
    let records = Records::new(dataset, split, 1);
    let mut training = Training::start(network, options, run, records).expect("a run");
    if !is_recorded {
        training.without_cuda_graph();
    }
    let mut losses = Losses::default();
    training.run(&mut losses).expect("a whole run");
    losses.0
}

#[test]
fn recorded_steps_are_those_operation_by_operation() {
    if let Err(error) = device("cuda", 0).map_err(|error| error.to_string()) {
        // Libtorch as it is fetched has no CUDA half, on a machine with a GPU too.
        let excuses = [
            "driver was found",
            "the driver finds no GPU",
            "libtorch_cuda.so was not found",
        ];
        assert!(excuses.iter().any(|excuse| error.contains(excuse)), "{error}");
        report(format_args!("skipped, nothing ran on a GPU: {error}"));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let teacher = folder.path().join("teacher");
    let one_epoch = TrainOptions {
        epochs: 1,
        seed: 1,
        ..TrainOptions::default()
    };
    losses(one_epoch, &teacher, false);
    // After one epoch it says much the same of every record: what was left from another batch would not be noticed.
    let teacher = teacher.join("best.safetensors");
    let mut state = StateDict::open(&teacher).expect("a state dict");
    let name = "linear_layer_2.weight";
    let last = state.get(name).expect("the last layer");
    let values = last
        .as_f32()
        .expect("floats")
        .iter()
        .map(|value| 1000.0 * value)
        .collect();
    let certain = Tensor::f32(last.shape(), values).expect("a tensor");
    state.tensors.insert(name.to_owned(), certain);
    state.save(&teacher).expect("a certain teacher");
    let answers = folder.path().join("answers.csv");
    let dataset = physionet::read(&records_dir(), Labels::Released).expect("the fixtures");
    let answer = |(place, record): (usize, &Recording)| {
        let [n, a, o, noisy] = [0, 1, 2, 3].map(|class| if (place + class) % 4 == 0 { 0.7 } else { 0.1 });
        format!("{},{n},{a},{o},{noisy}\n", record.name)
    };
    let lines: String = dataset.recordings.iter().skip(2).enumerate().map(answer).collect();
    let header = "record,probability_N,probability_af,probability_O,probability_~\n";
    std::fs::write(&answers, format!("{header}{lines}")).expect("a file of answers");
    let compare = |name: &str, mixup: f64, answers: Vec<PathBuf>| {
        let options = TrainOptions {
            epochs: 3,
            batch_size: 3,
            dropout: Some(0.0),
            average_decay: 0.9,
            label_smoothing: 0.1,
            clip_gradients: 0.05,
            mixup,
            distillation: Some(Distillation {
                teachers: vec![teacher.clone()],
                answers,
                share: 0.75,
            }),
            validate_every: 1,
            device: "cuda".to_owned(),
            ..TrainOptions::default()
        };
        let run = |how: &str| {
            losses(
                options.clone(),
                &folder.path().join(format!("{name}-{how}")),
                how == "recorded",
            )
        };
        let (recorded, apart) = (run("recorded"), run("apart"));
        assert_eq!(recorded.len(), 3);
        for (epoch, (recorded, apart)) in recorded.iter().zip(&apart).enumerate() {
            assert!(
                (recorded - apart).abs() <= TOLERANCE * apart,
                "{name}, epoch {}: {recorded} recorded, {apart} operation by operation",
                epoch + 1
            );
        }
    };
    compare("blended", 0.2, Vec::new());
    compare("answered", 0.0, vec![answers]);
}

//! bfloat16 products: how far they are from float32, and that a run with them trains and resumes.
//!
//! A bfloat16 number has 8 significant bits, so every rounding is off by up to 2⁻⁹ ≈ 0.002 of the number. Ten convolutions deep
//! that stays below 3 % of the norm of the logits. How far gradients move is a property of the network, and is measured: float32
//! with nothing but the weights rounded to 8 bits moved those of ECG-DualNet by 0.24 % of their norm and those of ECG-DualNet++ by
//! 11 %, with weights of 12 bits by a fifteenth and a twelfth of that. (At its initial values ECG-DualNet++ has nearly one-hot
//! attentions, whose gradients turn with every rounding.) bfloat16 rounds inputs, results and gradients besides: 0.44 % and 22 %
//! were seen, three times what the weights alone do is allowed. Single weights of ECG-DualNet may be 20 % off, where gradients
//! largely cancel in normalizations; those of ECG-DualNet++ are not compared.

use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_export::network::Network;
use dualnet_fixtures::{NetworkInputs, records_dir, report};
use dualnet_trainer::data::{Labels, Split, physionet};
use dualnet_trainer::loss::{CLASS_WEIGHTS, weighted_cross_entropy};
use dualnet_trainer::torch::{Dropout, Mode, Parameters, Torch};
use dualnet_trainer::train::{Precision, Records, Report, TrainOptions, Training};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use tch::{Kind, Tensor};

const LOGITS: f64 = 0.03;
/// Network, and what share of one gradient's norm is allowed.
const GRADIENTS: [(&str, f64); 2] = [("dualnet-s", 0.2), ("dualnet-pp-s", f64::INFINITY)];

fn norm(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).norm().double_value(&[])
}

/// Whether a weight is a factor of products in bfloat16.
fn is_factor(name: &str, shape: &[usize]) -> bool {
    let stays_single = ["lstm", "relative_embeddings", "positional"];
    name.contains("weight") && shape.len() >= 2 && !stays_single.iter().any(|part| name.contains(part))
}

/// The nearest number of so many significant bits.
fn rounded(value: f32, bits: u32) -> f32 {
    let dropped = 24 - bits;
    let half = 1 << (dropped - 1);
    f32::from_bits(value.to_bits().wrapping_add(half) & (u32::MAX << dropped))
}

/// The norm of the differences of all gradients as a share of their norm.
fn share(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> f64 {
    let (mut squares, mut total) = (0.0, 0.0);
    for ((_, a), (_, b)) in a.iter().zip(b) {
        squares += norm(&(a - b)).powi(2);
        total += norm(b).powi(2);
    }
    (squares / total).sqrt()
}

/// Logits and gradients of one batch of four, without dropout; `rounding` is applied to the factors of products beforehand.
fn pass(network: &Network, precision: Precision, rounding: impl Fn(f32) -> f32) -> (Tensor, Vec<(String, Tensor)>) {
    let initial = Parameters::initial(network, 3).expect("initial values");
    let parameters = Parameters::from_values(network, |parameter| {
        let mut values = initial.values(&parameter.name)?;
        if is_factor(&parameter.name, &parameter.shape) {
            values.iter_mut().for_each(|value| *value = rounding(*value));
        }
        Ok(values)
    })
    .expect("weights");
    let inputs = NetworkInputs::read();
    let ecg = Tensor::from_slice(&inputs.ecg[..4 * ECG_LEN]).view([4, 80, 256]);
    let spectrogram = Tensor::from_slice(&inputs.spectrogram[..4 * SPECTROGRAM_LEN]).view([4, 1, 563, 33]);
    let mut torch = Torch::new(&parameters, Mode::Training(Dropout::NONE)).with_precision(precision);
    let outputs = network.forward(&mut torch, &ecg, &spectrogram).expect("a forward pass");
    let labels = Tensor::from_slice(&[0_i64, 1, 2, 3]);
    weighted_cross_entropy(&outputs.logits, &labels, &Tensor::from_slice(&CLASS_WEIGHTS))
        .expect("a loss")
        .backward();
    let gradients = parameters
        .weights()
        .map(|(name, weight)| (name.to_owned(), weight.grad()))
        .inspect(|(name, gradient)| assert_eq!(gradient.kind(), Kind::Float, "{name}"))
        .collect();
    (outputs.logits, gradients)
}

#[test]
fn bfloat16_is_near_float32_and_is_not_float32() {
    for (name, of_one) in GRADIENTS {
        let network = Network::preset(name).expect("a preset");
        let (single, single_gradients) = pass(&network, Precision::F32, |value| value);
        let (half, half_gradients) = pass(&network, Precision::Bf16, |value| value);
        assert_eq!(half.kind(), Kind::Float);
        let difference = norm(&(&half - &single)) / norm(&single);
        assert!(difference > 1e-5, "{name}: nothing was rounded");
        assert!(difference < LOGITS, "{name}: logits differ by {difference}");

        let largest = single_gradients
            .iter()
            .map(|(_, gradient)| norm(gradient))
            .fold(0.0, f64::max);
        for ((key, half), (_, single)) in half_gradients.iter().zip(&single_gradients) {
            let (difference, size) = (norm(&(half - single)), norm(single));
            // A thousandth of the largest: some gradients are mathematically zero.
            assert!(
                difference <= of_one * size + 1e-3 * largest,
                "{name} {key}: {difference:e} of {size:e}"
            );
        }
        let share = share(&half_gradients, &single_gradients);
        let of_weights = |bits| {
            let (_, gradients) = pass(&network, Precision::F32, |value| rounded(value, bits));
            self::share(&gradients, &single_gradients)
        };
        let (coarse, fine) = (of_weights(8), of_weights(12));
        report(format_args!(
            "{name} in bfloat16: logits differ by {difference:.1e}, gradients by {share:.1e} of their norm; float32 \
             with weights of 8 bits: {coarse:.1e}, of 12 bits: {fine:.1e}"
        ));
        assert!(fine < coarse / 8.0, "{name}: 16 times finer, but {fine} after {coarse}");
        assert!(
            share < 3.0 * coarse,
            "{name}: gradients differ by {share}, for rounded weights by {coarse}"
        );
    }
}

/// Stops after so many batches, and keeps the losses.
struct StopAfter(usize, Vec<f64>);

impl Report for StopAfter {
    fn batch(&mut self, loss: f64) -> ControlFlow<()> {
        self.1.push(loss);
        match self.1.len() == self.0 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

fn records() -> Records {
    let dataset = Arc::new(physionet::read(&records_dir(), Labels::Released).expect("the fixture records"));
    let split = Split {
        name: "fixtures".to_owned(),
        train: (0..12).collect(),
        validation: (12..16).collect(),
    };
    Records::new(dataset, split, 1)
}

fn start(folder: &Path) -> Training {
    let options = TrainOptions {
        epochs: 4,
        batch_size: 6,
        precision: Precision::Bf16,
        ..TrainOptions::default()
    };
    let network = Network::preset("dualnet-s").expect("a preset");
    Training::start(network, options, folder, records()).expect("a run")
}

#[test]
fn a_run_in_bfloat16_learns_and_resumes_to_the_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut whole = start(&folder.path().join("whole"));
    let mut report = StopAfter(usize::MAX, Vec::new());
    whole.run(&mut report).expect("a whole run");
    let losses = report.1;
    assert!(losses[7] < losses[1], "the mean loss of an epoch falls: {losses:?}");

    let pieces = folder.path().join("pieces");
    start(&pieces)
        .run(&mut StopAfter(3, Vec::new()))
        .expect_err("stopped in the second epoch");
    let mut resumed = Training::resume(&pieces, None, |_| Ok(records())).expect("resumed");
    resumed.run(&mut StopAfter(usize::MAX, Vec::new())).expect("the rest");
    for (parameter, _) in whole.parameters().iter() {
        let values = |run: &Training| run.parameters().values(&parameter.name).expect("a tensor");
        assert_eq!(values(&resumed), values(&whole), "{}", parameter.name);
    }
}

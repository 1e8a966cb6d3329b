//! The fused composites against their default bodies: forward, gradients of every weight, running statistics.
//!
//! Tolerances: those of the golden numbers, for two ways to compute the same network in float32.

use dualnet_engine::pau::affine::ElementDropout;
use dualnet_engine::signal::{ECG_LEN, SPECTROGRAM_LEN};
use dualnet_engine::simd::Isa;
use dualnet_export::network::{Network, preset};
use dualnet_fixtures::{NetworkInputs, golden_weight};
use dualnet_trainer::loss::{CLASS_WEIGHTS, weighted_cross_entropy};
use dualnet_trainer::pau::{ConditionalPau, Gain, pau};
use dualnet_trainer::torch::{Dropout, Mode, Parameters, Torch};
use dualnet_trainer::train::DropoutUnit;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

const FORWARD: f64 = 1e-5;
const GRADIENT: f64 = 1e-3;
/// Gradients that are mathematically zero differ by rounding.
const SLACK: f64 = 1e-6;

fn flat(tensor: &Tensor) -> Vec<f32> {
    Vec::<f32>::try_from(tensor.detach().contiguous().view([-1])).expect("values")
}

fn distance(a: &Tensor, b: &Tensor) -> (f64, f64) {
    let norm = |tensor: &Tensor| tensor.to_kind(Kind::Double).norm().double_value(&[]);
    (norm(&(a - b)), norm(b))
}

struct Run {
    logits: Tensor,
    gradients: BTreeMap<String, Tensor>,
    statistics: BTreeMap<String, Vec<f32>>,
}

fn run(network: &Network, mode: Mode, fused: bool) -> Run {
    let fresh = Parameters::initial(network, 7).expect("initial values");
    let parameters = Parameters::from_values(network, |parameter| {
        Ok(golden_weight(
            "fused",
            &parameter.name,
            &parameter.shape,
            &fresh.values(&parameter.name)?,
        ))
    })
    .expect("weights");
    let inputs = NetworkInputs::read();
    let ecg = Tensor::from_slice(&inputs.ecg[..2 * ECG_LEN]).view([2, 80, 256]);
    let spectrogram = Tensor::from_slice(&inputs.spectrogram[..2 * SPECTROGRAM_LEN]).view([2, 1, 563, 33]);
    let mut torch = Torch::new(&parameters, mode);
    if !fused {
        torch = torch.unfused();
    }
    tch::manual_seed(11);
    let logits = network
        .forward(&mut torch, &ecg, &spectrogram)
        .expect("a forward pass")
        .logits;
    let weights = Tensor::from_slice(&CLASS_WEIGHTS[..network.config().classes]);
    let labels = Tensor::from_slice(&[0_i64, 1]);
    weighted_cross_entropy(&logits, &labels, &weights)
        .expect("a loss")
        .backward();
    let gradients = parameters
        .weights()
        .map(|(name, weight)| (name.to_owned(), weight.grad()))
        .collect();
    let statistics = parameters
        .iter()
        .filter(|(parameter, _)| parameter.name.contains("running_"))
        .map(|(parameter, tensor)| (parameter.name.clone(), flat(tensor)))
        .collect();
    Run {
        logits,
        gradients,
        statistics,
    }
}

fn compare(network: &Network, mode: Mode) {
    let (fused, plain) = (run(network, mode, true), run(network, mode, false));
    let name = &network.config().name;
    let (difference, norm) = distance(&fused.logits, &plain.logits);
    assert!(
        difference <= FORWARD * norm,
        "{name} {mode:?}: logits differ by {difference:e} of {norm:e}"
    );
    assert_eq!(fused.gradients.len(), plain.gradients.len());
    for (key, gradient) in &fused.gradients {
        let (difference, norm) = distance(gradient, &plain.gradients[key]);
        assert!(
            difference <= GRADIENT * norm + SLACK,
            "{name} {mode:?} {key}: {difference:e} of {norm:e}"
        );
    }
    for (key, values) in &fused.statistics {
        for (a, b) in values.iter().zip(&plain.statistics[key]) {
            assert!(
                (a - b).abs() <= 1e-5 * b.abs() + 1e-6,
                "{name} {mode:?} {key}: {a} is not {b}"
            );
        }
    }
}

#[test]
fn fused_composites_equal_their_default_bodies() {
    for name in ["dualnet-s", "dualnet-pp-s"] {
        let network = Network::preset(name).expect("a preset");
        compare(&network, Mode::Training(Dropout::NONE));
        for unit in [DropoutUnit::Elements, DropoutUnit::Channels] {
            let probability = 0.3;
            compare(&network, Mode::Training(Dropout { probability, unit }));
        }
        compare(&network, Mode::Evaluation);
    }
}

#[test]
fn without_a_latent_too() {
    let mut config = preset("dualnet-s").expect("a preset");
    config.signal_encoder = None;
    compare(
        &Network::new(config).expect("an ablation"),
        Mode::Training(Dropout::NONE),
    );
}

/// The one site against the same steps written with libtorch's operations in float64.
#[test]
fn gain_and_shortcut_enter_where_they_should() {
    site_equals_its_steps(DropoutUnit::Channels, false);
}

/// Odd extents: the last row has no part in the means.
#[test]
fn the_pool_comes_last() {
    site_equals_its_steps(DropoutUnit::Channels, true);
}

/// Which elements, the key decides.
#[test]
fn elements_are_left_out_before_the_pool() {
    site_equals_its_steps(DropoutUnit::Elements, false);
    site_equals_its_steps(DropoutUnit::Elements, true);
}

/// What dropout of elements multiplies a map `[N, C, H, W]` by.
fn element_factors([records, channels, height, width]: [i64; 4], key: i64, share: f64) -> Tensor {
    let mut factors = vec![f32::NAN; (records * channels * height * width) as usize];
    let isa = Isa::detect().expect("an instruction set");
    ElementDropout::new(key as u64, share).factors(isa, &mut factors);
    Tensor::from_slice(&factors)
        .view([records, height, width, channels])
        .permute([0, 3, 1, 2])
}

fn site_equals_its_steps(unit: DropoutUnit, pool: bool) {
    let random = |size: &[i64]| Tensor::randn(size, (Kind::Float, tch::Device::Cpu));
    tch::manual_seed(5);
    let leaf = |size: &[i64]| random(size).set_requires_grad(true);
    let (x, shortcut, modulation) = (leaf(&[3, 8, 5, 4]), leaf(&[3, 8, 5, 4]), leaf(&[3, 16]));
    let (gamma, beta) = (leaf(&[8]), leaf(&[8]));
    let numerator = Tensor::from_slice(&[0.03_f32, 0.5, 1.6, 2.0, 0.9, 0.15]).set_requires_grad(true);
    let denominator = Tensor::from_slice(&[0.1_f32, -3.9, 0.2, 0.3]).set_requires_grad(true);
    let gain = random(&[3, 8]);
    let (number, share) = (0x1234_5678_90ab_cdef, 0.3);
    let key = &Tensor::from_slice(&[number]);
    let (gain, factors) = match unit {
        DropoutUnit::Channels => (Gain::Channels(&gain), gain.unsqueeze(-1).unsqueeze(-1)),
        DropoutUnit::Elements => (
            Gain::Elements { key, share },
            element_factors([3, 8, 5, 4], number, share),
        ),
    };
    let leaves = [&x, &shortcut, &modulation, &gamma, &beta, &numerator, &denominator];
    let running = || {
        (
            Tensor::zeros([8], (Kind::Float, tch::Device::Cpu)),
            Tensor::ones([8], (Kind::Float, tch::Device::Cpu)),
        )
    };

    let (mean, variance) = running();
    let fused = ConditionalPau {
        x: &x,
        gamma: &gamma,
        beta: &beta,
        modulation: Some(&modulation),
        shortcut: Some(&shortcut),
        gain: Some(gain),
        numerator: &numerator,
        denominator: &denominator,
        running_mean: &mean,
        running_variance: &variance,
        batch_statistics: true,
        pool,
        group: None,
    }
    .apply()
    .expect("the fused site");
    let probe = random(&fused.size());
    (&fused * &probe).sum(Kind::Float).backward();
    let gradients: Vec<Tensor> = leaves.iter().map(|leaf| leaf.grad().copy()).collect();
    for leaf in leaves {
        let _ = leaf.grad().zero_();
    }

    let (plain_mean, plain_variance) = running();
    let normalized = x.batch_norm(
        Some(&gamma),
        Some(&beta),
        Some(&plain_mean),
        Some(&plain_variance),
        true,
        0.1,
        1e-5,
        false,
    );
    let parts = modulation.unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
    let u = normalized * &parts[0] + &parts[1] + &shortcut;
    let whole = pau(&u, &numerator, &denominator).expect("the unit") * factors;
    let plain = match pool {
        true => whole.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None),
        false => whole,
    };
    (&plain * &probe).sum(Kind::Float).backward();

    let close = |what: &str, a: &Tensor, b: &Tensor| {
        let (difference, norm) = distance(a, b);
        assert!(difference <= 2e-5 * norm + 1e-5, "{what}: {difference:e} of {norm:e}");
    };
    close("output", &fused, &plain);
    close("running mean", &mean, &plain_mean);
    close("running variance", &variance, &plain_variance);
    for (i, (gradient, leaf)) in gradients.iter().zip(leaves).enumerate() {
        close(&format!("gradient {i}"), gradient, &leaf.grad());
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let ones = |size: &[i64]| Tensor::ones(size, (Kind::Float, tch::Device::Cpu));
    let (x, eight, seven) = (ones(&[2, 8, 3, 3]), ones(&[8]), ones(&[7]));
    let (numerator, denominator) = (ones(&[6]), ones(&[4]));
    let site = ConditionalPau {
        x: &x,
        gamma: &seven,
        beta: &eight,
        modulation: None,
        shortcut: None,
        gain: None,
        numerator: &numerator,
        denominator: &denominator,
        running_mean: &eight,
        running_variance: &eight,
        batch_statistics: true,
        pool: false,
        group: None,
    };
    assert!(site.apply().is_err());
    let flat = ones(&[2, 8, 1, 3]);
    let unpoolable = ConditionalPau {
        x: &flat,
        gamma: &eight,
        pool: true,
        ..site
    };
    assert!(unpoolable.apply().is_err(), "a row has no means");
    let keys = [
        Tensor::from_slice(&[5_i64, 6]),
        Tensor::from_slice(&[5_i32]),
        ones(&[1]),
    ];
    for key in &keys {
        let keyed = ConditionalPau {
            gamma: &eight,
            gain: Some(Gain::Elements { key, share: 0.5 }),
            ..site
        };
        let error = keyed.apply().expect_err("no key").to_string();
        assert!(error.contains("the key of dropout"), "{error}");
    }
    let doubles = x.to_kind(Kind::Double);
    let error = pau(&doubles, &numerator, &denominator)
        .expect_err("float64 has no kernel")
        .to_string();
    assert!(error.contains("float32"), "{error}");
}

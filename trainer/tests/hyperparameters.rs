//! The numbers of the optimizer, of the schedules and of the augmentations: in a configuration file, in the run's folder, in what is computed.

mod common;

use common::{Program, SMALL_RUN, last_checkpoint, state};
use dualnet_export::network::Network;
use dualnet_fixtures::records_dir;
use dualnet_trainer::experiments::{Overrides, deviations, find};
use dualnet_trainer::optimizer::{RAdam, RAdamOptions, RateOptions, Schedule};
use dualnet_trainer::torch::Parameters;
use dualnet_trainer::train::{Checkpoint, TrainOptions};
use std::path::Path;
use tch::Kind;

/// Every key of the three tables, none as published.
const CONFIGURATION: &str = "\
[train]
augmentation = 0.5

[train.optimizer]
beta1 = 0.8
beta2 = 0.99
eps = 1e-6

[train.rate]
drops = [0.5]
drop_factor = 0.25
cosine_floor = 0.05

[train.augmentations]
cut_out_probability = 0.1
cut_out_share = 0.1
drop_probability = 0.15
drop_share = 0.01
random_resample_probability = 0.25
random_resample_points = 7
random_resample_max_offset = 0.05
resample_probability = 0.3
resample_factors = [0.9, 1.1]
scale_probability = 0.35
scale_factors = [0.5, 2.0]
shift_probability = 0.4
shift_below = 1000
sine_probability = 0.45
sine_max_magnitude = 20.0
sine_frequencies_hz = [0.1, 0.5]
sine_max_phase_rad = 6.0
band_pass_probability = 1.0
band_pass_hz = [0.5, 40.0]
invert_probability = 0.55
";

const TABLES: [&str; 3] = ["optimizer", "rate", "augmentations"];

fn configuration(run: &str) -> toml::Table {
    let text = std::fs::read_to_string(Path::new(run).join("run.toml")).expect("a configuration");
    toml::from_str(&text).expect("TOML")
}

/// One epoch of [`SMALL_RUN`], 8 steps, with this configuration file and these flags.
fn trained(program: &Program, configuration: &str, flags: &[&str]) -> String {
    let (given, run) = (program.run("given.toml"), program.run("run"));
    std::fs::write(&given, configuration).expect("a file");
    let mut arguments = SMALL_RUN;
    (arguments[4], arguments[6]) = ("1", "2");
    let files = ["--config", given.as_str(), "--run", run.as_str()];
    program.succeeds(&[&arguments[..], &files, flags].concat());
    run
}

#[test]
fn every_key_of_a_file_is_stored_with_the_run_and_in_its_checkpoint() {
    let program = Program::new();
    let run = trained(&program, CONFIGURATION, &[]);
    let given: toml::Table = toml::from_str(CONFIGURATION).expect("TOML");
    let stored = configuration(&run);
    for table in TABLES {
        assert_eq!(stored["train"][table], given["train"][table]);
    }
    let given: TrainOptions = given["train"].clone().try_into().expect("options");
    let last = Path::new(&run).join("last.safetensors");
    let kept = Checkpoint::open(&last).expect("a checkpoint").options(&last);
    let kept = kept.expect("options").expect("options");
    assert_eq!(
        (kept.optimizer, &kept.rate, kept.augmentations),
        (given.optimizer, &given.rate, given.augmentations)
    );

    // The second of two epochs is after the drop at half of them.
    program.succeeds(&["train", "--resume", "--epochs", "2", "--run", &run]);
    let log = std::fs::read_to_string(Path::new(&run).join("log.csv")).expect("a log");
    let rates: Vec<f64> = log
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).expect("a rate").parse().expect("a number"))
        .collect();
    assert_eq!(rates[1], 1e-3 * 0.25);
}

/// A table [network] changes the network that the flag names; options that neither a file nor a flag names are the data set's.
#[test]
fn a_file_changes_what_it_names_and_nothing_else() {
    let program = Program::new();
    let stored = configuration(&trained(
        &program,
        "[network]\ndropout = 0.25\n[train]\nlabel_smoothing = 0.1\n",
        &[],
    ));
    assert_eq!(stored["network"]["name"].as_str(), Some("dualnet-s"));
    assert_eq!(stored["network"]["dropout"].as_float(), Some(0.25));
    assert_eq!(stored["train"]["label_smoothing"].as_float(), Some(0.1));
    assert_eq!(stored["train"]["augmentation"].as_float(), Some(0.2));

    // What a run that was made longer has behind it is not another's.
    let run = Path::new(&program.run("run")).join("run.toml");
    let lengthened = std::fs::read_to_string(&run).expect("a configuration");
    let lengthened = lengthened.replace(
        "[train.optimizer]",
        "[[train.earlier_plans]]\nepochs = 2\nuntil_epoch = 1\n\n[train.optimizer]",
    );
    std::fs::remove_dir_all(program.run("run")).expect("removed");
    let stored = configuration(&trained(&program, &lengthened, &["--dataset", "physionet"]));
    assert_eq!(stored["train"].get("earlier_plans"), None);

    // Another data set than the file's brings its own numbers.
    let file = program.run("given.toml");
    let elsewhere = ["train", "--data", "nowhere", "--config", &file, "--dataset"];
    let message = program.refuses(&[&elsewhere[..], &["icentia11k"]].concat());
    assert!(message.contains("nowhere"), "{message}");

    // Refused for want of the data, after the options were read: the batch must be whole files.
    let refusal = |configuration: &str, flags: &[&str]| {
        std::fs::write(&file, configuration).expect("a file");
        let arguments = [
            "train",
            "--network",
            "dualnet-s",
            "--data",
            "nowhere",
            "--config",
            &file,
        ];
        program.refuses(&[&arguments[..], flags].concat())
    };
    let message = refusal("[train]\ndataset = \"icentia11k\"\n", &[]);
    assert!(message.contains("nowhere"), "{message}");
    let message = refusal("[train]\ndataset = \"icentia11k\"\naugmentation = 0.2\n", &[]);
    assert!(message.contains("not augmented"), "{message}");
    // More segments than a file has are all of them, and so many are a batch.
    let message = refusal("", &["--dataset", "icentia11k", "--limit", "60"]);
    assert!(message.contains("nowhere"), "{message}");

    // What is of one data set only.
    for (flags, part) in [
        (
            &["--dataset", "icentia11k", "--split", "challenge"][..],
            "split divides the records of PhysioNet",
        ),
        (
            &["--dataset", "icentia11k", "--labels", "v3"],
            "labels are those of PhysioNet",
        ),
        (&["--fresh-crops"], "fresh_crops is of icentia11k"),
    ] {
        let message = refusal("", flags);
        assert!(message.contains(part), "{message}");
    }
    let of_segments = "[train]\ndataset = \"icentia11k\"\nclass_weights = [0.1, 0.1, 1.0, 4.0]\naugmentation = 0.0\n";
    std::fs::remove_dir_all(program.run("run")).expect("removed");
    let stored = configuration(&trained(&program, of_segments, &["--dataset", "physionet"]));
    assert_eq!(stored["train"].get("class_weights"), None);
}

/// Cross-validation keeps its own labels where a file says nothing of them.
#[test]
fn a_file_leaves_cross_validation_its_defaults() {
    let program = Program::new();
    let (file, runs, records) = (program.run("given.toml"), program.run("folds"), records_dir());
    std::fs::write(&file, "[train]\nlabel_smoothing = 0.1\n").expect("a file");
    let data = records.to_str().expect("a plain name");
    let arguments = [
        "crossval",
        "--network",
        "dualnet-s",
        "--data",
        data,
        "--runs",
        &runs,
        "--config",
        &file,
    ];
    // There is only the one file of labels.
    let message = program.refuses(&arguments);
    assert!(message.contains("REFERENCE-v3.csv"), "{message}");
}

#[test]
fn the_flags_of_all_augmentations_win_over_those_of_each() {
    for (flags, probability) in [(&["--no-augmentation"][..], 0.0), (&["--augmentation", "0.4"][..], 0.4)] {
        let program = Program::new();
        let file = "[train.augmentations]\nsine_probability = 1.0\nsine_max_magnitude = 0.1\n";
        let stored = configuration(&trained(&program, file, flags));
        let train = &stored["train"];
        assert_eq!(train["augmentation"].as_float(), Some(probability));
        assert_eq!(train["augmentations"].get("sine_probability"), None);
        assert_eq!(train["augmentations"]["sine_max_magnitude"].as_float(), Some(0.1));
    }
}

/// One number changed at a time, beside a run without the change. eps counts from the sixth step on, where steps are rectified.
#[test]
fn the_tables_decide_what_is_trained() {
    let last_layer = |configuration: &str| {
        let program = Program::new();
        let run = trained(&program, configuration, &[]);
        let last = last_checkpoint(&run);
        last.get("linear_layer_2.weight").expect("a weight").clone()
    };
    let published = last_layer("");
    for table in [
        "[train.optimizer]\nbeta1 = 0.8\n",
        "[train.optimizer]\neps = 0.1\n",
        "[train]\nclip_gradients = 0.001\n",
    ] {
        assert!(last_layer(table) != published, "{table}");
    }
    // Longer than any gradient of these steps: nothing is shortened, to the bit.
    assert!(last_layer("[train]\nclip_gradients = 1000\n") == published);
    let augmented = "[train]\naugmentation = 1.0\n";
    let changed = format!("{augmented}[train.augmentations]\ncut_out_share = 0.3\n");
    assert!(last_layer(&changed) != last_layer(augmented));
}

/// A run of before there were tables: its checkpoint and its options do not have them.
#[test]
fn a_run_of_before_goes_on_as_it_was() {
    let program = Program::new();
    let run = trained(&program, "", &[]);
    let path = Path::new(&run).join("last.safetensors");
    let tables = |checkpoint: &str| -> serde_json::Value {
        let training: serde_json::Value = serde_json::from_str(checkpoint).expect("JSON");
        TABLES.map(|table| training["options"][table].clone()).to_vec().into()
    };
    let mut checkpoint = state(&path);
    let text = checkpoint.metadata.get_mut("dualnet.training").expect("an entry");
    let published = tables(text);
    let mut training: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let options = training["options"].as_object_mut().expect("options");
    for table in TABLES {
        options.remove(table).expect("a table");
    }
    *text = training.to_string();
    checkpoint.save(&path).expect("written");
    program.succeeds(&["train", "--resume", "--epochs", "2", "--run", &run]);
    assert_eq!(tables(&state(&path).metadata["dualnet.training"]), published);
}

#[test]
fn options_of_before_are_those_of_the_recipe() {
    let recipe = find("dualnet-s").expect("a row");
    let overrides = Overrides::default();
    let network = recipe.network(&overrides).expect("a network");
    let options = recipe.options(1, None, &overrides);
    let mut before = serde_json::to_value(&options).expect("JSON");
    for table in TABLES {
        before.as_object_mut().expect("options").remove(table).expect("a table");
    }
    let before: TrainOptions = serde_json::from_value(before).expect("options");
    assert_eq!(before, options);
    let found = |run: &TrainOptions| deviations((&network, run), (&network, &options));
    assert_eq!(found(&before), Vec::<String>::new());
    let mut other = before;
    other.optimizer.beta1 = 0.8;
    assert_eq!(found(&other), ["optimizer.beta1 0.8, not 0.9"]);
}

#[test]
fn what_is_unknown_or_out_of_range_is_refused_by_name() {
    let program = Program::new();
    let (given, run) = (program.run("given.toml"), program.run("run"));
    for (configuration, named) in [
        ("[train.optimizer]\nbeta3 = 0.9\n", "line 2: unknown field `beta3`"),
        ("[train.rate]\n\nfactor = 0.1\n", "line 3: unknown field `factor`"),
        (
            "[train.augmentations]\ncutout = 0.1\n",
            "line 2: unknown field `cutout`",
        ),
        ("[train.augmentations]\nshift_below = -1\n", "line 2: invalid value"),
        (
            "[train.augmentations]\nscale_factors = [1.0]\n",
            "line 2: invalid length 1",
        ),
        (
            "[train.optimizer]\nbeta1 = 1.0\n",
            "optimizer.beta1 is at least 0 and below 1, not 1",
        ),
        (
            "[train.rate]\ndrops = [0.5, 2.0]\n",
            "rate.drops is at least 0 and at most 1, not 2",
        ),
        (
            "[train.augmentations]\nband_pass_hz = [0.5, 150.0]\n",
            "augmentations.band_pass_hz is at least 0.01 and at most 149, not 150",
        ),
        (
            "[train.augmentations]\nsine_probability = 1.5\n",
            "augmentations.sine_probability is at least 0 and at most 1, not 1.5",
        ),
    ] {
        std::fs::write(&given, configuration).expect("a file");
        let message = program.refuses(&[&SMALL_RUN[..], &["--config", &given, "--run", &run]].concat());
        assert!(message.contains(named), "{message}");
        assert!(!Path::new(&run).exists(), "{message}");
    }
}

#[test]
fn the_numbers_of_the_schedules_decide_an_epoch_s_rate() {
    let options = |schedule, rate| TrainOptions {
        epochs: 100,
        learning_rate: 0.01,
        schedule,
        rate,
        ..TrainOptions::default()
    };
    let rate = RateOptions {
        drops: vec![0.1, 0.6],
        drop_factor: 0.5,
        cosine_floor: 1.0,
    };
    let step = options(Schedule::Step, rate.clone());
    let rates = [10, 11, 60, 61].map(|epoch| step.learning_rate(epoch));
    assert_eq!(rates, [0.01, 0.005, 0.005, 0.0025]);
    let flat = options(Schedule::Cosine, rate);
    assert!((1..=100).all(|epoch| flat.learning_rate(epoch) == 0.01));
}

/// Where a weight comes from 0 with these gradients, in float64.
fn stepped(options: RAdamOptions, gradients: &[f64], learning_rate: f64) -> f64 {
    let RAdamOptions { beta1, beta2, eps } = options;
    let (mut weight, mut first, mut second) = (0.0_f64, 0.0_f64, 0.0_f64);
    let limit = 2.0 / (1.0 - beta2) - 1.0;
    for (t, gradient) in (1..).zip(gradients) {
        first = beta1 * first + (1.0 - beta1) * gradient;
        second = beta2 * second + (1.0 - beta2) * gradient * gradient;
        let (decay1, decay2) = (beta1.powi(t), beta2.powi(t));
        let rho: f64 = limit - 2.0 * f64::from(t) * decay2 / (1.0 - decay2);
        let direction = if rho >= 5.0 {
            let square = (rho - 4.0) * (rho - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * rho);
            ((1.0 - decay2) * square).sqrt() * first / (second.sqrt() + eps)
        } else {
            first
        };
        weight -= learning_rate / (1.0 - decay1) * direction;
    }
    weight
}

/// Eight steps, of which the last three are rectified. Tolerance: eight roundings of weights below 0.2 to float32.
#[test]
fn the_numbers_of_the_optimizer_are_those_of_its_steps() {
    const NAME: &str = "linear_layer_2.bias";
    let gradients = [0.5, -0.25, 1.0, 0.75, -0.5, 0.25, 1.0, -1.0];
    let network = Network::preset("dualnet-s").expect("a preset");
    let mut ends = Vec::new();
    for options in [
        RAdamOptions::default(),
        RAdamOptions {
            beta1: 0.5,
            ..RAdamOptions::default()
        },
        RAdamOptions {
            beta2: 0.9,
            ..RAdamOptions::default()
        },
        RAdamOptions {
            eps: 0.5,
            ..RAdamOptions::default()
        },
    ] {
        let parameters = Parameters::initial(&network, 1).expect("initial values");
        let before = parameters.values(NAME).expect("a bias");
        let mut optimizer = RAdam::new().with_options(options);
        for gradient in gradients {
            let product = parameters.get(NAME).expect("a bias").f_mul_scalar(gradient);
            product.expect("a product").sum(Kind::Float).backward();
            optimizer.step(&parameters, 0.01).expect("a step");
        }
        let expected = stepped(options, &gradients, 0.01);
        for (before, after) in before.into_iter().zip(parameters.values(NAME).expect("a bias")) {
            let moved = f64::from(after) - f64::from(before);
            assert!((moved - expected).abs() < 1e-6, "{options:?}: {moved}, not {expected}");
        }
        ends.push(expected);
    }
    for (i, end) in ends.iter().enumerate() {
        assert!(ends[..i].iter().all(|other| (end - other).abs() > 1e-4), "{ends:?}");
    }
}

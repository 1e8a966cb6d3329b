//! The network's description: the ten presets against the published table, and the `[network]` table of TOML files.

use dualnet_export::network::{
    Initial, Network, NetworkConfig, NetworkError, PRESETS, ParameterKind, PauInitial, preset,
};
use std::collections::HashSet;

/// Learnable values of every published network, positional embedding included.
const PARAMETERS: [(&str, usize); 10] = [
    ("dualnet-s", 1_840_210),
    ("dualnet-m", 4_269_618),
    ("dualnet-l", 6_176_498),
    ("dualnet-xl", 20_683_122),
    ("dualnet-pp-s", 1_805_666),
    ("dualnet-pp-m", 2_610_194),
    ("dualnet-pp-l", 3_737_906),
    ("dualnet-pp-xl", 8_233_138),
    ("dualnet-pp-xxl", 24_286_642),
    ("dualnet-pp-130m", 127_833_010),
];

fn learnable(network: &Network) -> usize {
    let parameters = network.parameters();
    parameters
        .iter()
        .filter(|p| p.kind == ParameterKind::Weight)
        .map(|p| p.elements())
        .sum()
}

#[test]
fn every_preset_has_the_published_number_of_parameters() {
    assert_eq!(PRESETS.len(), PARAMETERS.len());
    for (name, count) in PARAMETERS {
        assert_eq!(learnable(&Network::preset(name).expect(name)), count, "{name}");
    }
}

#[test]
fn names_are_unique_and_copies_refer_to_what_stands_before() {
    for name in PRESETS {
        let mut seen = HashSet::new();
        for parameter in Network::preset(name).expect(name).parameters() {
            if let Initial::CopyOf(original) = &parameter.initial {
                assert!(seen.contains(original), "{name}: {} copies {original}", parameter.name);
            }
            assert!(
                seen.insert(parameter.name.clone()),
                "{name}: {} stands twice",
                parameter.name
            );
        }
    }
}

#[test]
fn ablations_leave_their_part_out() {
    let names = |config: NetworkConfig| -> Vec<String> {
        Network::new(config)
            .expect("an ablation")
            .parameters()
            .into_iter()
            .map(|p| p.name)
            .collect()
    };
    let without_signal = names(NetworkConfig {
        signal_encoder: None,
        ..preset("dualnet-pp-s").expect("a preset")
    });
    assert!(
        without_signal
            .iter()
            .all(|name| !name.contains("ecg_encoder") && !name.contains("linear_mapping"))
    );
    let without_spectrogram = names(NetworkConfig {
        spectrogram_encoder: false,
        ..preset("dualnet-s").expect("a preset")
    });
    assert!(
        without_spectrogram
            .iter()
            .all(|name| !name.contains("spectrogram_encoder"))
    );
    let neither = NetworkConfig {
        signal_encoder: None,
        spectrogram_encoder: false,
        ..preset("dualnet-s").expect("a preset")
    };
    assert!(matches!(
        Network::new(neither),
        Err(NetworkError::Invalid {
            key: "signal_encoder",
            ..
        })
    ));
}

#[test]
fn toml_says_the_same_again() {
    for name in PRESETS {
        let config = preset(name).expect(name);
        assert_eq!(NetworkConfig::from_toml(&config.to_toml()).expect(name), config);
    }
    let mut config = NetworkConfig {
        classes: 2,
        ..preset("dualnet-m").expect("a preset")
    };
    config.ablate_signal_encoder();
    assert_eq!(
        NetworkConfig::from_toml(&config.to_toml()).expect("an ablation"),
        config
    );
}

#[test]
fn a_table_departs_from_its_preset_key_by_key() {
    let read = |text: &str| NetworkConfig::from_toml(text).expect("a valid table");
    assert_eq!(
        read("[network]\npreset = \"dualnet-l\""),
        preset("dualnet-l").expect("a preset")
    );
    let wide = read("[network]\npreset = \"dualnet-s\"\nlatent = 192\ndropout = 0.1\n[train]\nepochs = 3");
    assert_eq!(
        (wide.latent, wide.dropout, wide.name.as_str()),
        (192, 0.1, "dualnet-s-variant")
    );
    let rational =
        read("[network]\npreset = \"dualnet-s\"\npau = { numerator = [0.1, 0.2, 0.3], denominator = [0.4] }");
    assert_eq!(
        rational.pau,
        PauInitial {
            numerator: vec![0.1, 0.2, 0.3],
            denominator: vec![0.4]
        }
    );
    assert_eq!(
        read("[network]\npreset = \"dualnet-s\"\npau = \"pade_softplus\"")
            .pau
            .numerator
            .len(),
        5
    );
}

#[test]
fn what_describes_no_network_is_refused_by_key() {
    let cases = [
        ("", "[network]"),
        ("[network]\nchanels = [1]", "chanels"),
        ("[network]\npreset = \"dualnet-xs\"", "dualnet-xl"),
        (
            "[network]\npreset = \"dualnet-s\"\npau = \"relu\"",
            "pade_optimized_leakyrelu",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\npau = { numerator = [], denominator = [0.4] }",
            "pau",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\npau = { numerator = [nan], denominator = [0.4] }",
            "pau",
        ),
        ("[network]\npreset = \"dualnet-s\"\nclasses = 3", "classes"),
        ("[network]\npreset = \"dualnet-s\"\nlatent = 0", "latent"),
        ("[network]\npreset = \"dualnet-s\"\nlatent = 9000000", "latent"),
        ("[network]\npreset = \"dualnet-s\"\ndropout = 1.0", "dropout"),
        ("[network]\npreset = \"dualnet-s\"\nheads = 4", "heads"),
        ("[network]\npreset = \"dualnet-pp-s\"\nheads = 7", "heads"),
        ("[network]\npreset = \"dualnet-pp-s\"\nlatent = 128", "latent"),
        ("[network]\npreset = \"dualnet-s\"\nlayers = 0", "layers"),
        ("[network]\npreset = \"dualnet-s\"\nchannels = []", "channels"),
        (
            "[network]\npreset = \"dualnet-s\"\nchannels = [1, 2, 3, 4, 5, 6]",
            "channels",
        ),
        ("[network]\npreset = \"dualnet-s\"\nspans = [[140, 8]]", "spans"),
        (
            "[network]\npreset = \"dualnet-s\"\nchannels = [16, 32, 64, 128, 40]\nspans = [[35, 2]]",
            "channels",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\nsignal_encoder = \"none\"\nspectrogram_encoder = false",
            "signal_encoder",
        ),
        ("[network", "TOML"),
        ("[network]\nlatent = 64", "preset: is missing"),
        ("[network]\nname = \"dualnet-xl\"", "preset: is missing"),
        (
            "[network]\nname = \"mine\"\nclasses = 4\nsignal_encoder = \"lstm\"\nlatent = 512",
            "layers is not there",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\nname = \"dualnet-xl-no-signal-encoder\"\nsignal_encoder = \"none\"",
            "dualnet-xl-no-signal-encoder is a published network",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\nname = \"dualnet-xl\"",
            "dualnet-xl is a published network",
        ),
        (
            "[network]\npreset = \"dualnet-s\"\nname = \"dualnet-s\"\nlatent = 64",
            "dualnet-s is a published network",
        ),
    ];
    for (text, word) in cases {
        let error = NetworkConfig::from_toml(text).expect_err(text).to_string();
        assert!(
            error.contains(word) || word == "TOML",
            "{text:?} gave {error:?}, without {word:?}"
        );
        assert_eq!(error.lines().count(), 1, "{error:?}");
    }
}

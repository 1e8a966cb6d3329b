//! The ten published networks.

use super::config::{ClassSet, NetworkConfig, PauInitial, SignalEncoder};
use super::error::NetworkError;

/// One row of the published table: name, encoder, channels of the five blocks, latent.
struct Preset {
    name: &'static str,
    encoder: SignalEncoder,
    channels: [usize; 5],
    latent: usize,
}

const fn lstm(name: &'static str, latent: usize, layers: usize, channels: [usize; 5]) -> Preset {
    Preset {
        name,
        encoder: SignalEncoder::Lstm { layers },
        channels,
        latent,
    }
}

const fn transformer(
    name: &'static str,
    (heads, feed_forward, layers): (usize, usize, usize),
    channels: [usize; 5],
) -> Preset {
    Preset {
        name,
        encoder: SignalEncoder::Transformer {
            heads,
            feed_forward,
            layers,
        },
        channels,
        latent: 256,
    }
}

const TABLE: [Preset; 10] = [
    lstm("dualnet-s", 128, 2, [16, 32, 64, 128, 256]),
    lstm("dualnet-m", 256, 2, [32, 64, 128, 256, 256]),
    lstm("dualnet-l", 256, 3, [64, 128, 256, 256, 256]),
    lstm("dualnet-xl", 512, 3, [128, 256, 512, 512, 256]),
    transformer("dualnet-pp-s", (8, 128, 2), [16, 32, 64, 128, 256]),
    transformer("dualnet-pp-m", (8, 256, 2), [32, 64, 128, 256, 256]),
    transformer("dualnet-pp-l", (8, 256, 3), [64, 128, 256, 256, 256]),
    transformer("dualnet-pp-xl", (8, 512, 3), [128, 256, 512, 512, 256]),
    transformer("dualnet-pp-xxl", (8, 512, 5), [128, 512, 1024, 1024, 512]),
    transformer("dualnet-pp-130m", (32, 2048, 12), [512, 2048, 2048, 2048, 512]),
];

/// Extents of the three axial blocks of ECG-DualNet++.
const AXIAL_SPANS: [(usize, usize); 3] = [(140, 8), (70, 4), (35, 2)];

/// The names of the published networks, smallest first within each family.
pub const PRESETS: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut i = 0;
    while i < TABLE.len() {
        names[i] = TABLE[i].name;
        i += 1;
    }
    names
};

/// The published network called `name`, with four classes.
pub fn preset(name: &str) -> Result<NetworkConfig, NetworkError> {
    let Some(preset) = TABLE.iter().find(|preset| preset.name == name) else {
        return Err(NetworkError::UnknownPreset {
            name: name.to_owned(),
            known: PRESETS.join(", "),
        });
    };
    let spans = match preset.encoder {
        SignalEncoder::Lstm { .. } => Vec::new(),
        SignalEncoder::Transformer { .. } => AXIAL_SPANS.to_vec(),
    };
    Ok(NetworkConfig {
        name: preset.name.to_owned(),
        classes: 4,
        class_set: ClassSet::default(),
        signal_encoder: Some(preset.encoder.clone()),
        spectrogram_encoder: true,
        channels: preset.channels.to_vec(),
        spans,
        latent: preset.latent,
        dropout: 0.05,
        pau: PauInitial::named(dualnet_engine::pau::initial::DEFAULT)?,
    })
}

/// Every published network, whole and without each of its encoders, beside the whole one's name.
pub(crate) fn variants() -> impl Iterator<Item = (&'static str, NetworkConfig)> {
    let ablations: [fn(&mut NetworkConfig); 3] = [
        |_| {},
        NetworkConfig::ablate_signal_encoder,
        NetworkConfig::ablate_spectrogram_encoder,
    ];
    let whole = PRESETS.into_iter().filter_map(|name| Some((name, preset(name).ok()?)));
    whole.flat_map(move |(name, config)| {
        ablations.map(|ablate| {
            let mut variant = config.clone();
            ablate(&mut variant);
            (name, variant)
        })
    })
}

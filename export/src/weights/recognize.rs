//! Which published network weights belong to that do not say it.

use super::StateDict;
use crate::network::{Network, NetworkConfig, PRESETS, preset};

/// The last layer, whose rows are the classes.
const HEAD: &str = "linear_layer_2.weight";

impl StateDict {
    /// The published network, whole or without one of its encoders, whose parameters have the names and shapes of these tensors. What the classes
    /// are does not show in them: they are taken for the challenge's.
    pub fn recognize(&self) -> Option<NetworkConfig> {
        let ablations: [fn(&mut NetworkConfig); 3] = [
            |_| {},
            NetworkConfig::ablate_signal_encoder,
            NetworkConfig::ablate_spectrogram_encoder,
        ];
        let classes = self.classes()?;
        let mut candidates = PRESETS.iter().flat_map(|name| ablations.map(|ablate| (name, ablate)));
        candidates.find_map(|(name, ablate)| {
            let mut config = NetworkConfig {
                classes,
                ..preset(name).ok()?
            };
            ablate(&mut config);
            let network = Network::new(config).ok()?;
            self.fits(&network.parameters()).then(|| network.config().clone())
        })
    }

    /// How many classes the last layer has; `None` where there is none.
    pub fn classes(&self) -> Option<usize> {
        self.get(HEAD)?.shape().first().copied()
    }
}

//! Which published network weights belong to that do not say it.

use super::StateDict;
use crate::network::{Network, NetworkConfig, variants};

/// The last layer, whose rows are the classes.
const HEAD: &str = "linear_layer_2.weight";

impl StateDict {
    /// The published network, whole or without one of its encoders, whose parameters have the names and shapes of these tensors. What the classes
    /// are does not show in them: they are taken for the challenge's.
    pub fn recognize(&self) -> Option<NetworkConfig> {
        let classes = self.classes()?;
        variants().find_map(|(_, variant)| {
            let network = Network::new(NetworkConfig { classes, ..variant }).ok()?;
            self.fits(&network.parameters()).then(|| network.config().clone())
        })
    }

    /// How many classes the last layer has; `None` where there is none.
    pub fn classes(&self) -> Option<usize> {
        self.get(HEAD)?.shape().first().copied()
    }
}

//! Processes that train one network together must train the same.

use super::{Records, Team, TrainOptions, card};
use crate::entries::{differences, name_of};
use crate::error::TrainerError;
use dualnet_export::network::NetworkConfig;
use serde_json::{Value, json};
use tch::Device;

/// What each process may have its own of: where it computes, and where its files are. What is in the files is compared.
const OWN: [&str; 7] = [
    "training.data",
    "training.split",
    "training.options.device",
    "training.options.split",
    "training.options.load",
    "training.options.distillation.teachers",
    "training.options.distillation.answers",
];

/// Makes sure that every process of `team` has the first one's network, options, records, teachers and program, and a device of its kind.
///
/// # Errors
/// In a process that differs: in what, and what is the first one's.
pub(super) fn agree(
    team: &Team,
    network: &NetworkConfig,
    options: &TrainOptions,
    records: &Records,
    teachers_digest: Option<&str>,
    device: Device,
) -> Result<(), TrainerError> {
    if team.size() == 1 {
        return Ok(());
    }
    let network_table: Value =
        toml::from_str(&network.to_toml()).map_err(|error| TrainerError::Internal(error.to_string()))?;
    let own = json!({
        "network": network_table,
        "training": card::training(network, options, records, teachers_digest, &Value::Null, team.size(), 0),
        "device": if device.is_cuda() { "a GPU" } else { "the CPU" },
    });
    let first = team.share_bytes(|| Ok(own.to_string().into_bytes()))?;
    let fault = |reason: String| {
        let rank = team.shard().rank;
        TrainerError::Distributed(format!("rank {rank} would train otherwise than rank 0: {reason}"))
    };
    let first: Value = serde_json::from_slice(&first).map_err(|error| fault(error.to_string()))?;
    difference(&own, &first).map_or(Ok(()), |reason| Err(fault(reason)))
}

/// The first entry in which two processes differ, in words.
fn difference(own: &Value, first: &Value) -> Option<String> {
    let mut found = differences(own, first).filter(|(path, _)| !OWN.contains(&path.as_str()));
    let (path, [here, there]) = found.next()?;
    Some(format!("{} is {here} here and {there} there", name_of(&path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_what_may_differ_is_not() {
        let process = |seed: u64, device: &str, teachers: &str| {
            json!({ "training": {
                "epoch": 1,
                "options": { "seed": seed, "device": device, "distillation": { "teachers": [teachers] } },
            } })
        };
        let first = process(1, "cuda:0", "a/best.safetensors");
        assert_eq!(difference(&process(1, "cuda:1", "b/best.safetensors"), &first), None);
        let found = difference(&process(7, "cuda:0", "a/best.safetensors"), &first);
        assert_eq!(found.as_deref(), Some("seed is 7 here and 1 there"));
        let found = difference(&json!({ "training": { "epoch": 1 } }), &first);
        assert_eq!(found.as_deref(), Some("seed is null here and 1 there"));
    }
}

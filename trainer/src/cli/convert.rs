//! `trainer convert`

use super::weights::file_of;
use crate::train::{Checkpoint, network_of};
use anyhow::bail;
use clap::Args;
use dualnet_export::network::ClassSet;
use dualnet_export::weights::{OPTIMIZER_PREFIX, StateDict};
use std::path::{Path, PathBuf};

/// Writes a checkpoint or any state dict as .pt, which Python's torch.load(weights_only=True) opens, or as .safetensors.
///
/// A .pt has no place for what a checkpoint says of its network and its training; .safetensors keeps it.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Checkpoint or state dict: .safetensors or .pt (the content decides, not the name); or folder of a run (its best.safetensors).
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// File to write; its extension says the format: .pt or .safetensors.
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Keep the optimizer's tensors, and in .safetensors the progress that a resumed run needs too.
    #[arg(long)]
    with_optimizer: bool,
    /// Overwrite OUT.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Pt,
    Safetensors,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let output = &arguments.output;
    let format = format_of(output)?;
    // A link that leads nowhere is there, too.
    if !arguments.force && output.symlink_metadata().is_ok() {
        bail!("{}: is there already; --force overwrites it", output.display());
    }
    let input = file_of(&arguments.input);
    let mut state = StateDict::open(&input)?;
    if arguments.with_optimizer {
        if !state.tensors.keys().any(|name| name.starts_with(OPTIMIZER_PREFIX)) {
            bail!(
                "{}: has nothing of an optimizer for --with-optimizer to keep; a run's last.safetensors has",
                input.display()
            );
        }
    } else {
        state.tensors.retain(|name, _| !name.starts_with(OPTIMIZER_PREFIX));
        // Progress without moments would resume another training.
        state.metadata.remove(Checkpoint::PROGRESS);
    }
    match format {
        Format::Pt => state.save_pt(output)?,
        Format::Safetensors => state.save(output)?,
    }
    let numbers: usize = state.tensors.values().map(|tensor| tensor.data().len()).sum();
    let mut line = format!(
        "{}: {} tensors, {numbers} numbers",
        output.display(),
        state.tensors.len()
    );
    if matches!(format, Format::Pt) && !state.metadata.is_empty() {
        let names: Vec<&str> = state.metadata.keys().map(String::as_str).collect();
        if let Some(classes) = classes_beside_the_challenges(&state) {
            line += &format!("; its classes are {classes}, which a .pt cannot say: --class-set does");
        }
        line += &format!("; left out, as .pt has no place for it: {}", names.join(", "));
    }
    super::say(line);
    Ok(())
}

/// The names of classes that are taken for others by who does not know them.
fn classes_beside_the_challenges(state: &StateDict) -> Option<String> {
    let network = network_of(state).ok().flatten()?;
    let config = network.config();
    (config.class_set != ClassSet::Challenge).then(|| config.class_names().join(", "))
}

fn format_of(path: &Path) -> anyhow::Result<Format> {
    let extension = path.extension().unwrap_or_default();
    if extension.eq_ignore_ascii_case("pt") {
        Ok(Format::Pt)
    } else if extension.eq_ignore_ascii_case("safetensors") {
        Ok(Format::Safetensors)
    } else {
        bail!("{}: the extension must be .pt or .safetensors", path.display())
    }
}
